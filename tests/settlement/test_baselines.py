"""What baseline rows come to over an interval."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement import baselines
from settlement.bounds import BoundExceededError
from settlement.schemas import BASELINE
from tests.settlement.past import EVENING, evenings, history, like_days, local

NIGHT = datetime(2026, 7, 1, tzinfo=UTC)
HOUR_US = 3_600_000_000


def after(minutes: float) -> datetime:
    return NIGHT + timedelta(minutes=minutes)


def rows(*each: tuple[str, float, float, int]) -> pl.DataFrame:
    """Rows of (vehicle, start, end in minutes, W)."""
    return pl.DataFrame(
        [(vehicle, after(start), after(end), watts) for vehicle, start, end, watts in each],
        schema=BASELINE.schema,
        orient="row",
    )


def asked(*each: tuple[str, float, float, float]) -> pl.DataFrame:
    """Intervals of (vehicle, start, end, covered, in minutes)."""
    return pl.DataFrame(
        [
            (vehicle, after(start), after(end), round(covered * 60_000_000))
            for vehicle, start, end, covered in each
        ],
        schema={
            "vehicle_id": pl.String(),
            "started_at": pl.Datetime("us", "UTC"),
            "ended_at": pl.Datetime("us", "UTC"),
            "covered_us": pl.Int64(),
        },
        orient="row",
    )


def milliwh(spoken: pl.DataFrame, intervals: pl.DataFrame) -> list[int | None]:
    energies = baselines.energy(spoken, intervals)["baseline_milliwh"]
    assert energies.dtype == pl.Int64()
    return energies.to_list()


@pytest.mark.parametrize(
    ("spoken", "interval", "expected"),
    [
        pytest.param([(0, 60, 2_000)], (0, 60, 60), 2_000_000, id="2 kW for an hour are 2 kWh"),
        pytest.param([(0, 60, -2_000)], (0, 60, 60), -2_000_000, id="export is negative"),
        pytest.param([(0, 60, 2_000)], (15, 45, 30), 1_000_000, id="half an hour within a row"),
        pytest.param([(0, 30, 1_000), (30, 60, 3_000)], (0, 60, 60), 2_000_000, id="two rows"),
        pytest.param(
            [(30, 60, 3_000), (0, 30, 1_000)], (20, 60, 40), 1_666_667, id="1 ⅔ kWh, rounded once"
        ),
        pytest.param([(0, 60, 2_000)], (0, 60, 45), 1_500_000, id="only the time readings cover"),
        pytest.param([(0, 60, 2_000)], (0, 60, 0), 0, id="no reading, nothing"),
        pytest.param([(0, 60, 3)], (0, 60, 10), 500, id="3 W for ten minutes"),
        pytest.param([(0, 60, 1)], (0, 60, 0.03), 1, id="half a mWh goes away from zero"),
        pytest.param([(0, 60, -1)], (0, 60, 0.03), -1, id="so does minus half a mWh"),
        pytest.param([(0, 60, 1)], (0, 60, 0.029999), 0, id="less than half goes to zero"),
        pytest.param([(0, 59, 2_000)], (0, 60, 60), None, id="a minute short at the end"),
        pytest.param([(1, 60, 2_000)], (0, 60, 60), None, id="a minute short at the start"),
        pytest.param([(0, 20, 1), (21, 60, 1)], (0, 60, 60), None, id="a gap inside"),
        pytest.param([(0, 20, 1), (21, 60, 1)], (21, 60, 39), 650, id="a gap elsewhere"),
        pytest.param([], (0, 60, 60), None, id="no row"),
        pytest.param([(60, 120, 2_000)], (0, 60, 60), None, id="a row that begins at the end"),
        pytest.param([(-60, 0, 2_000)], (0, 60, 60), None, id="a row that ends at the start"),
        pytest.param([(0, 40, 1), (30, 60, 1)], (0, 60, 60), None, id="rows that overlap"),
        pytest.param([(0, 60, 1), (0, 60, 1)], (0, 60, 60), None, id="the same row twice"),
        pytest.param([(0, 60, 1), (20, 30, 9)], (10, 50, 40), None, id="a row within a row"),
        pytest.param([(0, 40, 60), (30, 60, 1)], (0, 30, 30), 30_000, id="an overlap elsewhere"),
        pytest.param(
            [(0, 30, 1), (20, 40, 1), (50, 60, 1)],
            (0, 60, 60),
            None,
            id="an overlap as long as the gap",
        ),
    ],
)
def test_rows_come_to_this_energy(spoken, interval, expected):
    assert milliwh(rows(*(("car", *row) for row in spoken)), asked(("car", *interval))) == [
        expected
    ]


def test_each_vehicle_has_its_own_rows():
    # given two vehicles with rows over the same time, and a third with none
    spoken = rows(("a", 0, 60, 1_000), ("b", 0, 60, 5_000))
    # when
    intervals = asked(("b", 0, 60, 60), ("c", 0, 60, 60), ("a", 30, 60, 30), ("b", 0, 30, 30))
    # then in the order of the intervals
    assert milliwh(spoken, intervals) == [5_000_000, None, 500_000, 2_500_000]


def test_an_interval_keeps_its_other_columns():
    # given
    intervals = asked(("a", 30, 60, 30), ("a", 0, 30, 30)).with_columns(x=pl.Series(["p", "q"]))
    # when
    result = baselines.energy(rows(("a", 0, 60, 1_000)), intervals)
    # then
    assert result.drop("baseline_milliwh").equals(intervals)


def test_a_power_outside_every_range_is_refused_instead_of_wrapping():
    spoken = rows(("a", 0, 60 * 24 * 365 * 50, 2**62))
    with pytest.raises(BoundExceededError):
        baselines.energy(spoken, asked(("a", 0, 60 * 24 * 365 * 40, 60 * 24 * 365 * 40)))


spans = st.tuples(st.integers(0, 30), st.integers(1, 12))


@settings(deadline=None)
@given(
    spoken=st.lists(st.tuples(spans, st.integers(-9_999, 9_999)), max_size=8),
    interval=spans,
    part=st.integers(0, 12),
)
def test_a_walk_minute_by_minute_comes_to_the_same(spoken, interval, part):
    # given rows that may overlap or leave gaps
    each = [("car", start, start + length, watts) for (start, length), watts in spoken]
    (start, length), covered = interval, min(part, interval[1])
    # when
    (result,) = milliwh(rows(*each), asked(("car", start, start + length, covered)))
    # then
    total = Fraction(0)
    for minute in range(start, start + length):
        speaking = [watts for _, begin, end, watts in each if begin <= minute < end]
        if len(speaking) != 1:
            assert result is None
            return
        total += Fraction(speaking[0] * 1000, 60)
    exact = total * covered / length
    size = abs(exact) + Fraction(1, 2)
    assert result == (size.numerator // size.denominator) * (1 if exact >= 0 else -1)


def test_the_energy_against_a_computed_baseline_is_that_of_its_power():
    # given a computed baseline of 2 kW
    past = history(*evenings({"07-14": 4_000}))
    computed = baselines.compute(past, [EVENING], [EVENING], like_days(1), ["car"])
    # when an hour of the event, with readings over three quarters of it, is asked for
    interval = pl.DataFrame(
        {
            "vehicle_id": ["car"],
            "started_at": [local("07-15 17:00")],
            "ended_at": [local("07-15 18:00")],
            "covered_us": [HOUR_US * 3 // 4],
        },
        schema_overrides={
            "started_at": pl.Datetime("us", "UTC"),
            "ended_at": pl.Datetime("us", "UTC"),
        },
    )
    # then
    assert milliwh(computed, interval) == [1_500_000]
