"""One run over one partner's queue: what is out, what is claimed ahead, what is still to be recorded.

One loop decides; claiming, calling and recording go on beside it, and wake it when they are done.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx

from settlement.posting import (
    DISPUTING,
    Outcome,
    Random,
    RetryBudget,
    State,
    next_attempt_at,
    retry_after,
    state_after,
)
from storage.claims import Claimed, Recorded, Result
from storage.errors import StorageError
from tasks.posting.call import Call, send
from tasks.posting.clearinghouse import Clearinghouse, open_client
from tasks.posting.lane import Lane
from tasks.posting.progress import PostSummary, Progress
from tasks.posting.queue import Queue

LONGEST_PAUSE_S: Final = 5.0
"""Longest sleep before looking again: others post and book meanwhile, clocks are set, lanes resumed."""
SHORTEST_PAUSE_S: Final = 0.01
LOOK_AGAIN_S: Final = 0.1
"""After a claim that found less than it wanted, while calls are still out."""
REST_MARGIN: Final = timedelta(seconds=0.5)
"""Rests that differ by less are one: not every answer of a group needs a write of its own."""


class CannotSignError(StorageError):
    """Our key does not sign, so nothing is sent: the message says why, and what to do."""


@dataclass(kw_only=True)
class Draining:
    """One run of ``post_pending``."""

    clearinghouse: Clearinghouse
    clock: Callable[[], datetime]
    random: Random
    lane: Lane
    budget: RetryBudget
    lease: timedelta
    attempts_max: int | None
    progress: Callable[[Progress], None]

    def __post_init__(self) -> None:
        self._ends_at = 0.0
        self._ready: deque[Claimed] = deque()
        self._unsent: list[Claimed] = []
        self._results: list[tuple[Claimed, Result]] = []
        self._out = 0
        self._started = 0
        self._claiming = self._recording = False
        self._dry = False
        self._look_at = 0.0
        self._rest_until: datetime | None = None
        self._rest_unshared = ""
        self._cannot_sign: Exception | None = None
        self._outcomes: Counter[Outcome] = Counter()
        self._acknowledged_minor: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()
        self._failed: BaseException | None = None
        self._woken = asyncio.Event()

    async def run(self, dsn: str, deadline_s: float) -> PostSummary:
        """Send until nothing is due, or the deadline. Raises as ``post_pending`` does."""
        self._ends_at = _monotonic() + deadline_s
        with Queue.opened(dsn, self.clearinghouse.partner) as queue:
            await queue.pull_in(now=self.clock())
            await self._look(queue)
            async with open_client(self.clearinghouse, connections=self.lane.width) as client:
                try:
                    await self._drain(queue, client)
                finally:
                    await self._stop(queue)
            if self._cannot_sign is not None:
                raise CannotSignError(str(self._cannot_sign)) from self._cannot_sign
            rest = await queue.rest()
            return PostSummary(
                done=self._done(),
                remaining=tuple(await queue.remaining()),
                next_due_at=await queue.next_due_at(),
                rest=rest if rest is not None and rest.until > self.clock() else None,
            )

    async def _drain(self, queue: Queue, client: httpx.AsyncClient) -> None:
        while True:
            self._send_ready(client)
            if self._unsent or (self._ready and not self._ahead()):
                await self._give_back(queue)
            if self._results and not self._recording:
                self._recording = True
                self._start(self._record(queue))
            wanted = self._wanted()
            if wanted and not self._claiming and (not self._dry or _monotonic() >= self._look_at):
                self._claiming = True
                self._start(self._claim(queue, wanted))
            if self._tasks:
                await self._wait(LOOK_AGAIN_S if wanted else None)
            elif (pause_s := await self._pause_s(queue)) is not None:
                await asyncio.sleep(pause_s)
                self._dry = False
            else:
                return

    async def _wait(self, longest_s: float | None) -> None:
        """Until a call, a claim or a record is done."""
        with suppress(TimeoutError):
            async with asyncio.timeout(longest_s):
                await self._woken.wait()
        self._woken.clear()
        if self._failed is not None:
            raise self._failed

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._failed = error
        self._woken.set()

    async def _stop(self, queue: Queue) -> None:
        """Interrupted: what was sent and not recorded is claimed again once its lease is over."""
        waiting = list(self._tasks)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        with suppress(StorageError):
            await self._give_back(queue)

    async def _pause_s(self, queue: Queue) -> float | None:
        """How long to sleep with nothing out; None to end the run."""
        left_s = self._ends_at - _monotonic()
        if left_s <= 0 or self.attempts_max is not None or self._cannot_sign is not None:
            return None
        await self._look(queue)
        due_at = await queue.next_due_at()
        if due_at is None:
            return None
        due_s = (due_at - self.clock()).total_seconds()
        wait_s = max(due_s, self.lane.rests_until - _monotonic(), SHORTEST_PAUSE_S)
        return min(wait_s, LONGEST_PAUSE_S, left_s)

    # --- claiming --------------------------------------------------------------------------------

    def _room(self) -> int:
        """How many more calls may go out now."""
        now = _monotonic()
        if now >= self._ends_at or self._cannot_sign is not None:
            return 0
        return self.lane.room(self._out, now)

    def _ahead(self) -> int:
        """How many may wait, claimed, for the calls that are out."""
        now = _monotonic()
        if now >= self._ends_at or self._cannot_sign is not None:
            return 0
        return self.lane.ahead(now)

    def _wanted(self) -> int:
        """How many to claim: in groups, once half of what is claimed ahead has gone out."""
        room, ahead = self._room(), self._ahead()
        if not room and len(self._ready) > ahead // 2:
            return 0
        wanted = max(room + ahead - len(self._ready), 0)
        if self.attempts_max is not None:
            wanted = min(wanted, self.attempts_max - self._started - len(self._ready))
        return max(wanted, 0)

    async def _claim(self, queue: Queue, wanted: int) -> None:
        try:
            if not self._can_sign():
                return
            allowed = self.budget.allows(timedelta(seconds=_monotonic()))
            claimed = await queue.claim(
                now=self.clock(), limit=wanted, lease=self.lease, retries_max=allowed
            )
            retries = sum(one.attempt > 1 for one in claimed)
            self.budget.spend(first=len(claimed) - retries, retries=retries)
            self._ready.extend(claimed)
            if len(claimed) < wanted:
                self._dry, self._look_at = True, _monotonic() + LOOK_AGAIN_S
                await self._look(queue)
        finally:
            self._claiming = False

    def _can_sign(self) -> bool:
        """Whether it is of use to claim: a certificate may end while a run goes on."""
        if self.clearinghouse.signer is None:
            return True
        try:
            self.clearinghouse.signer.check()
        except Exception as error:  # noqa: BLE001 - whatever kind of key it is
            self._cannot_sign = error
            return False
        return True

    async def _give_back(self, queue: Queue) -> None:
        claims = [*self._unsent, *self._ready]
        self._unsent.clear()
        self._ready.clear()
        if claims:
            await queue.give_back(claims, now=self.clock())

    # --- sending -----------------------------------------------------------------------------------

    def _send_ready(self, client: httpx.AsyncClient) -> None:
        lasts = timedelta(seconds=self.clearinghouse.attempt_s)
        while self._ready and self._room():
            claimed = self._ready.popleft()
            if claimed.leased_until - self.clock() < lasts:
                self._unsent.append(claimed)  # somebody else could send it while we do
                continue
            self._out += 1
            self._started += 1
            self._start(self._attempt(client, claimed))

    async def _attempt(self, client: httpx.AsyncClient, claimed: Claimed) -> None:
        try:
            call = await send(
                client, self.clearinghouse, claimed.posting, doubtful=claimed.doubtful
            )
        finally:
            self._out -= 1
        now = self.clock()
        asked = retry_after(call.retry_after, now)
        rested_until = self.lane.rests_until
        self.lane.heard(call.outcome, call.http_status, asked, _monotonic())
        if self.lane.rests_until > rested_until:
            self._rest_unshared = call.detail
        if call.cause is not None:
            self._cannot_sign = call.cause
        self._results.append((claimed, self._judged(claimed, call, asked, now)))

    def _judged(
        self, claimed: Claimed, call: Call, asked: timedelta | None, now: datetime
    ) -> Result:
        return Result(
            posting_id=claimed.posting.posting_id,
            attempt=claimed.attempt,
            answered_at=now,
            outcome=call.outcome,
            http_status=call.http_status,
            detail=call.detail,
            state=state_after(
                call.outcome,
                doubtful=claimed.doubtful or not call.proven,
                disputes=claimed.disputes + (call.outcome in DISPUTING),
            ),
            next_attempt_at=next_attempt_at(
                call.outcome, claimed.attempt, now, self.random, asked, self.clearinghouse.backoff
            ),
        )

    # --- recording ---------------------------------------------------------------------------------

    async def _record(self, queue: Queue) -> None:
        try:
            group, self._results = self._results, []
            await self._share_rest(queue)
            recorded = await queue.record([result for _, result in group], now=self.clock())
        finally:
            self._recording = False
        for (claimed, result), fate in zip(group, recorded, strict=True):
            self._outcomes[result.outcome] += 1
            if result.state is State.ACKNOWLEDGED and fate is Recorded.RECORDED:
                posting = claimed.posting
                self._acknowledged_minor[posting.currency] += posting.amount_minor
        self._dry = False
        self.progress(self._done())

    async def _share_rest(self, queue: Queue) -> None:
        """Write down that the partner is to be left alone, where that is news."""
        why, self._rest_unshared = self._rest_unshared, ""
        if not why:
            return
        now = self.clock()
        until = now + timedelta(seconds=max(self.lane.rests_until - _monotonic(), 0))
        if self._rest_until is None or until - self._rest_until > REST_MARGIN:
            self._rest_until = until
            await queue.prolong(until, why, now=now)

    async def _look(self, queue: Queue) -> None:
        """Take over what all posters, and operators, have said about the lane."""
        rest = await queue.rest()
        if rest is None or self._rest_unshared:
            return
        self._rest_until = rest.until
        until = _monotonic() + (rest.until - self.clock()).total_seconds()
        if abs(until - self.lane.rests_until) > REST_MARGIN.total_seconds():
            self.lane.told(max(until, 0.0))

    def _done(self) -> Progress:
        return Progress(
            attempts=self._outcomes.total(),
            outcomes=dict(self._outcomes),
            acknowledged_minor=dict(self._acknowledged_minor),
        )


def _monotonic() -> float:
    """Seconds on the loop's clock, which no one can set."""
    return asyncio.get_running_loop().time()
