"""Every device in turn: each by its own task and its own clock, few at one time, none holding another up."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

from ingest_daemon.backoff import Backoff
from ingest_daemon.log import say
from ingest_daemon.modbus.configuration import Device, Fleet
from ingest_daemon.modbus.metrics import Metrics
from ingest_daemon.modbus.outbox import Outbox
from ingest_daemon.modbus.poll import Poll, Poller

logger = logging.getLogger(__name__)

RETRY_FIRST_S: Final = 1.0
RETRY_LONGEST_S: Final = 60.0
FLOOD_S: Final = 60.0
"""Of samples dropped it is said at most this often."""


class Rounds:
    """Polls a fleet until it is cancelled.

    Args:
        fleet: as configured.
        outbox: where samples go.
        now: the clock for what is measured, UTC.
        rng: spreads the first polls and the attempts to connect again.
    """

    def __init__(
        self,
        fleet: Fleet,
        outbox: Outbox,
        *,
        metrics: Metrics,
        now: Callable[[], datetime],
        rng: random.Random,
        retry_first_s: float = RETRY_FIRST_S,
    ) -> None:
        self._fleet = fleet
        self._outbox = outbox
        self._metrics = metrics
        self._now = now
        self._rng = rng
        self._retry_first_s = retry_first_s
        self._turns = asyncio.Semaphore(fleet.concurrency)
        # Apart, because finding a device out may take long: those that answer never wait for that.
        self._beginnings = asyncio.Semaphore(fleet.concurrency)
        self._flooded_at = -FLOOD_S
        self.devices_up: set[str] = set()

    async def run(self) -> None:
        """One task per device. A poller that breaks ends all of it: it would be silent otherwise."""
        async with asyncio.TaskGroup() as group:
            for device in self._fleet.devices:
                group.create_task(self._watch(device), name=device.name)

    async def _watch(self, device: Device) -> None:
        poller = Poller(device, now=self._now, rng=self._rng)
        backoff = Backoff(first_s=self._retry_first_s, longest_s=RETRY_LONGEST_S, rng=self._rng)
        due_s = time.monotonic() + self._rng.uniform(0, min(device.every_s, RETRY_LONGEST_S))
        said: str | None = None
        chain: Sequence[tuple[int, int]] | None = None
        try:
            while True:
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
                async with self._turns if poller.connected else self._beginnings:
                    began_s = time.monotonic()
                    poll = await poller.poll()
                self._metrics.poll_seconds.observe(time.monotonic() - began_s)
                self._keep(poll)
                said = self._say(device, poll, said)
                if poll.discovered is not None:
                    chain = self._discovered(device, poll, chain)
                if poll.trouble is None:
                    backoff.reset()
                    due_s = self._next(due_s, device.every_s)
                else:
                    due_s = time.monotonic() + backoff.next_s()
        finally:
            poller.close()

    def _next(self, due_s: float, every_s: float) -> float:
        """The next time of the device's own beat; those that have passed are left out, and counted."""
        now_s = time.monotonic()
        missed = max(0, int((now_s - due_s) // every_s))
        if missed:
            self._metrics.late.inc(missed)
        return due_s + (missed + 1) * every_s

    def _keep(self, poll: Poll) -> None:
        dropped = self._outbox.put(poll.samples)
        if not dropped:
            return
        self._metrics.dropped.inc(dropped)
        if time.monotonic() - self._flooded_at >= FLOOD_S:
            self._flooded_at = time.monotonic()
            say(logger, logging.ERROR, "samples_dropped", so_far=self._outbox.dropped,
                held=self._outbox.samples, consequence="the oldest samples are lost, and will be said to be",
                see="database_down")  # fmt: skip

    def _say(self, device: Device, poll: Poll, said: str | None) -> str:
        """Log what is new about a device. What was said."""
        up = poll.trouble is None
        self._metrics.polls.labels(result="answered" if up else "failed").inc()
        self._metrics.up.labels(device=device.name).set(int(up))
        (self.devices_up.add if up else self.devices_up.discard)(device.name)
        word = "up" if poll.trouble is None else poll.trouble.quality.value
        if word != said:
            if poll.trouble is None:
                say(logger, logging.INFO, "device_up", device=device.name, evse_id=device.evse_id,
                    sensors=len(poll.samples))  # fmt: skip
            else:
                say(logger, logging.WARNING, "device_down", device=device.name,
                    evse_id=device.evse_id, quality=word, found=poll.trouble.detail,
                    consequence="no temperature; tried again")  # fmt: skip
        return word

    def _discovered(
        self, device: Device, poll: Poll, before: Sequence[tuple[int, int]] | None
    ) -> Sequence[tuple[int, int]]:
        plan = poll.discovered
        assert plan is not None
        self._metrics.connects.inc()
        if before is not None and before != plan.chain:
            say(logger, logging.WARNING, "chain_changed", device=device.name,
                before=_models(before), now=_models(plan.chain))  # fmt: skip
        if plan.left_out:
            say(logger, logging.WARNING, "sensors_left_out", device=device.name,
                sensors=len(plan.left_out), first=plan.left_out[0],
                expected="fewer: name those wanted in sunspec.sensors")  # fmt: skip
        return plan.chain


def _models(chain: Sequence[tuple[int, int]]) -> str:
    return ",".join(str(model_id) for model_id, _ in chain) or "none"
