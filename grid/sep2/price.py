"""One price of energy, from the documents that say it: exact, or none."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

from grid.records import Refusal
from grid.sep2.errors import Sep2Error
from grid.sep2.fields import Page
from grid.sep2.tariffs import WATT_HOURS, Component, Interval, Reading, Step, Tariff
from settlement import units

__all__ = ["TariffPrice", "chosen", "micros_per_kwh", "price"]

_KILO: Final = 3
_MICROS: Final = 6


@dataclass(frozen=True, slots=True)
class TariffPrice:
    """A price of a half-open interval, put together.

    Attributes:
        tariff: mRID of its profile, and so of ``component`` and ``interval``.
        micros_per_kwh: millionths of the currency unit per kWh, exact.
        cancelled_at: since when it is out of force.
        raw: canonical bytes of the interval; the number itself stands in the steps' document.
    """

    tariff: str
    component: str
    interval: str
    flow: int
    currency: str
    micros_per_kwh: int
    started_at: datetime
    ended_at: datetime
    created_at: datetime
    version: int
    cancelled_at: datetime | None
    raw: bytes


def price(
    tariff: Tariff,
    component: Component,
    reading: Reading,
    interval: Interval,
    steps: Page[Step],
    *,
    where: str,
) -> TariffPrice:
    """One price of energy from its four documents.

    Args:
        tariff: says the currency and the power of ten.
        component: of that tariff.
        reading: that of the component: what the price is per.
        interval: of that component.
        steps: all steps of the interval.
        where: the address or file of the interval, for messages.

    Raises:
        Sep2Error: no price of energy, no currency, no number or several, or a number that is no whole
            count of micros per kWh or out of bounds. What is not exact is not rounded.
    """
    if reading.uom != WATT_HOURS:
        raise Sep2Error(where, f"a price per uom {reading.uom}", f"per watt-hour, {WATT_HOURS}")
    if not tariff.currency:
        raise Sep2Error(where, "a tariff without a currency", "its number of ISO 4217")
    if steps.errors:
        raise Sep2Error(where, str(steps.errors[0]), "steps that can all be read")
    if len(steps.items) != 1 or steps.all > 1:
        raise Sep2Error(
            where,
            f"{max(len(steps.items), steps.all)} steps of consumption",
            "one: which of several holds depends on a customer's consumption",
        )
    step = steps.items[0]
    if step.start or step.number is None:
        raise Sep2Error(
            where,
            f"a step from {step.start} on" if step.start else "a step without a price",
            "a price from the first watt-hour on",
        )
    return TariffPrice(
        tariff=tariff.mrid,
        component=component.mrid,
        interval=interval.mrid,
        flow=reading.flow,
        currency=tariff.currency,
        micros_per_kwh=micros_per_kwh(
            step.number, tariff.power_of_ten, reading.power_of_ten, where=where
        ),
        started_at=interval.started_at,
        ended_at=interval.ended_at,
        created_at=interval.created_at,
        version=interval.version,
        cancelled_at=interval.cancelled_at,
        raw=interval.raw,
    )


def micros_per_kwh(number: int, power: int, reading_power: int, *, where: str) -> int:
    """``number`` times 10 to the ``power`` per 10 to the ``reading_power`` watt-hours.

    >>> micros_per_kwh(2145, -4, 3, where="")
    214500

    Raises:
        Sep2Error: no whole number of micros, or beyond the bound of a price.
    """
    exact = Decimal(number).scaleb(power + _MICROS + _KILO - reading_power)
    said = f"{number} times ten to the {power} per ten to the {reading_power} watt-hours"
    if exact != exact.to_integral_value():
        raise Sep2Error(where, said, "a whole number of millionths per kWh")
    if abs(exact) > units.PRICE_MAX_MICROS_PER_KWH:
        most = units.PRICE_MAX_MICROS_PER_KWH // units.MICROS_PER_UNIT
        raise Sep2Error(where, said, f"at most {most} per kWh, either sign")
    return int(exact)


def chosen(prices: Sequence[TariffPrice]) -> tuple[list[TariffPrice], list[Refusal]]:
    """Of several prices of one component for one interval the one that counts.

    The same content counts once; of contradictory ones that which was created last, and of one
    interval's that of the highest version; of those that are equal in both none, and each is refused
    by name.
    """
    same: dict[tuple[object, ...], list[TariffPrice]] = {}
    for one in prices:
        same.setdefault((one.tariff, one.component, one.started_at, one.ended_at), []).append(one)
    kept: list[TariffPrice] = []
    refused: list[Refusal] = []
    for several in same.values():
        newest = max((one.created_at, one.version) for one in several)
        last = [one for one in several if (one.created_at, one.version) == newest]
        if len({(one.micros_per_kwh, one.currency, one.cancelled_at) for one in last}) == 1:
            kept.append(last[0])
            continue
        refused += [
            Refusal(
                f"TimeTariffInterval {one.interval}",
                f"{one.micros_per_kwh} micros per kWh from {one.started_at:%Y-%m-%dT%H:%M:%SZ} on",
                f"one price for that time; {len(last)} were created {one.created_at:%H:%M:%SZ}",
            )
            for one in last
        ]
    return kept, refused
