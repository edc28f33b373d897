"""Decode the utility's feed: bytes in, rows out, or a refusal that names the place.

Digits come from text and become integers; a JSON number with a point is refused, because a reader
on the way may already have rounded it.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, NoReturn

from settlement import units
from settlement.decimals import decimal_text
from settlement.periods import EmptyPeriodError, Period
from storage.grid import EventRow, PriceRow

STATUSES: Final = frozenset({"scheduled", "active", "completed", "cancelled", "superseded"})
"""What an event's status may be. A closed list: a misspelt cancellation must not leave an event in
force unnoticed."""

_WHOLE_DIGITS: Final = 20
_PRIMACY_MAX: Final = 2**31 - 1
"""IEEE 2030.5 has room for 255; others may count further."""
_PRICE_PLACES: Final = 6
_PRICE_EXAMPLE: Final = 'a decimal as text, such as "0.42000", with at most 6 places'
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)


class GridFeedError(Exception):
    """Root of what goes wrong with the utility's feed; the tree stands in ``tasks.grid``."""


class FeedUnreadableError(GridFeedError):
    """Not what was agreed: ``where`` it stood, what was ``found``, what was ``expected``."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


class _Digits(str):
    """A JSON number with a point or an exponent, as it was written."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Item:
    """One object of the feed, with the place where it stood."""

    where: str
    fields: Mapping[str, object]

    def refusal(self, key: str, expected: str) -> FeedUnreadableError:
        found = repr(self.fields[key])[:80] if key in self.fields else "nothing"
        return FeedUnreadableError(f"{self.where}.{key}", found, expected)

    def text(self, key: str) -> str:
        value = self.fields.get(key)
        if (
            type(value) is not str
            or not 0 < len(value) <= units.ID_MAX_CHARS
            or not value.isprintable()
        ):
            raise self.refusal(key, f"text of 1 to {units.ID_MAX_CHARS} printable characters")
        return value

    def given(self, key: str) -> bool:
        """Whether an optional field says anything; null says nothing."""
        return self.fields.get(key) is not None

    def whole(self, key: str, high: int) -> int:
        value = self.fields.get(key)
        if type(value) is not int or not 0 <= value <= high:
            raise self.refusal(key, f"a whole number from 0 to {high}")
        return value

    def time(self, key: str) -> datetime:
        """An RFC 3339 time, in UTC."""
        expected = f"an RFC 3339 time with a zone, {units.EARLIEST.year} to {units.LATEST.year}"
        value = self.fields.get(key)
        if type(value) is not str or not _TIME.fullmatch(value):
            raise self.refusal(key, expected)
        try:
            moment = datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError) as error:
            raise self.refusal(key, expected) from error
        if not units.EARLIEST <= moment < units.LATEST:
            raise self.refusal(key, expected)
        return moment

    def period(self) -> Period:
        """``started_at`` and ``ended_at`` as a half-open period."""
        try:
            return Period(self.time("started_at"), self.time("ended_at"))
        except EmptyPeriodError as error:
            raise self.refusal("ended_at", "a time after started_at") from error

    def document(self) -> bytes:
        """The item alone, keys sorted: its digest changes only when it says something else."""
        for key, value in self.fields.items():
            if type(value) not in {str, int, bool, type(None)}:
                raise self.refusal(key, "text, a whole number, true, false or null")
        return json.dumps(self.fields, sort_keys=True, separators=(",", ":")).encode("ascii")


def items(body: bytes, name: str) -> list[Item]:
    """The items of ``{"<name>": [{…}, …]}``, in their order.

    Raises:
        FeedUnreadableError: not strict JSON (RFC 8259, names unique, UTF-8), or not of that shape.
    """

    def unreadable(found: str) -> FeedUnreadableError:
        return FeedUnreadableError(name, found, f'a JSON object {{"{name}": [{{…}}, …]}}')

    def refuse_constant(word: str) -> NoReturn:
        raise unreadable(word)

    try:
        feed = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique_names,
            parse_constant=refuse_constant,
            parse_float=_Digits,
            parse_int=_whole,
        )
    except (ValueError, RecursionError) as error:
        raise unreadable(f"no JSON ({str(error)[:200]})") from error
    if not isinstance(feed, dict) or not isinstance(feed.get(name), list):
        raise unreadable(f"{type(feed).__name__} without a list {name!r}")
    listed: Sequence[object] = feed[name]
    return [
        Item(f"{name}[{number}]", one if isinstance(one, dict) else {"item": one})
        for number, one in enumerate(listed)
    ]


def event_row(item: Item, received_at: datetime) -> EventRow:
    """One version of an event. Without a primacy it is 0, the highest; without a group it addresses
    all of its program. Raises FeedUnreadableError.
    """
    period = item.period()
    status = item.text("status")
    if status not in STATUSES:
        raise item.refusal("status", f"one of {', '.join(sorted(STATUSES))}")
    return EventRow(
        event_id=item.text("event_id"),
        program=item.text("program"),
        started_at=period.started_at,
        ended_at=period.ended_at,
        created_at=item.time("created_at"),
        status=status,
        document=item.document(),
        received_at=received_at,
        primacy=item.whole("primacy", _PRIMACY_MAX) if item.given("primacy") else 0,
        site_group=item.text("group") if item.fields.get("group") not in (None, "") else "",
        cancelled_at=item.time("cancelled_at") if item.given("cancelled_at") else None,
    )


def price_row(item: Item, received_at: datetime) -> PriceRow:
    """One version of a price, exact, in micros per kWh. Raises FeedUnreadableError."""
    period = item.period()
    digits = item.fields.get("price_per_kwh")
    if type(digits) is not str:
        raise item.refusal("price_per_kwh", _PRICE_EXAMPLE)
    try:
        micros = decimal_text(digits, _PRICE_PLACES)
    except ValueError as error:
        raise item.refusal("price_per_kwh", _PRICE_EXAMPLE) from error
    if abs(micros) > units.PRICE_MAX_MICROS_PER_KWH:
        limit = units.PRICE_MAX_MICROS_PER_KWH // units.MICROS_PER_UNIT
        raise item.refusal("price_per_kwh", f"at most {limit} per kWh, either sign")
    currency = item.text("currency")
    if not _CURRENCY.fullmatch(currency):
        raise item.refusal("currency", "an ISO 4217 code, such as USD")
    return PriceRow(
        program=item.text("program"),
        started_at=period.started_at,
        ended_at=period.ended_at,
        price_micros_per_kwh=micros,
        currency=currency,
        digest=sha256(item.document()).digest(),
        received_at=received_at,
    )


def _unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a name twice in one object")
    return fields


def _whole(digits: str) -> int:
    if len(digits) > _WHOLE_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)
