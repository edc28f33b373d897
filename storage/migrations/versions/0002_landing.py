"""1 LAND: the packets as received."""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import INGEST

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FACTS = ("landing_batch", "raw_packet", "packet_aside")


def upgrade() -> None:
    op.execute("create sequence public.landing_batch_id as bigint minvalue 1 no cycle")
    op.execute("revoke all on sequence public.landing_batch_id from public")
    op.execute(f"grant usage on sequence public.landing_batch_id to {INGEST}")
    op.execute(
        """
        create table public.landing_batch (
            batch_id        bigint      not null,
            landed_at       timestamptz not null,
            rows_new        bigint      not null,
            rows_duplicate  bigint      not null,
            rows_aside      bigint      not null,
            first_signed_at timestamptz,
            last_signed_at  timestamptz,
            constraint landing_batch_pkey primary key (batch_id)
        )
        """
    )
    op.execute(
        f"""
        create table public.raw_packet (
            evse_id     text        not null,
            signed_at   timestamptz not null,
            digest      bytea       not null,
            packet      bytea       not null,
            received_at timestamptz not null,
            source      text        not null,
            batch_id    bigint      not null,
            constraint raw_packet_pkey primary key (evse_id, signed_at, digest),
            constraint raw_packet_batch_id_range_check check (batch_id between 1 and 9223372036854775807)
        ) {statements.partition_clause("signed_at")}
        """
    )
    statements.make_time_series("raw_packet", "signed_at")
    # A batch's rows stand together, so a block range index finds them at almost no cost. About a
    # dozen packets fit a page; 8 pages keep the reading around a small batch small.
    op.execute(
        "create index raw_packet_batch_id_idx on public.raw_packet "
        "using brin (batch_id) with (pages_per_range = 8, autosummarize = on)"
    )
    op.execute(
        """
        create table public.packet_aside (
            packet_digest bytea       not null,
            why           text        not null,
            detail        text        not null,
            evse_id       text,
            topic_evse_id text,
            packet        bytea       not null,
            received_at   timestamptz not null,
            source        text        not null,
            batch_id      bigint      not null,
            constraint packet_aside_pkey primary key (packet_digest, why)
        )
        """
    )
    op.execute("create index packet_aside_batch_id_idx on public.packet_aside (batch_id)")
    statements.refuse_changes(*FACTS)
    statements.refuse_changes_in_parts("raw_packet")
    # Landing reads what it finds already there, to tell a duplicate from another signature.
    statements.grant({table: {INGEST: "select, insert"} for table in FACTS})


def downgrade() -> None:
    statements.drop(*reversed(FACTS))
    op.execute("drop sequence public.landing_batch_id")
