"""A run of which nothing is changed: its time against that of reading the same rows and no more."""

from collections.abc import Sequence
from datetime import UTC, datetime
from time import perf_counter
from typing import Final

from benchmarks.figure import Figure, interleaved
from benchmarks.stored import Fleet, database, day
from settlement import units
from settlement.periods import Period
from storage import books, fence
from storage.readings import open_readings
from tasks.computing import STRETCH
from tasks.second_opinion import SHARE_PPM
from tasks.settle import SettleSummary, settle_period

AIM: Final = 1.5


def run() -> Sequence[Figure]:
    """Settle one fleet-day, then again and again, in turn with reading it."""
    with database("rerun") as dsn:
        fleet = Fleet(dsn)
        fleet.set_up(days=1)
        fleet.load(0)
        if _settle(dsn, 0).booked_minor <= 0:
            raise RuntimeError("the first run booked nothing; expected an amount")
        again, alone, reading = interleaved(
            lambda: _settled_again(dsn, SHARE_PPM),
            lambda: _settled_again(dsn, 0),
            lambda: _read(dsn),
        )
    return [
        Figure(
            name, 1_000 * seconds, "ms", 1_000 * reading,
            "reading the same rows over the same connections", f"ratio under {AIM}",
            seconds / reading < AIM,
        )
        for name, seconds in (
            ("a re-run that changes nothing", again),
            ("the same without the oracle's second opinion", alone),
        )
    ]  # fmt: skip


def _settle(dsn: str, oracle_share_ppm: int) -> SettleSummary:
    return settle_period(
        dsn, day(0), clock=lambda: datetime.now(UTC), oracle_share_ppm=oracle_share_ppm
    )


def _settled_again(dsn: str, oracle_share_ppm: int) -> float:
    began = perf_counter()
    summary = _settle(dsn, oracle_share_ppm)
    seconds = perf_counter() - began
    if summary.revisions:
        raise RuntimeError(f"the re-run made {summary.revisions} revisions; expected none")
    return seconds


def _read(dsn: str) -> float:
    """The stretches that a run reads, each with what overlaps it on either side."""
    whole = day(0)
    began = perf_counter()
    with books.settling(dsn) as conn:
        known_at = fence.moment(conn, lambda: datetime.now(UTC))
        with open_readings(conn, dsn, known_at=known_at) as readings:
            start = whole.started_at
            while start < whole.ended_at:
                end = min(start + STRETCH, whole.ended_at)
                readings(Period(start - units.INTERVAL_MAX, end + units.INTERVAL_MAX))
                start = end
    return perf_counter() - began
