"""Signed sequences: what of a stream is missing.

Packets that landed before have no place in a stream here; their batches count as looked at.
"""

from alembic import op

from storage.migrations import statements
from storage.migrations.statements import INGEST

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

FACTS = ("sequence_gap", "watched_batch")

PLACE = (("stream_epoch", 0), ("sequence", 0), ("sequence_step", 1))
"""Columns of a packet's place in its stream, and the least that each may hold."""


def upgrade() -> None:
    for column, low in PLACE:
        op.execute(f"alter table public.raw_packet add column {column} bigint")
        op.execute(
            f"alter table public.raw_packet add constraint raw_packet_{column}_range_check"
            f" check ({column} between {low} and 9007199254740991)"
        )
    # "Is the packet before this one there?" is asked of every stream, every few seconds.
    op.execute(
        "create index raw_packet_stream_idx on public.raw_packet (evse_id, stream_epoch, sequence)"
        " where sequence is not null"
    )
    op.execute(
        """
        create table public.sequence_gap (
            evse_id        text        not null,
            stream_epoch   bigint      not null,
            first_sequence bigint      not null,
            last_sequence  bigint      not null,
            sequence_step  bigint      not null,
            found_at       timestamptz not null,
            constraint sequence_gap_pkey
                primary key (evse_id, stream_epoch, first_sequence, last_sequence),
            constraint sequence_gap_order_check check (first_sequence <= last_sequence)
        )
        """
    )
    op.execute("create index sequence_gap_found_at_idx on public.sequence_gap (found_at)")
    op.execute(
        """
        create table public.watched_batch (
            batch_id   bigint      not null,
            watched_at timestamptz not null,
            constraint watched_batch_pkey primary key (batch_id)
        )
        """
    )
    op.execute(
        "insert into public.watched_batch (batch_id, watched_at)"
        " select batch_id, now() from public.landing_batch"
    )
    statements.refuse_changes(*FACTS)
    statements.grant({table: {INGEST: "select, insert"} for table in FACTS})
    # Who brings an EVSE's packets is told what is missing of them.
    op.execute(f"grant select (evse_id, client_id) on public.device_key to {INGEST}")


def downgrade() -> None:
    op.execute(f"revoke select (evse_id, client_id) on public.device_key from {INGEST}")
    statements.drop(*FACTS)
    op.execute("drop index public.raw_packet_stream_idx")
    for column, _ in reversed(PLACE):
        op.execute(f"alter table public.raw_packet drop column {column}")
