"""The earlier days with which an event is compared, by the program's local clock.

A day is named by the local date on which the event's hours begin on it. It is compared over the same
hours of the local clock, which clock changes move in UTC. A day on which these hours are cut by a
clock change, begin in an hour that the change skips, or in one that it repeats, is none that could
be compared; and an event during which the clock changes has no like day at all.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from settlement.periods import Period
from settlement.programs import LikeDays, Program
from settlement.timeline import Window

_DAY: Final = timedelta(days=1)
_INSTANT: Final = timedelta(microseconds=1)
_SATURDAY: Final = 5
_SUNDAY: Final = 6

EventDays = Mapping[date, frozenset[str]]
"""The local dates that events have touched, with the ids of those events."""


@dataclass(frozen=True, slots=True)
class Day:
    """One earlier day: its local date, and the event's hours on it."""

    on: date
    period: Period


def event_days(windows: Iterable[Window], program: Program) -> EventDays:
    """The local dates on which events of the program were in force at any time."""
    days: dict[date, set[str]] = defaultdict(set)
    for window in windows:
        if window.program == program.program and window.started_at < window.until:
            for on in _dates(window.started_at, window.until, program.timezone):
                days[on].add(window.event_id)
    return {on: frozenset(events) for on, events in days.items()}


def compared(window: Window, program: Program, events: EventDays) -> list[Day]:
    """The days with which a window is compared, the latest first.

    From the day before the event ``search_days`` back, the days that are like it (``LikeDays``; the
    season's holidays count as Sundays). Left out are days whose hours had not ended as the event
    began or as its notice was given, because what is measured after the notice can be shaped by it;
    and, where the program says so, days whose hours touch a date of another event.
    """
    terms, zone = program.baseline, program.timezone
    told = min(window.told_at, window.started_at)
    days = []
    for back in range(1, terms.search_days + 1):
        day = _earlier(window, back, zone)
        if day is None or day.period.ended_at > told:
            continue
        if not _alike(day.on, window.started_at.astimezone(zone).date(), program):
            continue
        touched = _dates(day.period.started_at, day.period.ended_at, zone)
        if terms.exclude_event_days and any(
            events.get(on, frozenset()) - {window.event_id} for on in touched
        ):
            continue
        days.append(day)
    return days


def _alike(day: date, event_day: date, program: Program) -> bool:
    one, other = (
        _SUNDAY if on in program.season.holidays else on.weekday() for on in (day, event_day)
    )
    match program.baseline.like:
        case LikeDays.ALL:
            return True
        case LikeDays.WEEKDAY:
            return one == other
        case LikeDays.WEEKPART:
            return (one >= _SATURDAY) == (other >= _SATURDAY)


def _earlier(window: Window, back: int, zone: ZoneInfo) -> Day | None:
    """The event's hours by the local clock so many days before; None where a clock change meddles."""
    local_start = window.started_at.astimezone(zone)
    if local_start.utcoffset() != _offset(window.ended_at - _INSTANT, zone):
        return None
    clock = local_start.replace(tzinfo=None) - back * _DAY
    start, second = (clock.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    end = start + (window.ended_at - window.started_at)
    # The two folds of a clock time differ where it is skipped and where it occurs twice.
    if start != second or _offset(start, zone) != _offset(end - _INSTANT, zone):
        return None
    return Day(clock.date(), Period(start, end))


def _offset(moment: datetime, zone: ZoneInfo) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


def _dates(start: datetime, end: datetime, zone: ZoneInfo) -> Sequence[date]:
    """The local dates that a half-open interval touches."""
    first = start.astimezone(zone).date()
    last = (end - _INSTANT).astimezone(zone).date()
    return [first + n * _DAY for n in range((last - first).days + 1)]
