"""Doubt, runs, settlements, the journal and the outbox."""

from sqlalchemy import (
    BigInteger,
    Column,
    Date,
    Identity,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

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
    text("kind"),
    Column("programs", ARRAY(Text), nullable=True),
    Column("inputs_digest", LargeBinary, nullable=True),
    Column("outputs_digest", LargeBinary, nullable=True),
    Column("unpaid_digest", LargeBinary, nullable=True),
    text("unpaid_of"),
    PrimaryKeyConstraint("run_id"),
)
"""One computation of a period as known at one time. ``state`` is settled or held; ``kind`` is manual,
scheduled, or the name of a run of the calendar; ``programs`` are those that it settled, null: all.
``outputs_digest`` is the root over what it computed (``tasks.digests``), null for runs of before there
was one. What was unpaid stands under the run ``unpaid_of``: itself, or an earlier one that found the
same."""

settlement = frame_table(
    schemas.SETTLEMENT,
    PrimaryKeyConstraint("settlement_id"),
    UniqueConstraint("program", "event_id", "vehicle_id", "revision"),
    UniqueConstraint("booking_no"),
    extra=(
        Column("revision", Integer, nullable=False),
        text("run_id"),
        bigint("adjustment_minor"),
        time("known_at"),
        Column("event_version", Integer, nullable=True),
        Column("contract_version", Integer, nullable=True),
        Column("allocations", JSONB, nullable=False),
        Column("booking_no", BigInteger, Identity(always=True), nullable=False),
    ),
)
"""Never changed: a run whose content differs adds the next revision. ``adjustment_minor`` is what
this revision books: its amount minus what is booked already. ``allocations`` is whose the amount is;
the versions, with ``known_at``, say what it came from; ``booking_no`` is the order of booking."""

line = frame_table(
    schemas.LINE,
    PrimaryKeyConstraint("settlement_id", "started_at", "term"),
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
    text("kind"),
    PrimaryKeyConstraint("entry_id"),
    UniqueConstraint("settlement_id", "kind"),
)
"""``kind`` is a ``settlement.booking.Kind``: a revision that is reversed and rebooked has two."""

journal_line = Table(
    "journal_line",
    metadata,
    text("entry_id"),
    text("account"),
    text("currency"),
    bigint("amount_minor"),
    PrimaryKeyConstraint("entry_id", "account", "currency"),
)
"""Debit positive. A statement-level trigger refuses entries that do not sum to zero per currency.
Accounts are ``receivable:utility:PROGRAM`` and ``payable:ROLE:ACCOUNT``; views sum them up."""

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
    text("kind"),
    text("account"),
    PrimaryKeyConstraint("posting_id"),
    UniqueConstraint("settlement_id", "kind", "account"),
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
    time("screened_at", nullable=True),
    PrimaryKeyConstraint("posting_id"),
)
"""The only rows about money that change: how far each posting has come. What is not screened yet
(``screened_at``) is not sent."""

partner_lane = Table(
    "partner_lane",
    metadata,
    text("partner"),
    time("rests_until"),
    text("why"),
    text("by"),
    time("changed_at"),
    PrimaryKeyConstraint("partner"),
)
"""Until when nobody sends to a partner, and who said so: the partner itself, or an operator."""

receipt = frame_table(schemas.RECEIPT, PrimaryKeyConstraint("posting_id", "attempt"))

# --- the calendar, and what it no longer books -----------------------------------------------------

calendar_run = Table(
    "calendar_run",
    metadata,
    text("program"),
    Column("day", Date, nullable=False),
    text("name"),
    text("run_id"),
    time("done_at"),
    PrimaryKeyConstraint("program", "day", "name"),
)
"""One run of a program's calendar over one of its local days, written in the transaction that books."""

difference = Table(
    "difference",
    metadata,
    text("run_id"),
    text("program"),
    text("event_id"),
    text("vehicle_id"),
    text("currency"),
    bigint("booked_minor"),
    bigint("computed_minor"),
    text("why"),
    PrimaryKeyConstraint("run_id", "program", "event_id", "vehicle_id"),
)
"""What a run would have booked and did not. ``why`` is final or materiality."""

# --- seals -----------------------------------------------------------------------------------------

seal = Table(
    "seal",
    metadata,
    Column("number", BigInteger, nullable=False, autoincrement=False),
    bigint("first_booking_no"),
    bigint("last_booking_no"),
    bigint("leaves"),
    digest("root"),
    digest("previous"),
    time("sealed_at"),
    digest("seal_digest"),
    PrimaryKeyConstraint("number"),
)
"""A Merkle root over bookings in their order, chained to the seal before (``settlement.seals``)."""

sealed_leaf = Table(
    "sealed_leaf",
    metadata,
    Column("booking_no", BigInteger, nullable=False, autoincrement=False),
    bigint("number"),
    text("settlement_id"),
    digest("leaf"),
    PrimaryKeyConstraint("booking_no"),
)
"""The leaves of each seal, which name what was changed where a root alone would only say that."""
