"""Packets as they came, and what judging found them to be."""

from sqlalchemy import (
    BigInteger,
    Column,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from settlement import schemas
from storage.tables.columns import (
    bigint,
    digest,
    frame_table,
    metadata,
    text,
    time,
)

# --- 1 LAND: bytes in, untouched -------------------------------------------------------------

landing_batch = Table(
    "landing_batch",
    metadata,
    Column("batch_id", BigInteger, nullable=False, autoincrement=False),
    time("landed_at"),
    bigint("rows_new"),
    bigint("rows_duplicate"),
    bigint("rows_aside"),
    time("first_signed_at", nullable=True),
    time("last_signed_at", nullable=True),
    PrimaryKeyConstraint("batch_id"),
)
"""One row per landing transaction, written in it. ``batch_id`` comes from the sequence
``landing_batch_id``; [first_signed_at, last_signed_at] spans the batch's rows in raw_packet."""

raw_packet = frame_table(schemas.RAW_PACKET, PrimaryKeyConstraint("evse_id", "signed_at", "digest"))
"""Time series on signed_at. A BRIN index on batch_id finds the rows of a batch."""

packet_aside = Table(
    "packet_aside",
    metadata,
    digest("packet_digest"),
    text("why"),
    text("detail"),
    text("evse_id", nullable=True),
    text("topic_evse_id", nullable=True),
    Column("packet", LargeBinary, nullable=False),
    time("received_at"),
    text("source"),
    bigint("batch_id"),
    PrimaryKeyConstraint("packet_digest", "why"),
)
"""What cannot stand in raw_packet, kept as evidence all the same. ``why`` is one of
``storage.arrivals.ASIDE_KINDS``."""

# --- judging ---------------------------------------------------------------------------------

judged_batch = Table(
    "judged_batch",
    metadata,
    Column("batch_id", BigInteger, nullable=False, autoincrement=False),
    time("judged_at"),
    bigint("readings"),
    bigint("quarantined"),
    PrimaryKeyConstraint("batch_id"),
)

packet_identity = Table(
    "packet_identity",
    metadata,
    text("evse_id"),
    bigint("stream_epoch"),
    bigint("sequence"),
    digest("digest"),
    time("started_at"),
    PrimaryKeyConstraint("evse_id", "stream_epoch", "sequence"),
)
"""The identity of every reading, for ever, whatever time the packet claims."""

packet_conflict = Table(
    "packet_conflict",
    metadata,
    text("evse_id"),
    bigint("stream_epoch"),
    bigint("sequence"),
    digest("digest"),
    time("found_at"),
    PrimaryKeyConstraint("evse_id", "stream_epoch", "sequence", "digest"),
)
"""Further validly signed contents of an identity that already has one."""

quarantine = frame_table(schemas.QUARANTINED, PrimaryKeyConstraint("packet_digest"))

reading = frame_table(
    schemas.READING,
    PrimaryKeyConstraint("evse_id", "started_at", "stream_epoch", "sequence"),
    extra=(time("judged_at"),),
)
"""Time series on started_at. ``judged_at`` is when a run could first know it."""

device_key = Table(
    "device_key",
    metadata,
    text("key_id"),
    text("evse_id"),
    text("algorithm"),
    Column("public_key", LargeBinary, nullable=False),
    time("valid_from"),
    time("valid_to", nullable=True),
    time("revoked_at", nullable=True),
    time("enrolled_at"),
    PrimaryKeyConstraint("key_id"),
    UniqueConstraint("public_key"),
)
"""Enrolled keys; ``public_key`` is DER SubjectPublicKeyInfo (RFC 5280 §4.1)."""
