"""A program's calendar: to which local day an event belongs, and when that day is settled again.

A day goes from local midnight to local midnight and holds the events that end in it; one that ends at
midnight belongs to the day that ends then. A run is due so many local midnights after its day's end.
A capacity program settles seasons, so its days are the last days of its seasons.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from settlement.periods import Period
from settlement.programs import Product, Program, RunTerms, in_force
from settlement.seasons import governing, season_of
from settlement.timeline import Window
from storage.calendar import Ending

Programs = Mapping[str, Sequence[Program]]
"""All versions of each program, ascending by version, by name."""

_DAY: Final = timedelta(days=1)
_INSTANT: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Settled:
    """What is settled at once: an event, or a season of a capacity program.

    Attributes:
        event_id: of the event; the season's name for a season.
    """

    program: str
    event_id: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class ProgramDay:
    """One local day of one program.

    Attributes:
        period: from its midnight to the next.
        runs: the calendar of the version in force as the day begins, its last run final.
    """

    program: str
    day: date
    zone: ZoneInfo
    period: Period
    runs: tuple[RunTerms, ...]

    def due_at(self, run: RunTerms) -> datetime:
        """When a run over this day is due."""
        return _midnight(self.day + _DAY * (1 + run.after_days), self.zone)


@dataclass(frozen=True, slots=True)
class DueRun:
    """A run of a calendar whose time has come."""

    due_at: datetime
    day: ProgramDay
    terms: RunTerms


def settled_at_once(programs: Programs, events: Iterable[Window | Ending]) -> Iterator[Settled]:
    """What events lead to: each one to itself, those of a capacity program to their season."""
    seasons: set[tuple[str, str]] = set()
    for event in events:
        versions = programs.get(event.program)
        if not versions:
            continue
        program = governing(versions, event.started_at)
        if program.product is not Product.CAPACITY:
            yield Settled(event.program, event.event_id, event.started_at, event.ended_at)
            continue
        season = season_of(program, event.started_at)
        if (event.program, season.name) not in seasons:
            seasons.add((event.program, season.name))
            yield Settled(event.program, season.name, season.started_at, season.ended_at)


def day_of(programs: Programs, settled: Settled) -> ProgramDay:
    """The day of an event or season, by the local time of the version in force as it starts."""
    versions = programs[settled.program]
    zone = in_force(versions, settled.started_at).timezone
    day = (settled.ended_at - _INSTANT).astimezone(zone).date()
    period = Period(_midnight(day, zone), _midnight(day + _DAY, zone))
    runs = in_force(versions, period.started_at).runs
    return ProgramDay(settled.program, day, zone, period, runs)


def closed(
    programs: Programs, settled: Iterable[Settled], done: Collection[tuple[str, date, str]]
) -> frozenset[tuple[str, str]]:
    """(program, event_id) of what has had its final run."""
    return frozenset(
        (one.program, one.event_id)
        for one in settled
        if (one.program, (day := day_of(programs, one)).day, day.runs[-1].name) in done
    )


def deferred(
    programs: Programs,
    settled: Iterable[Settled],
    done: Collection[tuple[str, date, str]],
) -> frozenset[tuple[str, str]]:
    """(program, event_id) of what the calendar's first run has yet to book.

    A program whose first run comes after no days at all is booked as soon as it is settled.
    """
    waiting = []
    for one in settled:
        day = day_of(programs, one)
        first = day.runs[0]
        if first.after_days > 0 and (one.program, day.day, first.name) not in done:
            waiting.append((one.program, one.event_id))
    return frozenset(waiting)


def due(
    programs: Programs,
    settled: Iterable[Settled],
    done: Collection[tuple[str, date, str]],
    now: datetime,
) -> list[DueRun]:
    """Runs whose time has come and that are not done, the oldest first."""
    days = {(day.program, day.day): day for day in (day_of(programs, one) for one in settled)}
    found = [
        DueRun(day.due_at(terms), day, terms)
        for day in days.values()
        for terms in day.runs
        if day.due_at(terms) <= now and (day.program, day.day, terms.name) not in done
    ]
    return sorted(found, key=lambda one: (one.due_at, one.day.program, one.day.day))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), tzinfo=zone).astimezone(UTC)
