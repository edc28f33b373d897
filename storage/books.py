"""The books: runs, settlements, lines, unpaid energy, and the double-entry journal.

One connection settles at a time: ``settling`` holds an advisory lock before its snapshot begins, so
that what a run reads of the books is what is in them. Should the lock ever fail, the unique key
(program, event, vehicle, revision) still lets only one of two runs book.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Final

import polars as pl
from psycopg import IsolationLevel, sql
from psycopg.errors import LockNotAvailable, UniqueViolation
from psycopg.types.json import Jsonb

from settlement.booking import Booked, Difference, Key, Revision
from settlement.schemas import LINE, SETTLEMENT, UNPAID
from storage import runs
from storage.engine import Connection, Role, StorageError, connect
from storage.runs import Run
from storage.windows import event_versions

_LOCK: Final = 0x7632_675F_7365
LOCK_WAIT_S: Final = 120


class ConcurrentRunError(StorageError):
    """Another run is settling, or has settled in between. Nothing was booked; run again."""


@dataclass(frozen=True, slots=True)
class Versions:
    """Which version of each event (by event_id) and contract (by contract_id) a run knew."""

    events: Mapping[str, int]
    contracts: Mapping[str, int]


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


@contextmanager
def reading(dsn: str) -> Iterator[Connection]:
    """A connection in one REPEATABLE READ transaction that books nothing, beside whoever does."""
    with connect(dsn, Role.SETTLE) as conn:
        conn.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        conn.execute("set transaction read only")
        yield conn


def load_books(conn: Connection, events: Collection[str]) -> dict[Key, Booked]:
    """What is booked under these event ids: the latest revision of each settlement, and the booked
    sum of every account, of those too from which all was taken back.
    """
    amounts: dict[Key, dict[tuple[str, str], int]] = {}
    for program, event, vehicle, account, owed in conn.execute(
        """
        select s.program, s.event_id, s.vehicle_id, l.account, (-sum(l.amount_minor))::bigint
        from settlement s join journal_entry e using (settlement_id)
             join journal_line l using (entry_id)
        where s.event_id = any(%s) and l.account like 'payable:%%'
        group by s.program, s.event_id, s.vehicle_id, l.account
        """,
        [list(events)],
    ):
        _, role, name = account.split(":", 2)
        amounts.setdefault((program, event, vehicle), {})[role, name] = owed
    rows = conn.execute(
        """
        select program, event_id, vehicle_id,
               (array_agg(settlement_id order by revision desc))[1],
               (array_agg(settlement_id order by revision desc))[2],
               max(revision),
               (array_agg(currency order by revision desc))[1],
               (array_agg(program_version order by revision desc))[1]
        from settlement where event_id = any(%s)
        group by program, event_id, vehicle_id
        """,
        [list(events)],
    ).fetchall()
    return {
        (program, event, vehicle): Booked(
            settlement_id=settlement_id,
            supersedes=supersedes,
            revision=revision,
            currency=currency,
            program_version=program_version,
            amounts=amounts.get((program, event, vehicle), {}),
        )
        for program, event, vehicle, settlement_id, supersedes, revision, currency, program_version in rows
    }


def load_versions(
    conn: Connection, revisions: Sequence[Revision], *, known_at: datetime
) -> Versions:
    """Which versions of their events and contracts these revisions rest on."""
    names = {str(one.settlement["event_id"]) for one in revisions}
    events = event_versions(conn, names, known_at=known_at)
    contracts = conn.execute(
        """
        select contract_id, max(version) from contract_version
        where contract_id = any(%s) and recorded_at <= %s group by contract_id
        """,
        [sorted({str(one.settlement["contract_id"]) for one in revisions}), known_at],
    ).fetchall()
    return Versions(events, dict(contracts))


def record_run(
    conn: Connection,
    run: Run,
    revisions: Sequence[Revision],
    unpaid: pl.DataFrame,
    *,
    versions: Versions,
    differences: Sequence[Difference] = (),
) -> None:
    """Write a run and what it adds to the books, in the transaction of ``settling``.

    What is unpaid is written only where no earlier run of this period and these programs found the
    same: a run that repeats another costs one row.

    Raises:
        UniqueViolation: another run booked one of these revisions.
        CheckViolation: an entry does not sum to zero. Nothing of the run is kept then.
    """
    unpaid_of = runs.with_same_unpaid(conn, run) or run.run_id
    runs.insert(conn, run, unpaid_of)
    _copy(
        conn,
        "settlement",
        (*SETTLEMENT.schema.names(), *_OWN),
        (_settlement_row(one, run, versions) for one in revisions),
    )
    shared = {"program", "event_id", "vehicle_id"}
    _copy(
        conn,
        "line",
        ("settlement_id", *(name for name in LINE.schema.names() if name not in shared)),
        ({**row, "settlement_id": one.settlement_id} for one in revisions for row in one.lines),
    )
    if unpaid_of == run.run_id:
        _copy(
            conn,
            "unpaid",
            ("run_id", *UNPAID.schema.names()),
            ({**row, "run_id": run.run_id} for row in unpaid.iter_rows(named=True)),
        )
    _journal(conn, run, revisions)
    _copy(
        conn,
        "difference",
        ("run_id", *(f.name for f in fields(Difference))),
        ({**asdict(one), "run_id": run.run_id} for one in differences),
    )


_OWN: Final = (
    "revision",
    "run_id",
    "adjustment_minor",
    "known_at",
    "event_version",
    "contract_version",
    "allocations",
)


def _settlement_row(one: Revision, run: Run, versions: Versions) -> dict[str, object]:
    return {
        **one.settlement,
        "settlement_id": one.settlement_id,
        "revision": one.revision,
        "run_id": run.run_id,
        "adjustment_minor": one.adjustment_minor,
        "known_at": run.known_at,
        "event_version": versions.events.get(str(one.settlement["event_id"])),
        "contract_version": versions.contracts.get(str(one.settlement["contract_id"])),
        "allocations": Jsonb([asdict(share) for share in one.allocations]),
    }


def _journal(conn: Connection, run: Run, revisions: Sequence[Revision]) -> None:
    """One entry per settlement and kind: a revision that is reversed and rebooked has two."""
    entries = {
        (one.settlement_id, entry.kind.value): None for one in revisions for entry in one.entries
    }
    _copy(
        conn,
        "journal_entry",
        ("entry_id", "settlement_id", "kind", "period_at", "booked_at"),
        (
            {
                "entry_id": _entry_id(settlement_id, kind),
                "settlement_id": settlement_id,
                "kind": kind,
                "period_at": run.period.started_at,
                "booked_at": run.known_at,
            }
            for settlement_id, kind in entries
        ),
    )
    _copy(
        conn,
        "journal_line",
        ("entry_id", "account", "currency", "amount_minor"),
        (
            {
                "entry_id": _entry_id(one.settlement_id, entry.kind.value),
                "account": entry.account,
                "currency": entry.currency,
                "amount_minor": entry.amount_minor,
            }
            for one in revisions
            for entry in one.entries
        ),
    )


def _entry_id(settlement_id: str, kind: str) -> str:
    return f"{settlement_id}:{kind}"


def _copy(
    conn: Connection, table: str, columns: Sequence[str], rows: Iterator[Mapping[str, object]]
) -> None:
    statement = sql.SQL("copy {} ({}) from stdin").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    with conn.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            copy.write_row([row[column] for column in columns])
