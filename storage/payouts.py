"""Payouts as people look at them: what waits, which limit it broke, and who decided."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row

from settlement.limits import Finding, Limit
from settlement.posting import State
from storage.engine import Connection

LIST_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision about a posting."""

    number: int
    decision: str
    by: str
    why: str
    at: datetime
    limits_version: int


@dataclass(frozen=True, slots=True)
class Payout:
    """A posting, and what stands between it and its account.

    Attributes:
        kind: a ``settlement.booking.Kind``.
        verdict: of its screening; empty where it was not judged.
        with_account: it is parked for no other reason than that its account is held.
        account_held: its account is held now.
        findings: each limit that did not let it pass, as ``settlement.limits.Finding``.
        limits_version: under which it was judged; 0 are the defaults.
    """

    posting_id: str
    account: str
    partner: str
    kind: str
    settlement_id: str
    currency: str
    amount_minor: int
    state: str
    attempts: int
    detail: str
    changed_at: datetime
    verdict: str
    with_account: bool
    account_held: bool
    findings: list[dict[str, Any]]
    limits_version: int
    screened_at: datetime | None

    @property
    def broken(self) -> tuple[Finding, ...]:
        """Its findings, as rules know them."""
        return tuple(Finding(**{**one, "limit": Limit(one["limit"])}) for one in self.findings)


_SELECT: Final[LiteralString] = """
    select p.posting_id, p.account, p.partner, p.kind, p.settlement_id, p.currency, p.amount_minor,
           s.state, s.attempts, s.detail, s.changed_at, coalesce(v.verdict, '') as verdict,
           exists (select from held_posting h where h.posting_id = p.posting_id) as with_account,
           coalesce((select max(number) %% 2 = 1 from account_hold a where a.account = p.account), false)
               as account_held,
           coalesce(v.findings, '[]'::jsonb) as findings,
           coalesce(v.limits_version, 0) as limits_version, s.screened_at
    from posting_state s join posting p using (posting_id) left join screening v using (posting_id)
"""


def listed(
    conn: Connection,
    *,
    states: Collection[State] = frozenset({State.PARKED}),
    account: str = "",
    awaiting: bool = False,
    limit: int = LIST_MAX,
) -> list[Payout]:
    """Payouts in these states, those that have waited longest first.

    Args:
        conn: any role that may read postings and screenings.
        states: which.
        account: only to this account; empty for all.
        awaiting: only what waits for a named approver.
        limit: at most so many.
    """
    with conn.cursor(row_factory=class_row(Payout)) as cursor:
        return cursor.execute(
            _SELECT
            + """
            where s.state = any(%(states)s) and (%(account)s = '' or p.account = %(account)s)
              and (not %(awaiting)s or v.verdict = 'approval' and not exists (
                  select from payout_decision d
                  where d.posting_id = p.posting_id and d.decision = 'approved'))
            order by s.changed_at, p.posting_id limit %(limit)s
            """,
            {
                "states": [state.value for state in states],
                "account": account,
                "awaiting": awaiting,
                "limit": min(limit, LIST_MAX),
            },
        ).fetchall()


def find(conn: Connection, posting_id: str) -> Payout | None:
    """One payout; None where there is no such posting."""
    with conn.cursor(row_factory=class_row(Payout)) as cursor:
        return cursor.execute(_SELECT + " where p.posting_id = %s", [posting_id]).fetchone()


def decisions(conn: Connection, posting_id: str) -> list[Decided]:
    """What was decided about a posting, in order."""
    with conn.cursor(row_factory=class_row(Decided)) as cursor:
        return cursor.execute(
            "select number, decision, by, why, at, limits_version from payout_decision"
            " where posting_id = %s order by number",
            [posting_id],
        ).fetchall()
