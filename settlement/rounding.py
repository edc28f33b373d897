"""The one rounding function. Money is rounded here and nowhere else.

Settlement rounds at two stated places (``docs/settlement.md``): the exact product of a line to
micros, and the settlement, which is the sum of its lines as shown, to minor units.
"""

from enum import StrEnum

import polars as pl


class RoundingMode(StrEnum):
    """What happens to a remainder. The names leave no room: "half up" means two things to two people."""

    HALF_AWAY = "half_away"
    """Half away from zero, so that a reversal mirrors its original."""
    HALF_EVEN = "half_even"
    DOWN = "down"
    """Towards zero."""


def divide(numerator: pl.Expr, divisor: int | pl.Expr, mode: RoundingMode) -> pl.Expr:
    """``numerator / divisor`` rounded to an integer, exactly, in 128 bits.

    The caller guarantees that the numerator's exact value lies within ±2^127 (``bounds.assert_fits``);
    Polars wraps silently beyond. Works on the absolute value and restores the sign, because Polars'
    ``//`` floors; and compares the remainder with what is missing to the divisor, because doubling
    it would halve the headroom.

    Args:
        numerator: integers of either sign.
        divisor: positive, one for all rows or one per row; a row whose divisor is 0 comes out null.
        mode: what happens to the remainder.

    >>> frame = pl.DataFrame({"n": [5, -5, 15, 14, -16]})
    >>> frame.select(divide(pl.col("n"), 10, RoundingMode.HALF_AWAY)).to_series().to_list()
    [1, -1, 2, 1, -2]
    >>> frame.select(divide(pl.col("n"), 10, RoundingMode.HALF_EVEN)).to_series().to_list()
    [0, 0, 2, 1, -2]
    >>> each = pl.DataFrame({"n": [5, -5, 15], "by": [10, 2, 6]})
    >>> each.select(divide(pl.col("n"), pl.col("by"), RoundingMode.HALF_AWAY)).to_series().to_list()
    [1, -3, 3]
    """
    by = pl.lit(divisor, dtype=pl.Int128) if isinstance(divisor, int) else divisor.cast(pl.Int128)
    wide = numerator.cast(pl.Int128)
    size = wide.abs()
    quotient = size // by
    remainder = size - quotient * by
    missing = by - remainder
    match mode:
        case RoundingMode.HALF_AWAY:
            up = remainder >= missing
        case RoundingMode.HALF_EVEN:
            up = (remainder > missing) | ((remainder == missing) & (quotient % 2 == 1))
        case RoundingMode.DOWN:
            up = pl.lit(value=False)
    rounded = quotient + up.cast(pl.Int128)
    # Polars 2.1 has no negation of 128-bit integers; subtraction it has.
    return pl.when(wide < 0).then(pl.lit(0, dtype=pl.Int128) - rounded).otherwise(rounded)
