"""Limits on what is paid out, what broke them, and who decided."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Date,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables.columns import bigint, metadata, text, time

limit_version = Table(
    "limit_version",
    metadata,
    Column("version", Integer, nullable=False, autoincrement=False),
    text("set_by"),
    time("set_at"),
    Column("document", JSONB, nullable=False),
    text("why"),
    PrimaryKeyConstraint("version"),
    CheckConstraint("version >= 1", name="version"),
    CheckConstraint("btrim(set_by) <> '' and btrim(why) <> ''", name="named"),
)
"""Limits (``settlement.limits``), counted from 1; the last one is in force. Where there is none, the
defaults of the code are: version 0, which nobody set."""

screening = Table(
    "screening",
    metadata,
    text("posting_id"),
    text("verdict"),
    Column("limits_version", Integer, nullable=False),
    Column("findings", JSONB, nullable=False),
    text("vehicle_id"),
    Column("day", Date, nullable=False),
    time("screened_at"),
    PrimaryKeyConstraint("posting_id"),
    CheckConstraint("verdict in ('clear', 'breach', 'approval')", name="verdict"),
    CheckConstraint(
        "(verdict = 'clear') = (jsonb_array_length(findings) = 0)",
        name="findings",
    ),
)
"""Each posting held once against the limits. ``findings``: a list of {limit, of, found, allowed, unit,
places}; ``day`` is the local day that it counts for."""

account_hold = Table(
    "account_hold",
    metadata,
    text("account"),
    Column("number", Integer, nullable=False),
    text("event"),
    text("by"),
    text("why"),
    text("posting_id", nullable=True),
    time("at"),
    PrimaryKeyConstraint("account", "number"),
    CheckConstraint("event in ('held', 'released')", name="event"),
    CheckConstraint("(number % 2 = 1) = (event = 'held')", name="turns"),
    CheckConstraint("btrim(by) <> '' and btrim(why) <> ''", name="named"),
    CheckConstraint("event = 'held' or lower(btrim(by)) <> 'screening'", name="person"),
)
"""Accounts held and released in turn: held where the last number is odd. Only people release.
``posting_id``: the one that broke a limit; null where a person holds the account."""

held_posting = Table(
    "held_posting",
    metadata,
    text("posting_id"),
    text("account"),
    PrimaryKeyConstraint("posting_id"),
)
"""What is parked for no other reason than that its account is held; gone when that is over."""

payout_decision = Table(
    "payout_decision",
    metadata,
    text("posting_id"),
    Column("number", Integer, nullable=False),
    text("decision"),
    text("by"),
    text("why"),
    time("at"),
    Column("limits_version", Integer, nullable=False),
    PrimaryKeyConstraint("posting_id", "number"),
    CheckConstraint("number >= 1", name="number"),
    CheckConstraint("decision in ('approved', 'released', 'refused')", name="decision"),
    CheckConstraint("btrim(by) <> '' and btrim(why) <> ''", name="named"),
    CheckConstraint("lower(btrim(by)) <> 'screening'", name="person"),
)
"""What people decided about parked postings. A trigger refuses whoever set the limits under which one
waits, and approval of what waits for none."""

payout_total = Table(
    "payout_total",
    metadata,
    text("scope"),
    text("subject"),
    text("currency"),
    Column("starts_on", Date, nullable=False),
    bigint("amount_minor"),
    bigint("postings"),
    PrimaryKeyConstraint("scope", "subject", "currency", "starts_on"),
)
"""What counts against daily and monthly limits so far, without its sign; can be summed up anew from
``screening``, ``payout_recount`` and ``posting``."""

payout_recount = Table(
    "payout_recount",
    metadata,
    text("posting_id"),
    Column("counts", SmallInteger, nullable=False),
    PrimaryKeyConstraint("posting_id", "counts"),
    CheckConstraint("counts in (-1, 1)", name="counts"),
)
"""Postings that count since they were released (1), or no longer, as they were rejected (-1)."""
