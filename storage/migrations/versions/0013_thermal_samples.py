"""Battery temperatures as sensors gave them: raw registers, value, quality; and what is to be attached."""

from alembic import op

from storage.migrations import statements
from storage.migrations.partitioner import partition
from storage.migrations.statements import INGEST, SETTLE

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BEFORE = {"raw_packet": "signed_at", "reading": "started_at", "temperature": "measured_at"}
TIME_SERIES = BEFORE | {"thermal_sample": "measured_at"}

SAMPLE = """
    create table public.thermal_sample (
        device_id           text        not null,
        sensor              text        not null,
        evse_id             text        not null,
        vehicle_id          text        not null,
        measured_at         timestamptz not null,
        registers           bytea       not null,
        value_millicelsius  bigint,
        quality             text        not null,
        battery             boolean     not null,
        detail              text        not null,
        recorded_at         timestamptz not null,
        constraint thermal_sample_pkey primary key (device_id, sensor, measured_at),
        constraint thermal_sample_value_check
            check ((value_millicelsius is not null) = (quality = 'good')),
        constraint thermal_sample_range_check
            check (value_millicelsius between -50000 and 150000),
        constraint thermal_sample_quality_check
            check (quality in ('good', 'not_implemented', 'out_of_range', 'jump', 'stuck',
                               'no_answer', 'refused', 'garbled'))
    )
"""

# Not facts: which samples are still to be looked at, and which were looked at in vain.
QUEUES = (
    """
    create table public.thermal_pending (
        mark_id           uuid        not null,
        evse_id           text        not null,
        first_measured_at timestamptz not null,
        last_measured_at  timestamptz not null,
        samples           bigint      not null,
        constraint thermal_pending_pkey primary key (mark_id)
    )
    """,
    """
    create table public.thermal_waiting (
        evse_id   text        not null,
        day       timestamptz not null,
        contracts bigint      not null,
        constraint thermal_waiting_pkey primary key (evse_id, day)
    )
    """,
)


def upgrade() -> None:
    op.execute(SAMPLE + statements.partition_clause("measured_at"))
    statements.make_time_series("thermal_sample", "measured_at")
    op.execute(
        "create index thermal_sample_evse_idx on public.thermal_sample (evse_id, measured_at)"
    )
    for table in QUEUES:
        op.execute(table)
    partition(TIME_SERIES)
    statements.refuse_changes("thermal_sample")
    statements.refuse_changes_in_parts("thermal_sample")
    statements.grant(
        {
            "thermal_sample": {INGEST: "select, insert"},
            "thermal_pending": {INGEST: "insert", SETTLE: "delete"},
            "thermal_waiting": {SETTLE: "insert, delete, update (contracts)"},
        }
    )


def downgrade() -> None:
    partition(BEFORE)
    statements.drop("thermal_waiting", "thermal_pending", "thermal_sample")
