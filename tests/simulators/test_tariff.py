"""The truth's money, by hand."""

from datetime import timedelta
from fractions import Fraction

import pytest

from simulators.tariff import cents, line_micros, plain_micros

HALF = timedelta(minutes=30)
HOUR = timedelta(hours=1)


def test_a_line_is_the_worked_example_of_the_settlement_page():
    # 3.600 kWh in half an hour are 7.2 kW: × 1.15; an hour's discharge: × 1.10
    assert line_micros(3_600_000, HALF, HOUR, 420_000, Fraction("0.85")) == 1_625_778


@pytest.mark.parametrize(
    ("milliwh", "multiplier"),
    [
        (2_499_999, "1.00"),
        (2_500_000, "1.15"),  # 5 kW for half an hour
        (4_999_999, "1.15"),
        (5_000_000, "1.30"),
    ],
)
def test_a_bracket_of_power_begins_at_its_edge(milliwh, multiplier):
    earned = line_micros(milliwh, HALF, HALF, 1_000_000, Fraction(1))
    assert earned == plain_micros(milliwh, 1_000_000, Fraction(multiplier))


@pytest.mark.parametrize(
    ("discharged", "multiplier"),
    [(HOUR - timedelta(microseconds=1), "1.00"), (HOUR, "1.10")],
)
def test_the_bracket_of_an_hour_begins_at_the_hour(discharged, multiplier):
    earned = line_micros(1_000_000, HALF, discharged, 1_000_000, Fraction(1))
    assert earned == plain_micros(1_000_000, 1_000_000, Fraction(multiplier))


def test_lines_are_rounded_to_millionths_and_their_sum_to_cents_half_away_from_zero():
    assert plain_micros(1, 500_000, Fraction(1)) == 1  # half a millionth
    assert plain_micros(1, -500_000, Fraction(1)) == -1
    assert cents([4_000, 1_000]) == 1
    assert cents([4_999]) == 0
