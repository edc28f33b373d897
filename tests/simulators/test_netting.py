"""The truth's arithmetic of heat, netting and charging, by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from simulators.heat import Temperature
from simulators.netting import Metered, settle, too_hot

START = datetime(2026, 7, 1, 17, tzinfo=UTC)
HALF = timedelta(minutes=30)
FIRST, SECOND = (START, START + HALF), (START + HALF, START + 2 * HALF)


def measured(*levels: tuple[int, int]) -> list[Temperature]:
    """Minutes after the start, and whole degrees."""
    return [
        Temperature("evse", "car", START + timedelta(minutes=minute), degrees * 1_000)
        for minute, degrees in levels
    ]


def test_a_pack_reaches_its_limit_after_the_lag_and_leaves_it_in_the_release_band():
    # given 25 °C, then 70 °C for an hour, then 25 °C: the pack is at 70 - 45 exp(-t / 30 min), which is
    # 55 °C after 32.96 minutes; after the hour it is at 63.9 °C, and 25 + 38.9 exp(-t / 30 min) is
    # 45 °C after another 19.96 minutes
    minutes = [(m, 70 if 0 <= m < 60 else 25) for m in range(-10, 120)]
    # when
    [(since, until)] = too_hot(measured(*minutes))
    # then
    assert since - START == timedelta(minutes=33)
    assert until - START == timedelta(minutes=80)


def test_a_battery_that_stays_hot_is_hot_to_the_end_and_one_that_says_nothing_never():
    assert too_hot(measured((0, 60), (1, 60), (2, 60))) == [
        (START + timedelta(minutes=1), START + timedelta(minutes=2))
    ]
    assert too_hot([]) == []


@pytest.mark.parametrize(
    ("first", "second", "before", "paid", "unpaid"),
    [
        pytest.param((900, 0), (800, 0), 0, [900, 800], {}, id="nothing drawn"),
        pytest.param((900, 300), (800, 0), 0, [600, 800], {"NETTED": 300}, id="drawn within"),
        pytest.param((100, 300), (800, 0), 0, [-200, 800], {"NETTED": 300}, id="more drawn in one"),
        pytest.param((100, 300), (100, 0), 0, [], {"NETTED": 200}, id="all offset"),
        pytest.param(
            (900, 0), (800, 0), 1_000, [0, 700], {"CHARGED_BEFORE": 1_000}, id="charged before"
        ),
        pytest.param(
            (900, 0), (800, 0), 2_000, [0, 0], {"CHARGED_BEFORE": 1_700}, id="no more than given"
        ),
    ],
)
def test_what_is_drawn_offsets_what_is_given(first, second, before, paid, unpaid):
    # given two intervals
    intervals = {FIRST: Metered(*first), SECOND: Metered(*second)}
    # when
    outcome = settle(intervals, before, [])
    # then
    assert list(outcome.paid.values()) == paid
    found = {reason: 0 for reason, _ in outcome.unpaid}
    for reason, energy in outcome.unpaid:
        found[reason] += energy
    assert {reason: energy for reason, energy in found.items() if energy} == unpaid


def test_an_interval_in_which_the_battery_was_too_hot_earns_nothing():
    hot = [(START + timedelta(minutes=33), START + timedelta(minutes=80))]
    outcome = settle({FIRST: Metered(900), SECOND: Metered(800)}, 0, hot)
    assert (outcome.paid, dict(outcome.unpaid)["THERMAL_LIMIT_REACHED"]) == ({START: 900}, 800)


def test_without_a_sensor_nothing_is_paid():
    outcome = settle({FIRST: Metered(900), SECOND: Metered(800)}, 0, None)
    assert (outcome.paid, outcome.unpaid) == ({}, [("THERMAL_MISSING", 1_700)])
