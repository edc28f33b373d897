"""Seasons: when a program pays, by its own local clock, as half-open intervals of UTC.

Local times are turned into UTC by the zone's rules of that day, so a season's hours stay its hours
across clock changes. A local time that a clock change skips counts as the moment of the change, one
that occurs twice as its first occurrence.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from settlement.periods import Period
from settlement.programs import Product, Program, in_force

_MONTHS = 12
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class SeasonSpan:
    """One season: consecutive months of the program, from local midnight to local midnight.

    Attributes:
        year: of its first day.
        name: ``season-2026``; with the first month where a program has several seasons a year.
    """

    year: int
    name: str
    started_at: datetime
    ended_at: datetime


def season_of(program: Program, at: datetime) -> SeasonSpan:
    """The season that holds a time, or, where the time lies in none, the one before it."""
    months = program.season.months
    local = at.astimezone(program.timezone)
    starts = sorted(m for m in months if (m - 2) % _MONTHS + 1 not in months) or [1]
    year, month = next(
        (year, month)
        for year in (local.year, local.year - 1)
        for month in reversed(starts)
        if (year, month) <= (local.year, local.month)
    )
    length = 1
    while length < _MONTHS and (month - 1 + length) % _MONTHS + 1 in months:
        length += 1
    end_year, end_month = divmod(year * _MONTHS + month - 1 + length, _MONTHS)
    name = f"season-{year}" if len(starts) == 1 else f"season-{year}-{month:02}"
    return SeasonSpan(
        year,
        name,
        _utc(date(year, month, 1), 0, program.timezone),
        _utc(date(end_year, end_month + 1, 1), 0, program.timezone),
    )


def governing(versions: Sequence[Program], event_started_at: datetime) -> Program:
    """The version that an event follows: the one in force as it starts; where that is a capacity
    program, the one in force as its season starts, so that a season has one set of rules.
    """
    version = in_force(versions, event_started_at)
    if version.product is Product.CAPACITY:
        return in_force(versions, season_of(version, event_started_at).started_at)
    return version


def pays_always(program: Program) -> bool:
    """Whether the program pays at any time of any day."""
    season = program.season
    return (
        len(season.months) == _MONTHS
        and len(season.weekdays) == 7  # noqa: PLR2004 - days of a week
        and not season.holidays
        and season.starts_us == 0
        and timedelta(microseconds=season.ends_us) == _DAY
    )


def paid_spans(program: Program, within: Period) -> Iterator[Period]:
    """The times inside a period in which the program pays, ascending, day by day."""
    season, zone = program.season, program.timezone
    day = within.started_at.astimezone(zone).date()
    last = within.ended_at.astimezone(zone).date()
    while day <= last:
        if (
            day.month in season.months
            and day.weekday() in season.weekdays
            and day not in season.holidays
        ):
            start = max(_utc(day, season.starts_us, zone), within.started_at)
            end = min(_utc(day, season.ends_us, zone), within.ended_at)
            if start < end:
                yield Period(start, end)
        day += _DAY


def _utc(day: date, after_midnight_us: int, zone: ZoneInfo) -> datetime:
    """A local time of day in UTC. Adding to a time without its zone counts by the wall clock."""
    wall = datetime.combine(day, time()) + timedelta(microseconds=after_midnight_us)
    return wall.replace(tzinfo=zone).astimezone(UTC)
