"""The books: runs, settlements, lines, unpaid energy, and the double-entry journal.

One connection settles at a time: ``settling`` holds an advisory lock before its snapshot begins, so
that what a run reads of the books is what is in them. Should the lock ever fail, the unique key
(program, event, vehicle, revision) still lets only one of two runs book.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import polars as pl
from psycopg import IsolationLevel, sql
from psycopg.errors import LockNotAvailable, UniqueViolation
from psycopg.types.json import Jsonb

from settlement.booking import Booked, Key, Revision
from settlement.periods import Period
from settlement.schemas import LINE, SETTLEMENT, UNPAID
from storage.engine import Connection, Role, StorageError, connect

_LOCK: Final = 0x7632_675F_7365
LOCK_WAIT_S: Final = 120


class ConcurrentRunError(StorageError):
    """Another run is settling, or has settled in between. Nothing was booked; run again."""


@dataclass(frozen=True, slots=True)
class Run:
    """One computation of a period as known at one time. ``state`` is settled or held."""

    run_id: str
    period: Period
    known_at: datetime
    state: str
    reason: str
    code_version: str
    totals: Mapping[str, object]


@contextmanager
def settling(dsn: str) -> Iterator[Connection]:
    """A connection that alone may book, in one REPEATABLE READ transaction.

    The transaction commits when the block ends and rolls back when it raises.

    Raises:
        ConcurrentRunError: another run kept the lock for longer than ``LOCK_WAIT_S``, or booked the
            same revision first.
    """
    with connect(dsn, Role.SETTLE) as conn:
        # The lock is taken in a transaction of its own: a snapshot taken while waiting would be old.
        try:
            conn.execute(sql.SQL("set lock_timeout = {}").format(sql.Literal(f"{LOCK_WAIT_S}s")))
            conn.execute("select pg_advisory_lock(%s)", [_LOCK])
        except LockNotAvailable as error:
            raise ConcurrentRunError(
                f"another run has been settling for {LOCK_WAIT_S} s; see its state, then run again"
            ) from error
        conn.commit()
        conn.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        try:
            yield conn
        except UniqueViolation as error:
            raise ConcurrentRunError(
                f"another run booked first ({error.diag.constraint_name}); run again"
            ) from error


def load_books(conn: Connection, events: Sequence[str]) -> dict[Key, Booked]:
    """What is booked for these events: the latest revision of each settlement, and the booked sum."""
    rows = conn.execute(
        """
        select program, event_id, vehicle_id,
               (array_agg(settlement_id order by revision desc))[1],
               (array_agg(settlement_id order by revision desc))[2],
               max(revision), sum(adjustment_minor)::bigint,
               (array_agg(currency order by revision desc))[1],
               (array_agg(program_version order by revision desc))[1]
        from settlement where event_id = any(%s)
        group by program, event_id, vehicle_id
        """,
        [list(events)],
    ).fetchall()
    return {(program, event, vehicle): Booked(*rest) for program, event, vehicle, *rest in rows}


def record_run(
    conn: Connection, run: Run, revisions: Sequence[Revision], unpaid: pl.DataFrame
) -> None:
    """Write a run and what it adds to the books, in the transaction of ``settling``.

    Raises:
        UniqueViolation: another run booked one of these revisions.
        CheckViolation: an entry does not sum to zero. Nothing of the run is kept then.
    """
    conn.execute(
        """
        insert into settlement_run
            (run_id, period_started_at, period_ended_at, known_at, state, reason, code_version, totals)
        values (%s, %s, %s, %s, %s, %s, %s, %s)
        """,
        [
            run.run_id,
            run.period.started_at,
            run.period.ended_at,
            run.known_at,
            run.state,
            run.reason,
            run.code_version,
            Jsonb(dict(run.totals)),
        ],
    )
    own = ("revision", "run_id", "adjustment_minor", "known_at")
    _copy(
        conn,
        "settlement",
        (*SETTLEMENT.schema.names(), *own),
        (
            {
                **one.settlement,
                "settlement_id": one.settlement_id,
                "revision": one.revision,
                "run_id": run.run_id,
                "adjustment_minor": one.adjustment_minor,
                "known_at": run.known_at,
            }
            for one in revisions
        ),
    )
    shared = {"program", "event_id", "vehicle_id"}
    _copy(
        conn,
        "line",
        ("settlement_id", *(name for name in LINE.schema.names() if name not in shared)),
        ({**row, "settlement_id": one.settlement_id} for one in revisions for row in one.lines),
    )
    _copy(
        conn,
        "unpaid",
        ("run_id", *UNPAID.schema.names()),
        ({**row, "run_id": run.run_id} for row in unpaid.iter_rows(named=True)),
    )
    _journal(conn, run, [one for one in revisions if one.entries])


def _journal(conn: Connection, run: Run, revisions: Sequence[Revision]) -> None:
    """Entries carry the id of the settlement they book, so one settlement has one entry at most."""
    _copy(
        conn,
        "journal_entry",
        ("entry_id", "settlement_id", "period_at", "booked_at"),
        (
            {
                "entry_id": one.settlement_id,
                "settlement_id": one.settlement_id,
                "period_at": run.period.started_at,
                "booked_at": run.known_at,
            }
            for one in revisions
        ),
    )
    _copy(
        conn,
        "journal_line",
        ("entry_id", "account", "currency", "amount_minor"),
        (
            {
                "entry_id": one.settlement_id,
                "account": e.account,
                "currency": e.currency,
                "amount_minor": e.amount_minor,
            }
            for one in revisions
            for e in one.entries
        ),
    )


def _copy(
    conn: Connection, table: str, columns: Sequence[str], rows: Iterator[Mapping[str, object]]
) -> None:
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row([row[column] for column in columns])


def left_off(conn: Connection) -> datetime | None:
    """Up to where runs, settled or held, cover time without a gap, beginning with the first reading
    or the first run, whichever is earlier; None where there is neither.

    A run by hand over a later period leaves a gap, and the gap is not forgotten.
    """
    row = conn.execute(
        """
        with span as (
            select period_started_at as s, period_ended_at as e from settlement_run
        ), start as (
            select least((select min(started_at) from reading), (select min(s) from span)) as at
        )
        select min(reached) from (
            select at as reached from start
            union all select e from span
        ) ends
        where not exists (select from span where s <= reached and e > reached)
          and reached >= (select at from start)
        """
    ).fetchone()
    return row[0] if row else None
