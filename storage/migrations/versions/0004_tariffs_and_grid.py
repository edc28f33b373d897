"""Programs, contracts, and the grid's side: events and prices."""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import SETTLE

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

FACTS = ("program_version", "event_version", "price_version")

STATEMENTS = (
    """
    create table public.program_version (
        program    text        not null,
        version    integer     not null,
        body       jsonb       not null,
        valid_from timestamptz not null,
        constraint program_version_pkey primary key (program, version)
    )
    """,
    """
    create table public.contract (
        contract_id        text        not null,
        vehicle_id         text        not null,
        program            text        not null,
        incentive_rate_ppm bigint      not null,
        account            text        not null,
        valid_from         timestamptz not null,
        valid_to           timestamptz,
        constraint contract_pkey primary key (contract_id),
        constraint contract_incentive_rate_ppm_range_check
            check (incentive_rate_ppm between 0 and 4000000)
    )
    """,
    "create index contract_vehicle_id_valid_from_idx on public.contract (vehicle_id, valid_from)",
    """
    create table public.event_version (
        event_id    text        not null,
        version     integer     not null,
        digest      bytea       not null,
        program     text        not null,
        started_at  timestamptz not null,
        ended_at    timestamptz not null,
        created_at  timestamptz not null,
        status      text        not null,
        document    bytea       not null,
        received_at timestamptz not null,
        constraint event_version_pkey primary key (event_id, version),
        constraint event_version_interval_check check (started_at < ended_at)
    )
    """,
    "create index event_version_program_started_at_idx on public.event_version (program, started_at)",
    """
    create table public.price_version (
        program              text        not null,
        started_at           timestamptz not null,
        ended_at             timestamptz not null,
        version              integer     not null,
        digest               bytea       not null,
        price_micros_per_kwh bigint      not null,
        currency             text        not null,
        received_at          timestamptz not null,
        constraint price_version_pkey primary key (program, started_at, ended_at, version),
        constraint price_version_interval_check check (started_at < ended_at),
        constraint price_version_price_range_check
            check (price_micros_per_kwh between -100000000 and 100000000)
    )
    """,
)
"""The key of price_version begins with (program, started_at), which is how prices are looked up."""


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
    statements.refuse_changes(*FACTS)
    statements.grant(
        {
            "program_version": {SETTLE: "insert"},
            "contract": {SETTLE: "insert, update (valid_to)"},
            "event_version": {SETTLE: "insert"},
            "price_version": {SETTLE: "insert"},
        }
    )


def downgrade() -> None:
    statements.drop("price_version", "event_version", "contract", "program_version")
