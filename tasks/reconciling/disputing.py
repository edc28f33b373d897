"""Disputes: opened on a difference or a posting, answered, ended, and their outcome booked."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from settlement.booking.disputes import Outcome
from settlement.reconciling import DISPUTABLE
from storage import books, dispute_books, dispute_evidence, disputes, reconciliations
from storage.disputes import Dispute
from storage.engine import Connection, Role, connect
from storage.partner_statements import operating
from tasks.reconciling import evidence
from tasks.reconciling.comparing import Clock

POSTING: Final = "posting"
"""Kind of a dispute about a posting without a difference."""


class UndisputableError(ValueError):
    """What cannot be disputed: ``found``, and what was expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"{found}; expected {expected}")
        self.found = found
        self.expected = expected


def open_on_difference(
    dsn: str, asked: str, *, by: str, reason: str, clock: Clock, days: int
) -> Dispute:
    """Dispute a difference, for the money at stake in it.

    Raises:
        NoSuchDifferenceError: no such difference.
        UndisputableError: no money is at stake, or it is in another dispute.
        DisputeExistsError: it is, or was, in dispute.
    """
    with operating(dsn) as conn:
        found = reconciliations.find_difference(conn, asked)
        if found.kind not in DISPUTABLE or not found.at_stake_minor:
            raise UndisputableError(
                f"difference {found.difference_id} is {found.kind}, with no money at stake",
                "one with money at stake, as `v2g reconcile differences` has it",
            )
        made = _dispute(
            f"difference:{found.difference_id}",
            found.partner,
            found.kind.value,
            found.posting_id,
            found.currency,
            found.at_stake_minor,
            clock(),
            days,
        )
        made = replace(made, statement_id=found.statement_id, number=found.number)
        return _open(conn, made, by=by, reason=reason)


def open_on_posting(
    dsn: str, posting_id: str, *, by: str, reason: str, clock: Clock, days: int
) -> Dispute:
    """Dispute a posting of which no statement says anything yet, for all of its amount.

    Raises:
        NoSuchPostingError: no such posting.
        UndisputableError: it is in another dispute.
        DisputeExistsError: it is, or was, in dispute.
    """
    with operating(dsn) as conn:
        found = dispute_evidence.sent(conn, posting_id)
        made = _dispute(
            f"posting:{found.posting_id}",
            found.partner,
            POSTING,
            found.posting_id,
            found.currency,
            found.amount_minor,
            clock(),
            days,
        )
        return _open(conn, made, by=by, reason=reason)


def _dispute(
    subject: str,
    partner: str,
    kind: str,
    posting_id: str,
    currency: str,
    amount_minor: int,
    now: datetime,
    days: int,
) -> Dispute:
    return Dispute(
        str(uuid4()), subject, partner, kind, posting_id, None, None, currency, amount_minor, now,
        now + timedelta(days=days), b"",
    )  # fmt: skip


def _open(conn: Connection, made: Dispute, *, by: str, reason: str) -> Dispute:
    if made.posting_id:
        dispute_evidence.lock(conn, made.posting_id)
        _require_other_money(conn, made)
    files = evidence.facts(conn, made.posting_id, made.statement_id, made.number)
    made = replace(made, evidence_digest=evidence.digest_of(files))
    return disputes.open_dispute(conn, made, by=by, reason=reason)


def _require_other_money(conn: Connection, made: Dispute) -> None:
    """A payment is disputed once at a time, whatever its difference is called today.

    Two lines of a partner's are two payments, and may be disputed beside each other.
    """
    for other in disputes.about(conn, made.posting_id):
        if other.subject == made.subject or other.outcome is Outcome.WITHDRAWN:
            continue
        lines = (other.statement_id, other.number), (made.statement_id, made.number)
        if None in (lines[0][0], lines[1][0]) or lines[0] == lines[1]:
            raise UndisputableError(
                f"posting {made.posting_id} is in dispute {other.dispute_id} ({other.kind},"
                f" {other.state})",
                "that one to be withdrawn first",
            )


def answer(dsn: str, asked: str, *, by: str, text: str, clock: Clock) -> Dispute:
    """Note an answer. Raises NoSuchDisputeError, DisputeClosedError."""
    with operating(dsn) as conn:
        return disputes.answer(conn, asked, by=by, text=text, now=clock())


def close(
    dsn: str, asked: str, outcome: Outcome, *, by: str, text: str, clock: Clock
) -> tuple[Dispute, int]:
    """End a dispute, and book what that means.

    The end is stored first. Should the program die before it is booked, ending it again, or
    ``book_outcomes``, books it then.

    Returns:
        The dispute, and how many outcomes were booked: its own, and any left from before.

    Raises:
        NoSuchDisputeError: no such dispute.
        DisputeClosedError: it has ended otherwise.
        NotExpiredError: expired, and its deadline is still to come.
        ConcurrentRunError: somebody is settling; the end stands, its booking is still to come.
    """
    with operating(dsn) as conn:
        ended = disputes.close(conn, asked, outcome, by=by, text=text, now=clock())
    return ended, book_outcomes(dsn, clock=clock)


def book_outcomes(dsn: str, *, clock: Clock) -> int:
    """Book every outcome that is not in the books yet; how many. Repeating it adds none.

    Raises:
        ConcurrentRunError: somebody is settling.
    """
    with connect(dsn, Role.READ) as conn:
        if not dispute_books.unbooked(conn):
            return 0
    with books.settling(dsn) as conn:
        return dispute_books.book(conn, now=clock())


def listed(dsn: str, *, partner: str = "") -> tuple[list[Dispute], frozenset[str]]:
    """Disputes by deadline, and the ids of those whose outcome is still to be booked."""
    with connect(dsn, Role.READ) as conn:
        return disputes.listed(conn, partner=partner), dispute_books.unbooked(conn)
