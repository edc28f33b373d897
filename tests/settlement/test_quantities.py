"""What of a vehicle's energy is to be paid: netting, baselines, look-back, limits, caps, orders, seasons."""

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.engine import Computed
from settlement.periods import Period
from settlement.programs import Program
from tests.settlement.frames import (
    PROGRAM,
    at,
    computed,
    contract,
    example_program,
    facts,
    metered,
    price,
    reading,
    readings,
    window,
)

EVENING = Period(at("16:00"), at("21:00"))
PEAK = window("peak", "17:00", "18:00")
FLAT = price("10:00", "21:00", 400_000)
ONE: dict[str, Any] = {"tiers": {}}


def net_program(**changes: Any) -> Program:
    return example_program(**{"quantity": "net", **ONE, **changes})


def drawn(
    start: str, end: str, *, out: int = 0, into: int = 0, car: str = "car"
) -> dict[str, object]:
    """A reading that exported and imported so many watt-hours."""
    seconds = (at(end) - at(start)).total_seconds()
    watts = round((out - into) * 3600 / seconds)
    return reading(
        car,
        at(start),
        at(end),
        out * 1_000,
        power_start_w=watts,
        power_end_w=watts,
        import_start_milliwh=1_000_000,
        import_end_milliwh=1_000_000 + into * 1_000,
    )


def settled(
    *rows: dict[str, object],
    program: Program,
    windows: Any = (PEAK,),
    terms: Any = None,
    prices: Any = (FLAT,),
    period: Period = EVENING,
    **more: Any,
) -> Computed:
    known = facts(windows, prices, terms or [contract("car", rate_ppm=1_000_000)], program, **more)
    return computed(readings(*metered(*rows)), known, period)


def paid(result: Computed) -> dict[str, int]:
    """Watt-hours by the start of each line."""
    return {
        f"{start:%H:%M}": energy // 1_000
        for start, energy in result.lines.select("started_at", "energy_milliwh").iter_rows()
    }


def unpaid(result: Computed) -> dict[str, int]:
    sums = result.unpaid.group_by("reason").agg(pl.col("energy_milliwh").sum())
    return {reason: energy // 1_000 for reason, energy in sums.iter_rows()}


def amount(result: Computed) -> list[int]:
    return result.settlements["amount_minor"].to_list()


SPLIT = (price("17:00", "17:30", 400_000), price("17:30", "18:00", 800_000))


def test_charging_within_the_event_is_deducted_at_the_price_of_its_own_interval() -> None:
    result = settled(
        drawn("17:00", "17:30", out=5_000), drawn("17:30", "18:00", into=1_000),
        program=net_program(), prices=SPLIT,
    )  # fmt: skip
    assert paid(result) == {"17:00": 5_000, "17:30": -1_000}
    assert unpaid(result) == {"NETTED": 1_000}
    assert amount(result) == [120]  # 5 × 0.40 − 1 × 0.80


def test_netted_per_interval_charging_in_one_leaves_the_other_alone() -> None:
    result = settled(
        drawn("17:00", "17:30", out=5_000), drawn("17:30", "18:00", into=1_000),
        program=net_program(net_per="interval"), prices=SPLIT,
    )  # fmt: skip
    assert (paid(result), unpaid(result), amount(result)) == ({"17:00": 5_000}, {}, [200])


@pytest.mark.parametrize("into", [5_000, 6_000], ids=["as much", "more"])
def test_who_charges_at_least_what_is_discharged_in_the_event_earns_nothing(into: int) -> None:
    result = settled(
        drawn("17:00", "17:30", out=5_000), drawn("17:30", "18:00", into=into),
        program=net_program(), prices=SPLIT,
    )  # fmt: skip
    assert (paid(result), unpaid(result), amount(result)) == ({}, {"NETTED": 5_000}, [])


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6))
def test_p1_of_net_energy_the_paid_and_the_unpaid_sum_to_what_was_exported(
    flows: list[tuple[int, int]],
) -> None:
    # given ten minutes each, of which some export and some import
    rows = []
    for number, (out, into) in enumerate(flows):
        clock = [
            f"17:{minute:02}" if minute < 60 else "18:00"
            for minute in (10 * number, 10 * number + 10)
        ]
        rows.append(drawn(clock[0], clock[1], out=out * 100, into=into * 100))
    for per in ("event", "interval"):
        # when
        result = settled(*rows, program=net_program(net_per=per), prices=SPLIT)
        # then
        total = sum(paid(result).values()) + sum(unpaid(result).values())
        assert total == 100 * sum(out for out, _ in flows)


def test_energy_charged_shortly_before_the_event_is_deducted_from_its_earliest_discharge() -> None:
    program = net_program(quantity="export_only", checks={"lookback_min": 60})
    result = settled(
        drawn("15:50", "16:10", into=3_000), drawn("16:40", "17:00", into=2_000),
        drawn("17:00", "17:30", out=3_000), drawn("17:30", "18:00", out=3_000),
        program=program, prices=SPLIT,
    )  # fmt: skip
    # then of the first charging half lies within the hour before the event: 1.5 + 2 kWh
    assert paid(result) == {"17:30": 2_500}
    assert unpaid(result) == {"CHARGED_BEFORE": 3_500}
    assert amount(result) == [200]


def test_energy_charged_after_the_event_is_deducted_where_the_program_looks_ahead() -> None:
    program = net_program(checks={"lookahead_min": 30})
    result = settled(
        drawn("17:00", "18:00", out=3_000), drawn("18:00", "19:00", into=2_000), program=program
    )
    assert (paid(result), unpaid(result)) == ({"17:00": 2_000}, {"CHARGED_BEFORE": 1_000})


def test_p15_charging_before_the_event_never_raises_the_payout() -> None:
    program = net_program(checks={"lookback_min": 60})
    discharge = drawn("17:00", "18:00", out=3_000)
    amounts = [
        sum(amount(settled(drawn("16:30", "17:00", into=wh), discharge, program=program)))
        for wh in (0, 500, 2_999, 3_000, 9_000)
    ]
    assert amounts == [120, 100, 0, 0, 0]


def test_energy_beyond_the_cap_of_an_event_is_cut_in_time_order() -> None:
    result = settled(
        drawn("17:00", "17:30", out=3_000), drawn("17:30", "18:00", out=3_000),
        program=net_program(caps={"event_kwh": "4"}), prices=SPLIT,
    )  # fmt: skip
    assert (paid(result), unpaid(result)) == ({"17:00": 3_000, "17:30": 1_000}, {"OVER_CAP": 2_000})


def test_a_seasons_cap_counts_what_earlier_runs_have_paid() -> None:
    program = net_program(caps={"season_kwh": "10"})
    known = facts([PEAK], [FLAT], [contract("car", rate_ppm=1_000_000)], program)
    used = pl.DataFrame(
        [(PROGRAM, "car", 2026, 8_500_000)], schema=known.season_used.schema, orient="row"
    )
    from dataclasses import replace

    result = computed(
        readings(drawn("17:00", "18:00", out=3_000)), replace(known, season_used=used), EVENING
    )
    assert (paid(result), unpaid(result)) == ({"17:00": 1_500}, {"OVER_CAP": 1_500})


def test_caps_do_not_change_the_tier_that_the_power_has_earned() -> None:
    tiers = {"power_kw": [{"from": "0", "multiplier": "1"}, {"from": "5", "multiplier": "2"}]}
    program = net_program(tiers=tiers, caps={"event_kwh": "1"})
    result = settled(drawn("17:00", "18:00", out=6_000), program=program)
    assert result.lines["tier_multiplier_ppm"].to_list() == [2_000_000]


@pytest.mark.parametrize(
    ("minimum", "pays"),
    [
        ({"event_kwh": "3"}, True),
        ({"event_kwh": "3.001"}, False),
        ({"avg_kw": "6"}, True),
        ({"avg_kw": "6.001"}, False),
        ({"duration_min": 30}, True),
        ({"duration_min": 31}, False),
    ],
    ids=str,
)
def test_below_a_minimum_nothing_is_earned(minimum: dict[str, Any], pays: bool) -> None:
    # given 3 kWh in the half hour that has one price: 6 kW
    result = settled(
        drawn("17:00", "17:30", out=3_000), program=net_program(minimum=minimum), prices=SPLIT
    )
    expected = ({"17:00": 3_000}, {}) if pays else ({}, {"BELOW_MINIMUM": 3_000})
    assert (paid(result), unpaid(result)) == expected


def baseline(start: str, end: str, watts: int, car: str = "car") -> dict[str, Any]:
    return {"vehicle_id": car, "started_at": at(start), "ended_at": at(end), "baseline_w": watts}


def test_against_a_baseline_what_is_not_drawn_counts_as_much_as_what_is_given() -> None:
    result = settled(
        drawn("17:00", "17:30", out=5_000), drawn("17:30", "18:00", into=1_000),
        program=net_program(quantity="against_baseline"),
        baselines=[baseline("17:00", "17:45", 4_000), baseline("17:45", "18:00", 8_000)],
    )  # fmt: skip
    # then 3 + 2 kWh of baseline, and 4 kWh of net export
    assert paid(result) == {"17:00": 9_000}
    assert result.lines["baseline_milliwh"].to_list() == [5_000_000]


def test_time_without_readings_earns_nothing_against_a_baseline() -> None:
    result = settled(
        drawn("17:00", "17:15", into=0, out=0),
        program=net_program(quantity="against_baseline"),
        baselines=[baseline("17:00", "18:00", 4_000)],
    )
    assert paid(result) == {"17:00": 1_000}


@pytest.mark.parametrize(
    "rows", [[], [("17:00", "17:59")], [("17:00", "17:30"), ("17:31", "18:00")]],
    ids=["none", "too short", "with a gap"],
)  # fmt: skip
def test_an_incomplete_baseline_holds_the_settlement(rows: list[tuple[str, str]]) -> None:
    result = settled(
        drawn("17:00", "18:00", out=1_000),
        program=net_program(quantity="against_baseline"),
        baselines=[baseline(start, end, 4_000) for start, end in rows],
    )
    assert unpaid(result) == {"BASELINE_MISSING": 1_000}
    assert result.settlements.select("state", "reason", "amount_minor").rows() == [
        ("held", "BASELINE_MISSING", 0)
    ]


def temperature(clock: str, celsius: float, car: str = "car") -> dict[str, Any]:
    return {
        "evse_id": f"EVSE-{car}", "vehicle_id": car, "measured_at": at(clock),
        "battery_millicelsius": int(celsius * 1_000), "received_at": at(clock),
    }  # fmt: skip


CURVE = {"curve_c": [["20", "1"], ["45", "1"], ["55", "0"]], "fresh_min": 60}


@pytest.mark.parametrize(
    ("celsius", "terms", "factor", "reasons"),
    [
        (44, {}, 1_000_000, {}),
        (47, {}, 800_000, {}),
        (55, {}, None, {"THERMAL_LIMIT_REACHED": 5_000}),
        (None, {}, None, {"THERMAL_MISSING": 5_000}),
        (None, {"missing": "0.5"}, 500_000, {}),
    ],
    ids=["cool", "warm", "at the limit", "no sensor, held", "no sensor, half"],
)
def test_the_thermal_factor_of_an_interval(
    celsius: float | None, terms: dict[str, Any], factor: int | None, reasons: dict[str, int]
) -> None:
    rows = [] if celsius is None else [temperature("16:55", celsius)]
    result = settled(
        drawn("17:00", "17:30", out=5_000), prices=SPLIT,
        program=net_program(thermal=CURVE | terms), temperatures=rows,
    )  # fmt: skip
    assert result.lines["thermal_factor_ppm"].to_list() == ([] if factor is None else [factor])
    assert unpaid(result) == reasons
    assert ("held" in result.settlements["state"].to_list()) is ("THERMAL_MISSING" in reasons)


ORDERS = {"price_per_kw": "7.00", "penalty_per_kw": "11.00"}


def order(start: str, end: str, watts: int) -> dict[str, Any]:
    return {
        "event_id": "peak", "vehicle_id": "car", "started_at": at(start), "ended_at": at(end),
        "ordered_w": watts,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("drawn_kw", "amounts"),
    [(7, [1_400]), (8, [1_400]), (9, [-400]), (10, [-2_200]), (11, [-3_300])],
)
def test_an_order_is_paid_up_to_what_was_ordered_and_its_shortfall_is_penalised(
    drawn_kw: int, amounts: list[int]
) -> None:
    # given a baseline of 10 kW and an order of 2 kW over a quarter hour (USEF's table, in kW)
    program = net_program(product="order", order=ORDERS)
    result = settled(
        drawn("17:00", "17:15", into=drawn_kw * 250),
        program=program, orders=[order("17:00", "17:15", 2_000)],
        baselines=[baseline("17:00", "18:00", 10_000)],
    )  # fmt: skip
    assert amount(result) == amounts


def test_an_order_without_any_delivery_is_a_shortfall() -> None:
    program = net_program(product="order", order=ORDERS)
    result = settled(
        program=program, orders=[order("17:00", "17:15", 2_000), order("17:15", "17:30", 1_000)],
        baselines=[baseline("17:00", "18:00", 10_000)],
    )  # fmt: skip
    assert result.lines.select("term", "energy_milliwh", "amount_micros").rows() == [
        ("shortfall", 500_000, -22_000_000),
        ("shortfall", 250_000, -11_000_000),
    ]


def test_what_was_not_ordered_is_not_paid() -> None:
    program = net_program(product="order", order=ORDERS)
    result = settled(
        drawn("17:00", "17:15", into=0, out=1_000), drawn("17:30", "17:45", into=0, out=500),
        program=program, orders=[order("17:00", "17:15", 2_000)],
        baselines=[baseline("17:00", "18:00", 0)],
    )  # fmt: skip
    assert unpaid(result) == {"NO_ORDER": 500}


def capacity_program(**changes: Any) -> Program:
    terms = {"per_avg_kw": "225.00"} | changes.pop("capacity", {})
    season = {"months": [6, 7, 8, 9]}
    return net_program(product="capacity", capacity=terms, season=season, **changes)


def season_of(program: Program, *, absent: bool = True) -> Computed:
    """3 h at 5 kW, 2 h at 5 kW, and 3 h without the car (Rhode Island's arithmetic)."""
    windows = [
        window("first", "10:00", "13:00"),
        window("second", "14:00", "16:00"),
        window("third", "17:00", "20:00"),
    ]
    hours = [*range(10, 13), *range(14, 16)]
    rows = [drawn(f"{hour}:00", f"{hour + 1}:00", out=5_000) for hour in hours]
    autumn = datetime.fromisoformat("2026-10-01T07:00:00+00:00")
    return settled(
        *rows, program=program, windows=windows, period=Period(autumn - timedelta(days=1), autumn)
    )


@pytest.mark.parametrize(
    ("terms", "mode", "expected"),
    [
        ({}, "half_away", 70_313),
        ({}, "half_even", 70_312),
        ({"average_over": "events"}, "half_away", 75_000),
        ({"absent": "excluded"}, "half_away", 112_500),
    ],
    ids=["703.125 half away", "703.125 half even", "per event", "absent left out"],
)
def test_a_season_is_paid_by_its_average_power(
    terms: dict[str, str], mode: str, expected: int
) -> None:
    result = season_of(capacity_program(capacity=terms, rounding={"mode": mode}))
    assert result.settlements["event_id"].to_list() == ["season-2026"]
    assert amount(result) == [expected]


def test_a_vehicle_that_never_came_is_settled_with_nothing() -> None:
    autumn = datetime.fromisoformat("2026-10-01T07:00:00+00:00")
    result = settled(program=capacity_program(), period=Period(autumn - timedelta(days=1), autumn))
    assert amount(result) == [0]


def site(name: str, group: str, latitude: int | None = None) -> dict[str, Any]:
    return {
        "site_id": name, "site_group": group,
        "latitude_microdeg": latitude, "longitude_microdeg": None if latitude is None else 0,
    }  # fmt: skip


def test_an_event_for_a_group_pays_only_the_vehicles_whose_site_is_in_it() -> None:
    terms = [
        contract("car", site_id="harbour", rate_ppm=1_000_000),
        contract("van", site_id="hill", rate_ppm=1_000_000),
        contract("bus", site_id="north", rate_ppm=1_000_000),
        contract("bike", rate_ppm=1_000_000),
    ]
    result = settled(
        *(drawn("17:00", "18:00", out=1_000, car=car) for car in ("car", "van", "bus", "bike")),
        program=net_program(), windows=[window("north", "17:00", "18:00", group="north")],
        terms=terms, sites=[site("harbour", "south"), site("hill", "north"), site("north", "")],
    )  # fmt: skip
    assert result.settlements["vehicle_id"].to_list() == ["bus", "van"]
    assert unpaid(result) == {"OUTSIDE_GROUP": 2_000}


def test_a_reading_far_from_the_vehicles_site_is_not_paid() -> None:
    # given two readings, 220 m and 330 m north of the site
    near, far = (
        drawn("17:00", "17:30", out=1_000) | {"latitude_microdeg": 1_980},
        drawn("17:30", "18:00", out=1_000) | {"latitude_microdeg": 2_970},
    )
    terms = [contract("car", site_id="home", rate_ppm=1_000_000)]
    result = settled(near, far, program=net_program(), terms=terms, sites=[site("home", "", 0)])
    assert (paid(result), unpaid(result)) == ({"17:00": 1_000}, {"OUTSIDE_RADIUS": 1_000})


def test_an_event_follows_the_version_in_force_as_it_starts() -> None:
    # given a second version at twice the tier from 17:30 on, within the first event
    doubled = {"power_kw": [{"from": "0", "multiplier": "2"}]}
    versions = [
        net_program(),
        net_program(version=2, valid_from="2026-07-01T17:30:00Z", tiers=doubled),
    ]
    known = facts(
        [PEAK, window("late", "18:00", "19:00")],
        [FLAT],
        [contract("car", rate_ppm=1_000_000)],
        *versions,
    )
    # when
    rows = readings(
        *metered(drawn("17:00", "18:00", out=1_000), drawn("18:00", "19:00", out=1_000))
    )
    result = computed(rows, known, EVENING)
    # then
    assert result.settlements.select("event_id", "program_version", "amount_minor").rows() == [
        ("late", 2, 80),
        ("peak", 1, 40),
    ]


@pytest.mark.parametrize("hours", [0.4, 1, 2.5, 100])
def test_a_run_in_stretches_is_the_run_at_once(hours: float) -> None:
    # given an evening of two events, a look-back and readings across every edge
    program = net_program(checks={"lookback_min": 45}, caps={"event_kwh": "2.5"})
    rows = readings(
        *metered(*(
            drawn(
                f"{15 + n // 6}:{n % 6}5", f"{15 + (n + 1) // 6}:{(n + 1) % 6}5",
                out=n % 5 * 200, into=(n + 2) % 3 * 50, car=car,
            )
            for n in range(30) for car in ("car", "van")
        ))
    )  # fmt: skip
    known = facts(
        [PEAK, window("late", "18:30", "19:30")], [FLAT],
        [contract("car"), contract("van")], program,
    )  # fmt: skip
    # when
    whole = computed(rows, known, EVENING)
    parts = computed(rows, known, EVENING, stretch=timedelta(hours=hours))
    # then
    assert whole.lines.height == 4
    assert parts.lines.write_csv() == whole.lines.write_csv()
    assert parts.unpaid.write_csv() == whole.unpaid.write_csv()
