"""Prices out of OpenADR 3.1 events: one price per interval, with unit and currency from a descriptor.

    event {id, createdDateTime, modificationDateTime, programID, priority?, intervalPeriod {start, duration},
           payloadDescriptors? [{payloadType, units, currency}],
           intervals [{id, intervalPeriod?, payloads [{type, values [0.17]}]}]}

Unit and currency never stand beside a value: they come from the event's descriptor of that payload, or
else from the program's; without one the event is refused. Intervals follow each other without a gap,
each as long as the event's ``intervalPeriod`` says, unless one brings its own. The special values of
the user guide, a start that means "now" and a duration that means "for ever", are no interval of a
price and are refused, as is a start that is randomised. Where events of one program overlap, the one of
better ``priority`` (the lower number; none is the lowest) counts; of equal ones the later reading.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from grid import prices as price_rules
from grid.errors import FeedUnreadableError
from grid.prices import StatedPrice, Unit
from grid.records import PriceSaid, Refusal
from grid.strict_json import Digits
from grid.times import moment
from settlement import units

__all__ = ["Told", "event_prices", "without_outranked"]

INTERVALS_MAX: Final = 10_000
"""A month of five minutes."""
_UNITS: Final = {"KWH": Unit.KWH, "MWH": Unit.MWH}
_DURATION: Final = re.compile(
    r"P(?:(\d{1,4})D)?(?:T(?=\d)(?:(\d{1,5})H)?(?:(\d{1,6})M)?(?:(\d{1,7})S)?)?", re.ASCII
)
_LOWEST: Final = 2**63

Fields = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Told:
    """A price, and the priority of the event that stated it."""

    priority: int
    price: StatedPrice


@dataclass(frozen=True, slots=True)
class _Event:
    where: str
    fields: Fields

    def refusal(self, key: str, found: object, expected: str) -> FeedUnreadableError:
        shown = "nothing" if found is None else repr(found)[:80]
        return FeedUnreadableError(f"{self.where}{key}", shown, expected)


def event_prices(
    event: Fields,
    *,
    where: str,
    program: str,
    payload: str,
    descriptors: Sequence[object],
    said: tuple[str, bytes, datetime],
) -> Iterator[Told | Refusal]:
    """The prices of one event; an interval that cannot be understood is refused and the others count.

    Args:
        event: the object as received, numbers as ``strict_json`` leaves them.
        where: it stood.
        program: of ours.
        payload: the type whose values are prices: EXPORT_PRICE or PRICE.
        descriptors: of the program, for events that bring none.
        said: name of the feed, digest of the document, time of receipt.

    Raises:
        FeedUnreadableError: nothing of the event can be used.
    """
    one = _Event(where, event)
    intervals = event.get("intervals")
    if not isinstance(intervals, list) or len(intervals) > INTERVALS_MAX:
        raise one.refusal(".intervals", type(intervals).__name__, f"at most {INTERVALS_MAX}")
    priority = event.get("priority")
    if priority is not None and (type(priority) is not int or not 0 <= priority < _LOWEST):
        raise one.refusal(".priority", priority, "a whole number from 0, or nothing")
    unit, currency = _descriptor(one, payload, descriptors)
    made_at = None
    for key in ("modificationDateTime", "createdDateTime"):
        if made_at is None and event.get(key) is not None:
            made_at = _time(one, f".{key}", event[key])
    default = _period(one, ".intervalPeriod", event.get("intervalPeriod"))
    follows: datetime | None = None if default is None else default[0]
    for number, interval in enumerate(intervals):
        place = _Event(f"{where}.intervals[{number}]", {})
        # Where one lies that cannot be understood, the next one starts somewhere, and nobody knows.
        before, follows = follows, None
        try:
            start, follows = _span(place, interval, default, before)
            digits = _value(place, interval, payload)
            if digits is None:
                continue
            price = PriceSaid(program, start, follows, _micros(place, digits, unit), currency,
                              digest=said[1], received_at=said[2], feed=said[0])  # fmt: skip
        except FeedUnreadableError as error:
            yield error.refusal
            continue
        stated = StatedPrice(place.where, price, made_at)
        yield Told(_LOWEST if priority is None else priority, stated)


def without_outranked(told: Iterable[Told]) -> tuple[list[StatedPrice], list[Refusal]]:
    """What stands where events of one program overlap: the better priority; the rest is named."""
    kept: list[StatedPrice] = []
    refused: list[Refusal] = []
    better: list[tuple[datetime, datetime]] = []
    ranked = sorted(told, key=lambda one: one.priority)
    for priority in sorted({one.priority for one in ranked}):
        level = [one.price for one in ranked if one.priority == priority]
        standing = []
        for stated in level:
            price = stated.price
            # Of spans that do not overlap the one that could is the last to start before our end.
            place = bisect_left(better, (price.ended_at,)) - 1
            if place >= 0 and better[place][1] > price.started_at:
                start, end = better[place]
                found = f"priority {priority}, and a better one {start.isoformat()} to {end.isoformat()}"
                refused.append(Refusal(stated.where, found, "a time that no better event prices"))
            else:
                standing.append(stated)
        kept.extend(standing)
        better = _merged(better, standing)
    return kept, refused


def _merged(
    spans: Sequence[tuple[datetime, datetime]], stated: Iterable[StatedPrice]
) -> list[tuple[datetime, datetime]]:
    more = [(one.price.started_at, one.price.ended_at) for one in stated]
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted([*spans, *more]):
        if merged and start <= merged[-1][1]:
            first, last = merged.pop()
            merged.append((first, max(last, end)))
        else:
            merged.append((start, end))
    return merged


def _descriptor(one: _Event, payload: str, of_program: Sequence[object]) -> tuple[Unit, str]:
    own = one.fields.get("payloadDescriptors")
    for descriptor in [*(own if isinstance(own, list) else ()), *of_program]:
        if isinstance(descriptor, dict) and descriptor.get("payloadType") == payload:
            unit = descriptor.get("units")
            if unit not in _UNITS:
                raise one.refusal(f": units of {payload}", unit, " or ".join(_UNITS))
            try:
                return _UNITS[str(unit)], price_rules.currency(str(descriptor.get("currency")))
            except ValueError as error:
                found = descriptor.get("currency")
                raise one.refusal(f": currency of {payload}", found, str(error)) from error
    expected = (
        f"a payload descriptor of {payload} with its units and currency, here or in the program"
    )
    raise one.refusal(".payloadDescriptors", None, expected)


def _span(
    place: _Event,
    interval: object,
    default: tuple[datetime, timedelta | None] | None,
    follows: datetime | None,
) -> tuple[datetime, datetime]:
    if not isinstance(interval, dict):
        raise place.refusal("", interval, "an object")
    own = _period(place, ".intervalPeriod", interval.get("intervalPeriod"))
    start = own[0] if own else follows
    length = (own[1] if own else None) or (default[1] if default else None)
    if start is None or length is None:
        expected = "a start and a duration, here or of the event; or one before it that has both"
        raise place.refusal(".intervalPeriod", None, expected)
    if length > units.LATEST - start:
        found = f"{length} from {start.isoformat()} on"
        raise place.refusal(".intervalPeriod", found, f"an end before {units.LATEST.year}")
    return start, start + length


def _period(place: _Event, key: str, period: object) -> tuple[datetime, timedelta | None] | None:
    if period is None:
        return None
    if not isinstance(period, dict):
        raise place.refusal(key, period, "an object with a start and a duration")
    if period.get("randomizeStart") not in (None, "PT0S"):
        found = period["randomizeStart"]
        raise place.refusal(
            f"{key}.randomizeStart", found, "none: a price holds from one moment on"
        )
    start = _time(place, f"{key}.start", period.get("start"))
    said = period.get("duration")
    if said is None:
        return start, None
    found = _DURATION.fullmatch(said) if isinstance(said, str) else None
    days, hours, minutes, seconds = (
        (int(part or 0) for part in found.groups()) if found else (0,) * 4
    )
    length = timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not length:
        raise place.refusal(
            f"{key}.duration", said, "days, hours, minutes and seconds, such as PT5M"
        )
    return start, length


def _time(place: _Event, key: str, found: object) -> datetime:
    try:
        return moment(found if isinstance(found, str) else "", zone=None)
    except ValueError as error:
        raise place.refusal(key, found, str(error)) from error


def _value(place: _Event, interval: Mapping[str, object], payload: str) -> str | None:
    """The digits of an interval's price; None where it states none of this payload."""
    payloads = interval.get("payloads")
    if not isinstance(payloads, list):
        raise place.refusal(".payloads", payloads, "a list")
    found = [one for one in payloads if isinstance(one, dict) and one.get("type") == payload]
    if not found:
        return None
    values = found[0].get("values")
    if len(found) > 1 or not isinstance(values, list) or len(values) != 1:
        raise place.refusal(f".payloads: {payload}", values, "one value, once")
    value = values[0]
    if not isinstance(value, Digits) and type(value) is not int:
        raise place.refusal(f".payloads: {payload}", value, "a number")
    return str(value)


def _micros(place: _Event, digits: str, unit: Unit) -> int:
    try:
        return price_rules.micros_per_kwh(digits, unit)
    except ValueError as error:
        raise place.refusal(".payloads", digits, str(error)) from error
