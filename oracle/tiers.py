"""The tier multiplier: the whole interval's (slab), or of each part (graduated).

Graduated: of the interval's energy before look-back and caps, what lies below a power bracket's edge is
edge × the interval's time, rounded down, and the rest belongs to the last bracket reached. Where
look-back or a cap took energy away, what is left lies below each edge in the same proportion, rounded
down. Each of these parts is then divided over the duration brackets in proportion to the time
discharged in each, rounded down, the remainder with the last.

Plainest readings taken: what lies below the first bracket's start counts as in it; negative power and
energy too. Energy without discharge (against a baseline) stands at the duration reached so far.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from oracle.energies import WATT_US, Interval
from oracle.numbers import EXACT, nearest, product
from oracle.readings import divided

Brackets = Sequence[tuple[int, Decimal]]


def _bracket(brackets: Brackets, reached: Fraction) -> Decimal:
    multiplier = brackets[0][1]
    for edge, value in brackets[1:]:
        if reached >= edge:
            multiplier = value
    return multiplier


def slab(interval: Interval, event_us: int) -> Decimal:
    """The multiplier of the interval's average power and the event's discharged time."""
    power_w = Fraction(interval.power * WATT_US, interval.length_us)
    return product(
        _bracket(interval.terms.power_tiers, power_w),
        _bracket(interval.terms.duration_tiers, Fraction(event_us)),
    )


def graduated(interval: Interval) -> Decimal:
    """The energy in kWh with every part multiplied, exact."""
    total = Decimal(0)
    for energy, by_power in _by_power(interval):
        for part, by_duration in _by_duration(interval, energy):
            total = EXACT.add(total, product(Decimal(part).scaleb(-6), by_power, by_duration))
    return total


def mean(tiered_kwh: Decimal, interval: Interval) -> Decimal:
    """The multiplier that the whole energy would have had, 12 decimals, half to even."""
    units = Fraction(tiered_kwh) * 10**6 / interval.paid * 10**12
    return Decimal(nearest(units, "half_even")).scaleb(-12)


def _by_power(interval: Interval) -> list[tuple[int, Decimal]]:
    brackets, energy = interval.terms.power_tiers, interval.power
    parts = []
    below = 0
    for position, (_, multiplier) in enumerate(brackets):
        top = energy
        if position + 1 < len(brackets):
            edge = brackets[position + 1][0] * interval.length_us // WATT_US
            top = min(energy, edge)
        if position == 0 or top > below:
            parts.append((top - below, multiplier))
            below = top
    if interval.paid == interval.power:
        return parts
    left = []
    reached = below = 0
    for part, multiplier in parts:
        reached += part
        top = interval.paid * reached // energy
        left.append((top - below, multiplier))
        below = top
    return left


def _by_duration(interval: Interval, energy: int) -> list[tuple[int, Decimal]]:
    brackets, first_us = interval.terms.duration_tiers, interval.discharged_before_us
    last_us = first_us + interval.discharged_us
    if last_us == first_us or energy < 0:
        return [(energy, _bracket(brackets, Fraction(first_us)))]
    lengths, multipliers = [], []
    for position, (edge, multiplier) in enumerate(brackets):
        start = first_us if position == 0 else max(first_us, edge)
        end = last_us if position + 1 == len(brackets) else min(last_us, brackets[position + 1][0])
        if end > start:
            lengths.append(end - start)
            multipliers.append(multiplier)
    return list(zip(divided(energy, lengths), multipliers, strict=True))
