"""A program is read whole or refused by name."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from settlement import programs
from settlement.programs import ProgramError, keys
from settlement.programs.model import (
    Absent,
    AverageOver,
    BaselineMethod,
    BaselineTerms,
    Bracket,
    CapacityTerms,
    Caps,
    Checks,
    Correction,
    LikeDays,
    Minimum,
    NegativePrice,
    NetPer,
    OrderTerms,
    Product,
    Program,
    Quantity,
    RoundingStage,
    RunTerms,
    Season,
    Thermal,
    TierMode,
)
from settlement.rounding import RoundingMode

MINUTE = 60_000_000
HOUR = 60 * MINUTE
MINIMAL: dict[str, object] = {"program": "p", "version": 1, "currency": "EUR", "product": "energy"}

DEFAULTS = Program(
    program="p",
    version=1,
    valid_from=None,
    currency="EUR",
    minor_units=2,
    timezone=ZoneInfo("UTC"),
    product=Product.ENERGY,
    quantity=Quantity.NET,
    net_per=NetPer.EVENT,
    fixed_price_micros_per_kwh=None,
    negative_price=NegativePrice.ZERO,
    tier_mode=TierMode.SLAB,
    power_tiers=(Bracket(0, 1_000_000),),
    duration_tiers=(Bracket(0, 1_000_000),),
    thermal=None,
    season=Season(frozenset(range(1, 13)), 0, 24 * HOUR, frozenset(range(7)), frozenset()),
    minimum=Minimum(0, 0, 0),
    caps=Caps(None, None, None, None),
    capacity=None,
    order=None,
    baseline=BaselineTerms(
        BaselineMethod.PROVIDED, 10, 10, LikeDays.WEEKPART, 60, True, Absent.ZERO, HOUR
    ),
    checks=Checks(5, 25, 250, 50_000, 0, 0),
    rounding_mode=RoundingMode.HALF_AWAY,
    rounding_stage=RoundingStage.SETTLEMENT,
    runs=(RunTerms("initial", 1, 0), RunTerms("true_up", 12, 0), RunTerms("final", 55, 0)),
    correction=Correction.DELTA,
)

FULL = """\
program: full
version: 3
valid_from: 2027-01-01T00:00:00-08:00
currency: USD
minor_units: 4
timezone: America/Los_Angeles
product: energy
quantity: against_baseline
net_per: interval
price: {source: fixed, per_kwh: "2.000001"}
negative_price: pass_through
tiers:
  mode: graduated
  power_kw: [{from: "0", multiplier: "1.00"}, {from: "5.5", multiplier: "1.155"}]
  duration_min: [{from: "0", multiplier: "1.00"}, {from: "60.5", multiplier: "1.10"}]
thermal:
  time_constant_min: 30
  curve_c: [["-10.5", "0.25"], ["20", "1"], ["45", "1"], ["55", "0"]]
  missing: "0.5"
  fresh_min: 7
  release_c: ["21", "44"]
season:
  months: [5, 10]
  hours: ["16:30", "24:00"]
  weekdays: [mon, sun]
  holidays: [2027-07-05, "2027-09-06"]
minimum: {event_kwh: "0.5", duration_min: 30, avg_kw: "1.5"}
caps: {season_hours: 60, event_hours: 3, event_kwh: "40", season_kwh: "900.000001"}
baseline:
  method: highest_days
  days: 5
  of: 12
  like: weekday
  search_days: 90
  exclude_event_days: false
  absent: excluded
checks:
  register_vs_power_pct: 6
  soc_vs_energy_pct: off
  site_radius_m: null
  clock_offset_ms: 40
  lookback_min: 15
  lookahead_min: 20
rounding: {mode: half_even, stage: line}
runs: [{name: first, after_days: 0, materiality: "0.50"}, {name: last, after_days: 90}]
correction: reverse_and_rebook
"""


def parsed(**changes: object) -> Program:
    return programs.parse(MINIMAL | changes, "p.yaml")


def refused(body: object) -> ProgramError:
    with pytest.raises(ProgramError) as caught:
        programs.parse(body, "p.yaml")
    return caught.value


def outcome(body: Any) -> Program | ProgramError:
    try:
        return programs.parse(body, "p.yaml")
    except ProgramError as error:
        return error


def test_all_but_four_keys_have_defaults() -> None:
    assert parsed() == DEFAULTS


def test_every_key_is_read_into_its_unit() -> None:
    program = programs.parse(yaml.safe_load(FULL), "full.yaml")

    assert program == Program(
        program="full",
        version=3,
        valid_from=datetime(2027, 1, 1, 8, tzinfo=UTC),
        currency="USD",
        minor_units=4,
        timezone=ZoneInfo("America/Los_Angeles"),
        product=Product.ENERGY,
        quantity=Quantity.AGAINST_BASELINE,
        net_per=NetPer.INTERVAL,
        fixed_price_micros_per_kwh=2_000_001,
        negative_price=NegativePrice.PASS_THROUGH,
        tier_mode=TierMode.GRADUATED,
        power_tiers=(Bracket(0, 1_000_000), Bracket(5_500, 1_155_000)),
        duration_tiers=(Bracket(0, 1_000_000), Bracket(60 * MINUTE + MINUTE // 2, 1_100_000)),
        thermal=Thermal(
            time_constant_us=30 * MINUTE,
            curve=((-10_500, 250_000), (20_000, 1_000_000), (45_000, 1_000_000), (55_000, 0)),
            missing_factor_ppm=500_000,
            fresh_us=7 * MINUTE,
            release_low_millicelsius=21_000,
            release_high_millicelsius=44_000,
        ),
        season=Season(
            frozenset({5, 10}),
            16 * HOUR + 30 * MINUTE,
            24 * HOUR,
            frozenset({0, 6}),
            frozenset({date(2027, 7, 5), date(2027, 9, 6)}),
        ),
        minimum=Minimum(500_000, 30 * MINUTE, 1_500),
        caps=Caps(60 * HOUR, 3 * HOUR, 40_000_000, 900_000_001),
        capacity=None,
        order=None,
        baseline=BaselineTerms(
            BaselineMethod.HIGHEST_DAYS, 5, 12, LikeDays.WEEKDAY, 90, False, Absent.EXCLUDED, HOUR
        ),
        checks=Checks(6, None, None, 40_000, 15 * MINUTE, 20 * MINUTE),
        rounding_mode=RoundingMode.HALF_EVEN,
        rounding_stage=RoundingStage.LINE,
        runs=(RunTerms("first", 0, 500_000), RunTerms("last", 90, 0)),
        correction=Correction.REVERSE_AND_REBOOK,
    )


def test_thermal_needs_only_its_curve() -> None:
    curve = [["20", "1"], ["45", "1"], ["55", "0"]]

    program = parsed(thermal={"curve_c": curve})

    points = ((20_000, 1_000_000), (45_000, 1_000_000), (55_000, 0))
    assert program.thermal == Thermal(0, points, None, 5 * MINUTE, 20_000, 45_000)


def test_capacity_needs_only_its_rate() -> None:
    program = parsed(product="capacity", capacity={"per_avg_kw": "225.00"})
    assert program.capacity == CapacityTerms(225_000_000, AverageOver.EVENT_HOURS, Absent.ZERO)
    assert not program.needs_baseline


def test_an_order_needs_only_its_price() -> None:
    program = parsed(product="order", order={"price_per_kw": "0.007"})
    assert program.order == OrderTerms(7_000, 0, True)
    assert program.needs_baseline


def test_the_average_of_like_days_takes_all_of_them() -> None:
    baseline = {"method": "like_days", "days": 15}
    terms = parsed(quantity="against_baseline", baseline=baseline).baseline
    assert (terms.days, terms.of) == (15, 15)


@pytest.mark.parametrize("off", [None, False, "off"])
def test_what_does_nothing_unless_given_can_be_switched_off(off: object) -> None:
    assert (
        parsed(thermal=off, capacity=off, order=off, valid_from=off, caps={"season_hours": off})
        == DEFAULTS
    )


WEEKDAYS = {
    "all": ("all", range(7)),
    "Monday to Friday": ("weekdays", range(5)),
    "Saturday and Sunday": ("weekends", [5, 6]),
    "some": (["sat", "tue"], [1, 5]),
}


@pytest.mark.parametrize(("written", "days"), WEEKDAYS.values(), ids=WEEKDAYS)
def test_days_of_the_week_are_words_or_a_list(written: object, days: Any) -> None:
    assert parsed(season={"weekdays": written}).season.weekdays == frozenset(days)


def test_a_key_that_does_not_apply_may_say_what_holds_anyway() -> None:
    one = [{"from": "0", "multiplier": "1.000"}]
    program = parsed(
        product="order",
        order={"price_per_kw": "1"},
        price={"source": "rtp"},
        tiers={"mode": "slab", "power_kw": one},
        minimum={"event_kwh": "0"},
        thermal="off",
    )
    assert program == parsed(product="order", order={"price_per_kw": "1"})


@pytest.mark.parametrize("key", sorted(MINIMAL))
def test_four_keys_are_required(key: str) -> None:
    error = refused({k: v for k, v in MINIMAL.items() if k != key})
    assert str(error).startswith(f"p.yaml: {key}: missing; expected ")


def test_the_version_in_force_is_the_last_valid_one_and_before_all_the_first() -> None:
    then = datetime(2026, 6, 1, tzinfo=UTC)
    first = replace(DEFAULTS, valid_from=then)
    second = replace(DEFAULTS, version=2, valid_from=then + timedelta(days=1))
    versions = [first, second]
    second_before, day = timedelta(seconds=1), timedelta(days=1)

    assert programs.in_force(versions, then - day) is first
    assert programs.in_force(versions, then + day - second_before) is first
    assert programs.in_force(versions, then + day) is second


def test_data_with_dates_becomes_json_that_reads_the_same() -> None:
    body = yaml.safe_load(FULL)
    text = programs.plain(body)
    assert isinstance(text, dict)
    assert text["valid_from"] == "2027-01-01T00:00:00-08:00"
    assert text["season"]["holidays"] == ["2027-07-05", "2027-09-06"]
    assert programs.parse(text, "f") == programs.parse(body, "f")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.dates()
    | st.datetimes(timezones=st.sampled_from([None, UTC, timezone(timedelta(hours=14))]))
    | st.sampled_from(["0", "1", "-1", "off", "all", "2026-01-01", "16:00", "24:00", "energy"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers() | st.booleans(), inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["from", "multiplier", "name", "after_days", "mode", "source"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
TOP = [key.path for key in keys.KEYS if "." not in key.path]
NESTED = [key.path.split(".") for key in keys.KEYS if "." in key.path]


@given(JSON)
def test_whatever_is_given_it_is_a_program_or_a_program_error(body: Any) -> None:
    result = outcome(body)
    assert isinstance(result, Program) or str(result).startswith("p.yaml: ")


@given(
    st.sampled_from(["energy", "capacity", "order"]),
    st.dictionaries(st.sampled_from(TOP), JSON, max_size=3),
    st.lists(st.tuples(st.sampled_from(NESTED), JSON), max_size=4),
)
def test_whatever_stands_at_a_known_key_it_is_read_twice_alike_or_refused(
    product: str, top: dict[str, Any], nested: list[tuple[list[str], Any]]
) -> None:
    body: dict[str, Any] = MINIMAL | {"product": product} | top
    for (section, name), value in nested:
        body[section] = {**(body.get(section) or {}), name: value}

    result = outcome(body)

    if isinstance(result, Program):
        assert outcome(body) == result
        assert outcome(programs.plain(body)) == result
    else:
        assert result.expected
        assert "\n" not in str(result)
