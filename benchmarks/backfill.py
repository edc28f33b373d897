"""Days settled one after the other by one process: its memory must not grow with their number.

A year of 1,000 vehicles at 15 s is 2.1 thousand million readings, more than a bench can load. What is
measured here is a few days of which a run's heaviest stretch is as full as in a year; that a year needs
no more memory follows from the peak of each day being that of the day before, and how long it takes
from the rate.
"""

import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks.figure import Figure
from benchmarks.stored import STEP, VEHICLES, Fleet, database, day
from tasks.settle import settle_period

DAYS: Final = 3
AIM_MIB: Final = 1_024
AIM_GROWTH: Final = 1.05
DEADLINE_S: Final = 900
YEAR_OF_READINGS: Final = VEHICLES * 365 * 86_400 // STEP.seconds


def run() -> Sequence[Figure]:
    """Load, then settle in a child process, so that its peak memory is that of settling alone."""
    with database("backfill") as dsn:
        fleet = Fleet(dsn)
        fleet.set_up(DAYS)
        rows = [fleet.load(number) for number in range(DAYS)]
        out = subprocess.run(
            (sys.executable, "-m", "benchmarks.backfill", dsn, str(DAYS)),
            capture_output=True,
            text=True,
            check=True,
            timeout=DEADLINE_S,
        ).stdout
    seconds, peaks = zip(
        *((float(word) for word in line.split()) for line in out.splitlines()), strict=True
    )
    per_second = sum(rows[1:]) / sum(seconds[1:])
    growth = max(later / earlier for earlier, later in pairwise(peaks[1:]))
    return [
        Figure(
            f"backfill of {DAYS} days, {sum(rows):,} readings: peak memory", max(peaks), "MiB",
            AIM_MIB, "the aim", f"under {AIM_MIB:,} MiB", max(peaks) < AIM_MIB,
        ),
        Figure(
            "backfill: peak memory of the last day", peaks[-1], "MiB", peaks[1],
            "that of the second day", f"no day over {AIM_GROWTH} of the day before",
            growth <= AIM_GROWTH,
        ),
        Figure(
            "backfill: a year at that rate, extrapolated", YEAR_OF_READINGS / per_second / 3600,
            "h", None, f"{YEAR_OF_READINGS:,} readings at {per_second:,.0f}/s", "-", met=True,
        ),
    ]  # fmt: skip


def main(dsn: str, days: int) -> None:
    """Settle and book day by day; print of each the seconds and the peak memory in MiB."""
    for number in range(days):
        _forget_peak()
        began = perf_counter()
        summary = settle_period(dsn, day(number), clock=lambda: datetime.now(UTC))
        seconds = perf_counter() - began
        if summary.booked_minor <= 0:
            raise RuntimeError(f"day {number} booked {summary.booked_minor}; expected an amount")
        sys.stdout.write(f"{seconds} {_peak_mib()}\n")


def _forget_peak() -> None:
    """Let the kernel count this process's peak memory anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text("ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
