"""With which days an event is compared."""

from datetime import date, timedelta

import pytest

from settlement import baselines
from settlement.periods import Period
from tests.settlement.past import (
    days_compared,
    evenings,
    history,
    like_days,
    local,
    reading,
    tariff,
    watts,
    window,
)


@pytest.mark.parametrize(
    ("like", "event_day", "expected"),
    [
        pytest.param("all", "07-06", "07-05 07-04 07-03 07-02 07-01 06-30 06-29 06-28", id="all"),
        pytest.param("weekpart", "07-06", "07-02 07-01 06-30 06-29", id="weekday: not the holiday"),
        pytest.param("weekpart", "07-04", "07-03 06-28 06-27", id="weekend: the holiday too"),
        pytest.param("weekpart", "07-03", "06-28 06-27", id="an event on a holiday"),
        pytest.param("weekday", "07-10", "", id="by weekday: the holiday was no Friday"),
        pytest.param("weekday", "07-09", "07-02", id="by weekday: Thursdays"),
        pytest.param("weekday", "07-05", "07-03 06-28", id="by weekday: Sundays and the holiday"),
    ],
)
def test_the_last_eight_days_are_looked_through_for_like_ones(like, event_day, expected):
    # given a holiday on Friday, 3 July
    program = tariff(
        {"method": "like_days", "days": 1, "like": like, "search_days": 8}, ["2026-07-03"]
    )
    # when, then
    event = window(f"{event_day} 17:00", f"{event_day} 19:00")
    assert " ".join(days_compared(program, event)) == expected


def test_over_a_clock_change_the_local_hours_stay_the_same():
    # given a Tuesday after the clocks went forward on Sunday, 8 March
    event = window("03-10 17:00", "03-10 19:00")
    # when
    needed = baselines.history_needed(like_days(2, search_days=5), [event])
    # then Friday's 17:00 was an hour later in UTC than Monday's
    assert needed == [
        Period.parse("2026-03-06T01:00:00Z", "2026-03-06T03:00:00Z"),
        Period.parse("2026-03-07T01:00:00Z", "2026-03-07T03:00:00Z"),
        Period.parse("2026-03-10T00:00:00Z", "2026-03-10T02:00:00Z"),
    ]


def test_over_a_clock_change_the_average_is_of_the_local_hours():
    # given 17:00 to 19:00 by the clock before and after the change, and another power in the hours
    # that are these in UTC only
    event = window("03-10 17:00", "03-10 19:00")
    past = history(
        *evenings({"03-09": 2_000, "03-06": 6_000}),
        reading(local("03-06 16:00"), local("03-06 17:00"), 80_000),
    )
    # when, then 8 kWh in 4 h
    assert watts(past, like_days(2), event) == 2_000


@pytest.mark.parametrize(
    ("start", "end", "skipped"),
    [
        # clocks go forward on 8 March at 02:00, and back on 1 November at 02:00
        pytest.param("03-10 01:30", "03-10 02:30", ["03-08"], id="cut by the skipped hour"),
        pytest.param("03-10 02:30", "03-10 03:30", ["03-08"], id="begins in the skipped hour"),
        pytest.param("03-10 01:00", "03-10 02:00", [], id="ends as it is skipped"),
        pytest.param("03-10 03:00", "03-10 04:00", [], id="begins after it"),
        pytest.param("11-03 00:30", "11-03 02:30", ["11-01"], id="longer by the repeated hour"),
        pytest.param("11-03 01:00", "11-03 01:30", ["11-01"], id="begins in the repeated hour"),
        pytest.param("11-03 00:00", "11-03 01:00", [], id="ends as it begins"),
        pytest.param("11-03 02:00", "11-03 03:00", [], id="begins after the repeated hour"),
    ],
)
def test_a_day_whose_hours_a_clock_change_cuts_is_passed_over(start, end, skipped):
    # given an event two days after the change
    program = like_days(1, like="all", search_days=4)
    # when
    found = days_compared(program, window(start, end))
    # then
    month, day = (int(part) for part in start[:5].split("-"))
    before = [f"{date(2026, month, day) - timedelta(days=n):%m-%d}" for n in range(1, 5)]
    assert found == [on for on in before if on not in skipped]


def test_an_event_during_which_the_clock_changes_has_no_like_day():
    # given an event of one hour from 01:30 to 03:30
    event = window("03-08 01:30", "03-08 03:30")
    assert event.ended_at - event.started_at == timedelta(hours=1)
    # when, then
    assert baselines.history_needed(like_days(1, like="all"), [event]) == []
    assert watts(history(), like_days(1, like="all", absent="zero"), event) is None


def test_hours_past_midnight_belong_to_the_day_on_which_they_begin():
    # given an event from Friday night into Saturday
    event = window("07-17 22:00", "07-18 02:00")
    # when, then it is compared with nights that begin on weekdays
    assert days_compared(like_days(1, search_days=7), event) == [
        *("07-16", "07-15", "07-14", "07-13", "07-10")
    ]


@pytest.mark.parametrize(
    ("other", "excludes"),
    [
        pytest.param(window("07-14 08:00", "07-14 09:00", event="x"), True, id="any hour"),
        pytest.param(window("07-13 23:00", "07-14 00:30", event="x"), True, id="past midnight"),
        pytest.param(window("07-13 23:00", "07-14 00:00", event="x"), False, id="until midnight"),
        pytest.param(
            window("07-14 08:00", "07-14 09:00", event="x", cancelled="07-14 08:00"),
            False,
            id="cancelled before it began",
        ),
        pytest.param(
            window("07-14 08:00", "07-14 09:00", event="x", cancelled="07-14 08:01"),
            True,
            id="cancelled in flight",
        ),
        pytest.param(
            window("07-14 08:00", "07-14 09:00", event="x", program="another"),
            False,
            id="another program's",
        ),
    ],
)
def test_days_of_other_events_are_left_out(other, excludes):
    # given 8 kWh on the day in question and 2 kWh on a day before it that no event touched
    past = history(*evenings({"07-14": 8_000, "07-13": 50_000, "07-10": 2_000}))
    quiet = window("07-13 12:00", "07-13 13:00", event="y")
    # when, then
    assert watts(past, like_days(1), others=[other, quiet]) == (1_000 if excludes else 4_000)
    assert watts(past, like_days(1, exclude_event_days=False), others=[other]) == 4_000


def test_the_evening_before_counts_for_an_event_past_midnight():
    # given an event from 22:00 to 02:00, whose own second day is not an event day against it
    event = window("07-15 22:00", "07-16 02:00")
    past = history(reading(local("07-14 22:00"), local("07-15 02:00"), 4_000))
    # when, then
    assert watts(past, like_days(1), event) == 1_000
    # and another event in the small hours of the day before is one
    other = window("07-15 00:30", "07-15 01:00", event="x")
    assert watts(past, like_days(1), event, [other]) is None


def test_the_events_own_day_never_counts():
    # given an event after another one's hours, created in the evening, on a day with readings before
    event = window("07-15 17:00", "07-15 19:00", created="07-15 18:59")
    past = history(*evenings({"07-15": 90_000, "07-14": 4_000}))
    # when, then
    assert watts(past, like_days(1, exclude_event_days=False), event) == 2_000


def test_days_after_the_notice_are_not_looked_at():
    # given an event of which notice was given on Monday at 18:00
    event = window("07-15 17:00", "07-15 19:00", created="07-13 18:00")
    past = history(*evenings({"07-14": 90_000, "07-13": 90_000, "07-10": 4_000}))
    # when, then neither Tuesday nor Monday, whose hours had not ended, count, not even as zero
    assert days_compared(like_days(1, search_days=5), event) == ["07-10"]
    assert watts(past, like_days(1), event) == 2_000
    assert watts(past, like_days(1, absent="zero"), event) == 2_000


def test_a_day_whose_hours_end_as_notice_is_given_counts():
    # given notice at 19:00 on Tuesday
    event = window("07-15 17:00", "07-15 19:00", created="07-14 19:00")
    # when, then
    assert days_compared(like_days(1, search_days=1), event) == ["07-14"]


def test_a_day_whose_hours_reach_into_the_event_is_passed_over():
    # given an event of 30 hours, of which notice was given after the fact
    event = window("07-14 12:00", "07-15 18:00", created="07-15 20:00")
    # when, then the day before, until 18:00 on its own day, overlaps it
    assert days_compared(like_days(1, like="all", search_days=2), event) == ["07-12"]


def test_an_event_that_ends_as_the_clock_changes_has_like_days():
    # given an event until the moment at which 02:00 becomes 03:00
    event = window("03-08 01:00", "03-08 03:00")
    assert event.ended_at - event.started_at == timedelta(hours=1)
    # when, then
    assert days_compared(like_days(1, like="all", search_days=1), event) == ["03-07"]
