"""The suite itself: what it takes from the table of columns, without any database."""

from datetime import UTC, datetime

import pytest

from expectations import readings
from settlement import units
from settlement.schemas import READING


@pytest.fixture(scope="module")
def suite():
    return readings.readings(datetime(2026, 7, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    "column", [c for c in READING.columns if c.low is not None], ids=lambda c: c.name
)
def test_every_declared_range_is_a_critical_check_with_the_same_limits(suite, column):
    (check,) = (
        e
        for e in suite
        if getattr(e, "column", "") == column.name
        and e.expectation_type == "expect_column_values_to_be_between"
    )

    assert (check.min_value, check.max_value, check.mostly) == (column.low, column.high, 1)
    assert check.severity.value == "critical"


def test_every_column_that_must_be_there_is_checked_for_it(suite):
    present = {
        e.column for e in suite if e.expectation_type == "expect_column_values_to_not_be_null"
    }

    assert present == {c.name for c in READING.columns if not c.nullable}


def test_limits_survive_the_floats_of_the_library(suite):
    limits = [
        limit
        for e in suite
        for limit in (getattr(e, "min_value", None), getattr(e, "max_value", None))
        if isinstance(limit, int | float)
    ]

    assert all(int(limit) == limit and abs(limit) <= 2**53 for limit in limits)
    assert float(units.REGISTER_MAX_MILLIWH) in limits


def test_every_check_is_named_and_no_name_hides_two_columns(suite):
    names = [(e.meta["check"], e.severity.value) for e in [*suite, *readings.packets()]]

    assert all(name for name, _ in names)
    assert len(set(names)) == len(names)
