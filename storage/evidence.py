"""What a statement needs of the books: settlements as they were sealed, their proofs, what was not
paid, and the runs that all of it comes from. Reads only, and only so much.

StorageError
└── TooMuchError   more than one statement can hold
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl
from psycopg import IsolationLevel, sql

from settlement import merkle, units
from settlement.booking import ROLES, Allocation, Key, Share
from settlement.periods import Period
from settlement.schemas import UNPAID
from settlement.seals import Seal
from statements.pack import UNPAID_SCHEMA, Booking, Proof, Subject
from storage import frames, ledger, registry
from storage.engine import Connection, Role, connect
from storage.errors import StorageError

SETTLEMENTS_MAX: Final = 5_000
"""Of one statement."""

UNPAID_MAX: Final = 100_000
"""Unpaid rows of one statement."""


class TooMuchError(StorageError):
    """``found`` of something; a statement holds ``most``. Ask for less: a vehicle, a shorter period."""

    def __init__(self, what: str, found: str, most: int) -> None:
        super().__init__(
            f"a statement of {found} {what}; expected at most {most}: name a vehicle, an event or a"
            " shorter period"
        )
        self.what = what
        self.found = found
        self.most = most


@dataclass(frozen=True, slots=True)
class Found:
    """The latest revision of a settlement.

    Attributes:
        known_at: what its run knew.
    """

    settlement_id: str
    booking_no: int
    run_id: str
    key: Key
    contract_id: str
    revision: int
    known_at: datetime


@dataclass(frozen=True, slots=True)
class FoundRun:
    """A recorded run; ``unpaid_of`` is the run under which its unpaid rows stand."""

    run_id: str
    period: Period
    known_at: datetime
    programs: frozenset[str] | None
    unpaid_of: str


@contextmanager
def reading(dsn: str) -> Iterator[Connection]:
    """A connection that only reads, in one snapshot."""
    with connect(dsn, Role.READ) as conn:
        conn.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        conn.execute("set transaction read only")
        yield conn


def vehicles_of(conn: Connection, account: str) -> dict[str, list[Period]]:
    """The vehicles of which an account gets a share, each with the times of its contracts."""
    rows = conn.execute(
        """
        select vehicle_id, valid_from, valid_to from contract_version
        where shares @> %s::jsonb order by vehicle_id, contract_id, version
        """,
        [json.dumps([{"account": account}])],
    ).fetchall()
    found: dict[str, list[Period]] = {}
    for vehicle, start, end in rows:
        if start < (end or units.LATEST):
            found.setdefault(vehicle, []).append(Period(start, end or units.LATEST))
    return found


def latest(conn: Connection, subject: Subject) -> list[Found]:
    """The latest revision of each settlement that a statement is about, in the order of booking.

    An account's are those of its contracts, and those in which money was ever moved for it.

    Raises:
        TooMuchError: more than ``SETTLEMENTS_MAX``.
    """
    rows = conn.execute(
        """
        with asked as (
            select distinct program, event_id, vehicle_id from settlement s
            where (%(vehicle)s = '' or vehicle_id = %(vehicle)s)
              and (%(event)s = '' or event_id = %(event)s)
              and (%(account)s = ''
                   or contract_id in (
                       select contract_id from contract_version where shares @> %(share)s::jsonb)
                   or settlement_id in (
                       select e.settlement_id from journal_line l join journal_entry e using (entry_id)
                       where l.account = any(%(accounts)s)))
              and (%(since)s::timestamptz is null
                   or exists (
                       select from line l where l.settlement_id = s.settlement_id
                         and l.started_at < %(until)s and l.ended_at > %(since)s)
                   or exists (
                       select from event_version e where e.event_id = s.event_id
                         and e.started_at < %(until)s and e.ended_at > %(since)s))
        )
        select settlement_id, booking_no, run_id, program, event_id, vehicle_id, contract_id,
               revision, known_at
        from (
            select distinct on (s.program, s.event_id, s.vehicle_id) s.*
            from settlement s join asked using (program, event_id, vehicle_id)
            order by s.program, s.event_id, s.vehicle_id, s.revision desc
        ) newest
        order by booking_no limit %(most)s
        """,
        {
            "vehicle": subject.vehicle_id,
            "event": subject.event_id,
            "account": subject.account,
            "share": json.dumps([{"account": subject.account}]),
            "accounts": [f"payable:{role}:{subject.account}" for role in ROLES],
            "since": subject.period.started_at if subject.period else None,
            "until": subject.period.ended_at if subject.period else None,
            "most": SETTLEMENTS_MAX + 1,
        },
    ).fetchall()
    if len(rows) > SETTLEMENTS_MAX:
        raise TooMuchError("settlements", f"more than {SETTLEMENTS_MAX}", SETTLEMENTS_MAX)
    return [
        Found(one, number, run, (program, event, vehicle), contract, revision, known_at)
        for one, number, run, program, event, vehicle, contract, revision, known_at in rows
    ]


def bookings(conn: Connection, found: Sequence[Found]) -> tuple[list[Booking], list[Seal]]:
    """These settlements as they are sealed, and the seals that cover them."""
    proofs = _Proofs(conn, found)
    shares: dict[datetime, Mapping[str, tuple[Share, ...]]] = {}
    made = []
    for one in found:
        if one.known_at not in shares:
            shares[one.known_at] = registry.load_shares(conn, known_at=one.known_at)
        (booking,) = ledger.bookings(conn, after=one.booking_no - 1, until=one.booking_no)
        content: dict[str, Any] = json.loads(booking.content)
        made.append(
            Booking(
                settlement=content["settlement"],
                lines=tuple(content["lines"]),
                entries=tuple(content["entries"]),
                supersedes=_supersedes(conn, one),
                before=_before(conn, one),
                shares=shares[one.known_at].get(one.contract_id),
                proof=proofs.of(one),
            )
        )
    return made, proofs.seals


def _supersedes(conn: Connection, one: Found) -> str | None:
    row = conn.execute(
        """
        select settlement_id from settlement
        where program = %s and event_id = %s and vehicle_id = %s and revision < %s
        order by revision desc limit 1
        """,
        [*one.key, one.revision],
    ).fetchone()
    return row[0] if row else None


def _before(conn: Connection, one: Found) -> tuple[Allocation, ...]:
    rows = conn.execute(
        """
        select l.account, (-sum(l.amount_minor))::bigint
        from settlement s join journal_entry e using (settlement_id) join journal_line l using (entry_id)
        where s.program = %s and s.event_id = %s and s.vehicle_id = %s and s.revision < %s
          and l.account like 'payable:%%'
        group by l.account order by l.account
        """,
        [*one.key, one.revision],
    ).fetchall()
    split = ((account.split(":", 2), amount) for account, amount in rows)
    return tuple(Allocation(role, account, amount) for (_, role, account), amount in split)


class _Proofs:
    """Inclusion paths; each seal's tree is built once, and one is held at a time."""

    def __init__(self, conn: Connection, found: Sequence[Found]) -> None:
        self._conn = conn
        rows = conn.execute(
            "select booking_no, number from sealed_leaf where booking_no = any(%s)",
            [[one.booking_no for one in found]],
        ).fetchall()
        self._number_of: dict[int, int] = dict(rows)
        numbers = set(self._number_of.values())
        self.seals = [one for one in ledger.load_seals(conn) if one.number in numbers]
        self._at = 0
        self._places: dict[int, int] = {}
        self._tree = merkle.Tree.of(())

    def of(self, one: Found) -> Proof | None:
        number = self._number_of.get(one.booking_no)
        if number is None:
            return None
        if number != self._at:
            seal = next(seal for seal in self.seals if seal.number == number)
            leaves = ledger.load_leaves(self._conn, seal)
            self._places = {leaf.booking_no: place for place, leaf in enumerate(leaves)}
            self._tree = merkle.Tree.of(leaf.leaf for leaf in leaves)
            self._at = number
        index = self._places[one.booking_no]
        return Proof(number, index, tuple(self._tree.path(index)))


def runs(conn: Connection, ids: Collection[str]) -> list[FoundRun]:
    """Recorded runs, by their time of knowledge."""
    rows = conn.execute(
        """
        select run_id, period_started_at, period_ended_at, known_at, programs, unpaid_of
        from settlement_run where run_id = any(%s) order by known_at, run_id
        """,
        [list(ids)],
    ).fetchall()
    return [_run(*row) for row in rows]


def _run(
    run_id: str,
    start: datetime,
    end: datetime,
    known_at: datetime,
    programs: list[str] | None,
    unpaid_of: str,
) -> FoundRun:
    return FoundRun(
        run_id,
        Period(start, end).in_utc(),
        known_at,
        None if programs is None else frozenset(programs),
        unpaid_of,
    )


def latest_runs(conn: Connection, period: Period | None) -> list[FoundRun]:
    """Of each period that was settled for all programs the latest run, the one that knew most first."""
    rows = conn.execute(
        """
        select run_id, period_started_at, period_ended_at, known_at, programs, unpaid_of from (
            select distinct on (period_started_at, period_ended_at) * from settlement_run
            where programs is null and state = 'settled'
              and (%(since)s::timestamptz is null
                   or (period_started_at < %(until)s and period_ended_at > %(since)s))
            order by period_started_at, period_ended_at, known_at desc
        ) newest order by known_at desc, run_id
        """,
        {
            "since": period.started_at if period else None,
            "until": period.ended_at if period else None,
        },
    ).fetchall()
    return [_run(*row) for row in rows]


def unpaid(
    conn: Connection,
    asked: Sequence[FoundRun],
    *,
    vehicles: Collection[str] | None,
    event_id: str = "",
) -> pl.DataFrame:
    """What these runs left unpaid: ``UNPAID_SCHEMA``, under the ids of these runs.

    Args:
        conn: see ``reading``.
        asked: which runs.
        vehicles: of these; None for all.
        event_id: of this event; empty for all.

    Raises:
        TooMuchError: more than ``UNPAID_MAX`` rows.
    """
    query = sql.SQL(
        """
        select asked.run_id, {columns}
        from unnest(%(runs)s::text[], %(unpaid_of)s::text[]) as asked (run_id, unpaid_of)
             join unpaid on unpaid.run_id = asked.unpaid_of
        where (%(vehicles)s::text[] is null or vehicle_id = any(%(vehicles)s))
          and (%(event)s = '' or event_id = %(event)s)
        order by asked.run_id, program, event_id, vehicle_id, evse_id, started_at, ended_at, reason
        limit {most}
        """
    ).format(
        columns=sql.SQL(", ").join(
            sql.Identifier("unpaid", name) for name in UNPAID.schema.names()
        ),
        most=sql.Literal(UNPAID_MAX + 1),
    )
    parameters = {
        "runs": [run.run_id for run in asked],
        "unpaid_of": [run.unpaid_of for run in asked],
        "vehicles": None if vehicles is None else sorted(vehicles),
        "event": event_id,
    }
    found = frames.fetch(conn, query, parameters, UNPAID_SCHEMA)
    if found.height > UNPAID_MAX:
        raise TooMuchError("unpaid rows", f"more than {UNPAID_MAX}", UNPAID_MAX)
    return found
