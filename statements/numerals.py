"""Integers and times as they are read: exact decimals, in the program's local time."""

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

MINUS: Final = "\N{MINUS SIGN}"

_US_PLACES: Final = 6


def exact(value: int, places: int, *, least: int = 0) -> str:
    """An integer count of 10^-places as a decimal: without zeros at its end beyond ``least`` places.

    >>> exact(1_265_000, 6), exact(3_600_000, 6, least=3), exact(-5, 2), exact(7, 0)
    ('1.265', '3.600', '−0.05', '7')
    """
    digits = str(abs(value)).rjust(places + 1, "0")
    whole, fraction = (digits[:-places], digits[-places:]) if places else (digits, "")
    fraction = fraction[:least] + fraction[least:].rstrip("0")
    return f"{MINUS if value < 0 else ''}{int(whole):,}{'.' + fraction if fraction else ''}"


def seconds(duration_us: int) -> str:
    """A duration in µs as exact seconds.

    >>> seconds(3_600_000_000), seconds(1_500_000)
    ('3,600', '1.5')
    """
    return exact(duration_us, _US_PLACES)


def local(at: datetime, zone: ZoneInfo, *, day: bool = True) -> str:
    """A time by the local clock, with its offset; seconds only where there are any.

    >>> from datetime import UTC
    >>> local(datetime(2026, 7, 1, 17, 0, tzinfo=UTC), ZoneInfo("America/Los_Angeles"))
    '2026-07-01 10:00 −07:00'
    """
    there = at.astimezone(zone)
    if there.microsecond:
        clock = there.strftime("%H:%M:%S.%f")
    else:
        clock = there.strftime("%H:%M:%S") if there.second else there.strftime("%H:%M")
    offset = there.strftime("%z")
    ahead = f"{MINUS if offset[0] == '-' else '+'}{offset[1:3]}:{offset[3:5]}"
    return f"{there:%Y-%m-%d} {clock} {ahead}" if day else clock


def span(start: datetime, end: datetime, zone: ZoneInfo) -> str:
    """A half-open interval by the local clock: the day once where it ends within the next day.

    >>> from datetime import UTC, timedelta
    >>> noon = datetime(2026, 7, 1, 12, tzinfo=UTC)
    >>> span(noon, noon + timedelta(minutes=30), ZoneInfo("UTC"))
    '2026-07-01 12:00–12:30 +00:00'
    """
    first, last = start.astimezone(zone), end.astimezone(zone)
    same = first.date() == last.date() and first.utcoffset() == last.utcoffset()
    if not same:
        return f"{local(start, zone)} – {local(end, zone)}"
    day, clock, offset = local(start, zone).split(" ")
    return f"{day} {clock}–{local(end, zone, day=False)} {offset}"
