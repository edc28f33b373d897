"""The outage, step by step: chargers that go on measuring while nobody hears them, and the way back.

Real parts: agents (``tests.outage.host``), the broker, the daemon, PostgreSQL. Only the time of the
samples is simulated; it passes as fast as they are taken.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from embedded.broker import Broker
from embedded.processes import free_port, wait_until
from tests.ingest_daemon.harness import Daemon, Publisher, rows
from tests.outage.fleet import Fleet
from tests.outage.plan import BEFORE, Plan

ROOM: Final = 2000
"""V2G_HTTP_BUFFER_PACKETS of the daemon: how much of the backlog may wait in front of the database."""
LIVE_A_SECOND: Final = 40
"""Live packets of the fleet during the drain: six times as many as 100 chargers make at 15 s."""
WINDOW: Final = 20
"""Broker.Window, as it is without a word."""
SAMPLES_A_SECOND: Final = 50
"""Fewer than this are no slow machine any more but a fault; deadlines come from it."""


@dataclass(frozen=True)
class Drained:
    """How the backlog came in. ``seconds`` from the moment that the daemon was started again."""

    packets: int
    seconds: float
    sources: dict[str, int]
    simulated_s: int

    @property
    def times_real_time(self) -> float:
        """Seconds of the outage per second of the drain."""
        return self.simulated_s / self.seconds

    @property
    def packets_a_second(self) -> float:
        return self.packets / self.seconds


class Proof:
    """One outage of a fleet.

    Args:
        folder: an empty one; ``stores`` may be elsewhere.
        database: migrated and empty.
        broker: running.
        plan: how many, how long.
        stores: a folder for the agents, which does not exist.
        say: told what happens.
        settings: of the agents, beside what ``Fleet`` gives them.
    """

    def __init__(
        self,
        folder: Path,
        database: str,
        broker: Broker,
        plan: Plan,
        *,
        stores: Path,
        say: Callable[[str], object] = lambda _: None,
        **settings: Any,
    ) -> None:
        self.plan = plan
        self.database = database
        self.broker = broker
        self._say = say
        self._began = time.monotonic()
        self._rng = random.Random(plan.seed)
        port = free_port()
        self.daemon = Daemon(
            folder, database, broker=broker, http_port=port, http_buffer_packets=ROOM
        )  # fmt: skip
        self.fleet = Fleet(stores, plan, broker, url=f"http://127.0.0.1:{port}", **settings)
        self._back_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.fleet.close()
        self.daemon.__exit__()

    def say(self, text: str) -> None:
        self._say(f"{time.monotonic() - self._began:6.1f} s  {text}")

    def normally(self) -> None:
        """Broker and daemon are there: a packet or two of each charger, live."""
        self.daemon.start()
        self.fleet.start()
        self.fleet.feed(BEFORE - 1, deadline_s=60)
        self._empty(deadline_s=60)
        self.say("all run")
        self.fleet.turn(LIVE_A_SECOND)
        self._empty(deadline_s=60)

    def outage(self, *, kills: int) -> None:
        """Broker and daemon go; the agents go on, and are killed at random moments."""
        self.say("broker and daemon go")
        self.broker.stop()
        self.daemon.process.stop()
        plan, total = self.plan, self.plan.backlog
        deadline_s = 60 + total / SAMPLES_A_SECOND
        share = total // (kills + 1)
        for number in range(kills):
            after = self._rng.randrange(share // 2, share)
            self.fleet.feed_until_killed(plan.outage_last, after=after, deadline_s=deadline_s)
            self.say(f"killed after {after} samples or a few more, {number + 1} of {kills}")
            self.fleet.start()
        self.fleet.feed(plan.outage_last, deadline_s=deadline_s)
        self.say(f"{total} packets of the outage wait")
        assert self.fleet.kills == kills
        assert self.landed() == self.plan.chargers * BEFORE, "the daemon is away"

    def back(self) -> None:
        """Broker and daemon are there again."""
        self.broker.start()
        self._back_at = time.time()
        self.daemon.start()
        self.say("broker and daemon are back")

    def drain(self, *, live: bool = True) -> Drained:
        """The backlog comes in, while live packets of every charger go over the broker."""
        if live:
            self.fleet.live(LIVE_A_SECOND)
        deadline_s = 60 + self.plan.backlog / SAMPLES_A_SECOND
        wait_until(
            lambda: self.backlog_landed() == self.plan.backlog,
            deadline_s=deadline_s,
            what=f"{self.plan.backlog} packets of the outage, not {self.backlog_landed()}",
        )
        if live:
            self.fleet.halt()
        self._empty(deadline_s=deadline_s)
        self.say("drained, and every store is empty")
        [(last,)] = rows(
            self.database,
            "select extract(epoch from max(landed_at))::float8 from landing_batch join raw_packet"
            " using (batch_id) where signed_at <= %s",
            self.plan.ended_at,
        )
        sources = dict(
            rows(
                self.database,
                "select source, count(*)::int from raw_packet where sequence >= %s and signed_at <= %s"
                " group by source",
                BEFORE,
                self.plan.ended_at,
            )
        )
        return Drained(
            self.plan.backlog, last - self._back_at, sources, int(self.plan.outage.total_seconds())
        )

    def some_of_the_backlog(self, *, every: int) -> list[tuple[str, bytes]]:
        """Packets that wait in the stores, one of so many, with their EVSE."""
        return [
            (evse_id, packet)
            for number, evse_id in enumerate(self.plan.evses)
            for _, sequence, packet in self.fleet.stored(number)
            if sequence % every == 0
        ]

    def publish(self, packets: list[tuple[str, bytes]]) -> None:
        """Over the broker, by hand, beside the agents."""
        publisher = Publisher(self.broker, "second-way")
        try:
            publisher.publish_all(packets)
        finally:
            publisher.close()

    def landed(self) -> int:
        return self._count("true")

    def backlog_landed(self) -> int:
        """Packets of the outage that stand."""
        [(number,)] = rows(
            self.database,
            "select count(*) from raw_packet where sequence >= %s and signed_at <= %s",
            BEFORE,
            self.plan.ended_at,
        )
        return int(number)

    def _count(self, where: str) -> int:
        [(number,)] = rows(self.database, f"select count(*) from raw_packet where {where}")
        return int(number)

    def _empty(self, *, deadline_s: float) -> None:
        wait_until(
            lambda: self.fleet.waiting() == 0,
            deadline_s=deadline_s,
            what=f"empty stores, not {self.fleet.waiting()} packets",
        )
