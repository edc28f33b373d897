"""Events and prices as plain JSON: bytes in, records out, or a refusal that names the place.

    {"events": [{event_id, program, started_at, ended_at, created_at, status,
                 primacy?, group?, cancelled_at?}],
     "prices": [{program, started_at, ended_at, price_per_kwh or price_per_mwh, currency, created_at?}]}

Digits come from text and become integers; a JSON number with a point is refused, because a reader
on the way may already have rounded it. One bad item does not keep the others out.
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final, TypeVar
from zoneinfo import ZoneInfo

from grid import prices as price_rules
from grid import strict_json
from grid.errors import FeedUnreadableError
from grid.prices import StatedPrice, Unit
from grid.records import EventSaid, PriceSaid, Refusal
from grid.times import moment
from settlement import units
from settlement.periods import EmptyPeriodError, Period
from settlement.windows import STATUSES

__all__ = ["EVENTS", "PRICES", "Item", "Reader", "event", "items", "price"]

EVENTS: Final = "events"
PRICES: Final = "prices"

_PRIMACY_MAX: Final = 2**31 - 1
"""IEEE 2030.5 has room for 255; others may count further."""
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_LOCAL: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Item:
    """One object of the feed, with the place where it stood."""

    where: str
    fields: Mapping[str, object]
    zone: ZoneInfo | None = None
    program: str | None = None
    """Where the item names none."""

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

    def of_program(self) -> str:
        """Our program of which it speaks."""
        if self.program is not None and not self.given("program"):
            return self.program
        return self.text("program")

    def whole(self, key: str, high: int) -> int:
        value = self.fields.get(key)
        if type(value) is not int or not 0 <= value <= high:
            raise self.refusal(key, f"a whole number from 0 to {high}")
        return value

    def time(self, key: str) -> datetime:
        """An RFC 3339 time, in UTC; without an offset only where the feed names a time zone."""
        expected = f"an RFC 3339 time with a zone, {units.EARLIEST.year} to {units.LATEST.year}"
        value = self.fields.get(key)
        if type(value) is not str:
            raise self.refusal(key, expected)
        local = self.zone is not None and _LOCAL.fullmatch(value)
        if not (local or _TIME.fullmatch(value)):
            raise self.refusal(key, expected)
        try:
            return moment(value, zone=self.zone)
        except ValueError as error:
            raise self.refusal(key, str(error) if local else expected) from error

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


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads bodies of one feed at one time, and keeps what it had to refuse.

    Attributes:
        feed: its name.
        received_at: when the bodies were received.
        zone: of times without an offset; None: they are refused.
        program: of items that name none; None: they are refused.
        refused: every item that could not be understood.
    """

    feed: str
    received_at: datetime
    zone: ZoneInfo | None = None
    program: str | None = None
    refused: list[Refusal] = field(default_factory=list)

    def events(self, body: bytes, *, optional: bool = False) -> list[EventSaid]:
        """The events of a body. Raises FeedUnreadableError where it is no such body at all."""
        source = sha256(body).digest()
        found = self._items(body, EVENTS, optional=optional)
        return list(self._understood(found, lambda one: event(one, self, source)))

    def prices(self, body: bytes, *, optional: bool = False) -> list[StatedPrice]:
        """The prices of a body. Raises FeedUnreadableError where it is no such body at all."""
        source = sha256(body).digest()
        found = self._items(body, PRICES, optional=optional)
        return list(self._understood(found, lambda one: price(one, self, source)))

    def _items(self, body: bytes, name: str, *, optional: bool) -> list[Item]:
        found = items(body, name, beside=(EVENTS, PRICES) if optional else ())
        return [Item(one.where, one.fields, self.zone, self.program) for one in found]

    def _understood(self, found: Sequence[Item], read: Callable[[Item], T]) -> Iterable[T]:
        for item in found:
            try:
                yield read(item)
            except FeedUnreadableError as error:
                self.refused.append(error.refusal)


def items(body: bytes, name: str, *, beside: Collection[str] = ()) -> list[Item]:
    """The items of ``{"<name>": [{…}, …]}``, in their order.

    Args:
        body: as received.
        name: of the list.
        beside: where the list may be missing, the lists of which one must be there.

    Raises:
        FeedUnreadableError: not strict JSON (RFC 8259, names unique, UTF-8), or not of that shape.
    """
    shape = f'a JSON object {{"{name}": [{{…}}, …]}}'
    feed = strict_json.parse(body, where=name, expected=shape)
    if isinstance(feed, dict) and name not in feed and any(other in feed for other in beside):
        return []
    if not isinstance(feed, dict) or not isinstance(feed.get(name), list):
        raise FeedUnreadableError(name, f"{type(feed).__name__} without a list {name!r}", shape)
    listed: Sequence[object] = feed[name]
    return [
        Item(f"{name}[{number}]", one if isinstance(one, dict) else {"item": one})
        for number, one in enumerate(listed)
    ]


def event(item: Item, reader: Reader, source: bytes) -> EventSaid:
    """One version of an event. Without a primacy it is 0, the highest; without a group it addresses
    all of its program. Raises FeedUnreadableError.
    """
    period = item.period()
    status = item.text("status")
    # A closed list: a misspelt cancellation must not leave an event in force unnoticed.
    if status not in STATUSES:
        raise item.refusal("status", f"one of {', '.join(sorted(STATUSES))}")
    return EventSaid(
        event_id=item.text("event_id"),
        program=item.of_program(),
        started_at=period.started_at,
        ended_at=period.ended_at,
        created_at=item.time("created_at"),
        status=status,
        document=item.document(),
        received_at=reader.received_at,
        primacy=item.whole("primacy", _PRIMACY_MAX) if item.given("primacy") else 0,
        site_group=item.text("group") if item.fields.get("group") not in (None, "") else "",
        cancelled_at=item.time("cancelled_at") if item.given("cancelled_at") else None,
        source=source,
        feed=reader.feed,
    )


def price(item: Item, reader: Reader, source: bytes) -> StatedPrice:
    """One version of a price, exact, in micros per kWh. Raises FeedUnreadableError."""
    period = item.period()
    unit = Unit.MWH if item.given("price_per_mwh") else Unit.KWH
    key = f"price_per_{unit.lower()}"
    if unit is Unit.MWH and item.given("price_per_kwh"):
        raise item.refusal("price_per_kwh", "one price: per kWh or per MWh, not both")
    digits = item.fields.get(key)
    if type(digits) is not str:
        raise item.refusal(key, price_rules.example(unit))
    try:
        micros = price_rules.micros_per_kwh(digits, unit)
    except ValueError as error:
        raise item.refusal(key, str(error)) from error
    try:
        currency = price_rules.currency(item.text("currency"))
    except ValueError as error:
        raise item.refusal("currency", str(error)) from error
    item.document()  # an item with anything else than plain values is not what was agreed
    return StatedPrice(
        item.where,
        PriceSaid(
            program=item.of_program(),
            started_at=period.started_at,
            ended_at=period.ended_at,
            price_micros_per_kwh=micros,
            currency=currency,
            digest=source,
            received_at=reader.received_at,
            feed=reader.feed,
        ),
        made_at=item.time("created_at") if item.given("created_at") else None,
    )
