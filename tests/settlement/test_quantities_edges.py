"""Where two rules about a quantity meet: caps and charging, orders and silence, seasons and refusals, two
programs and hours that are used up.
"""

from datetime import datetime, timedelta
from itertools import permutations

import pytest

from settlement import timeline
from settlement.periods import Period
from settlement.timeline import Rival, Scope
from tests.settlement.frames import at, example_program, price, window
from tests.settlement.test_quantities import (
    EVENING,
    ORDERS,
    amount,
    capacity_program,
    drawn,
    net_program,
    order,
    paid,
    settled,
    unpaid,
)

QUARTERS = [
    price("17:00", "17:15", 400_000),
    price("17:15", "17:30", 500_000),
    price("17:30", "17:45", 600_000),
]


@pytest.mark.parametrize("cap", ["event_kwh", "season_kwh"])
def test_charging_makes_room_under_a_cap_for_what_was_paid_and_no_more(cap: str) -> None:
    # given 8 kWh of which the cap pays 5, 4 kWh charged, and 6 kWh
    result = settled(
        drawn("17:00", "17:15", out=8_000),
        drawn("17:15", "17:30", into=4_000),
        drawn("17:30", "17:45", out=6_000),
        program=net_program(caps={cap: "5"}), prices=QUARTERS,
    )  # fmt: skip
    # then 5 − 4 leaves room for 4 more
    assert paid(result) == {"17:00": 5_000, "17:15": -4_000, "17:30": 4_000}
    assert unpaid(result) == {"OVER_CAP": 5_000, "NETTED": 4_000}


def test_an_order_that_nothing_was_delivered_of_is_a_shortfall_whatever_the_baseline() -> None:
    # given neither readings nor a baseline
    program = net_program(product="order", order=ORDERS)
    result = settled(program=program, orders=[order("17:00", "17:15", 2_000)])
    # then
    assert result.lines["term"].to_list() == ["shortfall"]
    assert amount(result) == [-2_200]
    assert result.settlements["state"].to_list() == ["booked"]


AUTUMN = datetime.fromisoformat("2026-10-01T07:00:00+00:00")
SEASONS_END = Period(AUTUMN - timedelta(days=1), AUTUMN)


def test_an_event_that_stayed_below_the_minimum_counts_though_missed_ones_do_not() -> None:
    # given 10 kWh in one hour, 1 kWh in another, and a third without the car
    program = capacity_program(capacity={"absent": "excluded"}, minimum={"event_kwh": "2"})
    windows = [window(f"event-{hour}", f"{hour}:00", f"{hour + 1}:00") for hour in (10, 12, 14)]
    result = settled(
        drawn("10:00", "11:00", out=10_000), drawn("12:00", "13:00", out=1_000),
        program=program, windows=windows, period=SEASONS_END,
    )  # fmt: skip
    # then 10 kWh over two hours are 5 kW on average
    assert amount(result) == [5 * 22_500]
    assert unpaid(result) == {"BELOW_MINIMUM": 1_000}


def test_what_a_season_does_not_pay_goes_under_its_name_and_what_no_event_called_for_does_not() -> (
    None
):
    # given an event that the season's hours leave out, and one that was cancelled halfway
    season = {"months": [6, 7, 8, 9], "hours": ["00:00", "15:00"]}
    program = example_program(
        product="capacity", capacity={"per_avg_kw": "225.00"}, season=season, tiers={},
        timezone="UTC",
    )  # fmt: skip
    windows = [
        window("late", "17:00", "18:00"),
        window("halved", "10:00", "11:00", cancelled_at=at("10:30")),
    ]
    result = settled(
        drawn("10:30", "11:00", out=1_000), drawn("17:00", "18:00", out=2_000),
        program=program, windows=windows,
        period=Period(AUTUMN - timedelta(days=300), AUTUMN + timedelta(days=300)),
    )  # fmt: skip
    # then
    names = set(result.unpaid.select("event_id", "reason").iter_rows())
    assert names == {("season-2026", "OUTSIDE_SEASON"), ("halved", "EVENT_CANCELLED")}


def test_a_charge_that_is_not_believed_is_shown_where_it_would_have_been_netted() -> None:
    # given charging of which registers and powers disagree
    wrong = drawn("17:15", "17:30", into=4_000) | {"power_start_w": 0, "power_end_w": 0}
    result = settled(
        drawn("17:00", "17:15", out=2_000), wrong, program=net_program(), prices=QUARTERS
    )
    # then nothing is deducted for it, and it is said why
    rows = result.unpaid.select("energy_milliwh", "reason").rows()
    assert rows == [(0, "ERR_DATA_INCONSISTENCY")]
    assert paid(result) == {"17:00": 2_000}


def test_time_that_two_programs_claim_uses_up_the_hours_of_both() -> None:
    # given one hour a season, of which the first half is another program's as well
    program = net_program(caps={"season_hours": 1})
    rival = window("other", "16:30", "17:30")
    for before in (False, True):
        cells = timeline.build(
            [window("peak", "17:00", "19:00")],
            [],
            Scope(
                program,
                [program],
                EVENING,
                rivals=(Rival(rival, enrolled=True, before=before),),
                enrolled=frozenset({"peak"}),
            ),
        )
        # when
        rows = cells.select("started_at", "why", "place").rows()
        # then the hour is used up at 18:00, whoever is named for the first half of it
        assert (at("18:00"), "OVER_CAP", "event") in rows
        assert (at("17:30"), None, "event") in rows
        assert ((at("17:00"), "DOUBLE_ENROLMENT", "event") in rows) is not before


def test_of_events_that_are_not_in_force_the_same_is_named_in_whatever_order_they_come() -> None:
    # given two that were cancelled and two that are another group's, each pair over the same time
    gone = [
        window(name, "17:00", "18:00", created=made, cancelled_at=at("16:00"))
        for name, made in (("early", "08:00"), ("late", "09:00"))
    ]
    foreign = [
        window(name, "18:00", "19:00", created=made, group="far")
        for name, made in (("far-early", "08:00"), ("far-late", "09:00"))
    ]
    program = net_program()
    scope = Scope(program, [program], EVENING, frozenset({"far-early", "far-late"}))
    # when
    named = {
        tuple(timeline.build(order_of, [], scope)["event_id"])
        for order_of in permutations([*gone, *foreign])
    }
    # then
    assert named == {("", "", "late", "far-late", "", "")}
