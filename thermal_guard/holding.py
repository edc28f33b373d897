"""The connection to the database, and the lock on it that makes a guard the one that decides and sends."""

import contextlib
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from ingest_daemon.backoff import Backoff
from ingest_daemon.errors import UnsafeStartError
from ingest_daemon.health import Health
from ingest_daemon.log import say
from storage import throttling
from storage.engine import Connection, Role, connect
from storage.errors import UnsafeDatabaseError
from storage.transient import is_transient
from thermal_guard.metrics import Metrics

logger = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 0.2
RETRY_LONGEST_S: Final = 5.0


class Holding:
    """The connection, made again when it breaks; every call from one thread.

    Args:
        dsn: libpq connection string; connects as ``Role.GUARD``.
        taken: called with each connection that holds the lock, before anything else is done with it.
    """

    def __init__(
        self,
        dsn: str,
        *,
        taken: Callable[[Connection], None],
        health: Health,
        metrics: Metrics,
        rng: random.Random,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._dsn = dsn
        self._taken = taken
        self._health = health
        self._metrics = metrics
        self._monotonic = monotonic
        self._backoff = Backoff(first_s=RETRY_FIRST_S, longest_s=RETRY_LONGEST_S, rng=rng)
        self._conn: Connection | None = None
        self._holds = False
        self._connect_at_s = 0.0
        self._standby_said = False
        self.guarding = False
        """Whether this is the one guard, as far as is known: a broken connection does not end it, another
        guard's lock does."""

    def do(self, what: Callable[[Connection], None]) -> bool:
        """Do something as the one guard; False when it is not, or the database went away meanwhile.

        Raises:
            UnsafeStartError: the database could lose what is committed.
            Exception: what is wrong with more than the connection.
        """
        return self._connected() and self._locked() and self._try(what)

    def close(self) -> None:
        """Give up connection and lock."""
        if self._conn is not None:
            with contextlib.suppress(Exception):
                self._conn.close()
        self._conn = None
        self._holds = False

    def _connected(self) -> bool:
        if self._conn is None and self._monotonic() >= self._connect_at_s:
            try:
                self._conn = connect(self._dsn, Role.GUARD)
            except UnsafeDatabaseError as error:
                raise UnsafeStartError(str(error)) from error
            except Exception as error:  # noqa: BLE001 - judged there
                self._away(error)
        return self._conn is not None

    def _locked(self) -> bool:
        return self._holds or (self._try(self._take) and self._holds)

    def _take(self, conn: Connection) -> None:
        if not throttling.hold(conn):
            self.guarding = False
            self._metrics.guarding.set(0)
            if not self._standby_said:
                say(logger, logging.INFO, "standing_by", why="another guard is at work")
            self._standby_said = True
            return
        self._taken(conn)
        self._holds, self.guarding, self._standby_said = True, True, False
        self._metrics.guarding.set(1)
        say(logger, logging.INFO, "guarding")

    def _try(self, what: Callable[[Connection], None]) -> bool:
        assert self._conn is not None
        try:
            what(self._conn)
        except Exception as error:  # noqa: BLE001 - judged there
            self._away(error)
            return False
        self._metrics.database_up.set(1)
        if self._health.set("database", up=True, detail=""):
            say(logger, logging.INFO, "database_up")
        self._backoff.reset()
        return True

    def _away(self, error: Exception) -> None:
        """The database is away: waited out. Raises what is something else."""
        self.close()
        self._metrics.database_up.set(0)
        if not is_transient(error):
            raise error
        self._connect_at_s = self._monotonic() + self._backoff.next_s()
        words = str(error).splitlines()[0] if str(error) else type(error).__name__
        if self._health.set("database", up=False, detail=words):
            say(logger, logging.ERROR, "database_down", why=words,
                consequence="decides nothing; limits stand; what is not obeyed is sent again")  # fmt: skip
