"""What battery temperature leaves of a payment."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import exp

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.programs import Thermal
from settlement.schemas import TEMPERATURE
from settlement.thermal import Limit, curve_ppm, factors, limit

WARM = ((20_000, 1_000_000), (45_000, 1_000_000), (55_000, 0))
BOTH_SIDES = ((-10_000, 0), (20_000, 1_000_000), (45_000, 1_000_000), (55_000, 0))
MINUTE = 60_000_000
REACHED = "THERMAL_LIMIT_REACHED"
MISSING = "THERMAL_MISSING"
MIDNIGHT = datetime(2026, 7, 1, tzinfo=UTC)

# minute or second, vehicle, °C
Sample = tuple[float, str, float]
Interval = tuple[str, float, float]


def terms(
    *,
    tau_s: float = 0,
    curve: tuple[tuple[int, int], ...] = WARM,
    missing: int | None = None,
    fresh_s: float = 3600,
) -> Thermal:
    return Thermal(
        time_constant_us=round(tau_s * 1_000_000),
        curve=curve,
        missing_factor_ppm=missing,
        fresh_us=round(fresh_s * 1_000_000),
        release_low_millicelsius=20_000,
        release_high_millicelsius=45_000,
    )


def moment(seconds: float) -> datetime:
    return MIDNIGHT + timedelta(microseconds=round(seconds * 1_000_000))


def samples(*rows: tuple[float, float], vehicle: str = "car", evse: str = "E1") -> pl.DataFrame:
    """Rows of (seconds, °C)."""
    return pl.DataFrame(
        [
            (evse, vehicle, moment(at), round(celsius * 1000), moment(at) + timedelta(seconds=1))
            for at, celsius in rows
        ],
        schema=TEMPERATURE.schema,
        orient="row",
    )


def intervals(*rows: tuple[float, float], vehicle: str = "car") -> pl.DataFrame:
    """Rows of (start, end) in seconds."""
    return pl.DataFrame(
        [(vehicle, moment(start), moment(end)) for start, end in rows],
        schema={
            "vehicle_id": pl.String(),
            "started_at": pl.Datetime("us", "UTC"),
            "ended_at": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )


def judged(
    measured: pl.DataFrame, asked: pl.DataFrame, rules: Thermal
) -> list[tuple[int | None, str | None]]:
    result = factors(measured, asked, rules)
    return result.select("thermal_factor_ppm", "thermal_reason").rows()


@pytest.mark.parametrize(
    ("curve", "celsius", "ppm"),
    [
        pytest.param(WARM, -30, 1_000_000, id="the first value below the first point"),
        pytest.param(WARM, 45, 1_000_000, id="the plateau's end"),
        pytest.param(WARM, 47, 800_000, id="a fifth of the way down"),
        pytest.param(WARM, 54.999, 100, id="a sensor's step before the limit"),
        pytest.param(WARM, 55, 0, id="the limit"),
        pytest.param(WARM, 60, 0, id="beyond the curve's reach"),
        pytest.param(BOTH_SIDES, -10, 0, id="the cold limit"),
        pytest.param(BOTH_SIDES, 5, 500_000, id="half way up"),
        pytest.param(((20_000, 1_000_000), (50_000, 500_000)), 50, 500_000, id="the last point"),
        pytest.param(((20_000, 1_000_000), (50_000, 500_000)), 50.001, 0, id="just past it"),
        pytest.param(((0, 700_000),), -5, 700_000, id="one point: its value below"),
        pytest.param(((0, 700_000),), 0, 700_000, id="one point: its value at it"),
        pytest.param(((0, 700_000),), 5, 0, id="one point: 0 above"),
        pytest.param(((0, 2), (4_000, 4)), 1, 2, id="2.5 millionths go to the even 2"),
        pytest.param(((0, 2), (4_000, 4)), 3, 4, id="3.5 millionths go to the even 4"),
        pytest.param(((0, 2), (4_000, 4)), 1.001, 3, id="a little more than 2.5 goes up"),
    ],
)
def test_the_curve_is_read_linearly_between_its_points(curve, celsius, ppm):
    assert curve_ppm(curve, celsius * 1000) == ppm


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        pytest.param(WARM, Limit(None, 55_000, True), id="hot side only"),
        pytest.param(BOTH_SIDES, Limit(-10_000, 55_000, True), id="both sides"),
        pytest.param(
            ((-20_000, 0), (-10_000, 0), (0, 1_000_000), (55_000, 0), (60_000, 0)),
            Limit(-10_000, 55_000, True),
            id="the zeros nearest to the plateau",
        ),
        pytest.param(
            ((20_000, 1_000_000), (50_000, 500_000)), Limit(None, 50_000, False), id="cut off"
        ),
        pytest.param(
            ((0, 1_000_000), (10_000, 0), (20_000, 1_000_000), (55_000, 0)),
            Limit(None, 55_000, True),
            id="a dip between two ends of the plateau is no limit",
        ),
        pytest.param(((0, 0), (50_000, 0)), Limit(50_000, 50_000, True), id="nothing but 0"),
    ],
)
def test_the_limit_is_where_the_curve_reaches_zero_seen_from_its_plateau(curve, expected):
    assert limit(terms(curve=curve)) == expected


def test_the_rules_pages_example_has_factors_of_one_and_four_fifths():
    # given an event from 17:00, whose first half peaks at 44 °C and whose second at 47 °C
    measured = samples((0, 41), (900, 44), (1700, 43), (1800, 46), (2700, 47))
    halves = intervals((0, 1800), (1800, 3600))
    # when
    result = factors(measured, halves, terms())
    # then
    assert result["thermal_factor_ppm"].to_list() == [1_000_000, 800_000]
    assert result["battery_millicelsius"].to_list() == [44_000, 47_000]
    assert result["thermal_reason"].to_list() == [None, None]


@pytest.mark.parametrize("after_s", [0, 1, 60, 600, 3600])
@pytest.mark.parametrize("tau_s", [1, 600, 5400])
def test_a_step_is_followed_as_the_closed_form_says(tau_s, after_s):
    # given a battery at 46 °C that is at 54 °C from one moment on
    measured = samples((0, 46), (300, 54))
    # when it is asked for a while after the step
    asked = intervals((300, 300 + after_s + 0.000001))
    result = factors(measured, asked, terms(tau_s=tau_s, fresh_s=7200))
    # then F = 54 − 8·exp(−t/τ)
    aged = Decimal(after_s) + Decimal("0.000001")
    filtered = 54 - 8 * (-aged / tau_s).exp()
    assert result["battery_millicelsius"].item() == round(filtered * 1000)
    assert abs(result["thermal_factor_ppm"].item() - (55 - filtered) * 100_000) <= Decimal("0.501")


def test_a_second_step_starts_from_where_the_filter_stood():
    # given 20 °C, 40 °C after 0 s, 30 °C after 100 s, and τ = 100 s
    measured = samples((-1, 20), (0, 40), (100, 30))
    # when
    result = factors(measured, intervals((150, 150.000001)), terms(tau_s=100))
    # then F(100) = 40 − 20/e, F(150) = 30 + (F(100) − 30)·exp(−½)
    at_second = 40 - 20 * exp(-1)
    assert result["battery_millicelsius"].item() == round(
        1000 * (30 + (at_second - 30) * exp(-0.5))
    )


def test_the_highest_temperature_may_lie_at_a_sample_inside():
    # given a peak in the middle of an interval that starts and ends cooler
    measured = samples((0, 40), (100, 80), (130, 20))
    # when
    result = factors(measured, intervals((50, 400)), terms(tau_s=300))
    # then F is highest as the battery begins to cool
    peak = 80 - 40 * exp(-30 / 300)
    assert result["battery_millicelsius"].item() == round(peak * 1000)


def test_a_sample_exactly_at_an_intervals_end_belongs_to_the_next_one():
    # given a jump to 50 °C exactly between two intervals
    measured = samples((0, 40), (600, 50))
    # when
    result = judged(measured, intervals((0, 600), (600, 1200)), terms())
    # then
    assert result == [(1_000_000, None), (500_000, None)]


@pytest.mark.parametrize(
    ("times", "interval", "known"),
    [
        pytest.param((0, 300), (0, 600), True, id="never older than five minutes"),
        pytest.param((0,), (0, 300), True, id="exactly five minutes at the end"),
        pytest.param((0,), (0, 300.000001), False, id="a microsecond older at the end"),
        pytest.param((0, 300.000001), (0, 400), False, id="too old just before the next sample"),
        pytest.param(
            (0, 400), (300, 500), False, id="too old from the start until the next sample"
        ),
        pytest.param((0, 400), (400, 500), True, id="old before the interval is no matter"),
        pytest.param((100,), (0, 200), False, id="none at the start"),
        pytest.param((0.000001,), (0, 200), False, id="none in the first microsecond"),
        pytest.param((200,), (0, 200), False, id="the first one belongs to the next interval"),
        pytest.param((), (0, 200), False, id="none at all"),
        pytest.param((0, 290, 5000), (0, 590), True, id="what comes later is no matter"),
    ],
)
@pytest.mark.parametrize("tau_s", [0, 900])
@pytest.mark.parametrize("missing", [None, 500_000])
def test_a_temperature_must_be_fresh_at_every_moment(times, interval, known, tau_s, missing):
    # given samples at these times, and a program that takes five minutes as fresh
    measured = samples(*((at, 30) for at in times))
    rules = terms(fresh_s=300, tau_s=tau_s, missing=missing)
    # when
    result = factors(measured, intervals(interval), rules)
    # then without one the program's word counts, and no temperature is claimed
    if known:
        expected: tuple[object, ...] = (1_000_000, None, 30_000)
    else:
        expected = (missing, None if missing else MISSING, None)
    columns = ("thermal_factor_ppm", "thermal_reason", "battery_millicelsius")
    assert result.select(columns).row(0) == expected


def test_the_limit_stands_until_the_battery_is_back_in_the_release_band():
    # given a battery that reaches the limit, cools slowly, and warms up again
    measured = samples((0, 50), (60, 55), (120, 50), (180, 45.001), (240, 45), (300, 46))
    minutes = intervals(*((at, at + 60) for at in range(0, 360, 60)))
    # when
    result = judged(measured, minutes, terms())
    # then between the limit and 45 °C it earns nothing, though the curve would give half
    assert result == [
        (500_000, None),
        (0, REACHED),
        (0, REACHED),
        (0, REACHED),
        (1_000_000, None),
        (900_000, None),
    ]


def test_an_interval_in_which_the_limit_stood_for_a_moment_earns_nothing():
    # given a second beyond the limit
    measured = samples((0, 30), (100, 56), (101, 30))
    # when
    result = judged(measured, intervals((0, 100), (0, 200), (101, 200)), terms())
    # then
    assert result == [(1_000_000, None), (0, REACHED), (1_000_000, None)]


def test_an_interval_that_starts_before_the_filter_is_back_in_the_band_earns_nothing():
    # given a filter that begins to cool at 60 °C, and is at 45 °C 282 s later
    measured = samples((0, 60), (0.000001, 20))
    # when
    result = judged(measured, intervals((100, 500), (281, 500), (283, 500)), terms(tau_s=600))
    # then 20 + 40·exp(−282/600) = 45.0
    assert [reason for _, reason in result] == [REACHED, REACHED, None]


def test_a_curve_that_ends_above_zero_has_its_limit_just_beyond_its_end():
    # given a curve that says one half at 50 °C and nothing above
    rules = terms(curve=((20_000, 1_000_000), (50_000, 500_000)))
    # when
    result = judged(samples((0, 50), (60, 50.001)), intervals((0, 60), (60, 120)), rules)
    # then
    assert result == [(500_000, None), (0, REACHED)]


def test_the_limit_counts_for_the_filtered_temperature_and_not_for_the_measured():
    # given a second at 70 °C, which a heavy battery hardly notices
    measured = samples((0, 30), (100, 70), (101, 30))
    # when
    result = judged(measured, intervals((0, 200)), terms(tau_s=1800))
    # then
    assert result == [(1_000_000, None)]


@pytest.mark.parametrize(
    ("after", "still"),
    [
        pytest.param(-9, True, id="too cold to be released"),
        pytest.param(19.999, True, id="just below the band"),
        pytest.param(20, False, id="the band's lower end"),
        pytest.param(45, False, id="the band's upper end"),
        pytest.param(45.001, True, id="just above the band"),
    ],
)
def test_the_cold_limit_is_released_by_the_same_band(after, still):
    # given a battery at the cold limit of a curve that has one, then elsewhere
    measured = samples((0, -10), (60, after))
    # when
    result = factors(measured, intervals((0, 60), (60, 120)), terms(curve=BOTH_SIDES))
    # then
    assert result["thermal_reason"].to_list() == [REACHED, REACHED if still else None]
    assert result["thermal_factor_ppm"][0] == 0
    assert (result["thermal_factor_ppm"][1] == 0) == still


def test_a_curve_that_says_one_in_the_cold_has_no_cold_limit():
    assert judged(samples((0, -40)), intervals((0, 60)), terms()) == [(1_000_000, None)]


def test_a_sensor_that_falls_silent_at_the_limit_leaves_it_standing():
    # given a last sample beyond the limit, and another car that was never beyond it
    measured = pl.concat([samples((0, 56)), samples((0, 50), vehicle="other")])
    asked = pl.concat([intervals((7200, 9000)), intervals((7200, 9000), vehicle="other")])
    # when both have been silent for two hours
    result = factors(measured, asked, terms(fresh_s=300))
    # then one is known to earn nothing, and of the other nothing is known
    assert result["thermal_reason"].to_list() == [REACHED, MISSING]
    assert result["thermal_factor_ppm"].to_list() == [0, None]


def test_the_limit_reached_in_an_interval_that_begins_before_the_first_sample_stands():
    # given
    measured = samples((60, 58))
    # when
    result = factors(measured, intervals((0, 60), (0, 120)), terms())
    # then nothing is known of the first minute; of both it is known that they earn nothing
    assert result["thermal_reason"].to_list() == [MISSING, REACHED]
    assert result["battery_millicelsius"].to_list() == [None, 58_000]


def test_the_filter_starts_at_the_vehicles_first_sample():
    # given a first sample below the limit by a hair, and nothing before
    measured = samples((0, 54), (1, 54))
    # when it is asked for at once
    result = factors(measured, intervals((0, 1)), terms(tau_s=7200))
    # then no cooler past is made up
    assert result["battery_millicelsius"].item() == 54_000


def test_of_two_samples_at_one_time_the_higher_counts():
    # given a vehicle that two chargers measure
    measured = pl.concat([samples((0, 47), evse="E1"), samples((0, 44), evse="E2")])
    # when, then
    for order in (measured, measured.reverse()):
        assert judged(order, intervals((0, 60)), terms()) == [(800_000, None)]


def test_a_filter_that_passes_the_release_band_between_samples_has_left_the_limit():
    # given a battery that cools from 60 °C to far below the band within one gap of samples
    measured = samples((0, 60), (1, -40), (4000, 19))
    rules = terms(tau_s=600, fresh_s=10_000)
    later = intervals((4000, 4060))
    # when it is asked for alone, and together with an interval in which it passed the band
    alone = judged(measured, later, rules)
    together = judged(measured, pl.concat([intervals((400, 500)), later]), rules)
    # then what else is asked for does not matter
    assert alone == [(1_000_000, None)]
    assert together[1:] == alone


def test_rows_keep_their_order_and_their_other_columns():
    # given intervals in no order, with a column of their own
    asked = intervals((600, 1200), (0, 600)).with_columns(note=pl.Series(["b", "a"]))
    # when
    result = factors(samples((0, 40), (600, 50)), asked, terms())
    # then
    assert result.drop("thermal_factor_ppm", "thermal_reason", "battery_millicelsius").equals(asked)
    assert result["thermal_factor_ppm"].to_list() == [500_000, 1_000_000]


def test_nothing_asked_for_is_nothing_said():
    # given no interval
    result = factors(samples((0, 40)), intervals(), terms())
    # then the columns stand all the same
    assert result.schema["thermal_factor_ppm"] == pl.Int64()
    assert result.schema["thermal_reason"] == pl.String()
    assert result.is_empty()


def naive(
    measured: Sequence[tuple[int, int]], start: int, end: int, rules: Thermal
) -> tuple[float | None, str | None]:
    """Second by second: measured and start and end in whole seconds, temperatures in milli-°C."""
    tau, fresh = rules.time_constant_us / 1e6, rules.fresh_us / 1e6
    by_second: dict[int, int] = {}
    for at, value in measured:
        by_second[at] = max(value, by_second.get(at, -(10**9)))
    temperature: int | None = None
    filtered: float | None = None
    latest: int | None = None
    stood, stands, seen, known = False, False, [], True
    for second in range(min([*by_second, start]), end + 1):
        if filtered is not None:  # a second passes; what it has come to is the limit from the left
            assert temperature is not None
            assert latest is not None
            filtered = temperature + (filtered - temperature) * (exp(-1 / tau) if tau else 0)
            if start < second <= end:
                seen.append(filtered)
                known = known and second - latest <= fresh
        elif start < second <= end:
            known = False
        if second in by_second and second < end:
            temperature, latest = by_second[second], second
            filtered = temperature if filtered is None or not tau else filtered
        if filtered is not None:
            if filtered >= 55_000 or (rules.curve == BOTH_SIDES and filtered <= -10_000):
                stands = True
            elif 20_000 <= filtered <= 45_000:
                stands = False
        if start <= second < end:
            if filtered is None:
                known = False
            else:
                seen.append(filtered)
        if start <= second <= end:
            stood = stood or stands
    if stood:
        return 0, REACHED
    if not known:
        return None, MISSING
    hottest = max(seen)
    for (left, a), (right, b) in zip(rules.curve, rules.curve[1:], strict=False):
        if left <= hottest <= right:
            return a + (b - a) * (hottest - left) / (right - left), None
    return rules.curve[0][1], None


@st.composite
def histories(draw) -> list[tuple[int, int]]:
    times = draw(st.lists(st.integers(0, 900), max_size=12))
    degrees = st.sampled_from([-30, -10, 5, 19, 20, 30, 45, 46, 50, 54, 55, 56, 90])
    return [(at, draw(degrees) * 1000) for at in times]


@settings(deadline=None)
@given(
    history=histories(),
    other=histories(),
    start=st.integers(0, 1000),
    length=st.integers(1, 600),
    tau_s=st.sampled_from([0, 60, 300, 3600]),
    curve=st.sampled_from([WARM, BOTH_SIDES]),
    fresh_s=st.sampled_from([60, 300, 5000]),
)
def test_a_walk_second_by_second_comes_to_the_same(
    history, other, start, length, tau_s, curve, fresh_s
):
    # given two vehicles' samples
    rules = terms(tau_s=tau_s, curve=curve, fresh_s=fresh_s)
    measured = pl.concat(
        [
            samples(*((at, t / 1000) for at, t in history)),
            samples(*((at, t / 1000) for at, t in other), vehicle="other"),
        ]
    )
    # when
    ((factor, reason),) = judged(measured, intervals((start, start + length)), rules)
    # then
    expected, why = naive(history, start, start + length, rules)
    assert reason == why
    if expected is None:
        assert factor is None
    else:
        assert factor == pytest.approx(expected, abs=0.51)


@settings(deadline=None)
@given(history=histories().filter(len), seed=st.randoms(use_true_random=False))
def test_the_order_of_rows_is_irrelevant(history, seed):
    # given the same samples in another order
    rows = [(at, t / 1000) for at, t in history]
    shuffled = seed.sample(rows, len(rows))
    asked = intervals((0, 300), (200, 1000), (1000, 1100))
    rules = terms(tau_s=120)
    # when, then
    assert factors(samples(*shuffled), asked, rules).equals(factors(samples(*rows), asked, rules))


@settings(deadline=None)
@given(
    history=st.lists(st.tuples(st.integers(0, 900), st.integers(20_000, 60_000)), min_size=1),
    hotter=st.lists(st.integers(0, 20_000), min_size=1),
    tau_s=st.sampled_from([0, 60, 1800]),
)
def test_hotter_samples_never_raise_the_factor(history, hotter, tau_s):
    # given the same samples, each hotter by something or nothing, none colder than the release band
    warm = [(at, t / 1000) for at, t in history]
    hot = [
        (at, (t + hotter[number % len(hotter)]) / 1000) for number, (at, t) in enumerate(history)
    ]
    asked = intervals(*((at, at + 100) for at in range(0, 1000, 100)))
    rules = terms(tau_s=tau_s, missing=0)
    # when
    before = factors(samples(*warm), asked, rules)["thermal_factor_ppm"]
    after = factors(samples(*hot), asked, rules)["thermal_factor_ppm"]
    # then
    assert (after <= before).all()
