"""The fence: what a run knew can be told again, to the microsecond.

Every input carries the time at which it became known, and a run reads what was known at one time. Two
things would spoil that: a fact stamped before that time whose transaction commits after it, which the
run has not seen and its replay would; and a clock that steps back, or stands elsewhere and is slow.

So whoever writes facts takes a shared lock before stamping them and keeps it until the commit; a run
takes it exclusively for the moment in which it fixes its time and its snapshot, and thereby waits for
the writers under way. And a sequence, which no transaction and no rollback turns back, keeps the
latest time that a run has fixed: whatever is written afterwards is stamped later than that, whatever
the writer's clock says.

    everything stamped up to known_at is in the run's snapshot
    nothing that is committed later is stamped up to known_at

StorageError
└── FenceError
    └── WritersBusyError   a writer did not come to its end
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import IsolationLevel, sql
from psycopg.errors import LockNotAvailable
from psycopg.pq import TransactionStatus

from storage.engine import Connection
from storage.errors import StorageError

WAIT_S: Final = 120
"""How long a run waits for the writers under way."""

_FENCE: Final = 0x7632_675F_6665
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STEP: Final = timedelta(microseconds=1)


class FenceError(StorageError):
    """The fence would not hold on this connection."""


class WritersBusyError(FenceError):
    """Facts have been being written for ``WAIT_S`` without a commit. Nothing was fixed; try again."""

    def __init__(self) -> None:
        super().__init__(
            f"facts have been being written for {WAIT_S} s without a commit; expected an end by then."
            " Look into pg_stat_activity for a transaction of v2g_settle, then try again"
        )


def writing(conn: Connection, now: datetime) -> datetime:
    """Before facts are written: the time to stamp them with. Holds off runs until the commit.

    May be called as often as one likes in a transaction; whoever waits here waits for a run to fix
    its time, which takes no longer than the writers before it.

    Args:
        conn: as ``v2g_settle``, not in autocommit mode.
        now: by the writer's clock, timezone-aware.

    Returns:
        ``now``, or, where a run has fixed that time or a later one already, the next microsecond.

    Raises:
        FenceError: in autocommit mode the lock would be gone before the facts are written.
    """
    if conn.autocommit:
        raise FenceError("facts are written in autocommit mode; expected a transaction")
    conn.execute("select pg_advisory_xact_lock_shared(%s)", [_FENCE])
    return max(now, _fixed(conn) + _STEP)


def moment(conn: Connection, clock: Callable[[], datetime]) -> datetime:
    """Fix the time up to which a run knows, and begin the transaction whose snapshot shows just that.

    The transaction stays open: what it reads, filtered by the time, is what a later transaction
    reads with the same filter.

    Args:
        conn: as ``v2g_settle``, REPEATABLE READ, with no transaction under way.
        clock: gives now, in UTC; read after the last writer has committed.

    Returns:
        Now; or one microsecond after the time that was fixed last, should the clock be behind it.

    Raises:
        FenceError: the connection has a transaction already, whose snapshot is older, or would take
            a new snapshot for each statement.
        WritersBusyError: a writer under way has not ended within ``WAIT_S``.
    """
    status = conn.info.transaction_status
    if conn.isolation_level is not IsolationLevel.REPEATABLE_READ:
        raise FenceError("a run fixes its time outside REPEATABLE READ; expected that isolation")
    if conn.autocommit or status is not TransactionStatus.IDLE:
        raise FenceError(f"a run fixes its time on a connection {status.name}; expected it IDLE")
    _lock(conn)
    try:
        # This statement, the first of its transaction, takes the snapshot.
        known_at = max(clock(), _fixed(conn) + _STEP)
        conn.execute("select setval('known_until', %s)", [(known_at - _EPOCH) // _STEP])
    except BaseException:
        conn.rollback()
        _unlock(conn)
        conn.rollback()
        raise
    _unlock(conn)
    return known_at


def _lock(conn: Connection) -> None:
    """In a transaction of its own: a snapshot taken while waiting would be old."""
    conn.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(f"{WAIT_S}s")))
    try:
        conn.execute("select pg_advisory_lock(%s)", [_FENCE])
    except LockNotAvailable as error:
        conn.rollback()
        raise WritersBusyError from error
    conn.commit()


def _unlock(conn: Connection) -> None:
    """At once, whatever becomes of the transaction."""
    conn.execute("select pg_advisory_unlock(%s)", [_FENCE])


def _fixed(conn: Connection) -> datetime:
    """The latest time that a run has fixed. A sequence shows its last value outside of snapshots."""
    row = conn.execute("select last_value from known_until").fetchone()
    assert row is not None
    return _EPOCH + timedelta(microseconds=row[0])
