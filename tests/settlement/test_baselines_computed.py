"""What a vehicle would have drawn, computed from what was known before the notice."""

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement import baselines
from settlement.periods import Period
from tests.settlement.past import (
    EVENING,
    evenings,
    history,
    like_days,
    local,
    reading,
    tariff,
    watts,
    window,
)


def test_like_days_are_averaged_over_their_same_hours():
    # given 4, 6 and 2 kWh from 17:00 to 19:00 on the three weekdays before, more at other hours
    past = history(
        *evenings({"07-14": 4_000, "07-13": 6_000, "07-10": 2_000, "07-09": 99_000}),
        reading(local("07-14 16:00"), local("07-14 17:00"), 50_000),
        reading(local("07-14 19:00"), local("07-14 20:00"), 50_000),
        *evenings({"07-12": 70_000, "07-11": 70_000}),  # a weekend
    )
    # when, then 12 kWh in 3 × 2 h
    assert watts(past, like_days(3)) == 2_000


@pytest.mark.parametrize(
    ("wh", "expected"),
    [
        pytest.param((4_000, 6_000, 2_000), 2_500, id="6 and 4 of three: 10 kWh in 4 h"),
        pytest.param((2_000, 2_000, 2_000), 1_000, id="all alike"),
        pytest.param((-4_000, -6_000, -2_000), -1_500, id="the least exported are the highest"),
        pytest.param((-4_000, 6_000, 0), 1_500, id="import, then nothing"),
    ],
)
def test_the_highest_two_of_three_like_days_are_averaged(wh, expected):
    # given
    past = history(
        *evenings(dict(zip(("07-14", "07-13", "07-10"), wh, strict=True))),
        *evenings({"07-09": 50_000}),
    )
    program = tariff({"method": "highest_days", "days": 2, "of": 3})
    # when, then
    assert watts(past, program) == expected


def test_the_average_is_rounded_once_half_away_from_zero():
    # given 1 Wh, and 3 Wh, over four hours: a quarter and three quarters of a watt; and 2 Wh: a half
    program = like_days(2)
    for drawn, expected in ((1, 0), (2, 1), (3, 1), (-1, 0), (-2, -1), (-3, -1)):
        # when, then
        assert watts(history(*evenings({"07-14": drawn, "07-13": 0})), program) == expected


def test_readings_that_straddle_an_edge_count_in_proportion_to_time():
    # given 3 kWh from 16:30 to 18:00, 3 kWh exported from 18:00 to 20:00
    past = history(
        reading(local("07-14 16:30"), local("07-14 18:00"), 3_000),
        reading(local("07-14 18:00"), local("07-14 20:00"), -3_000),
    )
    # when, then two thirds of the one less half of the other: 0.5 kWh in 2 h
    assert watts(past, like_days(1)) == 250


def test_each_vehicle_has_its_own_baseline():
    # given
    past = history(
        *evenings({"07-14": 4_000}, "car"), *evenings({"07-14": 8_000}, "van"), *evenings({}, "new")
    )
    # when a car, a van, and one that has never been seen are asked for, and another is not
    past = pl.concat([past, history(*evenings({"07-14": 8_000}, "other"))])
    result = baselines.compute(past, [EVENING], [], like_days(1), ["van", "new", "car"])
    # then
    assert result.select("vehicle_id", "baseline_w").rows() == [("car", 2_000), ("van", 4_000)]


@pytest.mark.parametrize(
    ("absent", "expected"),
    [
        pytest.param("excluded", 3_000, id="excluded: 8 and 4 kWh of the days with readings"),
        pytest.param("zero", 2_000, id="zero: 8 and 0 kWh of the last two days"),
    ],
)
def test_a_day_without_readings_counts_as_zero_or_is_passed_over(absent, expected):
    # given a Monday on which the car was away in these hours
    past = history(
        *evenings({"07-14": 8_000, "07-10": 4_000}),
        reading(local("07-13 15:00"), local("07-13 17:00"), 9_000),
        reading(local("07-13 19:00"), local("07-13 20:00"), 9_000),
    )
    # when, then
    assert watts(past, like_days(2, absent=absent)) == expected


def test_of_days_counted_as_zero_the_highest_are_still_the_highest():
    # given one day of three with a reading, on which it exported
    program = tariff({"method": "highest_days", "days": 1, "of": 3, "absent": "zero"})
    # when, then a day at zero is higher
    assert watts(history(*evenings({"07-14": -4_000})), program) == 0


def test_a_vehicle_without_any_reading_drew_nothing_where_absent_counts_as_zero():
    assert watts(history(), like_days(3, absent="zero")) == 0


@pytest.mark.parametrize("method", ["like_days", "highest_days"])
def test_too_few_like_days_are_no_baseline(method):
    # given two days with readings within reach, and a third beyond it
    past = history(*evenings({"07-14": 4_000, "07-13": 4_000, "07-09": 4_000}))
    terms: dict[str, object] = {"method": method, "days": 2, "search_days": 5, "absent": "excluded"}
    terms |= {"of": 3} if method == "highest_days" else {"days": 3}
    # when, then
    assert watts(past, tariff(terms)) is None
    assert watts(past, tariff(terms | {"search_days": 6})) == 2_000


def test_too_few_days_that_are_like_it_are_no_baseline_even_where_absent_counts_as_zero():
    # given a search of five days that holds three weekdays
    few = like_days(4, absent="zero", search_days=5)
    # when, then
    assert watts(history(*evenings({"07-14": 4_000})), few) is None


def test_what_is_received_after_the_notice_moves_nothing():
    # given a day whose reading was known before the notice, and one whose reading came after it
    notice = EVENING.created_at
    past = history(
        *evenings({"07-10": 2_000}),
        reading(local("07-14 17:00"), local("07-14 18:00"), 4_000, received=notice),
        reading(
            local("07-14 18:00"),
            local("07-14 19:00"),
            90_000,
            received=notice + timedelta(microseconds=1),
        ),
        reading(
            local("07-13 17:00"), local("07-13 19:00"), 90_000, received=notice + timedelta(days=3)
        ),
    )
    # when, then Monday is as absent as if the car had been away: 4 and 2 kWh in 4 h
    assert watts(past, like_days(2)) == 1_500


def test_an_event_that_is_changed_keeps_the_baseline_of_its_first_notice():
    # given a car that draws more once it knows of the event, and a change that is created afterwards
    past = history(
        reading(local("07-15 08:00"), local("07-15 09:00"), 1_000),
        reading(local("07-15 16:00"), local("07-15 17:00"), 9_000),
    )
    program = tariff({"method": "before_event", "before_min": 60})
    event = window("07-15 17:00", "07-15 19:00", created="07-15 16:59")
    # when, then
    assert watts(past, program, event) is None
    told = replace(event, first_created_at=local("07-15 09:00"))
    assert watts(past, program, told) == 1_000


def test_an_event_that_is_settled_elsewhere_competes_all_the_same():
    # given an event, and a better one that ends in another period, which has ended it for good
    past = history(*evenings({"07-14": 4_000}))
    own = window("07-15 17:00", "07-15 19:00", event="a", created="07-15 09:00")
    other = window("07-15 18:00", "07-16 19:00", event="b", created="07-15 10:00")
    # when
    result = baselines.compute(past, [own], [own], like_days(1), ["car"], competing=[own, other])
    # then
    assert result["ended_at"].to_list() == [local("07-15 18:00")]


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(-24 * 14, 48),  # hours from the notice
            st.integers(1, 180),  # minutes
            st.integers(-50_000, 50_000),
            st.integers(1, 10**9),  # µs after the notice
        ),
        max_size=6,
    ),
    st.sampled_from(["like_days", "highest_days", "before_event"]),
    st.sampled_from(["zero", "excluded"]),
)
def test_a_baseline_is_frozen_as_notice_is_given(late, method, absent):
    # given what was known by then
    known = evenings({"07-14": 4_000, "07-13": 6_000, "07-10": 2_000})
    known.append(reading(local("07-15 08:00"), local("07-15 08:30"), 3_000))
    terms: dict[str, object] = {"method": method}
    if method != "before_event":
        terms |= {"days": 2, "absent": absent} | ({"of": 3} if method == "highest_days" else {})
    # when readings of any time and size come after it, over the same hours too
    came = [
        reading(
            EVENING.created_at + timedelta(hours=hours),
            EVENING.created_at + timedelta(hours=hours, minutes=minutes),
            wh,
            received=EVENING.created_at + timedelta(microseconds=delay),
        )
        for hours, minutes, wh, delay in late
    ]
    # then
    expected = watts(history(*known), tariff(terms))
    assert expected is not None
    assert watts(history(*known, *came), tariff(terms)) == expected


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"conflicted": True}, id="two contents"),
        pytest.param({"import_start_milliwh": 10**14}, id="a register that runs backwards"),
        pytest.param({"export_start_milliwh": 10**14}, id="the other register"),
        pytest.param({"import_end_milliwh": 10**14}, id="a register that jumps"),
    ],
)
def test_a_reading_that_cannot_stand_by_itself_is_none(bad):
    # given such a reading on Tuesday
    row = reading(local("07-14 17:00"), local("07-14 19:00"), 90_000, **bad)
    # when, then
    assert watts(history(row, *evenings({"07-13": 4_000})), like_days(1)) == 2_000


@pytest.mark.parametrize(
    ("evse", "vehicle"),
    [
        pytest.param("at car", "car", id="the same charger and car, signed again"),
        pytest.param("at car", "van", id="two cars at one charger"),
        pytest.param("another", "car", id="one car at two chargers"),
    ],
)
def test_time_that_two_readings_claim_counts_for_neither(evse, vehicle):
    # given
    twice = reading(local("07-14 18:00"), local("07-14 18:30"), 90_000, evse=evse, vehicle=vehicle)
    past = history(*evenings({"07-14": 80_000, "07-13": 4_000}), twice)
    # when, then
    assert watts(past, like_days(1)) == 2_000
    assert watts(past.reverse(), like_days(1)) == 2_000


def test_a_long_reading_is_claimed_by_a_later_one_too():
    # given two short readings within a long one, of which only the first is its neighbour
    past = history(
        *evenings({"07-14": 80_000}),
        reading(local("07-14 17:05"), local("07-14 17:10"), 70_000),
        reading(local("07-14 18:00"), local("07-14 18:30"), 60_000),
    )
    # when, then none of them counts
    assert watts(past, like_days(1)) is None


def test_history_without_the_conflicted_column_is_taken_as_it_is():
    past = history(*evenings({"07-14": 4_000})).drop("conflicted")
    assert watts(past, like_days(1)) == 2_000


def test_more_power_than_a_baseline_may_hold_is_none():
    # given 40 MWh in two hours, in readings each of which is within its range
    quarters = [local("07-14 17:00") + n * timedelta(minutes=3) for n in range(41)]
    past = history(*(reading(start, end, 1_000_000) for start, end in pairwise(quarters)))
    # when, then
    assert watts(past, like_days(1)) is None


@pytest.mark.parametrize(
    ("created", "expected", "needed"),
    [
        pytest.param("07-15 17:00", 3_000, "16:00", id="notice as it begins: the hour before"),
        pytest.param("07-15 17:30", 3_000, "16:00", id="notice later: the same"),
        pytest.param("07-15 16:00", 1_000, "15:00", id="notice before: the hour before the notice"),
        pytest.param("07-15 14:00", None, "13:00", id="nothing known of that hour"),
    ],
)
def test_the_hour_before_the_event_or_its_notice_is_averaged(created, expected, needed):
    # given 1 kW from 15:00, 3 kW from 16:00, 9 kW in the event
    past = history(
        reading(local("07-15 15:00"), local("07-15 16:00"), 1_000),
        reading(local("07-15 16:00"), local("07-15 17:00"), 3_000),
        reading(local("07-15 17:00"), local("07-15 17:20"), 3_000),
    )
    program = tariff({"method": "before_event", "before_min": 60})
    event = window("07-15 17:00", "07-15 19:00", created=created)
    # when, then
    assert watts(past, program, event) == expected
    start = local(f"07-15 {needed}")
    assert baselines.history_needed(program, [event]) == [Period(start, start + timedelta(hours=1))]


def test_before_the_event_the_average_is_over_the_time_that_readings_cover():
    # given 2 kW in the middle twenty minutes of the hour, and a straddler that came before 16:00
    past = history(
        reading(local("07-15 16:20"), local("07-15 16:40"), 667),
        reading(local("07-15 15:50"), local("07-15 16:10"), 1_000),
    )
    program = tariff({"method": "before_event", "before_min": 60})
    event = window("07-15 17:00", "07-15 19:00")
    # when, then 667 + 500 Wh in half an hour
    assert watts(past, program, event) == 2_334


def test_where_windows_overlap_the_row_of_the_one_in_force_speaks():
    # given 1 kW on the evenings until 19:00 and 3 kW after, an event 17 to 20, and a later one of
    # equal primacy 18 to 19 within it
    past = history(
        reading(local("07-14 17:00"), local("07-14 19:00"), 2_000),
        reading(local("07-14 19:00"), local("07-14 20:00"), 3_000),
    )
    long = window("07-15 17:00", "07-15 20:00", event="a", created="07-15 09:00")
    short = window("07-15 18:00", "07-15 19:00", event="b", created="07-15 10:00")
    # when
    result = baselines.compute(past, [short, long], [], like_days(1), ["car"])
    # then the long one's average is of its three hours, and its row leaves the short one's hour out
    assert result.drop("vehicle_id").rows() == [
        (local("07-15 17:00"), local("07-15 18:00"), 1_667),
        (local("07-15 18:00"), local("07-15 19:00"), 1_000),
        (local("07-15 19:00"), local("07-15 20:00"), 1_667),
    ]


@pytest.mark.parametrize(
    ("first", "second", "winner"),
    [
        pytest.param({"primacy": 1}, {"primacy": 2}, "a", id="the lower primacy"),
        pytest.param({}, {}, "b", id="the higher name, all else equal"),
        pytest.param({"created": "07-15 09:01"}, {"created": "07-15 09:00"}, "a", id="the later"),
    ],
)
def test_of_two_windows_over_one_time_the_precedence_of_events_decides(first, second, winner):
    # given two windows that end together, so that their averages differ
    past = history(
        reading(local("07-14 17:00"), local("07-14 18:00"), 1_000),
        reading(local("07-14 18:00"), local("07-14 19:00"), 3_000),
    )
    a = window("07-15 17:00", "07-15 19:00", **{"event": "a", "created": "07-15 09:00"} | first)
    b = window("07-15 18:00", "07-15 19:00", **{"event": "b", "created": "07-15 09:00"} | second)
    # when
    result = baselines.compute(past, [b, a], [], like_days(1), ["car"])
    # then
    assert result.filter(pl.col("ended_at") == local("07-15 19:00"))["baseline_w"].item() == (
        2_000 if winner == "a" else 3_000
    )


def test_a_cancelled_window_has_a_row_until_it_is_out_of_force():
    # given
    past = history(
        reading(local("07-14 17:00"), local("07-14 18:00"), 1_000),
        reading(local("07-14 18:00"), local("07-14 19:00"), 3_000),
    )
    cut = window("07-15 17:00", "07-15 19:00", cancelled="07-15 18:00", created="07-15 09:00")
    never = window("07-16 17:00", "07-16 19:00", cancelled="07-16 17:00")
    # when
    result = baselines.compute(past, [cut, never], [cut, never], like_days(1), ["car"])
    # then the average is of all the hours that notice was given of
    assert result.rows() == [("car", local("07-15 17:00"), local("07-15 18:00"), 2_000)]
    assert baselines.history_needed(like_days(1), [never]) == []


def test_needed_periods_that_touch_are_one():
    # given two events in a row
    both = [
        window("07-15 17:00", "07-15 18:00"),
        window("07-15 18:00", "07-15 19:00", event="b", created="07-15 17:00"),
    ]
    # when
    needed = baselines.history_needed(like_days(1, search_days=1), both)
    # then
    assert needed == [Period(local("07-14 17:00"), local("07-14 19:00"))]


def test_a_needed_period_within_another_does_not_shorten_it():
    # given an event within the hours of another
    both = [
        window("07-15 17:00", "07-15 20:00"),
        window("07-15 18:00", "07-15 19:00", event="b"),
    ]
    # when
    needed = baselines.history_needed(like_days(1, search_days=1), both)
    # then
    assert needed == [Period(local("07-14 17:00"), local("07-14 20:00"))]


def test_a_program_whose_baselines_are_provided_computes_none():
    provided = tariff({"method": "provided"})
    assert baselines.history_needed(provided, [EVENING]) == []
    assert watts(history(*evenings({"07-14": 4_000})), provided) is None


def test_windows_of_other_programs_are_none_of_its_business():
    foreign = window("07-15 17:00", "07-15 19:00", program="another")
    assert baselines.history_needed(like_days(1), [foreign]) == []
    assert watts(history(*evenings({"07-14": 4_000})), like_days(1), foreign) is None


@st.composite
def chains(draw) -> list[dict[str, object]]:
    """Readings of one vehicle on two days, one after the other, with gaps."""
    chain = []
    for day in ("07-14", "07-13"):
        moment = local(f"{day} 16:00")
        for _ in range(draw(st.integers(0, 5))):
            moment += timedelta(minutes=draw(st.integers(0, 40)))
            end = moment + timedelta(minutes=draw(st.integers(1, 60)))
            chain.append(reading(moment, end, draw(st.integers(-20_000, 20_000))))
            moment = end
    return chain


@settings(deadline=None)
@given(chain=chains(), seed=st.randoms(use_true_random=False))
def test_readings_in_any_order_average_as_fractions_do(chain, seed):
    # given
    past = history(*seed.sample(chain, len(chain)))
    # when
    average = watts(past, like_days(2, absent="zero"))
    # then each edge of a day rounds at most half a mWh
    exact = Fraction(0)
    for row in chain:
        for day in ("07-14", "07-13"):
            start = max(row["started_at"], local(f"{day} 17:00"))
            end = min(row["ended_at"], local(f"{day} 19:00"))
            if start < end:
                drawn = row["import_end_milliwh"] - 5_000_000
                given_back = row["export_end_milliwh"] - 7_000_000
                share = Fraction((end - start) // timedelta(microseconds=1)) / (
                    (row["ended_at"] - row["started_at"]) // timedelta(microseconds=1)
                )
                exact += (drawn - given_back) * share
    assert average is not None
    assert abs(average - exact / 4_000) <= Fraction(1, 2) + Fraction(4 * 1, 2 * 4_000)
