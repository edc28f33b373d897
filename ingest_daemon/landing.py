"""The landing thread: batches out of the buffer, into the database, and only then acknowledged.

One thread, so that packets are committed, and therefore acknowledged, in their order of arrival
(MQTT 5 §4.6 asks that of acknowledgements). While the database is away the batch is kept and tried
again for as long as it takes: nothing is acknowledged, so the broker stops at its window and holds
the rest, and uploads by HTTP are refused. Memory does not grow.
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import count, groupby
from typing import Final, Protocol

from ingest_daemon.backoff import Backoff
from ingest_daemon.buffer import Answered, Buffer, Held
from ingest_daemon.errors import UnsafeStartError
from ingest_daemon.health import Health
from ingest_daemon.log import say
from ingest_daemon.metrics import Metrics
from storage.errors import DatabaseUnavailableError, StorageError, UnsafeDatabaseError
from storage.landing import Arrival, Fate, Landed, Outcome

logger = logging.getLogger(__name__)

IDLE_S: Final = 5.0
"""With nothing to land, the database is looked at this often, so that /readyz tells the truth."""


class Store(Protocol):
    """What landing needs of the database; ``storage.landing.Lander`` is one."""

    def land(self, arrivals: Sequence[Arrival]) -> Landed:
        """Store them in one transaction. Raises DatabaseUnavailableError."""

    def conflicts(self, outcomes: Sequence[Outcome]) -> set[int]:
        """Whose identity belongs to another content. Raises DatabaseUnavailableError."""

    def close(self) -> None:
        """Give the connection back."""


class Landing:
    """Lands batches until the buffer is closed and empty, or until told to give up.

    Args:
        buffer: where packets come from.
        store: made here and used by this thread only; its connection is no other's.
        probe: raises DatabaseUnavailableError or UnsafeDatabaseError; asked while there is nothing
            to land.
        backoff: waits between attempts while the database is away.
        now: the clock for the age of what has landed.
        reached: called once, by the landing thread, when the database has answered first.
        failed: called with what ended the thread, if it was not ``Buffer.close``.
    """

    def __init__(
        self,
        buffer: Buffer,
        store: Store,
        probe: Callable[[], None],
        *,
        health: Health,
        metrics: Metrics,
        backoff: Backoff,
        rows_max: int,
        linger_s: float,
        now: Callable[[], datetime],
        reached: Callable[[], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._buffer = buffer
        self._store = store
        self._probe = probe
        self._health = health
        self._metrics = metrics
        self._backoff = backoff
        self._rows_max = rows_max
        self._linger_s = linger_s
        self._now = now
        self._reached = reached
        self._failed = failed
        self._give_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name="landing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self, *, timeout_s: float) -> bool:
        """Land what is held, after ``Buffer.close``; whether all of it could be, in that time.

        What could not is still with the broker, or with an HTTP client that got no 200.
        """
        self._thread.join(timeout_s)
        drained = not self._thread.is_alive()
        self._give_up.set()
        self._thread.join(IDLE_S)
        return drained

    def _run(self) -> None:
        try:
            self._first_contact()
            while not self._give_up.is_set():
                batch = self._buffer.take(self._rows_max, linger_s=self._linger_s, idle_s=IDLE_S)
                if batch is None:
                    break
                if batch:
                    self._land(batch)
                else:
                    self._look()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which ends the process
            self._failed(error)
        finally:
            self._store.close()

    def _first_contact(self) -> None:
        """Wait until the database answers. An unsafe one ends the daemon: nothing was promised yet."""
        while not self._give_up.is_set():
            try:
                self._probe()
            except UnsafeDatabaseError as error:
                raise UnsafeStartError(str(error)) from error
            except DatabaseUnavailableError as error:
                self._down(error)
                self._give_up.wait(self._backoff.next_s())
            else:
                self._up()
                self._reached()
                return

    def _look(self) -> None:
        try:
            self._probe()
        except StorageError as error:
            self._down(error)
        else:
            self._up()

    def _land(self, batch: Sequence[Held]) -> None:
        arrivals = [held.arrival for held in batch]
        while not self._give_up.is_set():
            started = time.perf_counter()
            try:
                landed = self._store.land(arrivals)
            except StorageError as error:
                self._down(error)
            except Exception as error:
                # An error of ours, or a schema that is not migrated. The packets are still worth
                # keeping, and trying again is right once the cause is gone; meanwhile /readyz says
                # what it is, and the broker holds the rest.
                logger.exception("landing_failed")
                self._down(error)
            else:
                self._up()
                self._count(batch, landed, seconds=time.perf_counter() - started)
                self._tell(batch, landed.outcomes)
                self._buffer.release(batch)
                return
            self._metrics.landing_failures.inc()
            self._give_up.wait(self._backoff.next_s())

    def _tell(self, batch: Sequence[Held], outcomes: Sequence[Outcome]) -> None:
        """Everyone learns that their packets are committed, and then what became of them.

        Whether there are conflicts is a question to the database: while packets wait behind a full
        batch it is asked for those only who must know.
        """
        groups = [
            (sender, list(told))
            for sender, told in groupby(
                zip(batch, outcomes, strict=True), key=lambda pair: pair[0].sender
            )
        ]
        for sender, told in groups:
            sender.landed([held for held, _ in told])
        behind = len(batch) >= self._rows_max
        asked = [told for sender, told in groups if sender.asks_conflicts or not behind]
        conflicts = self._conflicts([outcome for told in asked for _, outcome in told])
        places = count()
        for sender, told in groups:
            if conflicts is None or (behind and not sender.asks_conflicts):
                answers = [Answered(*one, None) for one in told]
            else:
                answers = [Answered(*one, next(places) in conflicts) for one in told]
            sender.answer(answers)

    def _conflicts(self, outcomes: Sequence[Outcome]) -> set[int] | None:
        """Indexes of those in conflict; None when it could not be asked."""
        if not outcomes:
            return set()
        try:
            return self._store.conflicts(outcomes)
        except StorageError as error:
            self._down(error)
            return None

    def _count(self, batch: Sequence[Held], landed: Landed, *, seconds: float) -> None:
        fates = Counter(outcome.fate for outcome in landed.outcomes)
        metrics = self._metrics
        metrics.landed.inc(fates[Fate.NEW])
        metrics.duplicates.inc(fates[Fate.DUPLICATE])
        metrics.batch_seconds.observe(seconds)
        metrics.batch_rows.observe(len(batch))
        signed = [outcome.identity.signed_at for outcome in landed.outcomes if outcome.identity]
        if signed:
            metrics.signed_age.set((self._now() - max(signed)).total_seconds())
        fields = {
            "batch_id": landed.batch_id,
            "new": fates[Fate.NEW],
            "duplicate": fates[Fate.DUPLICATE],
            "aside": fates[Fate.ASIDE],
            "seconds": seconds,
        }
        say(logger, logging.DEBUG, "landed", **fields)
        if fates[Fate.ASIDE]:
            for outcome in landed.outcomes:
                if outcome.fate is Fate.ASIDE:
                    metrics.aside.labels(reason=outcome.detail.partition(":")[0]).inc()
            first = next(one for one in landed.outcomes if one.fate is Fate.ASIDE)
            say(
                logger,
                logging.WARNING,
                "aside",
                batch_id=landed.batch_id,
                packets=fates[Fate.ASIDE],
                first=first.detail,
            )

    def _up(self) -> None:
        self._backoff.reset()
        self._metrics.database_up.set(1)
        if self._health.set("database", up=True, detail="answers"):
            say(logger, logging.INFO, "database_up")

    def _down(self, error: Exception) -> None:
        self._metrics.database_up.set(0)
        if self._health.set("database", up=False, detail=str(error)):
            say(
                logger,
                logging.WARNING,
                "database_down",
                error=error,
                consequence="packets are held and tried again",
            )
