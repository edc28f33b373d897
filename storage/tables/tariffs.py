"""Programs, contracts, and what the grid's side said."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables.columns import (
    bigint,
    digest,
    metadata,
    text,
    time,
)

# --- programs, contracts, the grid's side ------------------------------------------------------

program_version = Table(
    "program_version",
    metadata,
    text("program"),
    Column("version", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    time("valid_from"),
    PrimaryKeyConstraint("program", "version"),
)

contract = Table(
    "contract",
    metadata,
    text("contract_id"),
    text("vehicle_id"),
    text("program"),
    bigint("incentive_rate_ppm"),
    text("account"),
    time("valid_from"),
    time("valid_to", nullable=True),
    PrimaryKeyConstraint("contract_id"),
    CheckConstraint("incentive_rate_ppm between 0 and 4000000", name="incentive_rate_ppm_range"),
)

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
    PrimaryKeyConstraint("event_id", "version"),
    CheckConstraint("started_at < ended_at", name="interval"),
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
    PrimaryKeyConstraint("program", "started_at", "ended_at", "version"),
    CheckConstraint("started_at < ended_at", name="interval"),
    CheckConstraint("price_micros_per_kwh between -100000000 and 100000000", name="price_range"),
)
"""Every version of every price, counted from 1; ``digest`` is that of the document which stated it."""
