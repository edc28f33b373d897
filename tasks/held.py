"""Held periods, tried again: by themselves when the data comes, and when a person has released them.

They are tried before what is due newly, and never keep it waiting: a few in each run, each by itself, and
what goes wrong with one is its own trouble.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from expectations.gate import ExpectationsError
from settlement.periods import Period
from storage import held, quality_releases
from storage.engine import Connection, Role, connect
from storage.held import Held
from tasks import words
from tasks.quality import QualitySummary, check_quality
from tasks.releasing import answer, word
from tasks.second_opinion import SHARE_PPM
from tasks.settle import SettleSummary, settle_period

PER_RUN: Final = 8
"""Held periods that one run tries: each costs a look by the gate and a settlement, about ten seconds."""
WAIT_LEAST: Final = timedelta(minutes=15)
WAIT_MOST: Final = timedelta(hours=24)
WAIT_SHARE: Final = 2
"""Without news a period is tried again after this part of the time for which it has been held, within
the two bounds above: often at first, then daily."""

Doubt = Callable[[Period], QualitySummary]
"""Looks at a period and stores what it found."""


@dataclass(frozen=True)
class Due:
    """A held period that is to be tried now, and why now."""

    held: Held
    why: str


@dataclass(frozen=True)
class Tried:
    """What became of one.

    Attributes:
        before: as it was held.
        why: why it was tried.
        quality: what the gate said; None where it could not look.
        summary: of its run; None where it could not be settled.
        error: what kept it from being tried to the end; empty where nothing did.
    """

    before: Held
    why: str
    quality: QualitySummary | None
    summary: SettleSummary | None
    error: str = ""

    @property
    def is_news(self) -> bool:
        """Whether it is settled now, or held for another reason than before."""
        return self.summary is not None and (
            self.summary.state != "held" or self.summary.reason != self.before.reason
        )


def told(one: Tried) -> str:
    """What became of a held period, in one sentence."""
    if one.summary is None:
        return f"{one.before.period} stays held, it could not be tried: {one.error}"
    return f"tried again ({one.why}): {words.settled(one.summary)}"


def next_try(one: Held) -> datetime:
    """When a held period is tried again though nothing has come and nobody has spoken.

    It goes by the time for which it has been held, so that a period of yesterday that nobody has mended
    costs a try a day, and not one every quarter of an hour.
    """
    waited = (one.known_at - one.since) / WAIT_SHARE
    return one.known_at + min(max(waited, WAIT_LEAST), WAIT_MOST)


def due(conn: Connection, *, now: datetime, most: int = PER_RUN) -> list[Due]:
    """The held periods to try now: released ones first, then those that were tried longest ago.

    Args:
        conn: as ``v2g_read`` or ``v2g_settle``.
        now: by which waiting ends.
        most: at most so many.
    """
    waiting = held.held(conn)
    released = [one for one in waiting if _is_released(conn, one)]
    found = [Due(one, "released") for one in released[:most]]
    others = [one for one in waiting if one not in released]
    for one in sorted(others, key=lambda one: (one.known_at, one.period)):
        if len(found) == most:
            break
        if why := _why_now(conn, one, now):
            found.append(Due(one, why))
    return found


def _is_released(conn: Connection, one: Held) -> bool:
    """Whether a person's word covers what holds it."""
    answered = quality_releases.in_force(conn, one.period)
    if answered is None:
        return False
    if answered.release.run_id == one.run_id:
        return True
    verdict = held.verdict_of(conn, one)
    said = answer(one.reason, () if verdict is None else verdict.checks, answered)
    return not said.hold and said.excused >= one.differing


def _why_now(conn: Connection, one: Held, now: datetime) -> str:
    if now >= next_try(one):
        return "time"
    verdict = held.verdict_of(conn, one)
    since = one.known_at if verdict is None else verdict.checked_at
    came = held.news(conn, one.period, since=since)
    return f"news: {came}" if came else ""


def try_held(
    dsn: str,
    *,
    clock: Callable[[], datetime],
    doubt: Doubt | None = None,
    most: int = PER_RUN,
    oracle_share_ppm: int = SHARE_PPM,
) -> list[Tried]:
    """Doubt and settle the held periods that are due, each by itself.

    One whose gate passes, and whose second opinion finds nothing, is settled; so is one that a person has
    released, unless something worse is found by now. The others are held as before.

    Args:
        dsn: the database.
        clock: gives now.
        doubt: the gate; not given: ``check_quality``.
        most: at most so many are tried.
        oracle_share_ppm: see ``tasks.settle.Order``.

    Raises:
        DatabaseUnavailableError: no connection; what was tried before stands.
        ConcurrentRunError: another run is settling; run again.
    """
    with connect(dsn, Role.READ) as conn:
        waiting = due(conn, now=clock(), most=most)
    look = doubt or (lambda period: check_quality(dsn, period, now=clock()))
    return list(_tried(dsn, waiting, clock, look, oracle_share_ppm))


def _is_held_still(dsn: str, one: Held) -> bool:
    """Whether no other run has tried it since."""
    with connect(dsn, Role.READ) as conn:
        return [now.run_id for now in held.held(conn, only=one.period)] == [one.run_id]


def _tried(
    dsn: str,
    waiting: list[Due],
    clock: Callable[[], datetime],
    doubt: Doubt,
    oracle_share_ppm: int,
) -> Iterator[Tried]:
    for one in waiting:
        before, quality = one.held, None
        if not _is_held_still(dsn, before):
            continue
        try:
            quality = doubt(before.period)
            said = word(dsn, before.period, quality)
            summary = settle_period(
                dsn,
                before.period,
                clock=clock,
                kind=before.kind,
                hold=said.hold,
                released=said.released,
                excused=said.excused,
                oracle_share_ppm=oracle_share_ppm,
            )
        except (ArithmeticError, ValueError, ExpectationsError) as error:
            # What this period cannot be settled for must not keep the others waiting.
            yield Tried(before, one.why, quality, None, f"{type(error).__name__}: {error}")
        else:
            yield Tried(before, one.why, quality, summary)
