"""One partner's queue, as a run sees it: the outbox and the lane, without waiting for the disk.

Two connections, each in a thread of its own: what is recorded does not wait for what is claimed, and
no commit delays the deadline of a call.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeVar

from settlement.posting import State
from storage import lanes, outbox, outbox_figures
from storage.claims import Claimed, Recorded, Result, Total
from storage.engine import Role, connect
from storage.lanes import Rest

UNACKNOWLEDGED: Final = frozenset(State) - {State.ACKNOWLEDGED}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Hand:
    """A connection, and the thread that works with it."""

    conn: outbox.Connection
    thread: ThreadPoolExecutor

    async def do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self.thread, work)


class Queue:
    """The queue of one partner; open while the context of ``opened`` is."""

    def __init__(self, partner: str, claims: _Hand, records: _Hand) -> None:
        self._partner = partner
        self._claims = claims
        self._records = records

    @classmethod
    @contextmanager
    def opened(cls, dsn: str, partner: str) -> "Iterator[Queue]":
        """Connect as the poster. Raises DatabaseUnavailableError."""
        with ExitStack() as stack:
            hands = []
            for name in ("claims", "records"):
                conn = stack.enter_context(connect(dsn, Role.POSTER))
                thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)
                hands.append(_Hand(conn, stack.enter_context(thread)))
            yield cls(partner, *hands)

    async def claim(
        self, *, now: datetime, limit: int, lease: timedelta, retries_max: int
    ) -> list[Claimed]:
        return await self._claims.do(
            partial(
                outbox.claim, self._claims.conn, partner=self._partner, now=now, limit=limit,
                lease=lease, retries_max=retries_max,
            )
        )  # fmt: skip

    async def give_back(self, claims: Sequence[Claimed], *, now: datetime) -> None:
        await self._records.do(partial(outbox.give_back, self._records.conn, claims, now=now))

    async def record(self, results: Sequence[Result], *, now: datetime) -> list[Recorded]:
        return await self._records.do(partial(outbox.record, self._records.conn, results, now=now))

    async def pull_in(self, *, now: datetime) -> None:
        """Make due, and end, what a clock that has been set back since has put off."""
        for work in (outbox.pull_in, lanes.pull_in):
            await self._records.do(
                partial(work, self._records.conn, partner=self._partner, now=now)
            )

    async def rest(self) -> Rest | None:
        """What all posters know of the lane."""
        return await self._records.do(
            partial(lanes.standing, self._records.conn, partner=self._partner)
        )

    async def prolong(self, until: datetime, why: str, *, now: datetime) -> None:
        """Let all posters rest until then."""
        await self._records.do(
            partial(
                lanes.prolong, self._records.conn, partner=self._partner, until=until, why=why,
                now=now,
            )
        )  # fmt: skip

    async def remaining(self) -> list[Total]:
        return await self._records.do(
            partial(
                outbox_figures.totals, self._records.conn, partner=self._partner,
                states=UNACKNOWLEDGED,
            )
        )  # fmt: skip

    async def next_due_at(self) -> datetime | None:
        return await self._records.do(
            partial(outbox_figures.next_due_at, self._records.conn, partner=self._partner)
        )
