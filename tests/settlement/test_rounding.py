"""The one rounding function, against decimals."""

from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from settlement.rounding import RoundingMode, divide

IN_DECIMAL = {
    RoundingMode.HALF_AWAY: ROUND_HALF_UP,  # "up" is away from zero in the decimal specification
    RoundingMode.HALF_EVEN: ROUND_HALF_EVEN,
    RoundingMode.DOWN: ROUND_DOWN,
}
WIDE = st.integers(-(2**127) + 1, 2**127 - 1) | st.integers(-50, 50)


def rounded(numerators: list[int], divisor: int | list[int], mode: RoundingMode) -> list[int]:
    frame = pl.DataFrame({"n": pl.Series(numerators, dtype=pl.Int128)})
    if isinstance(divisor, int):
        return frame.select(divide(pl.col("n"), divisor, mode)).to_series().to_list()
    frame = frame.with_columns(by=pl.Series(divisor, dtype=pl.Int128))
    return frame.select(divide(pl.col("n"), pl.col("by"), mode)).to_series().to_list()


def expected(numerators: list[int], divisors: list[int], mode: RoundingMode) -> list[int]:
    with localcontext() as context:
        context.prec = 90
        exact = [Decimal(n) / d for n, d in zip(numerators, divisors, strict=True)]
        return [int(e.quantize(Decimal(1), IN_DECIMAL[mode])) for e in exact]


@pytest.mark.parametrize("mode", RoundingMode)
@settings(deadline=None)
@given(
    numerators=st.lists(WIDE, min_size=1),
    divisor=st.sampled_from([1, 2, 5, 10, 10**6, 10**12, 10**24, 3 * 10**24]),
)
@example(numerators=[5, -5, 15, -15, 25, -25], divisor=10)
@example(numerators=[2**127 - 1, -(2**127) + 1], divisor=10**24)
def test_every_mode_rounds_as_decimals_do(
    mode: RoundingMode, numerators: list[int], divisor: int
) -> None:
    # given integers of up to 128 bits, when they are divided by one number, then
    assert rounded(numerators, divisor, mode) == expected(
        numerators, [divisor] * len(numerators), mode
    )


@pytest.mark.parametrize("mode", RoundingMode)
@settings(deadline=None)
@given(
    rows=st.lists(
        st.tuples(WIDE, st.integers(1, 20) | st.integers(1, 2**127 - 1)), min_size=1, max_size=30
    )
)
@example(rows=[(5, 10), (-5, 10), (1, 2), (-1, 2), (3, 2), (-3, 2), (9, 6), (1, 3), (2, 3)])
@example(rows=[(2**127 - 1, 2**127 - 1), (-(2**127) + 1, 2**127 - 1), (2**126, 2**127 - 1)])
def test_every_mode_rounds_as_decimals_do_with_a_divisor_for_each_row(
    mode: RoundingMode, rows: list[tuple[int, int]]
) -> None:
    # given
    numerators, divisors = [n for n, _ in rows], [d for _, d in rows]
    # when, then
    assert rounded(numerators, divisors, mode) == expected(numerators, divisors, mode)


HALVES = [-25, -15, -5, 5, 15, 25]


@pytest.mark.parametrize(
    ("mode", "tenths"),
    [
        (RoundingMode.HALF_AWAY, [-3, -2, -1, 1, 2, 3]),
        (RoundingMode.HALF_EVEN, [-2, -2, 0, 0, 2, 2]),
        (RoundingMode.DOWN, [-2, -1, 0, 0, 1, 2]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("each", [False, True], ids=["one divisor", "one each"])
def test_a_half_goes_where_the_mode_says_and_a_negative_one_mirrors_it(
    mode: RoundingMode, tenths: list[int], each: bool
) -> None:
    assert rounded(HALVES, [10] * len(HALVES) if each else 10, mode) == tenths


@settings(deadline=None)
@given(
    st.integers(-(10**30), 10**30), st.sampled_from([10**6, 10**24]), st.sampled_from(RoundingMode)
)
def test_a_reversal_mirrors_its_original(numerator: int, divisor: int, mode: RoundingMode) -> None:
    there, back = rounded([numerator, -numerator], divisor, mode)
    assert there == -back


def test_nothing_divided_by_nothing_is_not_zero() -> None:
    assert rounded([5], [0], RoundingMode.HALF_AWAY) == [None]
