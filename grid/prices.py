"""The rules by which a stated price becomes one of ours; whoever states it.

* Digits come from text and become millionths of the currency unit per kWh, exactly; more digits than
  that holds are refused, not rounded. A price may be negative: what that means, the program says.
* The unit is declared beside the digits: kWh or MWh. Nothing is guessed from their size.
* One interval is stated once. The same content twice counts once. Of contradictory ones in what was
  read at one time the one made last counts; where that does not decide, all of them are refused by
  name, because any choice would be chance.
* What is read later and says something else is a revision: a new version (``storage.grid``). A gap
  stays a gap: nothing is carried over, and what was delivered in it is not paid, as PRICE_MISSING.
* Intervals may be of different lengths and may overlap: what was received last counts, and of one
  reading the interval that starts later (``settlement.timeline.building``).
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from grid.records import PriceSaid, Refusal
from settlement import units
from settlement.decimals import decimal_text

__all__ = ["StatedPrice", "Unit", "currency", "example", "micros_per_kwh", "once_each"]

_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.ASCII)


class Unit(StrEnum):
    """What a price is stated for."""

    KWH = "kWh"
    MWH = "MWh"


_PLACES: Final = {Unit.KWH: 6, Unit.MWH: 3}
"""Decimal places that a millionth of the currency unit per kWh leaves room for."""
_SHOWN: Final = 3
_KWH: Final = {Unit.KWH: 1, Unit.MWH: 1000}


@dataclass(frozen=True, slots=True)
class StatedPrice:
    """A price, with the place where it stood and when it was made, where that was said."""

    where: str
    price: PriceSaid
    made_at: datetime | None = None

    @property
    def interval(self) -> tuple[str, datetime, datetime]:
        return self.price.program, self.price.started_at, self.price.ended_at

    @property
    def content(self) -> tuple[int, str]:
        return self.price.price_micros_per_kwh, self.price.currency


def micros_per_kwh(digits: str, unit: Unit = Unit.KWH) -> int:
    """A price from its digits: plain decimal text, at most 100 currency units per kWh, either sign.

    Raises:
        ValueError: the message says what was expected.

    >>> (
    ...     micros_per_kwh("0.42000"),
    ...     micros_per_kwh("-12.345", Unit.MWH),
    ...     micros_per_kwh("3.50000", Unit.MWH),
    ... )
    (420000, -12345, 3500)
    """
    places = _PLACES[unit]
    whole, point, fraction = digits.partition(".")
    kept = fraction.rstrip("0") if len(fraction) > places else fraction
    try:
        micros = decimal_text(f"{whole}{point if kept or not fraction else ''}{kept}", places)
    except ValueError as error:
        raise ValueError(example(unit)) from error
    if abs(micros) > units.PRICE_MAX_MICROS_PER_KWH:
        limit = units.PRICE_MAX_MICROS_PER_KWH // units.MICROS_PER_UNIT * _KWH[unit]
        raise ValueError(f"at most {limit} per {unit}, either sign")
    return micros


def example(unit: Unit = Unit.KWH) -> str:
    """What digits look like."""
    shown = "0.42000" if unit is Unit.KWH else "42.000"
    return f'a decimal as text, such as "{shown}", with at most {_PLACES[unit]} places'


def currency(text: str) -> str:
    """An ISO 4217 code. Raises ValueError, whose message says what was expected."""
    if not _CURRENCY.fullmatch(text):
        raise ValueError("an ISO 4217 code, such as USD")
    return text


def once_each(stated: Iterable[StatedPrice]) -> tuple[list[PriceSaid], list[Refusal]]:
    """Of what was stated at one time, each interval of a program once, in the order it was stated.

    Returns:
        What counts; and every price of an interval of which two different ones claim to be the last.
    """
    intervals: dict[tuple[str, datetime, datetime], list[StatedPrice]] = defaultdict(list)
    for one in stated:
        intervals[one.interval].append(one)
    kept: list[PriceSaid] = []
    refused: list[Refusal] = []
    for said in intervals.values():
        last = _last_made(said)
        if len({one.content for one in last}) == 1:
            kept.append(last[0].price)
            continue
        for one in said:
            near = [other.where for other in said[: _SHOWN + 1] if other is not one][:_SHOWN]
            more = len(said) - 1 - len(near)
            others = ", ".join(near) + (f" and {more} more" if more else "")
            refused.append(
                Refusal(
                    one.where,
                    f"{_shown(one.price)}, and another price at {others}",
                    "one price of an interval, or times of creation that tell the last one",
                )
            )
    return kept, refused


def _last_made(said: list[StatedPrice]) -> list[StatedPrice]:
    times = [one.made_at for one in said if one.made_at is not None]
    if len(times) < len(said):
        return said
    return [one for one in said if one.made_at == max(times)]


def _shown(price: PriceSaid) -> str:
    return (
        f"{price.price_micros_per_kwh} micros {price.currency} per kWh for {price.program!r} from"
        f" {price.started_at.isoformat()} to {price.ended_at.isoformat()}"
    )
