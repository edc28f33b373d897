"""Times in text: with an offset, or local times of a zone that the feed's configuration names.

In autumn an hour of local time happens twice, in spring one does not happen. The first is refused
unless it is said which one is meant (``fold``: 0 the first, 1 the second; PEP 495); the second always.
"""

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from settlement import units

__all__ = ["moment"]

_TIME: Final = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?", re.ASCII
)


def moment(text: str, *, zone: ZoneInfo | None, fold: int | None = None) -> datetime:
    """A time in UTC.

    Args:
        text: ISO 8601, such as 2026-07-01T17:00:00Z, or 2026-07-01 17:00 where ``zone`` is given.
        zone: of times without an offset; None: they are refused.
        fold: which of two equal local times is meant; None: not said.

    Raises:
        ValueError: the message says what was expected.

    >>> moment("2026-11-01 01:30", zone=ZoneInfo("America/New_York"), fold=1).isoformat()
    '2026-11-01T06:30:00+00:00'
    >>> moment("2026-07-01T12:00:00-05:00", zone=None).isoformat()
    '2026-07-01T17:00:00+00:00'
    """
    shape = "a time such as 2026-07-01T17:00:00Z"
    if not _TIME.fullmatch(text):
        raise ValueError(shape)
    try:
        said = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError(shape) from error
    if said.tzinfo is None:
        if zone is None:
            raise ValueError("a time with its offset, or timezone: in the feed's configuration")
        said = _local(said, zone, fold)
    try:
        found = said.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(shape) from error
    if not units.EARLIEST <= found < units.LATEST:
        raise ValueError(f"a time from {units.EARLIEST.year} to {units.LATEST.year}")
    return found


def _local(said: datetime, zone: ZoneInfo, fold: int | None) -> datetime:
    first, second = (said.replace(tzinfo=zone, fold=number) for number in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    if first.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != said:
        raise ValueError(f"a time that exists in {zone.key}: its clocks skip this one")
    if fold is None:
        raise ValueError(
            f"an offset ({first.isoformat()} or {second.isoformat()}), or in CSV a fold (0 the first,"
            f" 1 the second): this time happens twice in {zone.key}"
        )
    return second if fold else first
