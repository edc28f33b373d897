"""Which event of a period is drawn, and what the database knows of it.

Of each program one: the last of its events that touch the period, and rather one that counts than one
that was cancelled. The others are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from settlement.periods import Period, floor
from settlement.programs import Program, in_force
from settlement.windows import Window, effective
from storage.engine import Connection
from storage.grid import load_prices
from storage.power_curves import BUCKETS_MAX, power_curve
from storage.registry import load_programs
from storage.windows import load_competing, load_windows
from tasks.pages.curves import longest, power_steps, price_steps
from tasks.pages.picture import Scene

PROGRAMS_MAX: Final = 4
"""So many programs get a picture from one run."""

_MARGIN_SHARE: Final = 4
_MARGIN_MIN: Final = timedelta(minutes=5)
_MARGIN_MAX: Final = timedelta(hours=1)
_STEPS: Final = (
    *(timedelta(seconds=seconds) for seconds in (15, 30, 60, 120, 300, 900)),
    *(timedelta(hours=hours) for hours in (1, 3, 24)),
)


@dataclass(frozen=True)
class Drawn:
    """An event to be drawn.

    Attributes:
        others: how many more events of its program touch the period.
    """

    program: str
    event_id: str
    scene: Scene
    others: int


def events_of(conn: Connection, period: Period, *, known_at: datetime) -> list[Drawn]:
    """What is drawn of a period: at most one event of each program, of ``PROGRAMS_MAX`` programs.

    Args:
        conn: as v2g_read.
        period: of the run.
        known_at: what was known by then counts.

    Raises:
        ProgramError: a stored program cannot be used.
    """
    programs = load_programs(conn, known_at=known_at)
    windows = sorted(
        (one for one in load_windows(conn, period, known_at=known_at) if one.program in programs),
        key=lambda one: one.program,
    )
    drawn = []
    for name, touching in groupby(windows, key=lambda one: one.program):
        every = list(touching)
        last = max(every, key=lambda one: (one.certain is not None, one.started_at, one.event_id))
        terms = in_force(programs[name], last.started_at)
        drawn.append(
            Drawn(name, last.event_id, _scene(conn, last, terms, known_at), len(every) - 1)
        )
    return drawn[:PROGRAMS_MAX]


def _scene(conn: Connection, window: Window, terms: Program, known_at: datetime) -> Scene:
    interval = Period(window.started_at, window.ended_at)
    shown = _with_margin(interval)
    step = longest(shown, _STEPS, BUCKETS_MAX)
    buckets = power_curve(conn, window.program, shown, step, known_at=known_at)
    return Scene(
        title=f"{window.program}: event {window.event_id}",
        zone=terms.timezone,
        shown=shown,
        power=power_steps(buckets, shown, step),
        price=price_steps(load_prices(conn, shown, known_at=known_at), window.program, shown),
        currency=terms.currency,
        event=interval,
        effective=_effective(window, load_competing(conn, interval, known_at=known_at)),
    )


def _with_margin(interval: Period) -> Period:
    """The event with something before and after it, in whole minutes."""
    margin = (interval.ended_at - interval.started_at) // _MARGIN_SHARE
    margin = min(max(margin, _MARGIN_MIN), _MARGIN_MAX)
    minute = timedelta(minutes=1)
    start = floor(interval.started_at - margin, minute)
    end = floor(interval.ended_at + margin, minute)
    return Period(start, end if end == interval.ended_at + margin else end + minute)


def _effective(window: Window, competing: Sequence[Window]) -> list[Period]:
    """When it counts for the devices that it addresses, as far as its own program's events go."""
    rivals = [
        one
        for one in competing
        if one.program == window.program and one.group in ("", window.group)
    ]
    return [
        Period(one.started_at, one.ended_at)
        for one in effective(rivals)
        if one.event_id == window.event_id
    ]
