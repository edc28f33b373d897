"""What partners and banks say was paid, what differs, disputes, and files of payouts."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB

from storage.tables.columns import bigint, digest, metadata, text, time

# --- statements ------------------------------------------------------------------------------------

partner_statement = Table(
    "partner_statement",
    metadata,
    text("statement_id"),
    digest("digest"),
    text("partner"),
    text("way"),
    text("format"),
    text("reference"),
    time("period_started_at"),
    time("period_ended_at"),
    Column("content", LargeBinary, nullable=False),
    text("name"),
    text("imported_by"),
    time("imported_at"),
    PrimaryKeyConstraint("statement_id"),
    UniqueConstraint("digest"),
    CheckConstraint("way in ('api', 'file')", name="way"),
)
"""One file of a partner or a bank, byte for byte as it came; its digest keeps it single. ``way`` is how
what it lists was ordered: through the partner's API, or by a file of payouts."""

statement_line = Table(
    "statement_line",
    metadata,
    text("statement_id"),
    Column("number", Integer, nullable=False),
    text("status"),
    text("reference"),
    text("posting_id"),
    text("account"),
    text("currency"),
    bigint("amount_minor"),
    time("booked_at"),
    text("detail"),
    PrimaryKeyConstraint("statement_id", "number"),
    CheckConstraint(
        "amount_minor between -1000000000000000 and 1000000000000000", name="amount_minor_range"
    ),
    CheckConstraint("status in ('paid', 'pending', 'returned', 'refused', 'fee')", name="status"),
)
"""What the file says, payment by payment; positive is paid to the account. ``posting_id`` and
``account`` are as the file has them, empty where it names none."""

statement_refusal = Table(
    "statement_refusal",
    metadata,
    text("statement_id"),
    Column("number", Integer, nullable=False),
    text("column_name"),
    text("found"),
    text("expected"),
    PrimaryKeyConstraint("statement_id", "number"),
)
"""Rows of a file that cannot be read, with their number in it; the others are in ``statement_line``."""

# --- reconciliations -------------------------------------------------------------------------------

reconciliation = Table(
    "reconciliation",
    metadata,
    text("reconciliation_id"),
    text("partner"),
    text("way"),
    time("period_started_at"),
    time("period_ended_at"),
    Column("number", Integer, nullable=False),
    digest("inputs_digest"),
    Column("totals", JSONB, nullable=False),
    text("done_by"),
    time("done_at"),
    PrimaryKeyConstraint("reconciliation_id"),
    UniqueConstraint(
        "partner",
        "way",
        "period_started_at",
        "period_ended_at",
        "number",
        name="reconciliation_version_key",
    ),
)
"""One comparison of a partner's period; the one with the highest ``number`` is in force. ``totals`` counts
postings, lines and money by kind and currency, what agrees included."""

reconciliation_difference = Table(
    "reconciliation_difference",
    metadata,
    text("reconciliation_id"),
    text("difference_id"),
    text("kind"),
    text("posting_id"),
    text("statement_id", nullable=True),
    Column("number", Integer, nullable=True),
    text("account"),
    text("currency"),
    bigint("ours_minor"),
    text("theirs_currency"),
    bigint("theirs_minor"),
    bigint("at_stake_minor"),
    time("noted_at"),
    text("detail"),
    PrimaryKeyConstraint("reconciliation_id", "difference_id"),
)
"""Its differences. An id follows from what differs, so a later comparison names it the same."""

# --- disputes --------------------------------------------------------------------------------------

dispute = Table(
    "dispute",
    metadata,
    text("dispute_id"),
    text("subject"),
    text("partner"),
    text("kind"),
    text("posting_id"),
    text("statement_id", nullable=True),
    Column("number", Integer, nullable=True),
    text("currency"),
    bigint("amount_minor"),
    time("opened_at"),
    time("deadline_at"),
    digest("evidence_digest"),
    PrimaryKeyConstraint("dispute_id"),
    UniqueConstraint("subject"),
)
"""What is claimed of a partner; positive is owed to us. ``subject`` is ``difference:ID`` or
``posting:ID``, and is disputed once. ``evidence_digest`` is over the evidence as it stood then."""

dispute_event = Table(
    "dispute_event",
    metadata,
    text("dispute_id"),
    Column("number", Integer, nullable=False),
    text("kind"),
    text("by"),
    time("at"),
    text("detail"),
    PrimaryKeyConstraint("dispute_id", "number"),
    CheckConstraint(
        "kind in ('opened', 'answered', 'won', 'lost', 'withdrawn', 'expired')", name="kind"
    ),
)
"""Its course. One event closes it, by a unique index; the journal books what that means."""

# --- files of payouts ------------------------------------------------------------------------------

payout_file = Table(
    "payout_file",
    metadata,
    text("file_id"),
    text("partner"),
    digest("digest"),
    Column("content", LargeBinary, nullable=False),
    Column("payments", Integer, nullable=False),
    Column("totals", JSONB, nullable=False),
    text("written_by"),
    time("written_at"),
    PrimaryKeyConstraint("file_id"),
    UniqueConstraint("digest"),
)
"""A pain.001 for a bank, kept as written. ``totals`` is minor units by currency."""

payout_file_outcome = Table(
    "payout_file_outcome",
    metadata,
    text("file_id"),
    text("kind"),
    text("by"),
    time("at"),
    text("why"),
    PrimaryKeyConstraint("file_id"),
    CheckConstraint("kind in ('handed_over', 'cancelled')", name="kind"),
)
"""Whether it went to the bank or never will; the key lets only one of the two stand."""

payout_file_line = Table(
    "payout_file_line",
    metadata,
    text("posting_id"),
    text("file_id"),
    PrimaryKeyConstraint("posting_id"),
)
"""Which postings a file pays: no other file may, and no poster sends them. Cancelling a file takes
its rows out; the file itself still names them."""
