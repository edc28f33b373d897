"""What cannot be priced is refused, and the error says in fields what its message says in words."""

import pytest

from settlement.bounds import BoundExceededError
from settlement.pricing import NoTimeError, UnknownVersionError, price
from settlement.pricing.terms import MissingFactorError
from settlement.units import PPM
from tests.settlement.matched import at, matched, priced, row, tariff, unpaid

LARGEST = (2**63 - 1) // PPM
"""The most energy, in mWh, of which the product with 100 % in ppm still fits 64 bits."""


def test_an_unknown_version_says_which_ones_there_are():
    # given discharge of version 3, of which versions 1 and 2 are given
    rows = matched(row("car", at("17:00"), at("18:00"), 1, program_version=3))
    versions = [tariff(), tariff(version=2, valid_from="2026-01-01T00:00:00Z")]

    # when it is priced
    with pytest.raises(UnknownVersionError) as caught:
        price(rows, unpaid(), {"tariff": versions})

    # then
    error = caught.value
    assert (error.program, error.version, error.known) == ("tariff", 3, [1, 2])
    assert str(error) == "program tariff: version 3 is not among those given; expected one of: 1, 2"


def test_a_missing_factor_says_of_which_column_and_how_often():
    rows = [row("car", at("17:00"), at("18:00"), 1, incentive_rate_ppm=None)] * 2

    with pytest.raises(MissingFactorError) as caught:
        priced(*rows)

    error = caught.value
    assert (error.program, error.column, error.rows) == ("tariff", "incentive_rate_ppm", 2)
    assert str(error) == "program tariff: incentive_rate_ppm is missing in 2 rows; expected a value in each"  # fmt: skip


def test_a_row_without_time_says_of_which_column_and_how_often():
    rows = [row("car", at("17:00"), at("17:00"), 1)] * 3

    with pytest.raises(NoTimeError) as caught:
        priced(*rows)

    error = caught.value
    assert (error.program, error.column, error.rows) == ("tariff", "us", 3)
    assert str(error) == "program tariff: us is not positive in 3 rows; expected microseconds"


@pytest.mark.parametrize(
    "program",
    [
        {"product": "capacity", "capacity": {"per_avg_kw": "1"}},
        {"product": "order", "order": {"price_per_kw": "7.00", "penalty_per_kw": "11.00", "cap_at_order": False}},
    ],
    ids=["capacity", "order"],
)  # fmt: skip
def test_energy_paid_by_power_is_refused_where_its_tiered_energy_would_wrap(program):
    # given the most energy that fits, and a milliwatt hour more
    fits, wraps = (
        row("car", at("17:00"), at("18:00"), milliwh, ordered_w=2_000) for milliwh in (LARGEST, LARGEST + 1)
    )  # fmt: skip

    # then the one is priced exactly, and the other is not priced
    lines = priced(fits, program=tariff(**program)).lines
    assert lines["tiered_nanowh"].to_list()[:1] == [LARGEST * PPM]
    with pytest.raises(BoundExceededError, match="energy_milliwh"):
        priced(wraps, program=tariff(**program))
