"""Exact halves at quotients of either parity, beyond those that a pocket calculator shows."""

import polars as pl
import pytest

from settlement.rounding import RoundingMode, divide


@pytest.mark.parametrize(
    ("numerator", "half_away", "half_even", "down"),
    [
        (35, 4, 4, 3),
        (45, 5, 4, 4),
        (55, 6, 6, 5),
        (65, 7, 6, 6),
        (75, 8, 8, 7),
        (85, 9, 8, 8),
        (95, 10, 10, 9),
        (105, 11, 10, 10),
        (44, 4, 4, 4),
        (46, 5, 5, 4),
        (10, 1, 1, 1),
        (0, 0, 0, 0),
    ],
)
def test_a_half_goes_where_its_mode_says_at_even_and_odd_quotients(
    numerator: int, half_away: int, half_even: int, down: int
):
    # given a number and its mirror image
    frame = pl.DataFrame({"n": [numerator, -numerator]})

    # when both are divided by ten in every mode
    modes = {
        mode.value: frame.select(divide(pl.col("n"), 10, mode)).to_series() for mode in RoundingMode
    }

    # then
    assert {name: series.to_list() for name, series in modes.items()} == {
        "half_away": [half_away, -half_away],
        "half_even": [half_even, -half_even],
        "down": [down, -down],
    }
    assert {series.dtype for series in modes.values()} == {pl.Int128}
