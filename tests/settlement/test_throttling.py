"""When a battery is throttled: the guard's decisions, and that settlement comes to the same."""

from datetime import UTC, datetime, timedelta
from typing import cast

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.programs import Thermal
from settlement.schemas import TEMPERATURE
from settlement.thermal import Rule, Trace, factors
from settlement.throttling import Battery, Decision, Reason, Rules, plain_terms

SECOND = 1_000_000
LOST_AFTER = 120 * SECOND
HOUR = 3600 * SECOND
T0 = 1_780_000_000 * SECOND
MIDNIGHT = datetime.fromtimestamp(T0 / SECOND, UTC)
BOTH_SIDES = ((-10_000, 0), (20_000, 1_000_000), (45_000, 1_000_000), (55_000, 0))


def terms(*, tau_s: int = 0, curve=None, low: int = 20_000, high: int = 45_000) -> Thermal:
    plain = plain_terms(limit=55_000, low=low, high=high, time_constant_us=tau_s * SECOND)
    if curve is None:
        return plain
    return Thermal(tau_s * SECOND, curve, None, 10**12, low, high)


def rules(*some: Thermal, hard: int | None = None) -> Rules:
    return Rules(some or (terms(),), LOST_AFTER, HOUR, hard)


def heard(battery: Battery, held: Rules, *moments: tuple[int, int], device: str = "d") -> None:
    for second, celsius in moments:
        battery.heard(T0 + second * SECOND, {device: celsius * 1000}, held)


def decided(battery: Battery, second: float, held: Rules) -> Decision:
    return battery.decide(T0 + round(second * SECOND), held)


@st.composite
def histories(draw) -> list[tuple[int, int]]:
    """(second, milli-°C), each second once, ascending."""
    celsius = st.one_of(st.integers(-20_000, 80_000), st.sampled_from([20_000, 45_000, 55_000]))
    found = draw(st.dictionaries(st.integers(0, 2000), celsius, min_size=1, max_size=30))
    return sorted(found.items())


@settings(deadline=None, max_examples=150)
@given(
    history=histories(),
    asked=st.lists(st.integers(0, 2200), min_size=1, max_size=20),
    tau_s=st.sampled_from([0, 0, 60, 900]),
    curve=st.sampled_from([None, BOTH_SIDES]),
)
def test_the_guard_and_the_settlement_see_the_same_states(history, asked, tau_s, curve):
    # given a battery that was followed as its temperatures came in, and looked at now and then
    under = terms(tau_s=tau_s, curve=curve)
    held = rules(under)
    first = history[0][0]
    battery, states = Battery(), {}
    coming = list(history)
    for second in sorted({*asked, *(at for at, _ in history)}):
        while coming and coming[0][0] <= second:
            at, temperature = coming.pop(0)
            battery.heard(T0 + at * SECOND, {"d": temperature}, held)
        if second >= first:
            states[second] = battery.decide(T0 + second * SECOND, held).limit_reached

    # when the same temperatures are settled, a microsecond at a time
    temperatures = pl.DataFrame(
        [("E", "car", MIDNIGHT + timedelta(seconds=at), value, MIDNIGHT) for at, value in history],
        schema=TEMPERATURE.schema,
        orient="row",
    )
    moments = [MIDNIGHT + timedelta(seconds=second) for second in states]
    intervals = pl.DataFrame(
        [("car", at, at + timedelta(microseconds=1)) for at in moments],
        schema={
            "vehicle_id": pl.String(),
            "started_at": pl.Datetime("us", "UTC"),
            "ended_at": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )
    reasons = factors(temperatures, intervals, under)["thermal_reason"].to_list()

    # then it stands where the guard had it stand
    trace = Trace.of([T0 + at * SECOND for at, _ in history], [t for _, t in history], under)
    for second, reason in zip(states, reasons, strict=True):
        crossed = trace.stands(T0 + second * SECOND) != trace.stands(T0 + second * SECOND + 1)
        assert states[second] == trace.stands(T0 + second * SECOND)
        assert crossed or (reason == Reason.LIMIT) == states[second], second


@settings(deadline=None, max_examples=100)
@given(one=histories(), other=histories(), tau_s=st.sampled_from([0, 300]))
def test_of_two_devices_none_hides_what_the_settlement_sees(one, other, tau_s):
    # given two devices at one battery, which settlement reads as one series, the higher at one time
    under = terms(tau_s=tau_s, low=-200_000)
    held, battery = rules(under), Battery()
    said: dict[int, dict[str, int]] = {}
    for device, history in (("a", one), ("b", other)):
        for at, temperature in history:
            said.setdefault(T0 + at * SECOND, {})[device] = temperature
    times = sorted(said)
    trace = Trace.of(times, [max(said[at].values()) for at in times], under)

    # when the guard follows it, for which a device's word holds until its next
    for at in times:
        battery.heard(at, said[at], held)
        # then wherever the settlement pays nothing, the battery is limited
        if trace.stands(at):
            assert battery.decide(at, held).limit_reached


def test_at_a_hot_device_a_cool_one_releases_nothing():
    held, battery = rules(), Battery()
    heard(battery, held, (0, 30), device="cool")
    heard(battery, held, (1, 56), device="hot")
    for second in range(2, 20):
        heard(battery, held, (second, 30), device="cool")
        assert decided(battery, second, held).reason is Reason.LIMIT


@pytest.mark.parametrize(
    ("after_s", "reason"),
    [(119, None), (120, None), (120.000001, Reason.LOST), (10**6, Reason.LOST)],
)
def test_a_device_that_says_nothing_for_too_long_throttles(after_s, reason):
    held, battery = rules(), Battery()
    heard(battery, held, (0, 30))
    # when it is asked and does not answer
    battery.asked("d", T0 + round(after_s * SECOND))
    assert decided(battery, after_s, held).reason is reason


def test_a_device_that_never_said_anything_throttles_too():
    held, battery = rules(), Battery()
    heard(battery, held, (0, 30))
    battery.asked("silent", T0)
    for second in range(5, 130, 5):
        heard(battery, held, (second, 30))
        battery.asked("silent", T0 + second * SECOND)
    found = decided(battery, 125, held)
    assert found.reason is Reason.LOST
    assert found.evidence["lost"] == ["silent"]


def test_a_device_that_nobody_asks_any_more_was_taken_away():
    # given two devices, of which one is gone from the poller's file
    held, battery = rules(), Battery()
    heard(battery, held, (0, 30), device="gone")
    for second in range(0, 3600, 60):
        battery.heard(T0 + second * SECOND + 1, {"stays": 30_000}, held)
    # then it is missed for as long as it may come back, and no longer
    assert decided(battery, 3600, held).reason is Reason.LOST
    battery.heard(T0 + 3602 * SECOND, {"stays": 30_000}, held)
    assert decided(battery, 3602, held).reason is None


def test_the_limit_comes_before_a_lost_sensor_and_outlives_it():
    held, battery = rules(), Battery()
    heard(battery, held, (0, 56))
    assert decided(battery, 500, held).reason is Reason.LIMIT
    heard(battery, held, (600, 50))
    assert decided(battery, 600, held).reason is Reason.LIMIT
    heard(battery, held, (601, 45))
    assert decided(battery, 601, held).reason is None


def test_what_stood_before_goes_on_standing_until_the_band():
    # given a battery of which it is known that the limit stood
    held, battery = rules(), Battery(stood=True)
    assert decided(battery, 0, held).limit_reached
    heard(battery, held, (1, 50))
    assert decided(battery, 1, held).limit_reached
    heard(battery, held, (2, 44))
    assert not decided(battery, 2, held).limit_reached
    # then never again by that alone
    other = rules(terms(high=40_000))
    heard(battery, other, (3, 44))
    assert not decided(battery, 3, other).limit_reached


def test_what_is_known_to_have_stood_stands_on_also_in_a_battery_that_was_followed():
    # given a battery that was cool, and of which it becomes known that its limit stood
    held, battery = rules(), Battery()
    heard(battery, held, (0, 30))
    battery.stood = True
    # then it is released by a temperature within the band, and by nothing else
    heard(battery, held, (1, 50))
    assert decided(battery, 1, held).reason is Reason.LIMIT
    heard(battery, held, (2, 45))
    assert decided(battery, 2, held).reason is None


def test_new_terms_take_up_what_stood_under_the_old_ones():
    held, battery = rules(), Battery()
    heard(battery, held, (0, 56), (1, 50))
    stricter = rules(terms(high=30_000))
    # when the program changes, before anything is measured and after
    assert decided(battery, 2, stricter).limit_reached
    heard(battery, stricter, (3, 44))
    # then the old band releases nothing any more
    assert decided(battery, 3, stricter).limit_reached
    heard(battery, stricter, (4, 30))
    assert not decided(battery, 4, stricter).limit_reached


def test_of_two_programs_each_is_held():
    early = Thermal(0, ((40_000, 1_000_000), (50_000, 0)), None, HOUR, 20_000, 40_000)
    held, battery = rules(terms(), early), Battery()
    heard(battery, held, (0, 50))
    assert decided(battery, 0, held).reason is Reason.LIMIT
    heard(battery, held, (1, 44))
    assert decided(battery, 1, held).reason is Reason.LIMIT
    heard(battery, held, (2, 40))
    assert decided(battery, 2, held).reason is None


def test_a_hard_limit_is_one_on_what_is_measured():
    # given a filter so slow that it would not notice
    slow = rules(terms(tau_s=3600))
    hard = rules(terms(tau_s=3600), hard=60_000)
    for held, expected in ((slow, None), (hard, Reason.LIMIT)):
        battery = Battery()
        heard(battery, held, (0, 30), (5, 60))
        assert decided(battery, 5, held).reason is expected
    # then it ends within the band, by the measured temperature too
    heard(battery, hard, (10, 59))
    assert decided(battery, 10, hard).reason is Reason.LIMIT
    heard(battery, hard, (15, 45))
    assert decided(battery, 15, hard).reason is None


def test_a_device_whose_clock_is_ahead_is_lost():
    # given a sample that is a little ahead of whoever decides: two clocks are never quite the same
    held, battery = rules(terms(tau_s=60)), Battery()
    heard(battery, held, (0, 30), (100, 56))
    assert decided(battery, 90, held).reason is None
    # but further ahead nobody can tell how old it is
    assert decided(battery, 89.999, held).reason is Reason.LOST


def test_a_battery_that_left_leaves_its_state_behind():
    # given a hot battery at one charger
    held, battery = rules(), Battery()
    heard(battery, held, (0, 56))
    # when it goes to another one
    there = battery.left()
    # then the charger is not released because it is gone, and is lost in time
    assert decided(there, 1, held).limit_reached
    assert decided(there, 121, held).reason is Reason.LIMIT
    # and the battery itself is followed where it is
    heard(battery, held, (5, 50), device="elsewhere")
    assert decided(battery, 5, held).reason is Reason.LIMIT
    heard(battery, held, (6, 44), device="elsewhere")
    assert decided(battery, 6, held).reason is None


def test_a_cool_battery_that_left_is_missed():
    held, battery = rules(), Battery()
    heard(battery, held, (0, 30))
    there = battery.left()
    assert decided(there, 120, held).reason is None
    assert decided(there, 121, held).reason is Reason.LOST


def test_a_decision_says_what_it_rests_on():
    held, battery = rules(), Battery()
    heard(battery, held, (0, 30), (10, 56))
    found = decided(battery, 12, held)
    assert (found.reason, found.since) == (Reason.LIMIT, T0 + 12 * SECOND)
    [under] = cast(list[dict[str, object]], found.evidence["terms"])
    assert (under["filtered_millicelsius"], under["limit_high_millicelsius"]) == (56_000, 55_000)
    assert found.evidence["devices"] == {
        "d": {"measured_at_us": T0 + 10 * SECOND, "millicelsius": 56_000}
    }
    # and since when, for as long as it goes on
    assert decided(battery, 99, held).since == T0 + 12 * SECOND


def test_a_trace_stands_nowhere_before_its_first_sample():
    trace = Trace.of([T0], [60_000], terms())
    assert not trace.stands(T0 - 1)
    assert trace.stands(T0)


def test_a_rule_begins_with_what_is_measured():
    rule = Rule.of(terms(tau_s=600))
    assert rule.begin(T0, 50_000).filtered == 50_000
    assert not rule.begin(T0, 50_000).stands
    assert rule.begin(T0, 50_000, stood=True).stands
    assert not rule.begin(T0, 40_000, stood=True).stands
