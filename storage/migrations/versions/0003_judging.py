"""Judging: verdicts, identities, readings, and the enrolled keys."""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import INGEST, SETTLE

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

FACTS = ("judged_batch", "packet_identity", "packet_conflict", "quarantine", "reading")

PLAIN = (
    """
    create table public.judged_batch (
        batch_id    bigint      not null,
        judged_at   timestamptz not null,
        readings    bigint      not null,
        quarantined bigint      not null,
        constraint judged_batch_pkey primary key (batch_id)
    )
    """,
    """
    create table public.packet_identity (
        evse_id      text        not null,
        stream_epoch bigint      not null,
        sequence     bigint      not null,
        digest       bytea       not null,
        started_at   timestamptz not null,
        constraint packet_identity_pkey primary key (evse_id, stream_epoch, sequence)
    )
    """,
    """
    create table public.packet_conflict (
        evse_id      text        not null,
        stream_epoch bigint      not null,
        sequence     bigint      not null,
        digest       bytea       not null,
        found_at     timestamptz not null,
        constraint packet_conflict_pkey primary key (evse_id, stream_epoch, sequence, digest)
    )
    """,
    """
    create table public.quarantine (
        packet_digest          bytea       not null,
        reason                 text        not null,
        detail                 text        not null,
        evse_id                text,
        vehicle_id             text,
        started_at             timestamptz,
        ended_at               timestamptz,
        claimed_export_milliwh bigint,
        key_id                 text,
        received_at            timestamptz not null,
        batch_id               bigint      not null,
        constraint quarantine_pkey primary key (packet_digest),
        constraint quarantine_claimed_export_milliwh_range_check
            check (claimed_export_milliwh between 0 and 1000000000),
        constraint quarantine_batch_id_range_check check (batch_id between 1 and 9223372036854775807)
    )
    """,
    "create index quarantine_batch_id_idx on public.quarantine (batch_id)",
    "create index quarantine_reason_received_at_idx on public.quarantine (reason, received_at)",
    """
    create table public.device_key (
        key_id      text        not null,
        evse_id     text        not null,
        algorithm   text        not null,
        public_key  bytea       not null,
        valid_from  timestamptz not null,
        valid_to    timestamptz,
        revoked_at  timestamptz,
        enrolled_at timestamptz not null,
        constraint device_key_pkey primary key (key_id),
        constraint device_key_public_key_key unique (public_key)
    )
    """,
    "create index device_key_evse_id_idx on public.device_key (evse_id)",
)

READING = """
    create table public.reading (
        evse_id              text        not null,
        vehicle_id           text        not null,
        session_id           text        not null,
        stream_epoch         bigint      not null,
        sequence             bigint      not null,
        started_at           timestamptz not null,
        ended_at             timestamptz not null,
        power_start_w        bigint      not null,
        power_end_w          bigint      not null,
        export_start_milliwh bigint      not null,
        export_end_milliwh   bigint      not null,
        import_start_milliwh bigint      not null,
        import_end_milliwh   bigint      not null,
        soc_start_ppm        bigint      not null,
        soc_end_ppm          bigint      not null,
        latitude_microdeg    bigint      not null,
        longitude_microdeg   bigint      not null,
        clock_offset_us      bigint      not null,
        key_id               text        not null,
        digest               bytea       not null,
        received_at          timestamptz not null,
        constraint reading_pkey primary key (evse_id, started_at, stream_epoch, sequence),
        constraint reading_stream_epoch_range_check check (stream_epoch between 0 and 9007199254740991),
        constraint reading_sequence_range_check check (sequence between 0 and 9007199254740991),
        constraint reading_power_start_w_range_check check (power_start_w between -10000000 and 10000000),
        constraint reading_power_end_w_range_check check (power_end_w between -10000000 and 10000000),
        constraint reading_export_start_milliwh_range_check
            check (export_start_milliwh between 0 and 1000000000000000),
        constraint reading_export_end_milliwh_range_check
            check (export_end_milliwh between 0 and 1000000000000000),
        constraint reading_import_start_milliwh_range_check
            check (import_start_milliwh between 0 and 1000000000000000),
        constraint reading_import_end_milliwh_range_check
            check (import_end_milliwh between 0 and 1000000000000000),
        constraint reading_soc_start_ppm_range_check check (soc_start_ppm between 0 and 1000000),
        constraint reading_soc_end_ppm_range_check check (soc_end_ppm between 0 and 1000000),
        constraint reading_latitude_microdeg_range_check
            check (latitude_microdeg between -90000000 and 90000000),
        constraint reading_longitude_microdeg_range_check
            check (longitude_microdeg between -180000000 and 180000000),
        constraint reading_clock_offset_us_range_check
            check (clock_offset_us between -86400000000 and 86400000000)
    )
"""


def upgrade() -> None:
    for statement in PLAIN:
        op.execute(statement)
    op.execute(READING + statements.partition_clause("started_at"))
    statements.make_time_series("reading", "started_at")
    # A period is read over all chargers: the key begins with the charger and cannot serve that.
    op.execute("create index reading_started_at_idx on public.reading (started_at)")
    op.execute(
        "create index reading_vehicle_id_started_at_idx on public.reading (vehicle_id, started_at)"
    )
    statements.refuse_changes(*FACTS)
    statements.refuse_changes_in_parts("reading")
    statements.grant(
        {
            "judged_batch": {SETTLE: "insert"},
            "packet_identity": {
                SETTLE: "insert",
                INGEST: "select",
            },  # landing answers with conflicts
            "packet_conflict": {SETTLE: "insert"},
            "quarantine": {SETTLE: "insert"},
            "reading": {SETTLE: "insert"},
            "device_key": {SETTLE: "insert, update (valid_to, revoked_at)"},
        }
    )


def downgrade() -> None:
    statements.drop("device_key", *reversed(FACTS))
