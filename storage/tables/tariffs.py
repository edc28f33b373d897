"""Programs, and what the grid's side said."""

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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from storage.tables.columns import (
    bigint,
    digest,
    metadata,
    text,
    time,
)

program_version = Table(
    "program_version",
    metadata,
    text("program"),
    Column("version", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    time("valid_from"),
    time("recorded_at"),
    PrimaryKeyConstraint("program", "version"),
)
"""``valid_from`` is when it takes effect, ``recorded_at`` when this system knew it."""

event_version = Table(
    "event_version",
    metadata,
    text("event_id"),
    Column("version", Integer, nullable=False),
    digest("digest"),
    text("program"),
    time("started_at"),
    time("ended_at"),
    time("created_at"),
    text("status"),
    Column("document", LargeBinary, nullable=False),
    time("received_at"),
    Column("primacy", Integer, nullable=False),
    text("site_group"),
    time("cancelled_at", nullable=True),
    Column("modes", ARRAY(Text), nullable=False),
    Column("randomize_start_s", Integer, nullable=False),
    Column("randomize_duration_s", Integer, nullable=False),
    Column("resumes", Boolean, nullable=False),
    digest("source"),
    text("feed"),
    PrimaryKeyConstraint("event_id", "version"),
    CheckConstraint("started_at < ended_at", name="interval"),
    CheckConstraint("primacy >= 0", name="primacy_range"),
    *(
        CheckConstraint(
            f"randomize_{what}_s between -3600 and 3600", name=f"randomize_{what}_s_range"
        )
        for what in ("start", "duration")
    ),
)
"""Every version of every event, with its document, counted from 1. What is said again and is the
latest already is no version; what is said again after something else is."""

price_version = Table(
    "price_version",
    metadata,
    text("program"),
    time("started_at"),
    time("ended_at"),
    Column("version", Integer, nullable=False),
    digest("digest"),
    bigint("price_micros_per_kwh"),
    text("currency"),
    time("received_at"),
    text("feed"),
    PrimaryKeyConstraint("program", "started_at", "ended_at", "version"),
    CheckConstraint("started_at < ended_at", name="interval"),
    CheckConstraint("price_micros_per_kwh between -100000000 and 100000000", name="price_range"),
)
"""Every version of every price, counted from 1; ``digest`` is that of the document which stated it."""
