"""Doubt, runs, settlements, the journal and the outbox."""

from sqlalchemy import (
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from settlement import schemas
from storage.tables.columns import (
    bigint,
    digest,
    frame_table,
    metadata,
    text,
    time,
)

# --- money ---------------------------------------------------------------------------------------

quality_result = Table(
    "quality_result",
    metadata,
    Column("quality_id", Text, nullable=False),
    text("suite"),
    Column("suite_version", Integer, nullable=False),
    time("period_started_at"),
    time("period_ended_at"),
    time("checked_at"),
    text("worst"),
    Column("checks", JSONB, nullable=False),
    PrimaryKeyConstraint("quality_id"),
)
"""One Great Expectations run. ``worst`` is none, info, warning or critical; critical holds the period."""

settlement_run = Table(
    "settlement_run",
    metadata,
    text("run_id"),
    time("period_started_at"),
    time("period_ended_at"),
    time("known_at"),
    text("state"),
    text("reason"),
    text("code_version"),
    Column("totals", JSONB, nullable=False),
    PrimaryKeyConstraint("run_id"),
)
"""One computation of a period as known at one time. ``state`` is settled or held."""

settlement = frame_table(
    schemas.SETTLEMENT,
    PrimaryKeyConstraint("settlement_id"),
    UniqueConstraint("program", "event_id", "vehicle_id", "revision"),
    extra=(
        Column("revision", Integer, nullable=False),
        text("run_id"),
        bigint("adjustment_minor"),
        time("known_at"),
    ),
)
"""Never changed: a run whose content differs adds the next revision. ``adjustment_minor`` is what
this revision books: its amount minus what is booked already."""

line = frame_table(
    schemas.LINE,
    PrimaryKeyConstraint("settlement_id", "started_at"),
    extra=(text("settlement_id"),),
    without=("program", "event_id", "vehicle_id"),
)

unpaid = frame_table(
    schemas.UNPAID,
    PrimaryKeyConstraint(
        "run_id", "evse_id", "vehicle_id", "program", "event_id", "started_at", "ended_at", "reason"
    ),
    extra=(text("run_id"),),
)

journal_entry = Table(
    "journal_entry",
    metadata,
    text("entry_id"),
    text("settlement_id"),
    time("period_at"),
    time("booked_at"),
    PrimaryKeyConstraint("entry_id"),
    UniqueConstraint("settlement_id"),
)

journal_line = Table(
    "journal_line",
    metadata,
    text("entry_id"),
    text("account"),
    text("currency"),
    bigint("amount_minor"),
    PrimaryKeyConstraint("entry_id", "account", "currency"),
)
"""Debit positive. A statement-level trigger refuses entries that do not sum to zero per currency."""

posting = Table(
    "posting",
    metadata,
    text("posting_id"),
    text("settlement_id"),
    text("partner"),
    text("currency"),
    bigint("amount_minor"),
    Column("body", LargeBinary, nullable=False),
    digest("body_digest"),
    time("created_at"),
    PrimaryKeyConstraint("posting_id"),
    UniqueConstraint("settlement_id"),
)
"""The outbox: what is sent, stored before it is sent, never changed."""

posting_state = Table(
    "posting_state",
    metadata,
    text("posting_id"),
    text("state"),
    Column("attempts", Integer, nullable=False),
    time("next_attempt_at"),
    time("leased_until", nullable=True),
    text("detail"),
    time("changed_at"),
    PrimaryKeyConstraint("posting_id"),
)
"""The only rows about money that change: how far each posting has come."""

receipt = frame_table(schemas.RECEIPT, PrimaryKeyConstraint("posting_id", "attempt"))
