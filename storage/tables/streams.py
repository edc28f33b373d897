"""Streams: what of the signed sequences is missing, and how far that was looked at."""

from sqlalchemy import BigInteger, CheckConstraint, Column, PrimaryKeyConstraint, Table

from storage.tables.columns import bigint, metadata, text, time

sequence_gap = Table(
    "sequence_gap",
    metadata,
    text("evse_id"),
    bigint("stream_epoch"),
    bigint("first_sequence"),
    bigint("last_sequence"),
    bigint("sequence_step"),
    time("found_at"),
    PrimaryKeyConstraint("evse_id", "stream_epoch", "first_sequence", "last_sequence"),
    CheckConstraint("first_sequence <= last_sequence", name="order"),
)
"""What was missing between two packets of a stream when it was looked at, both ends included: a range,
however long. It is open while no packet in it has landed; what then remains stands as gaps of its own."""

watched_batch = Table(
    "watched_batch",
    metadata,
    Column("batch_id", BigInteger, nullable=False, autoincrement=False),
    time("watched_at"),
    PrimaryKeyConstraint("batch_id"),
)
"""Landing batches whose streams were looked at for gaps."""
