"""Step curves: gaps stay gaps, and thinning keeps the peaks."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from settlement.periods import Period
from settlement.timeline import Price
from storage.power_curves import Bucket
from tasks.pages.curves import Step, joined, longest, power_steps, price_steps, thinned

START = datetime(2026, 7, 1, 17, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = Period(START, START + 60 * MINUTE)


def at(minutes: int) -> datetime:
    return START + minutes * MINUTE


def price(micros: int, start: int, end: int, *, received: int = 0, program: str = "p") -> Price:
    return Price(program, at(start), at(end), micros, at(received))


def test_buckets_become_steps_and_what_is_not_known_is_a_gap():
    buckets = [Bucket(at(10), 5), Bucket(at(11), 5), Bucket(at(12), 7), Bucket(at(20), 1)]

    assert power_steps(buckets, HOUR, MINUTE) == [
        Step(at(0), None),
        Step(at(10), 5),
        Step(at(12), 7),
        Step(at(13), None),
        Step(at(20), 1),
        Step(at(21), None),
    ]


def test_a_curve_that_begins_with_the_period_has_no_gap_before_it():
    assert power_steps([Bucket(at(0), 5)], HOUR, MINUTE) == [Step(at(0), 5), Step(at(1), None)]


def test_of_overlapping_prices_the_one_received_last_counts():
    prices = [
        price(400_000, -30, 30),
        price(500_000, 10, 20, received=-5),
        price(450_000, 10, 20, received=5),
        price(900_000, 0, 60, program="another"),
    ]

    assert price_steps(prices, "p", HOUR) == [
        Step(at(0), 400_000),
        Step(at(10), 450_000),
        Step(at(20), 400_000),
        Step(at(30), None),
    ]


def test_steps_that_change_nothing_or_come_after_the_end_are_left_out():
    steps = [Step(at(0), 1), Step(at(1), 2), Step(at(1), 1), Step(at(2), 1), Step(at(60), 5)]

    assert joined(steps, HOUR) == [Step(at(0), 1)]


values = st.one_of(st.none(), st.integers(-(10**9), 10**9))


@given(st.lists(values, min_size=1, max_size=300), st.integers(2, 50))
def test_thinning_keeps_the_highest_and_the_lowest_value_the_start_and_the_order(many, most):
    steps = [Step(at(number), value) for number, value in enumerate(many)]

    kept = thinned(steps, most)

    known = [value for value in many if value is not None]
    left = [one.value for one in kept if one.value is not None]
    assert len(kept) <= max(most, 2)
    assert kept[0].at == START
    assert [one.at for one in kept] == sorted({one.at for one in kept})
    if known:
        assert (min(left), max(left)) == (min(known), max(known))


def test_a_short_curve_is_not_thinned():
    steps = [Step(at(0), 1), Step(at(1), None)]

    assert thinned(steps, 2) == steps


def test_the_finest_step_is_taken_with_which_the_period_has_few_enough():
    ladder = (MINUTE, 5 * MINUTE, 30 * MINUTE)

    assert longest(HOUR, ladder, 60) == MINUTE
    assert longest(HOUR, ladder, 59) == 5 * MINUTE
    assert longest(HOUR, ladder, 1) == 30 * MINUTE
