"""The grid's side beside its events and prices: documents, decisions, answers due, feeds' health."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from storage.tables.columns import bigint, digest, metadata, text, time

grid_document = Table(
    "grid_document",
    metadata,
    digest("digest"),
    text("feed"),
    text("href"),
    text("media_type"),
    Column("body", LargeBinary, nullable=False),
    time("received_at"),
    PrimaryKeyConstraint("digest"),
)
"""Every document that said an event or a price, as received, once per SHA-256."""

event_decision = Table(
    "event_decision",
    metadata,
    text("event_id"),
    Column("version", Integer, nullable=False),
    text("decision"),
    text("decided_by"),
    text("note"),
    time("recorded_at"),
    PrimaryKeyConstraint("event_id", "version"),
    CheckConstraint("decision in ('approved', 'rejected')", name="word"),
)
"""Whether a version that came after its event had ended counts: a person's word, once."""

grid_response = Table(
    "grid_response",
    metadata,
    text("feed"),
    text("mrid"),
    text("lfdi"),
    Column("status", Integer, nullable=False),
    text("reply_to"),
    time("due_at"),
    text("state"),
    Column("tries", Integer, nullable=False),
    text("detail"),
    time("changed_at"),
    PrimaryKeyConstraint("feed", "mrid", "lfdi", "status"),
    CheckConstraint("state in ('due', 'posted', 'refused')", name="state"),
)
"""Responses that the utility is owed (IEEE 2030.5 clause 10.2.2): each once, and what became of it."""

feed_state = Table(
    "feed_state",
    metadata,
    text("feed"),
    text("kind"),
    time("tried_at"),
    time("read_at", nullable=True),
    time("next_at", nullable=True),
    text("error"),
    bigint("clock_offset_us", nullable=True),
    bigint("clock_uncertainty_us", nullable=True),
    bigint("events"),
    bigint("prices"),
    bigint("refused"),
    Column("refusals", ARRAY(Text), nullable=False),
    Column("notes", ARRAY(Text), nullable=False),
    Column("whole", Boolean, nullable=False),
    PrimaryKeyConstraint("feed"),
)
"""How each feed is: when it was last tried and last read whole, and what its last trouble was."""
