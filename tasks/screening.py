"""Screening: what is booked is held against the limits before anything of it is sent.

Bounded chunks, each one transaction; killed in between, the rest is screened by the next run. Any
number of screeners may run: they take turns, chunk by chunk.
"""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from settlement import units
from settlement.limits import Verdict, judge
from storage import limits, screening
from storage.engine import Connection, Role, connect
from storage.screening_facts import unscreened, zones

CHUNK: Final = 5_000
ACCOUNTS_TOLD: Final = 20
"""So many accounts are named by a summary; all of them stand in ``account_hold``."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScreenSummary:
    """What one run of screening came to.

    Attributes:
        cleared: postings that may be sent.
        waiting: that wait for a named approver.
        breached: that broke a limit.
        held: parked for no other reason than that their account is held.
        accounts: that this run held, up to ``ACCOUNTS_TOLD`` of them.
        limits_version: by which the last ones were judged; 0 are the defaults.
    """

    cleared: int
    waiting: int
    breached: int
    held: int
    accounts: tuple[str, ...]
    limits_version: int

    @property
    def screened(self) -> int:
        """Postings that were looked at."""
        return self.cleared + self.parked

    @property
    def parked(self) -> int:
        """Postings that now wait for a person."""
        return self.waiting + self.breached + self.held


def screen(
    dsn: str, *, clock: Callable[[], datetime], limit: int = 10_000_000, chunk: int = CHUNK
) -> ScreenSummary:
    """Judge postings that were not judged yet, in the order of their ids.

    Args:
        dsn: libpq connection string; connects as the role that books.
        clock: gives now, with its zone.
        limit: postings in this run, at most.
        chunk: postings in one transaction, at most.

    Raises:
        DatabaseUnavailableError: what was not judged yet stays unsent; run again.
        LimitsError: the limits in force cannot be read; nothing was judged under them.
    """
    with closing(connect(dsn, Role.SETTLE)) as conn:
        run = _Run(conn, clock, chunk)
        run.catch_up()
        after = ""
        while limit > 0 and (last := run.judge_chunk(after, min(chunk, limit))):
            after, count = last
            limit -= count
        return run.summary()


class _Run:
    """One run of ``screen``."""

    def __init__(self, conn: Connection, clock: Callable[[], datetime], chunk: int) -> None:
        self._conn = conn
        self._clock = clock
        self._chunk = chunk
        self._verdicts: Counter[Verdict | None] = Counter()
        self._accounts: list[str] = []
        self._version = 0
        with screening.alone(conn):
            self._zones = zones(conn)

    def catch_up(self) -> None:
        """Take note of what was decided and rejected meanwhile, and of what became queued again."""
        self._repeat(lambda: screening.recount(self._conn, limit=self._chunk))
        with screening.alone(self._conn):
            held = screening.held_accounts(self._conn)
        if held:
            self._park(held)

    def judge_chunk(self, after: str, size: int) -> tuple[str, int] | None:
        """Judge the next postings; the id of the last one and how many, or None where none is left."""
        conn, now = self._conn, self._clock()
        with screening.alone(conn):
            standing = limits.in_force(conn)
            day_milliwh = standing.limits.vehicle_day_kwh * units.MILLIWH_PER_KWH
            candidates = unscreened(
                conn, self._zones, after=after, limit=size, day_milliwh=day_milliwh
            )
            if not candidates:
                return None
            before = screening.held_accounts(conn, {one.account for one in candidates})
            totals, held = screening.totals(conn, candidates), set(before)
            judged = judge(candidates, standing.limits, totals, held)
            screening.keep(conn, judged, limits_version=standing.version, now=now)
            screening.put_totals(conn, totals)
        self._version = standing.version
        self._verdicts.update(one.verdict for one in judged)
        for one in judged:
            if one.verdict is Verdict.BREACH:
                _log.error("account %s is held: %s", one.candidate.account, one.detail)
        if broken := held - before:
            self._accounts = sorted({*self._accounts, *broken})[:ACCOUNTS_TOLD]
            self._park(broken)
        return candidates[-1].posting_id, len(candidates)

    def _park(self, accounts: set[str]) -> None:
        """What was cleared before its account was held."""
        now = self._clock()
        self._verdicts[None] += self._repeat(
            lambda: screening.park_with_accounts(self._conn, accounts, now=now, limit=self._chunk)
        )

    def _repeat(self, step: Callable[[], int]) -> int:
        """Do a bounded step until it finds nothing more; how many it found in all."""
        done = 0
        while True:
            with screening.alone(self._conn):
                found = step()
            done += found
            if found < self._chunk:
                return done

    def summary(self) -> ScreenSummary:
        return ScreenSummary(
            cleared=self._verdicts[Verdict.CLEAR],
            waiting=self._verdicts[Verdict.APPROVAL],
            breached=self._verdicts[Verdict.BREACH],
            held=self._verdicts[None],
            accounts=tuple(self._accounts),
            limits_version=self._version,
        )
