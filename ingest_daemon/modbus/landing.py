"""Samples out of the outbox, into the database, in batches; tried again for as long as it takes."""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from ingest_daemon.backoff import Backoff
from ingest_daemon.errors import UnsafeStartError
from ingest_daemon.health import Health
from ingest_daemon.log import say
from ingest_daemon.modbus.metrics import Metrics
from ingest_daemon.modbus.outbox import Outbox
from storage.errors import StorageError, UnsafeDatabaseError
from storage.sample_store import SamplesRefusedError, SampleStore
from storage.thermal_samples import Sample

logger = logging.getLogger(__name__)

BATCH_SAMPLES: Final = 10_000
LINGER_S: Final = 1.0
"""For which a sample waits for others to share its transaction."""
LOOKS: Final = 20
"""Within that time, whether the outbox has filled meanwhile."""


class Landing:
    """Lands what is in the outbox until told to end.

    Args:
        outbox: filled by the pollers, in this loop.
        store: used by this only.
        backoff: waits between attempts while the database is away.
    """

    def __init__(
        self,
        outbox: Outbox,
        store: SampleStore,
        *,
        health: Health,
        metrics: Metrics,
        backoff: Backoff,
    ) -> None:
        self._outbox = outbox
        self._store = store
        self._health = health
        self._metrics = metrics
        self._backoff = backoff
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Land what is held without lingering, then return from ``run``."""
        self._ending.set()

    async def run(self) -> None:
        """Raises UnsafeStartError: the database can lose what it has committed."""
        try:
            while not (self._ending.is_set() and not len(self._outbox)):
                if len(self._outbox):
                    await self._land()
                await self._linger()
        finally:
            self._store.close()

    async def _land(self) -> None:
        polls = self._outbox.take(BATCH_SAMPLES)
        while True:
            try:
                await asyncio.to_thread(self._store.land, [one for poll in polls for one in poll])
            except UnsafeDatabaseError as error:
                raise UnsafeStartError(str(error)) from error
            except SamplesRefusedError as error:
                await self._one_by_one(polls, error)
            except StorageError as error:
                self._down(error)
                await asyncio.sleep(self._backoff.next_s())
                continue
            break
        self._up()
        for quality, count in Counter(one.quality for poll in polls for one in poll).items():
            self._metrics.landed.labels(quality=quality).inc(count)
        self._outbox.landed()

    async def _one_by_one(self, polls: Sequence[Sequence[Sample]], cause: Exception) -> None:
        """The database blames a sample: the polls without it land all the same."""
        say(logger, logging.ERROR, "batch_refused", error=cause, polls=len(polls))
        for poll in polls:
            while True:
                try:
                    await asyncio.to_thread(self._store.land, poll)
                except SamplesRefusedError as error:
                    self._outbox.give_up(poll)
                    self._metrics.dropped.inc(len(poll))
                    say(logger, logging.ERROR, "poll_refused", device=poll[0].device_id,
                        measured_at=poll[0].measured_at.isoformat(), error=error,
                        consequence="its samples are lost, and said to be")  # fmt: skip
                except StorageError as error:
                    self._down(error)
                    await asyncio.sleep(self._backoff.next_s())
                    continue
                break

    async def _linger(self) -> None:
        """Let samples gather, until there are many, or the end is near."""
        for _ in range(LOOKS):
            if self._outbox.pressing or self._ending.is_set():
                return
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), LINGER_S / LOOKS)

    def _up(self) -> None:
        self._backoff.reset()
        self._metrics.database_up.set(1)
        if self._health.set("database", up=True, detail="takes samples"):
            say(logger, logging.INFO, "database_up", dropped=self._outbox.dropped)

    def _down(self, error: Exception) -> None:
        self._metrics.database_up.set(0)
        if self._health.set("database", up=False, detail=str(error)):
            oldest = self._outbox.oldest
            say(logger, logging.WARNING, "database_down", error=error,
                since=oldest.isoformat() if oldest else "now",
                consequence="samples are held, and the oldest go when there is no room")  # fmt: skip
