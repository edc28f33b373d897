"""Comparisons of our postings with what partners say: what is compared, and what was found.

A comparison is a version: the latest of a partner, way and period is in force, earlier ones stay.
Repeating one whose inputs have not changed adds nothing.

Errors:
    StorageError
    ├── TooMuchToReconcileError   more than one comparison holds
    └── NoSuchDifferenceError     an id that names none, or several
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from uuid import uuid4

from psycopg.types.json import Jsonb

from settlement.periods import Period
from settlement.posting import State
from settlement.reconciling import AGREEING, Finding, Kind, Ours, Total, Way, difference_id
from storage.engine import Connection
from storage.errors import StorageError

POSTINGS_MAX: Final = 1_000_000
"""Of one comparison: some 500 MB of memory."""

DIFFERENCES_MAX: Final = 100_000
"""Shown at once."""


class TooMuchToReconcileError(StorageError):
    """A period with more postings than one comparison holds."""

    def __init__(self) -> None:
        super().__init__(f"more than {POSTINGS_MAX} postings; expected fewer: a shorter period")


class NoSuchDifferenceError(StorageError):
    """No difference has this id."""

    def __init__(self, asked: str) -> None:
        super().__init__(
            f"no difference {asked!r}; expected an id as `v2g reconcile differences` has it"
        )


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """One comparison of a partner's period."""

    reconciliation_id: str
    partner: str
    way: str
    period: Period
    totals: tuple[Total, ...]
    done_by: str
    done_at: datetime


@dataclass(frozen=True, slots=True)
class Difference:
    """A difference that a comparison found; see ``reconciling.Finding``.

    Attributes:
        statement_id: of the partner's line, with ``number``; None where it has none.
        ours_minor: in ``currency``; 0 where we have no posting.
        theirs_minor: in ``theirs_currency``; 0 where no money moved.
        noted_at: since when our posting is in its state, or when the partner booked its line.
    """

    reconciliation_id: str
    difference_id: str
    partner: str
    kind: Kind
    posting_id: str
    statement_id: str | None
    number: int | None
    account: str
    currency: str
    ours_minor: int
    theirs_currency: str
    theirs_minor: int
    at_stake_minor: int
    noted_at: datetime
    detail: str


def postings_in(
    conn: Connection, partner: str, way: str, period: Period, also: Collection[str]
) -> list[Ours]:
    """What should stand in a partner's statement of a period, and these postings besides.

    Acknowledged or rejected in the period, or open at its end. Postings in files of payouts belong to
    the way "file", all others to "api".

    Raises:
        TooMuchToReconcileError: more than ``POSTINGS_MAX``.
    """
    rows = conn.execute(
        """
        with known as (
            select p.posting_id, p.account, p.currency, p.amount_minor, s.state, p.created_at,
                   case when s.state = any(%(final)s) or f.posting_id is not null
                        then s.changed_at else p.created_at end as since,
                   s.attempts > 0 or f.posting_id is not null as was_sent,
                   case when f.posting_id is null then 'api' else 'file' end as way
            from posting p join posting_state s using (posting_id)
                 left join payout_file_line f using (posting_id)
            where p.partner = %(partner)s
        )
        select posting_id, account, currency, amount_minor, state, was_sent, since, way from known
        where posting_id = any(%(also)s)
           or (way = %(way)s and case when state = any(%(final)s)
                   then since >= %(start)s and since < %(end)s
                   else created_at < %(end)s end)
        limit %(most)s
        """,
        {
            "partner": partner,
            "way": way,
            "start": period.started_at,
            "end": period.ended_at,
            "also": sorted(also),
            "final": [State.ACKNOWLEDGED.value, State.REJECTED.value],
            "most": POSTINGS_MAX + 1,
        },
    ).fetchall()
    if len(rows) > POSTINGS_MAX:
        raise TooMuchToReconcileError
    return [
        Ours(one, account, currency, amount, State(state), was_sent, since, Way(way))
        for one, account, currency, amount, state, was_sent, since, way in rows
    ]


def record(conn: Connection, done: Reconciliation, findings: Sequence[Finding]) -> Reconciliation:
    """Store a comparison and its differences, in the caller's transaction.

    Returns:
        It, or the latest one of the same period where that found exactly the same.
    """
    rows = [_row(done.partner, one) for one in findings if one.kind not in AGREEING]
    digest = _digest(done, rows)
    before = latest(conn, done.partner, done.way, done.period)
    if before is not None and _digest_of(conn, before.reconciliation_id) == digest:
        return before
    conn.execute(
        """
        insert into reconciliation (reconciliation_id, partner, way, period_started_at,
            period_ended_at, number, inputs_digest, totals, done_by, done_at)
        select %(id)s, %(partner)s, %(way)s, %(start)s, %(end)s, 1 + coalesce(max(number), 0),
               %(digest)s, %(totals)s, %(by)s, %(now)s
        from reconciliation
        where partner = %(partner)s and way = %(way)s and period_started_at = %(start)s
          and period_ended_at = %(end)s
        """,
        {
            "id": done.reconciliation_id,
            "partner": done.partner,
            "way": done.way,
            "start": done.period.started_at,
            "end": done.period.ended_at,
            "digest": digest,
            "totals": Jsonb([list(total) for total in done.totals]),
            "by": done.done_by,
            "now": done.done_at,
        },
    )
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy reconciliation_difference (reconciliation_id, difference_id, kind, posting_id,"
            " statement_id, number, account, currency, ours_minor, theirs_currency, theirs_minor,"
            " at_stake_minor, noted_at, detail) from stdin"
        ) as copy,
    ):
        for row in rows:
            copy.write_row((done.reconciliation_id, *row))
    return done


def fresh_id() -> str:
    """An id for a comparison."""
    return str(uuid4())


def _row(partner: str, one: Finding) -> tuple[Any, ...]:
    line, ours = one.theirs, one.ours
    account = ours.account if ours else (line.account if line else "")
    said = f"{line.status} {line.reference} to {line.account or '?'}" if line else ""
    state = f"ours is {ours.state}" if ours else ""
    noted_at = line.booked_at if line else (ours.since if ours else None)
    return (
        difference_id(partner, one), one.kind.value, one.posting_id,
        line.statement_id if line else None, line.number if line else None, account, one.currency,
        one.ours_minor, line.currency if line else "", one.theirs_minor, one.at_stake_minor, noted_at,
        "; ".join(filter(None, (state, said))),
    )  # fmt: skip


def _digest(done: Reconciliation, rows: Sequence[tuple[Any, ...]]) -> bytes:
    found = [[list(total) for total in done.totals], sorted(rows, key=lambda row: str(row[0]))]
    return sha256(json.dumps(found, default=str).encode()).digest()


def _digest_of(conn: Connection, reconciliation_id: str) -> bytes:
    row = conn.execute(
        "select inputs_digest from reconciliation where reconciliation_id = %s", [reconciliation_id]
    ).fetchone()
    return bytes(row[0]) if row else b""


def latest(conn: Connection, partner: str, way: str, period: Period) -> Reconciliation | None:
    """The comparison in force of a partner's period; None where there is none."""
    row = conn.execute(
        """
        select reconciliation_id, partner, way, period_started_at, period_ended_at, totals, done_by,
               done_at
        from reconciliation
        where partner = %s and way = %s and period_started_at = %s and period_ended_at = %s
        order by number desc limit 1
        """,
        [partner, way, period.started_at, period.ended_at],
    ).fetchone()
    return None if row is None else _reconciliation(row)


def in_force(conn: Connection, *, partner: str = "") -> list[Reconciliation]:
    """The latest comparison of every period, the latest period first."""
    rows = conn.execute(
        """
        select * from (
            select distinct on (partner, way, period_started_at, period_ended_at)
                   reconciliation_id, partner, way, period_started_at, period_ended_at, totals,
                   done_by, done_at
            from reconciliation where %(partner)s in ('', partner)
            order by partner, way, period_started_at, period_ended_at, number desc
        ) newest order by period_ended_at desc, partner, way limit 1000
        """,
        {"partner": partner},
    ).fetchall()
    return [_reconciliation(row) for row in rows]


def _reconciliation(row: Sequence[Any]) -> Reconciliation:
    totals = tuple(Total(Kind(kind), *rest) for kind, *rest in row[5])
    return Reconciliation(*(*row[:3], Period(row[3], row[4]), totals, *row[6:]))


_DIFFERENCE: Final = """
    d.reconciliation_id, d.difference_id, r.partner, d.kind, d.posting_id, d.statement_id, d.number,
    d.account, d.currency, d.ours_minor, d.theirs_currency, d.theirs_minor, d.at_stake_minor,
    d.noted_at, d.detail
"""


def differences(conn: Connection, reconciliation_id: str) -> list[Difference]:
    """The first ``DIFFERENCES_MAX`` differences of a comparison, by kind."""
    rows = conn.execute(
        f"""
        select {_DIFFERENCE} from reconciliation_difference d join reconciliation r
            using (reconciliation_id)
        where reconciliation_id = %s order by d.kind, d.noted_at, d.difference_id
        limit {DIFFERENCES_MAX}
        """,
        [reconciliation_id],
    ).fetchall()
    return [_difference(row) for row in rows]


def find_difference(conn: Connection, asked: str) -> Difference:
    """A difference by its id, or the beginning of it, as the latest comparison has it.

    Only of comparisons in force: what a later one of the same period no longer finds is settled.

    Raises:
        NoSuchDifferenceError: none, or several.
    """
    rows = conn.execute(
        f"""
        select distinct on (d.difference_id) {_DIFFERENCE}
        from reconciliation_difference d join reconciliation r using (reconciliation_id)
        where starts_with(d.difference_id, %s) and not exists (
            select from reconciliation n
            where (n.partner, n.way, n.period_started_at, n.period_ended_at)
                = (r.partner, r.way, r.period_started_at, r.period_ended_at) and n.number > r.number)
        order by d.difference_id, r.done_at desc, r.number desc limit 2
        """,
        [asked],
    ).fetchall()
    if len(rows) != 1 or not asked:
        raise NoSuchDifferenceError(asked)
    return _difference(rows[0])


def _difference(row: Sequence[Any]) -> Difference:
    return Difference(*(*row[:3], Kind(row[3]), *row[4:]))
