"""Packets as they came, and what judging found them to be."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
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
"""Time series on signed_at. A BRIN index on batch_id finds the rows of a batch, an index on
(evse_id, stream_epoch, sequence) a packet's neighbours in its stream."""

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

quarantine_retry = Table(
    "quarantine_retry",
    metadata,
    digest("packet_digest"),
    bigint("retry"),
    time("retried_at"),
    text("retried_by"),
    text("outcome"),
    text("detail"),
    PrimaryKeyConstraint("packet_digest", "retry"),
    ForeignKeyConstraint(["packet_digest"], ["quarantine.packet_digest"]),
    CheckConstraint("retry >= 1", name="retry"),
)
"""A quarantined packet judged again: how often, when, by whom. ``outcome`` is a
``settlement.reasons.PacketReason``, or READING or RECORD (``storage.quarantine.RELEASED``): then it is
quarantined no more from ``retried_at`` on. A unique index lets a packet be released once."""

meter_record = Table(
    "meter_record",
    metadata,
    text("meter_id"),
    text("context"),
    bigint("number"),
    bigint("stream_epoch"),
    text("evse_id"),
    text("vehicle_id"),
    bigint("points"),
    *(
        column
        for edge in ("first", "last")
        for column in (
            time(f"{edge}_at"),
            bigint(f"{edge}_export_milliwh", nullable=True),
            bigint(f"{edge}_import_milliwh", nullable=True),
            text(f"{edge}_export_register"),
            text(f"{edge}_import_register"),
            text(f"{edge}_kind"),
        )
    ),
    text("key_id"),
    digest("digest"),
    digest("packet_digest"),
    text("topic_evse_id", nullable=True),
    time("received_at"),
    bigint("batch_id"),
    time("judged_at"),
    PrimaryKeyConstraint("meter_id", "context", "number"),
    UniqueConstraint("digest"),
    CheckConstraint("points between 1 and 63", name="points"),
)
"""A meter's own records that stand, each number once, with the edges that its neighbours continue
from. Its readings are numbered ``number * 64`` (from the record before) and on, under ``stream_epoch``
(``settlement.meter_readings``)."""

refused_interval = Table(
    "refused_interval",
    metadata,
    text("meter_id"),
    text("context"),
    bigint("number"),
    text("reason"),
    text("detail"),
    text("evse_id"),
    text("vehicle_id"),
    time("started_at"),
    time("ended_at"),
    bigint("claimed_export_milliwh", nullable=True),
    time("judged_at"),
    PrimaryKeyConstraint("meter_id", "context", "number"),
)
"""An interval from the record before to this one that can be no reading, though both records stand;
``reason`` is a ``settlement.reasons.PacketReason``."""

reading = frame_table(
    schemas.READING,
    PrimaryKeyConstraint("evse_id", "started_at", "stream_epoch", "sequence"),
    extra=(time("judged_at"),),
)
"""Time series on started_at. ``judged_at`` is when a run could first know it."""
