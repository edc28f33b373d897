"""Comparing a partner's period with ours, and taking the partner's word for what we were not sure of."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from settlement.periods import Period
from settlement.posting import State
from settlement.reconciling import Finding, Kind, Theirs, Way, match, totals
from storage import partner_statements, payout_files, proving, reconciliations
from storage.engine import Connection
from storage.proving import Proof
from storage.reconciliations import Difference, Reconciliation

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Compared:
    """What comparing came to.

    Attributes:
        reconciliation: the one that is in force now.
        differences: its differences.
        is_new: whether it found anything else than the one before it.
        proven: postings that became acknowledged by the statement.
        refused: postings of files that became rejected by the bank's word.
    """

    reconciliation: Reconciliation
    differences: list[Difference]
    is_new: bool
    proven: int
    refused: int


def compare(
    dsn: str,
    *,
    partner: str,
    way: str,
    period: Period,
    by: str,
    clock: Clock,
    tolerance: timedelta,
) -> Compared:
    """Compare a period, and store what was found as its next version.

    Where the partner lists, as we sent it, what we were not sure of, that is the answer that was missing:
    such postings become acknowledged first, each with a receipt that names the line.

    Args:
        dsn: the database.
        partner: whose statements, and whose postings.
        way: "api", or "file" for what files of payouts ordered.
        period: by the partner's time of booking, and ours of acknowledgement.
        by: whose comparison it is.
        clock: the time of now.
        tolerance: for so long before the end of the period, or before now, a posting may be under way.

    Raises:
        TooMuchToReconcileError: a period with too many postings.
        DatabaseUnavailableError: nothing is known to be stored.
    """
    now = clock()
    due_before = min(period.ended_at, now) - tolerance
    with partner_statements.operating(dsn) as conn:
        findings = _found(conn, partner, way, period, due_before)
        proven = proving.acknowledge(conn, _proofs(findings, {Kind.PROVEN}), now=now)
    paid, refused = _decide_files(dsn, findings, now)
    with partner_statements.operating(dsn) as conn:
        findings = _found(conn, partner, way, period, due_before)
        made = Reconciliation(
            reconciliations.fresh_id(), partner, way, period, totals(findings), by, now
        )
        done = reconciliations.record(conn, made, findings)
        differences = reconciliations.differences(conn, done.reconciliation_id)
    return Compared(done, differences, done is made, proven + paid, refused)


def _found(
    conn: Connection, partner: str, way: str, period: Period, due_before: datetime
) -> tuple[Finding, ...]:
    lines = partner_statements.lines_in(conn, partner, way, period)
    named = {line.posting_id for line in lines if line.posting_id}
    postings = reconciliations.postings_in(conn, partner, way, period, named)
    about = partner_statements.lines_about(conn, partner, {one.posting_id for one in postings})
    return match(postings, _together(lines, about), due_before=due_before)


def _together(lines: Iterable[Theirs], others: Iterable[Theirs]) -> list[Theirs]:
    return list({(one.statement_id, one.number): one for one in (*lines, *others)}.values())


def _decide_files(dsn: str, findings: Iterable[Finding], now: datetime) -> tuple[int, int]:
    """What the bank's word makes of postings that stand in files: how many paid, how many not.

    Nobody else's word counts. What it paid and has back again by now is not paid.
    """
    told = [one for one in findings if one.theirs is not None and one.theirs.way is Way.FILE]
    sent = [one for one in told if one.ours is not None and one.ours.state is State.SENT]
    back = {one.posting_id for one in told if one.kind is Kind.RETURNED}
    paid = _proofs([one for one in sent if one.posting_id not in back], {Kind.PROVEN})
    refused = _proofs([one for one in sent if one.posting_id in back], {Kind.PROVEN, Kind.RETURNED})
    if not (paid or refused):
        return 0, 0
    with payout_files.paying(dsn) as conn:
        return (
            proving.paid_by_bank(conn, paid, now=now),
            proving.refused_by_bank(conn, refused, now=now),
        )


def _proofs(findings: Iterable[Finding], kinds: set[Kind]) -> list[Proof]:
    return [
        Proof(
            one.posting_id,
            f"{one.theirs.status} on line {one.theirs.number} of statement"
            f" {one.theirs.statement_id}, reference {one.theirs.reference or 'none'}"[:300],
        )
        for one in findings
        if one.kind in kinds and one.ours is not None and one.theirs is not None
    ]
