"""What is to be told goes out: at least once, under one id, until it is taken or too old.

A run notes what has happened, then claims what is due under a lease, sends with no transaction open, and
records. A receiver that fails many times in a row is left alone until the next run: everything waits in
the database.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import httpx

from settlement.posting import Backoff, Random, retry_after
from storage import destinations, notices
from storage.destinations import Destination, operating
from storage.notices import Attempt, Due, State
from tasks.notices.call import DEADLINE_S, Message, Target, Told, open_client, tell
from tasks.notices.configure import Means, opened

BACKOFF: Final = Backoff(first=timedelta(seconds=30), cap=timedelta(hours=1))
LEASE: Final = timedelta(minutes=2)
"""A claim outlasts the calls of its group; past it the notice is due again."""
GROUP_WAVES: Final = 10
"""Notices per slot that are claimed at once: so many deadlines fit into a lease."""
FAILURES_PER_WIDTH: Final = 2
"""A run ends after so many times its concurrency failed in a row."""


@dataclass(frozen=True, slots=True)
class DeliverySummary:
    """What a run has done, and what remains.

    Attributes:
        noted: things that happened and were not noted yet.
        delivered: notices taken with 2xx.
        failed: attempts that were not; they come again, unless ``dead``.
        died: notices given up in this run.
        rested: whether the run ended because the receiver failed too often in a row.
        pending: notices still to be delivered.
        dead: notices given up, in all.
        destination: the URL; empty where none is configured, and nothing was sent.
    """

    noted: int
    delivered: int
    failed: int
    died: int
    rested: bool
    pending: int
    dead: int
    destination: str


def deliver(
    given: Means,
    *,
    random: Random,
    concurrency: int = 4,
    limit: int = 1_000,
    dead_after: timedelta = timedelta(days=7),
) -> DeliverySummary:
    """Note what has happened, and send what is due. Several may do so at once.

    Args:
        given: database, hosts, seal and clock.
        random: spreads the retries.
        concurrency: calls at the same time, at most.
        limit: attempts in this run, at most.
        dead_after: how long a notice is tried before it is given up.

    Raises:
        DestinationRefusedError: the destination's host is not allowed any more.
        SealError: its secrets cannot be opened.
        DatabaseUnavailableError: what was claimed comes again once its lease is over.
        ValueError: a bound below 1.
    """
    if concurrency < 1 or limit < 1:
        raise ValueError(f"concurrency is {concurrency}, limit is {limit}; expected at least 1")
    noted = _note(given)
    with operating(given.dsn) as conn:
        destination = destinations.current(conn)
        if destination is not None:
            sealed = destinations.sealed(conn, destination.destination_id)
            target = opened(given, destination, sealed)
    run = _Run(given, random, concurrency, dead_after)
    if destination is not None:
        asyncio.run(run.drain(destination, target, limit))
    with operating(given.dsn) as conn:
        totals = notices.totals(conn)
    return DeliverySummary(
        noted=noted,
        delivered=run.delivered,
        failed=run.failed,
        died=run.died,
        rested=run.rested,
        pending=totals[State.PENDING],
        dead=totals[State.DEAD],
        destination=destination.url if destination else "",
    )


def _note(given: Means) -> int:
    """Note all that has happened, each chunk committed; how many are new."""
    noted = 0
    while True:
        with operating(given.dsn) as conn:
            new = notices.derive(conn, given.clock())
        noted += new
        if not new:
            return noted


@dataclass(slots=True)
class _Run:
    """One run of ``deliver``."""

    given: Means
    random: Random
    width: int
    dead_after: timedelta
    delivered: int = 0
    failed: int = 0
    died: int = 0
    in_a_row: int = 0

    @property
    def rested(self) -> bool:
        return self.in_a_row >= FAILURES_PER_WIDTH * self.width

    async def drain(self, destination: Destination, target: Target, limit: int) -> None:
        """Send until nothing is due there, ``limit`` is reached, or the receiver fails too often."""
        left = limit
        async with open_client(self.given.ca_file, connections=self.width) as client:
            while left > 0 and not self.rested:
                # Few while it fails: what is claimed for a receiver that is down waits for its backoff.
                group = self.width if self.in_a_row else GROUP_WAVES * self.width
                due = await asyncio.to_thread(self._claim, destination, min(group, left))
                if not due:
                    return
                left -= len(due)
                attempts = await self._send(client, destination, target, due)
                await asyncio.to_thread(self._record, attempts)

    async def _send(
        self, client: httpx.AsyncClient, destination: Destination, target: Target, due: list[Due]
    ) -> list[Attempt]:
        slots = asyncio.Semaphore(self.width)

        async def one(notice: Due) -> Attempt:
            async with slots:
                now = self.given.clock()
                message = Message(
                    str(notice.notice_id), notice.kind, notice.occurred_at, notice.data
                )
                told = await tell(client, target, message, now=now, deadline_s=DEADLINE_S)
            return self._judged(notice, destination, told)

        return list(await asyncio.gather(*map(one, due)))

    def _judged(self, notice: Due, destination: Destination, told: Told) -> Attempt:
        """What became of it, and when it is sent again."""
        now = self.given.clock()
        state = State.PENDING
        if told.delivered:
            state = State.DELIVERED
            self.delivered += 1
            self.in_a_row = 0
        else:
            self.failed += 1
            self.in_a_row += 1
            if now - notice.noted_at >= self.dead_after:
                state = State.DEAD
                self.died += 1
        asked = retry_after(told.retry_after, now) or timedelta(0)
        wait = max(asked, BACKOFF.wait(notice.attempt, self.random))
        return Attempt(
            notice_id=notice.notice_id,
            attempt=notice.attempt,
            destination_id=destination.destination_id,
            delivered=told.delivered,
            http_status=told.http_status,
            detail=told.detail,
            answered_at=now,
            state=state,
            next_attempt_at=now + wait,
        )

    def _claim(self, destination: Destination, limit: int) -> list[Due]:
        """What is due; nothing where notices go elsewhere by now: the next run sends it there."""
        with operating(self.given.dsn) as conn:
            now_in_force = destinations.current(conn)
            if now_in_force is None or now_in_force.destination_id != destination.destination_id:
                return []
            return notices.claim(conn, now=self.given.clock(), limit=limit, lease=LEASE)

    def _record(self, attempts: Sequence[Attempt]) -> None:
        with operating(self.given.dsn) as conn:
            notices.record(conn, attempts)
