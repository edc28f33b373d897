"""Prices: ``TariffProfile`` and what hangs below it (clause 10.5).

A price is one number in four documents: a profile says the currency and the power of ten, a component
which reading it is per, an interval from when to when, and a step below it the number itself.
``grid.sep2.price`` puts them together.
"""

from dataclasses import dataclass
from typing import Final

from grid.sep2.controls import Happening, happening
from grid.sep2.currencies import letters
from grid.sep2.fields import (
    INT32_MAX,
    POWER_OF_TEN_MAX,
    UINT8_MAX,
    UINT16_MAX,
    UINT48_MAX,
    Fields,
    Page,
    one,
    page,
)

__all__ = [
    "FORWARD",
    "REVERSE",
    "WATT_HOURS",
    "Component",
    "Interval",
    "Reading",
    "Step",
    "Tariff",
    "components",
    "intervals",
    "reading",
    "steps",
    "tariffs",
]

FORWARD: Final = 1
"""Flow to the customer: import."""

REVERSE: Final = 19
"""Flow received from the customer: export, the price of V2G."""

WATT_HOURS: Final = 72
"""Of ``uom`` (IEC 61968-9)."""

_MRID_MAX_BYTES: Final = 16
_TEXT_MAX_CHARS: Final = 1024


@dataclass(frozen=True, slots=True)
class Tariff:
    """One ``TariffProfile``.

    Attributes:
        currency: ISO 4217, three letters; empty: not said.
        power_of_ten: of every price below it.
        service: the kind of service, 0 electricity.
        components_href: where its ``RateComponentList`` is.
    """

    href: str
    mrid: str
    description: str
    currency: str
    power_of_ten: int
    primacy: int
    rate_code: str
    service: int
    components_href: str


@dataclass(frozen=True, slots=True)
class Component:
    """One ``RateComponent``: the prices per one kind of reading."""

    href: str
    mrid: str
    description: str
    reading_href: str
    intervals_href: str
    role_flags: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A ``ReadingType``: what a price is per.

    Attributes:
        uom: unit, 72: watt-hours.
        power_of_ten: of the unit, 3: kilo.
        flow: ``FORWARD``, ``REVERSE`` or another number of the standard.
        commodity: 1, 2: electricity; 0: not said.
    """

    href: str
    uom: int
    power_of_ten: int
    flow: int
    commodity: int


@dataclass(frozen=True, slots=True)
class Interval(Happening):
    """One ``TimeTariffInterval``: from when to when; its price is one document further.

    Attributes:
        tou_tier: its time-of-use tier; 0: none.
        steps_href: where its ``ConsumptionTariffIntervalList`` is.
    """

    tou_tier: int
    steps_href: str


@dataclass(frozen=True, slots=True)
class Step:
    """One ``ConsumptionTariffInterval``.

    Attributes:
        block: its consumption block; 0: none.
        number: ``price``, to be multiplied; None: it has none.
        start: consumption from which it holds.
    """

    href: str
    block: int
    number: int | None
    start: int


def tariffs(body: bytes, *, where: str) -> Page[Tariff]:
    """The profiles of a ``TariffProfileList``, or the one of a ``TariffProfile``.

    Raises:
        Sep2Error: the document as a whole cannot be read; an item that cannot be is in ``refused``. So
            of each function here.
    """
    return page(body, where=where, roots=["TariffProfileList"], item="TariffProfile", read=_tariff)


def components(body: bytes, *, where: str) -> Page[Component]:
    """The items of a ``RateComponentList``, or the one document."""
    return page(
        body, where=where, roots=["RateComponentList"], item="RateComponent", read=_component
    )


def reading(body: bytes, *, where: str) -> Reading:
    """A ``ReadingType``."""
    return one(body, where=where, root="ReadingType", read=_reading)


def intervals(body: bytes, *, where: str) -> Page[Interval]:
    """The items of a ``TimeTariffIntervalList``, or the one document."""
    return page(
        body,
        where=where,
        roots=["TimeTariffIntervalList"],
        item="TimeTariffInterval",
        read=_interval,
    )


def steps(body: bytes, *, where: str) -> Page[Step]:
    """The items of a ``ConsumptionTariffIntervalList``, or the one document."""
    return page(
        body,
        where=where,
        roots=["ConsumptionTariffIntervalList"],
        item="ConsumptionTariffInterval",
        read=_step,
    )


def _tariff(fields: Fields) -> Tariff:
    number = fields.whole("currency", low=0, high=UINT16_MAX, default=0)
    currency = letters(number)
    if currency is None:
        raise fields.error("currency", str(number), "a number of ISO 4217 in use")
    return Tariff(
        href=fields.href(""),
        mrid=fields.hexadecimal("mRID", bytes_max=_MRID_MAX_BYTES),
        description=fields.text("description", default="", longest=_TEXT_MAX_CHARS),
        currency=currency,
        power_of_ten=_power(fields, "pricePowerOfTenMultiplier"),
        primacy=fields.whole("primacy", low=0, high=UINT8_MAX),
        rate_code=fields.text("rateCode", default="", longest=_TEXT_MAX_CHARS),
        service=fields.whole("serviceCategoryKind", low=0, high=UINT8_MAX),
        components_href=fields.href("RateComponentListLink"),
    )


def _component(fields: Fields) -> Component:
    return Component(
        href=fields.href(""),
        mrid=fields.hexadecimal("mRID", bytes_max=_MRID_MAX_BYTES),
        description=fields.text("description", default="", longest=_TEXT_MAX_CHARS),
        reading_href=fields.href("ReadingTypeLink", default=None),
        intervals_href=fields.href("TimeTariffIntervalListLink", default=None),
        role_flags=fields.text("roleFlags", default=""),
    )


def _reading(fields: Fields) -> Reading:
    return Reading(
        href=fields.href(""),
        uom=fields.whole("uom", low=0, high=UINT8_MAX, default=0),
        power_of_ten=_power(fields, "powerOfTenMultiplier"),
        flow=fields.whole("flowDirection", low=0, high=UINT8_MAX, default=0),
        commodity=fields.whole("commodity", low=0, high=UINT8_MAX, default=0),
    )


def _interval(fields: Fields) -> Interval:
    return Interval(
        **happening(fields),
        tou_tier=fields.whole("touTier", low=0, high=UINT8_MAX, default=0),
        steps_href=fields.href("ConsumptionTariffIntervalListLink"),
    )


def _step(fields: Fields) -> Step:
    priced = fields.child("price") is not None
    return Step(
        href=fields.href(""),
        block=fields.whole("consumptionBlock", low=0, high=UINT8_MAX, default=0),
        number=fields.whole("price", low=-INT32_MAX - 1, high=INT32_MAX) if priced else None,
        start=fields.whole("startValue", low=0, high=UINT48_MAX, default=0),
    )


def _power(fields: Fields, name: str) -> int:
    return fields.whole(name, low=-POWER_OF_TEN_MAX, high=POWER_OF_TEN_MAX, default=0)
