"""The one rounding function, against decimals."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from settlement.rounding import RoundingMode, divide

IN_DECIMAL = {
    RoundingMode.HALF_AWAY: ROUND_HALF_UP,  # "up" is away from zero in the decimal specification
    RoundingMode.HALF_EVEN: ROUND_HALF_EVEN,
    RoundingMode.DOWN: ROUND_DOWN,
}


@pytest.mark.parametrize("mode", RoundingMode)
@given(
    numerators=st.lists(st.integers(-(2**127) + 1, 2**127 - 1) | st.integers(-50, 50), min_size=1),
    divisor=st.sampled_from([1, 2, 5, 10, 10**6, 10**12, 10**24, 3 * 10**24]),
)
@example(numerators=[5, -5, 15, -15, 25, -25], divisor=10)
@example(numerators=[2**127 - 1, -(2**127) + 1], divisor=10**24)
def test_every_mode_rounds_as_decimals_do(
    mode: RoundingMode, numerators: list[int], divisor: int
) -> None:
    # given integers of up to 128 bits
    frame = pl.DataFrame({"n": pl.Series(numerators, dtype=pl.Int128)})
    # when
    rounded = frame.select(divide(pl.col("n"), divisor, mode)).to_series().to_list()
    # then
    with localcontext() as context:
        context.prec = 60
        exact = [Decimal(n) / divisor for n in numerators]
        assert rounded == [int(e.quantize(Decimal(1), IN_DECIMAL[mode])) for e in exact]


@given(st.integers(-(10**30), 10**30), st.sampled_from([10**6, 10**24]))
def test_a_reversal_mirrors_its_original(numerator: int, divisor: int) -> None:
    frame = pl.DataFrame({"n": pl.Series([numerator, -numerator], dtype=pl.Int128)})
    there, back = frame.select(divide(pl.col("n"), divisor, RoundingMode.HALF_AWAY)).to_series()
    assert there == -back
