"""Exact numbers: whole units from decimals, products that must not round, and the roundings.

Two decimal contexts, both with 60 digits and a trap on floats. `EXACT` also traps every inexact
result, so that a product which does not fit raises instead of rounding. Divisions are fractions.
"""

from datetime import datetime, timedelta
from decimal import (
    ROUND_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    Context,
    Decimal,
    DivisionByZero,
    FloatOperation,
    Inexact,
    InvalidOperation,
    Overflow,
    Rounded,
)
from fractions import Fraction

from oracle.case import CaseError

_ALWAYS = [FloatOperation, InvalidOperation, DivisionByZero, Overflow]
EXACT = Context(prec=60, traps=[*_ALWAYS, Inexact, Rounded])
WIDE = Context(prec=60, traps=_ALWAYS)

# Decimal's HALF_UP takes halves away from zero, whatever its name says.
MODES = {"half_away": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "down": ROUND_DOWN}

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
_MICROSECOND = timedelta(microseconds=1)


def microseconds(length: timedelta) -> int:
    return length // _MICROSECOND


def between(started_at: datetime, ended_at: datetime) -> int:
    """Microseconds from one time to another."""
    return (ended_at - started_at) // _MICROSECOND


def product(*factors: Decimal) -> Decimal:
    """The exact product; raises `decimal.Inexact` if 60 digits do not hold it."""
    result = Decimal(1)
    for factor in factors:
        result = EXACT.multiply(result, factor)
    return result


def rounded(value: Decimal, places: int, mode: str) -> Decimal:
    """`value` with that many decimals, in a program's rounding mode."""
    unit = Decimal(1).scaleb(-places)
    result = value.quantize(unit, rounding=MODES[mode], context=WIDE)
    return result or abs(result)  # zero has no sign


def nearest(value: Fraction, mode: str) -> int:
    """The whole number beside `value`, in a program's rounding mode."""
    size, rest = divmod(abs(value.numerator), value.denominator)
    twice = 2 * rest
    up = (
        (mode == "half_away" and twice >= value.denominator)
        or (mode == "half_even" and twice > value.denominator)
        or (mode == "half_even" and twice == value.denominator and size % 2 == 1)
    )
    size += up
    return size if value >= 0 else -size


def whole(value: object, scale: int, where: str) -> int:
    """`value × 10^scale`, which must be a whole number."""
    if isinstance(value, float | bool):
        raise CaseError(where, f"{value!r} is not a decimal")
    try:
        number = Decimal(value) if isinstance(value, str | int) else value
        assert isinstance(number, Decimal)
        scaled = number.scaleb(scale, context=EXACT)
        result = int(scaled)
    except (ArithmeticError, AssertionError, ValueError) as error:
        raise CaseError(where, f"{value!r} is not a decimal number") from error
    if result != scaled:
        raise CaseError(where, f"{value} has more than {scale} decimals")
    return result


def kwh(milliwh: int) -> Decimal:
    """Thousandths of a watt-hour as kWh with 6 decimals."""
    return Decimal(milliwh).scaleb(-6, context=EXACT)
