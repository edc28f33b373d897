"""Disputes with partners: opened once per subject, with a deadline; their course is only added to.

Errors:
    StorageError
    ├── NoSuchDisputeError     an id that names none, or several
    ├── DisputeExistsError     the subject is, or was, in dispute
    ├── DisputeClosedError     it has ended
    └── NotExpiredError        ended as expired before its deadline
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from psycopg.errors import UniqueViolation

from settlement.booking.disputes import Outcome
from storage.engine import Connection
from storage.errors import StorageError

LISTED_MAX: Final = 10_000
DETAIL_MAX_CHARS: Final = 1_000


class NoSuchDisputeError(StorageError):
    """No dispute has this id."""

    def __init__(self, asked: str) -> None:
        super().__init__(f"no dispute {asked!r}; expected an id as `v2g disputes list` has it")


class DisputeExistsError(StorageError):
    """The subject is in dispute, or was: its outcome stands."""

    def __init__(self, subject: str, dispute_id: str) -> None:
        super().__init__(
            f"{subject} is the subject of dispute {dispute_id}; expected one that is not, for a subject"
            " is disputed once"
        )
        self.dispute_id = dispute_id


class DisputeClosedError(StorageError):
    """It has ended, and nothing follows."""

    def __init__(self, dispute_id: str, state: str) -> None:
        super().__init__(f"dispute {dispute_id} is {state}; expected one that is open")
        self.state = state


class NotExpiredError(StorageError):
    """Its deadline is still to come."""

    def __init__(self, dispute_id: str, deadline_at: datetime) -> None:
        super().__init__(
            f"dispute {dispute_id} runs until {deadline_at.isoformat()}; expected won, lost or withdrawn"
            " before that"
        )


@dataclass(frozen=True, slots=True)
class Event:
    """One step of a dispute: opened, answered, or how it ended."""

    number: int
    kind: str
    by: str
    at: datetime
    detail: str


@dataclass(frozen=True, slots=True)
class Dispute:
    """What is claimed of a partner.

    Attributes:
        subject: "difference:ID" or "posting:ID".
        kind: of the difference; "posting" where a posting is disputed without one.
        posting_id: empty where the partner's line names none.
        statement_id: of the partner's line, with ``number``; None where there is none.
        amount_minor: positive is owed to us.
        evidence_digest: SHA-256 over the evidence as it stood when it was opened.
        events: its course, in order.
    """

    dispute_id: str
    subject: str
    partner: str
    kind: str
    posting_id: str
    statement_id: str | None
    number: int | None
    currency: str
    amount_minor: int
    opened_at: datetime
    deadline_at: datetime
    evidence_digest: bytes
    events: tuple[Event, ...] = ()

    @property
    def outcome(self) -> Outcome | None:
        """How it ended; None while it runs."""
        last = self.events[-1].kind if self.events else ""
        return Outcome(last) if last in list(Outcome) else None

    @property
    def state(self) -> str:
        """Its latest step."""
        return self.events[-1].kind if self.events else "opened"

    def is_overdue(self, now: datetime) -> bool:
        """Whether its deadline has passed and it has not ended."""
        return self.outcome is None and self.deadline_at <= now


_COLUMNS: Final = """
    dispute_id, subject, partner, kind, posting_id, statement_id, number, currency, amount_minor,
    opened_at, deadline_at, evidence_digest
"""


def open_dispute(conn: Connection, dispute: Dispute, *, by: str, reason: str) -> Dispute:
    """Open a dispute, in the caller's transaction.

    Raises:
        DisputeExistsError: the subject has one.
    """
    fresh = conn.execute(
        f"""
        insert into dispute ({_COLUMNS}) values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        on conflict do nothing
        """,
        [
            dispute.dispute_id, dispute.subject, dispute.partner, dispute.kind, dispute.posting_id,
            dispute.statement_id, dispute.number, dispute.currency, dispute.amount_minor,
            dispute.opened_at, dispute.deadline_at, dispute.evidence_digest,
        ],
    ).rowcount  # fmt: skip
    if not fresh:
        row = conn.execute(
            "select dispute_id from dispute where subject = %s", [dispute.subject]
        ).fetchone()
        raise DisputeExistsError(dispute.subject, row[0] if row else dispute.dispute_id)
    event = Event(1, "opened", by, dispute.opened_at, reason[:DETAIL_MAX_CHARS])
    _insert(conn, dispute.dispute_id, event)
    return replace(dispute, events=(event,))


def answer(conn: Connection, asked: str, *, by: str, text: str, now: datetime) -> Dispute:
    """Note what the partner said, or what was told to it.

    Raises:
        NoSuchDisputeError: no such dispute.
        DisputeClosedError: it has ended.
    """
    return _add(conn, asked, "answered", by=by, text=text, now=now)


def close(
    conn: Connection, asked: str, outcome: Outcome, *, by: str, text: str, now: datetime
) -> Dispute:
    """End a dispute; what that means in the books is booked afterwards (``storage.dispute_books``).

    Ending it again in the same way changes nothing.

    Raises:
        NoSuchDisputeError: no such dispute.
        DisputeClosedError: it has ended otherwise.
        NotExpiredError: expired, and its deadline is still to come.
    """
    found = find(conn, asked)
    if found.outcome is outcome:
        return found
    if outcome is Outcome.EXPIRED and not found.is_overdue(now) and found.outcome is None:
        raise NotExpiredError(found.dispute_id, found.deadline_at)
    return _add(conn, asked, outcome.value, by=by, text=text, now=now)


def _add(conn: Connection, asked: str, kind: str, *, by: str, text: str, now: datetime) -> Dispute:
    found = find(conn, asked)
    if found.outcome is not None:
        raise DisputeClosedError(found.dispute_id, found.state)
    event = Event(found.events[-1].number + 1, kind, by, now, text[:DETAIL_MAX_CHARS])
    try:
        _insert(conn, found.dispute_id, event)
    except UniqueViolation as error:  # somebody else added a step in between
        raise DisputeClosedError(found.dispute_id, "being changed by somebody else") from error
    return find_again(conn, found.dispute_id)


def find_again(conn: Connection, dispute_id: str) -> Dispute:
    """The dispute with exactly this id, as it stands now."""
    return _select(conn, "dispute_id = %(id)s", {"id": dispute_id})[0]


def _insert(conn: Connection, dispute_id: str, event: Event) -> None:
    conn.execute(
        """
        insert into dispute_event (dispute_id, number, kind, by, at, detail)
        values (%s, %s, %s, %s, %s, %s)
        """,
        [dispute_id, event.number, event.kind, event.by, event.at, event.detail],
    )


def find(conn: Connection, asked: str) -> Dispute:
    """A dispute by its id, or the beginning of it. Raises NoSuchDisputeError."""
    found = _select(conn, "starts_with(dispute_id, %(id)s)", {"id": asked})
    if len(found) != 1 or not asked:
        raise NoSuchDisputeError(asked)
    return found[0]


def about(conn: Connection, posting_id: str) -> list[Dispute]:
    """Every dispute about a posting, ended or not."""
    return _select(conn, "posting_id = %(posting)s", {"posting": posting_id})


def listed(conn: Connection, *, partner: str = "") -> list[Dispute]:
    """Disputes, of one partner or of all, the one with the earliest deadline first."""
    return _select(conn, "%(partner)s in ('', partner)", {"partner": partner})


def _select(conn: Connection, condition: str, parameters: Mapping[str, object]) -> list[Dispute]:
    rows = conn.execute(
        f"""
        select {_COLUMNS} from dispute where {condition}
        order by deadline_at, dispute_id limit {LISTED_MAX}
        """,
        parameters,
    ).fetchall()
    events = _events(conn, [row[0] for row in rows])
    return [Dispute(*(*row[:11], bytes(row[11]), tuple(events.get(row[0], ())))) for row in rows]


def _events(conn: Connection, ids: Sequence[str]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    rows: list[Any] = conn.execute(
        """
        select dispute_id, number, kind, by, at, detail from dispute_event
        where dispute_id = any(%s) order by dispute_id, number
        """,
        [list(ids)],
    ).fetchall()
    for dispute_id, *event in rows:
        found.setdefault(dispute_id, []).append(Event(*event))
    return found
