"""Sending what is booked to the clearinghouse, until it holds everything.

Each attempt: claimed on disk under a lease, sent within one deadline, judged by the content of the
answer, recorded. What has no answer stays queued on disk and is sent again under the same id. Only
``concurrency`` postings are in memory, however long the queue.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

import httpx

from settlement.posting import (
    OPEN,
    RETRY_AFTER_MAX,
    Outcome,
    Random,
    State,
    next_attempt_at,
    retry_after,
    state_after,
)
from storage import outbox
from storage.engine import Role, connect
from storage.outbox import Claimed, Recorded, Result, Total
from tasks.clearinghouse import Clearinghouse, open_client, send
from tasks.lane import Lane

__all__ = ["Clearinghouse", "PostSummary", "Progress", "post_pending"]

LONGEST_PAUSE_S: Final = 5.0
"""Longest sleep before looking again: others post and book meanwhile, and clocks are set."""
SHORTEST_PAUSE_S: Final = 0.01

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run has done so far.

    Attributes:
        attempts: calls made and recorded.
        outcomes: how many came to what.
        acknowledged_minor: money acknowledged in this run, in minor units by currency.
    """

    attempts: int
    outcomes: Mapping[Outcome, int]
    acknowledged_minor: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PostSummary:
    """What a run has done, and what remains.

    Attributes:
        done: calls, outcomes and money of this run.
        remaining: the partner's postings that are not acknowledged, by state and currency.
        next_due_at: when the first of the open ones is due; None where nothing is open.
    """

    done: Progress
    remaining: tuple[Total, ...]
    next_due_at: datetime | None

    @property
    def by_state(self) -> dict[State, int]:
        """How many postings remain in each state."""
        counts: Counter[State] = Counter()
        for total in self.remaining:
            counts[total.state] += total.postings
        return dict(counts)

    @property
    def open(self) -> int:
        """How many will be sent again."""
        return sum(total.postings for total in self.remaining if total.state in OPEN)

    @property
    def parked(self) -> int:
        """How many wait for a person."""
        return self.by_state.get(State.PARKED, 0)


def post_pending(
    dsn: str,
    clearinghouse: Clearinghouse,
    *,
    clock: Callable[[], datetime],
    random: Random,
    concurrency: int = 8,
    limit: int = 1_000,
    lease_s: float = 30.0,
    until_empty: bool = False,
    deadline_s: float = 600.0,
    progress: Callable[[Progress], None] | None = None,
) -> PostSummary:
    """Send what is due. Several posters may do so at once.

    Args:
        dsn: libpq connection string; connects as the poster's role.
        clearinghouse: where to.
        clock: gives now, with its zone; decides what is due.
        random: spreads the retries.
        concurrency: calls in flight, at most.
        limit: attempts in this run, at most; with ``until_empty`` only ``deadline_s`` ends it.
        lease_s: how long a claimed posting is kept from other posters.
        until_empty: wait for postings that are due later, until none is open. Otherwise the run
            ends when nothing is due, or when the clearinghouse asks to be left alone.
        deadline_s: for the whole run; calls in flight are awaited beyond it.
        progress: told after each group of attempts.

    Raises:
        DatabaseUnavailableError: what was claimed is claimed again once its lease is over.
        ValueError: a lease that does not outlast a call, or a bound below 1.
    """
    if not 2 * clearinghouse.deadline_s <= lease_s <= RETRY_AFTER_MAX.total_seconds():
        raise ValueError(
            f"lease_s is {lease_s}; expected {2 * clearinghouse.deadline_s} (twice the deadline of "
            f"a call) to {RETRY_AFTER_MAX.total_seconds()}"
        )
    if concurrency < 1 or limit < 1:
        raise ValueError(f"concurrency is {concurrency}, limit is {limit}; expected at least 1")
    run = _Run(
        clearinghouse=clearinghouse,
        clock=clock,
        random=random,
        lane=Lane(width=concurrency, backoff=clearinghouse.backoff, random=random),
        attempts_max=None if until_empty else limit,
        progress=progress or (lambda _: None),
    )
    return asyncio.run(run.post(dsn, timedelta(seconds=lease_s), deadline_s))


class _Outbox:
    """One partner's outbox; its connection works in a thread, so no commit delays a deadline."""

    def __init__(self, conn: outbox.Connection, partner: str, pool: ThreadPoolExecutor) -> None:
        self._conn = conn
        self._partner = partner
        self._pool = pool

    async def claim(self, *, now: datetime, limit: int, lease: timedelta) -> list[Claimed]:
        return await self._do(
            partial(
                outbox.claim, self._conn, partner=self._partner, now=now, limit=limit, lease=lease
            )
        )

    async def record(self, results: list[Result], *, now: datetime) -> list[Recorded]:
        return await self._do(partial(outbox.record, self._conn, results, now=now))

    async def remaining(self) -> list[Total]:
        states = frozenset(State) - {State.ACKNOWLEDGED}
        return await self._do(
            partial(outbox.totals, self._conn, partner=self._partner, states=states)
        )

    async def next_due_at(self) -> datetime | None:
        return await self._do(partial(outbox.next_due_at, self._conn, partner=self._partner))

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)


@dataclass(kw_only=True)
class _Run:
    """One run of ``post_pending``."""

    clearinghouse: Clearinghouse
    clock: Callable[[], datetime]
    random: Random
    lane: Lane
    attempts_max: int | None
    progress: Callable[[Progress], None]
    started: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    acknowledged_minor: Counter[str] = field(default_factory=Counter)

    async def post(self, dsn: str, lease: timedelta, deadline_s: float) -> PostSummary:
        ends_at = _monotonic() + deadline_s
        with (
            closing(connect(dsn, Role.POSTER)) as conn,
            ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox") as pool,
        ):
            box = _Outbox(conn, self.clearinghouse.partner, pool)
            outbox.pull_in(conn, partner=self.clearinghouse.partner, now=self.clock())
            async with open_client(self.clearinghouse, connections=self.lane.width) as client:
                await self._drain(box, client, lease, ends_at)
            return PostSummary(
                done=self._done(),
                remaining=tuple(await box.remaining()),
                next_due_at=await box.next_due_at(),
            )

    async def _drain(
        self, box: _Outbox, client: httpx.AsyncClient, lease: timedelta, ends_at: float
    ) -> None:
        out: set[asyncio.Task[tuple[Claimed, Result]]] = set()
        try:
            while True:
                room = self._room(len(out), ends_at)
                if room:
                    claimed = await box.claim(now=self.clock(), limit=room, lease=lease)
                    self.started += len(claimed)
                    out |= {asyncio.create_task(self._attempt(client, one)) for one in claimed}
                if out:
                    done, out = await asyncio.wait(out, return_when=asyncio.FIRST_COMPLETED)
                    await self._record(box, [task.result() for task in done])
                elif (pause_s := await self._pause_s(box, ends_at)) is not None:
                    await asyncio.sleep(pause_s)
                else:
                    return
        finally:
            # Interrupted: what was sent and not recorded is claimed again once its lease is over.
            for task in out:
                task.cancel()
            await asyncio.gather(*out, return_exceptions=True)

    def _room(self, out: int, ends_at: float) -> int:
        now = _monotonic()
        if now >= ends_at:
            return 0
        room = self.lane.room(out, now)
        return room if self.attempts_max is None else min(room, self.attempts_max - self.started)

    async def _pause_s(self, box: _Outbox, ends_at: float) -> float | None:
        """How long to sleep with nothing out; None to end the run."""
        left_s = ends_at - _monotonic()
        if left_s <= 0 or self.attempts_max is not None:
            return None
        wait_s = self.lane.rests_until - _monotonic()
        if wait_s <= 0:
            due_at = await box.next_due_at()
            if due_at is None:
                return None
            wait_s = (due_at - self.clock()).total_seconds()
        return min(max(wait_s, SHORTEST_PAUSE_S), LONGEST_PAUSE_S, left_s)

    async def _attempt(self, client: httpx.AsyncClient, claimed: Claimed) -> tuple[Claimed, Result]:
        call = await send(client, self.clearinghouse, claimed.posting)
        now = self.clock()
        asked = retry_after(call.retry_after, now)
        self.lane.heard(call.outcome, call.http_status, asked, _monotonic())
        disputes = claimed.disputes + (call.outcome is Outcome.ECHO_DIFFERS)
        state = state_after(call.outcome, doubtful=claimed.doubtful, disputes=disputes)
        return claimed, Result(
            posting_id=claimed.posting.posting_id,
            attempt=claimed.attempt,
            answered_at=now,
            outcome=call.outcome,
            http_status=call.http_status,
            detail=call.detail,
            state=state,
            next_attempt_at=next_attempt_at(
                call.outcome, claimed.attempt, now, self.random, asked, self.clearinghouse.backoff
            ),
        )

    async def _record(self, box: _Outbox, done: list[tuple[Claimed, Result]]) -> None:
        recorded = await box.record([result for _, result in done], now=self.clock())
        for (claimed, result), fate in zip(done, recorded, strict=True):
            self.outcomes[result.outcome] += 1
            if result.state is State.ACKNOWLEDGED and fate is Recorded.RECORDED:
                posting = claimed.posting
                self.acknowledged_minor[posting.currency] += posting.amount_minor
        self.progress(self._done())

    def _done(self) -> Progress:
        return Progress(
            attempts=self.outcomes.total(),
            outcomes=dict(self.outcomes),
            acknowledged_minor=dict(self.acknowledged_minor),
        )


def _monotonic() -> float:
    """Seconds on the loop's clock, which no one can set."""
    return asyncio.get_running_loop().time()
