"""Records of meters in the field, and quarantine that can be worked."""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import SETTLE

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NOT_STATED = (
    "power_start_w",
    "power_end_w",
    "soc_start_ppm",
    "soc_end_ppm",
    "latitude_microdeg",
    "longitude_microdeg",
    "clock_offset_us",
)
"""A meter's record says nothing of these."""

FACTS = ("meter_record", "refused_interval", "quarantine_retry")

TABLES = (
    """
    create table public.meter_record (
        meter_id              text        not null,
        context               text        not null,
        number                bigint      not null,
        stream_epoch          bigint      not null,
        evse_id               text        not null,
        vehicle_id            text        not null,
        points                bigint      not null,
        first_at              timestamptz not null,
        first_export_milliwh  bigint,
        first_import_milliwh  bigint,
        first_export_register text        not null,
        first_import_register text        not null,
        first_kind            text        not null,
        last_at               timestamptz not null,
        last_export_milliwh   bigint,
        last_import_milliwh   bigint,
        last_export_register  text        not null,
        last_import_register  text        not null,
        last_kind             text        not null,
        key_id                text        not null,
        digest                bytea       not null,
        packet_digest         bytea       not null,
        topic_evse_id         text,
        received_at           timestamptz not null,
        batch_id              bigint      not null,
        judged_at             timestamptz not null,
        constraint meter_record_pkey primary key (meter_id, context, number),
        constraint meter_record_digest_key unique (digest),
        constraint meter_record_points_check check (points between 1 and 63)
    )
    """,
    "create index meter_record_stream_epoch_number_idx on public.meter_record (stream_epoch, number)",
    "create index meter_record_batch_id_idx on public.meter_record (batch_id)",
    """
    create table public.refused_interval (
        meter_id               text        not null,
        context                text        not null,
        number                 bigint      not null,
        reason                 text        not null,
        detail                 text        not null,
        evse_id                text        not null,
        vehicle_id             text        not null,
        started_at             timestamptz not null,
        ended_at               timestamptz not null,
        claimed_export_milliwh bigint,
        judged_at              timestamptz not null,
        constraint refused_interval_pkey primary key (meter_id, context, number)
    )
    """,
    "create index refused_interval_started_at_idx on public.refused_interval (started_at)",
    """
    create table public.quarantine_retry (
        packet_digest bytea       not null,
        retry         bigint      not null,
        retried_at    timestamptz not null,
        retried_by    text        not null,
        outcome       text        not null,
        detail        text        not null,
        constraint quarantine_retry_pkey primary key (packet_digest, retry),
        constraint quarantine_retry_retry_check check (retry >= 1),
        constraint quarantine_retry_packet_digest_fkey
            foreign key (packet_digest) references public.quarantine (packet_digest)
    )
    """,
    # A packet is released once.
    """
    create unique index quarantine_retry_released_idx on public.quarantine_retry (packet_digest)
        where outcome in ('READING', 'RECORD')
    """,
    "create index quarantine_received_at_idx on public.quarantine (received_at, packet_digest)",
)


def upgrade() -> None:
    for column in NOT_STATED:
        op.execute(f"alter table public.reading alter column {column} drop not null")
    for statement in TABLES:
        op.execute(statement)
    statements.refuse_changes(*FACTS)
    statements.grant({table: {SETTLE: "insert"} for table in FACTS})


def downgrade() -> None:
    op.execute("drop index public.quarantine_received_at_idx")
    statements.drop(*reversed(FACTS))
    for column in NOT_STATED:
        op.execute(f"alter table public.reading alter column {column} set not null")
