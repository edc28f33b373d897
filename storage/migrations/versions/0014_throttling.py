"""Limits commanded to chargers: what was ordered, why, and what became of it.

A role of its own commands; what it decides on it only reads.
"""

from alembic import op

from storage.migrations import statements

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

GUARD = "v2g_guard"
FACTS = ("throttle_command", "throttle_outcome")
READS = ("thermal_sample", "contract_version", "program_version", "alembic_version")
KEY_COLUMNS = "evse_id, meter_id, client_id, valid_from, valid_to, revoked_at, enrolled_at"
"""Which client speaks for an EVSE; no key."""

TABLES = (
    """
    create table public.throttle_command (
        command_id  uuid        not null,
        evse_id     text        not null,
        number      bigint      not null,
        limit_w     bigint,
        reason      text        not null,
        evidence    jsonb       not null,
        raised_at   timestamptz not null,
        recorded_at timestamptz not null,
        constraint throttle_command_pkey primary key (command_id),
        constraint throttle_command_evse_id_number_key unique (evse_id, number),
        constraint throttle_command_limit_check check (limit_w >= 0),
        constraint throttle_command_number_check check (number >= 1)
    )
    """,
    """
    create table public.throttle_outcome (
        command_id  uuid        not null,
        number      integer     not null,
        state       text        not null,
        way         text        not null,
        detail      text        not null,
        recorded_at timestamptz not null,
        constraint throttle_outcome_pkey primary key (command_id, number),
        constraint throttle_outcome_state_check
            check (state in ('sent', 'obeyed', 'refused', 'failed', 'replaced'))
    )
    """,
    "create index throttle_command_recorded_idx on public.throttle_command (recorded_at)",
)


def upgrade() -> None:
    for statement in TABLES:
        op.execute(statement)
    statements.refuse_changes(*FACTS)
    statements.grant({table: {GUARD: "select, insert"} for table in FACTS})
    for table in READS:
        op.execute(f"grant select on public.{table} to {GUARD}")
    op.execute(f"grant select ({KEY_COLUMNS}) on public.device_key to {GUARD}")


def downgrade() -> None:
    op.execute(f"revoke select ({KEY_COLUMNS}) on public.device_key from {GUARD}")
    for table in READS:
        op.execute(f"revoke all on public.{table} from {GUARD}")
    statements.drop("throttle_outcome", "throttle_command")
