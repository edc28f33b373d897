"""Kinds of values from the calendar: zones, times, hours of the day, days."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from settlement import units
from settlement.programs.errors import Place

US_PER_MINUTE: Final = 60_000_000
MINUTES_PER_HOUR: Final = 60
MINUTES_PER_DAY: Final = 24 * MINUTES_PER_HOUR

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_PARTS_OF_THE_WEEK: Final = {
    "all": frozenset(range(7)),
    "weekdays": frozenset(range(5)),
    "weekends": frozenset({5, 6}),
}
_HOLIDAYS_MAX: Final = 1_000
_NO_ZONES: Final = ("localtime", "posixrules", "posix/", "right/")
"""Beginnings of names that some machines know and others do not, or that count leap seconds."""
_MONTHS: Final = range(1, 13)


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone."""

    permitted: str = "a zone of the IANA time zone database, such as America/Los_Angeles"

    def read(self, found: object, place: Place) -> ZoneInfo:
        if not isinstance(found, str) or not 0 < len(found) <= units.ID_MAX_CHARS:
            raise place.error(found, self.permitted)
        if found.startswith(_NO_ZONES):
            raise place.error(found, self.permitted)
        try:
            return ZoneInfo(found)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            # A name that is a folder of the database ends as an OSError.
            raise place.error(found, self.permitted) from error


@dataclass(frozen=True, slots=True)
class Moment:
    """A time with an offset, as text or as YAML has read it; in UTC."""

    permitted: str = (
        "a time in ISO 8601 with an offset, from 2020 to 2099, such as 2026-05-01T00:00:00-07:00"
    )

    def read(self, found: object, place: Place) -> datetime:
        try:
            moment = datetime.fromisoformat(found) if isinstance(found, str) else found
            if not isinstance(moment, datetime) or moment.utcoffset() is None:
                raise place.error(found, self.permitted)
            moment = moment.astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise place.error(found, self.permitted) from error
        if not units.EARLIEST <= moment < units.LATEST:
            raise place.error(found, self.permitted)
        return moment


@dataclass(frozen=True, slots=True)
class Hours:
    """A half-open part of the day by the local clock, in µs after midnight."""

    permitted: str = (
        '["HH:MM", "HH:MM"], each in quotation marks, the first before the second, at most "24:00"'
    )

    def read(self, found: object, place: Place) -> tuple[int, int]:
        if not isinstance(found, list) or len(found) != len(("starts", "ends")):
            raise place.error(found, self.permitted)
        starts, ends = (self._minute(one, place.row(number)) for number, one in enumerate(found))
        if starts >= ends:
            raise place.error(found, self.permitted)
        return starts * US_PER_MINUTE, ends * US_PER_MINUTE

    @staticmethod
    def _minute(found: object, place: Place) -> int:
        if isinstance(found, int):
            raise place.error(
                found, '"HH:MM" in quotation marks: YAML reads an unquoted 16:00 as the number 960'
            )
        form = '"HH:MM" from "00:00" to "24:00"'
        if not isinstance(found, str):
            raise place.error(found, form)
        hour, colon, minute = found.partition(":")
        digits = hour + minute
        if (len(hour), colon, len(minute)) != (2, ":", 2) or not (
            digits.isascii() and digits.isdigit()
        ):
            raise place.error(found, form)
        of_day = int(hour) * MINUTES_PER_HOUR + int(minute)
        if int(minute) >= MINUTES_PER_HOUR or of_day > MINUTES_PER_DAY:
            raise place.error(found, form)
        return of_day


@dataclass(frozen=True, slots=True)
class Months:
    """Months of the year."""

    permitted: str = "a list of months from 1 to 12, at least one, none twice"

    def read(self, found: object, place: Place) -> frozenset[int]:
        if not isinstance(found, list) or not 0 < len(found) <= len(_MONTHS):
            raise place.error(found, self.permitted)
        months = set()
        for number, one in enumerate(found):
            if type(one) is not int or one not in _MONTHS or one in months:
                raise place.row(number).error(one, "a month from 1 to 12, none twice")
            months.add(one)
        return frozenset(months)


@dataclass(frozen=True, slots=True)
class Weekdays:
    """Days of the week, 0 for Monday."""

    permitted: str = f"all, weekdays, weekends, or a list of {', '.join(DAYS)}"

    def read(self, found: object, place: Place) -> frozenset[int]:
        if isinstance(found, str) and found in _PARTS_OF_THE_WEEK:
            return _PARTS_OF_THE_WEEK[found]
        if not isinstance(found, list) or not 0 < len(found) <= len(DAYS):
            raise place.error(found, self.permitted)
        days = set()
        for number, one in enumerate(found):
            if not isinstance(one, str) or one not in DAYS or DAYS.index(one) in days:
                raise place.row(number).error(one, f"one of {', '.join(DAYS)}, none twice")
            days.add(DAYS.index(one))
        return frozenset(days)


@dataclass(frozen=True, slots=True)
class Dates:
    """Local dates, as text or as YAML has read them."""

    permitted: str = f"a list of at most {_HOLIDAYS_MAX} dates such as 2026-07-03"

    def read(self, found: object, place: Place) -> frozenset[date]:
        if not isinstance(found, list) or len(found) > _HOLIDAYS_MAX:
            raise place.error(found, self.permitted)
        return frozenset(self._dates(found, place))

    @staticmethod
    def _dates(found: Sequence[object], place: Place) -> list[date]:
        dates = []
        for number, one in enumerate(found):
            wrong = place.row(number).error(one, "a date such as 2026-07-03")
            try:
                day = date.fromisoformat(one) if isinstance(one, str) else one
            except ValueError as error:
                raise wrong from error
            if not isinstance(day, date) or isinstance(day, datetime):
                raise wrong
            # Python reads weeks and dates without dashes too; one spelling is enough for a tariff.
            if isinstance(one, str) and one != day.isoformat():
                raise wrong
            dates.append(day)
        return dates
