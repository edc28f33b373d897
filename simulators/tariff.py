"""What the plain program pays for energy, and what any unpaid energy would have been, from the terms alone.

The terms are written out here (programs/example-energy.yaml says the same to the system that is looked
at): energy × price × the contract's rate × a multiplier by power × one by time, each line rounded to
millionths, each settlement to cents, half away from zero.
"""

from collections.abc import Iterable
from datetime import timedelta
from fractions import Fraction
from typing import Final

POWER_TIERS: Final = ((10_000, Fraction(130, 100)), (5_000, Fraction(115, 100)))
"""From so many watts on the average of an interval, the highest first; below all, 1."""

DURATION_TIER: Final = (timedelta(minutes=60), Fraction(110, 100))
"""From so long a discharge within the event on."""

MICROS_PER_CENT: Final = 10_000

_KWH: Final = 1_000_000
_MICROSECOND: Final = timedelta(microseconds=1)


def rounded(exact: Fraction) -> int:
    """The nearest integer, halves away from zero.

    >>> rounded(Fraction(5, 2)), rounded(Fraction(-5, 2)), rounded(Fraction(1, 3))
    (3, -3, 0)
    """
    size = (2 * abs(exact) + 1) // 2
    return int(size if exact >= 0 else -size)


def plain_micros(milliwh: int, price_micros: int, rate: Fraction) -> int:
    """Energy × price × rate, millionths of the currency unit: what unpaid energy would have been.

    >>> plain_micros(3_600_000, 420_000, Fraction(85, 100))
    1285200
    """
    return rounded(Fraction(milliwh, _KWH) * price_micros * rate)


def line_micros(
    milliwh: int, length: timedelta, discharged: timedelta, price_micros: int, rate: Fraction
) -> int:
    """What one interval earns, millionths of the currency unit.

    Args:
        milliwh: exported in it.
        length: of the interval.
        discharged: for how long the vehicle discharged in the whole event.
        price_micros: per kWh.
        rate: of the contract.

    >>> line_micros(
    ...     3_600_000, timedelta(minutes=30), timedelta(hours=1), 420_000, Fraction(85, 100)
    ... )
    1625778
    """
    watts = Fraction(milliwh * 3_600_000, length // _MICROSECOND)
    by_power = next((factor for edge, factor in POWER_TIERS if watts >= edge), Fraction(1))
    by_time = DURATION_TIER[1] if discharged >= DURATION_TIER[0] else Fraction(1)
    return rounded(Fraction(milliwh, _KWH) * price_micros * rate * by_power * by_time)


def cents(micros: Iterable[int]) -> int:
    """A settlement: the sum of its lines, in cents."""
    return rounded(Fraction(sum(micros), MICROS_PER_CENT))
