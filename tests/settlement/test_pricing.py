"""What a line and a settlement are worth."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.bounds import BoundExceededError
from settlement.matching import match
from settlement.periods import Period
from settlement.pricing import Priced
from settlement.pricing import price as price_matched
from settlement.timeline import Price, Window
from tests.settlement import oracle
from tests.settlement.frames import (
    PROGRAM,
    at,
    contract,
    example_program,
    grid,
    price,
    reading,
    readings,
    window,
)

EVENING = Period(at("16:00"), at("21:00"))


def settle(
    rows: pl.DataFrame,
    *,
    program: Mapping[str, object] | None = None,
    windows=None,
    prices=None,
    contracts=None,
) -> Priced:
    settled = grid(
        windows if windows is not None else [window("peak", "17:00", "18:00")],
        prices
        if prices is not None
        else [price("16:00", "17:30", 420_000), price("17:30", "21:00", 615_000)],
        contracts if contracts is not None else [contract("car")],
        example_program(**(program or {})),
    )
    matched = match(rows, settled, EVENING)
    return price_matched(matched.matched, matched.unpaid, settled.programs)


def test_the_worked_example_pays_to_the_micro_what_the_rules_say() -> None:
    # given the readings of the worked example, before its thermal factor
    rows = readings(
        reading("car", at("17:00"), at("17:30"), 3_600_000),
        reading("car", at("17:30"), at("18:00"), 4_050_000),
    )
    # when they are settled
    priced = settle(rows)
    # then each line is the product of its named factors
    assert priced.lines["amount_micros"].to_list() == [1_625_778, 2_678_179]
    assert priced.lines["tier_multiplier_ppm"].to_list() == [1_265_000, 1_265_000]
    assert priced.lines["avg_w"].to_list() == [7_200, 8_100]
    # and the settlement is the sum of its lines as shown, rounded once
    settlement = priced.settlements.row(0, named=True)
    assert settlement["lines_micros"] == 4_303_957
    assert settlement["amount_minor"] == 430
    assert settlement["rounding_difference_micros"] == -3_957


@pytest.mark.parametrize(
    ("milliwh", "multiplier"),
    [
        (4_999_999, 1_100_000),
        (5_000_000, 1_265_000),
        (9_999_999, 1_265_000),
        (10_000_000, 1_430_000),
    ],
    ids=["just under 5 kW", "exactly 5 kW", "just under 10 kW", "exactly 10 kW"],
)
def test_a_bracket_begins_at_its_own_edge(milliwh: int, multiplier: int) -> None:
    # given an hour at that energy, at one price
    rows = readings(reading("car", at("17:00"), at("18:00"), milliwh))
    # when
    priced = settle(rows, prices=[price("16:00", "21:00", 420_000)])
    # then
    assert priced.lines["tier_multiplier_ppm"].to_list() == [multiplier]


def test_fifty_nine_minutes_earn_no_duration_tier_and_sixty_do() -> None:
    # given one car that discharges a minute less than the other
    short = reading("car", at("17:00"), at("17:59"), 6_000_000)
    full = reading("other", at("17:00"), at("18:00"), 6_000_000)
    # when
    priced = settle(
        readings(short, full),
        prices=[price("16:00", "21:00", 420_000)],
        contracts=[contract("car"), contract("other")],
    )
    # then
    assert dict(priced.lines.select("vehicle_id", "tier_multiplier_ppm").iter_rows()) == {
        "car": 1_150_000,
        "other": 1_265_000,
    }


def test_rounding_each_line_is_another_promise_than_rounding_the_settlement() -> None:
    # given two lines of 0.00595 each
    rows = readings(
        reading("car", at("17:00"), at("17:30"), 14_167),
        reading("car", at("17:30"), at("18:00"), 9_675),
    )
    # when they are rounded at either stage
    by_line = settle(rows, program={"rounding": {"stage": "line"}})
    by_settlement = settle(rows)
    # then both pay what a person adds up from the lines shown
    assert by_line.settlements["amount_minor"].to_list() == [2]
    assert by_line.lines["amount_micros"].to_list() == [10_000, 10_000]
    assert by_settlement.settlements["amount_minor"].to_list() == [1]
    for priced in (by_line, by_settlement):
        shown = priced.lines["amount_micros"].sum()
        row = priced.settlements.row(0, named=True)
        assert row["amount_minor"] * 10_000 - shown == row["rounding_difference_micros"]


def test_a_missing_price_holds_the_settlement_and_its_arrival_pays_it() -> None:
    # given a price for the first half hour only
    rows = readings(reading("car", at("17:00"), at("18:00"), 7_000_000))
    # when it is settled before and after the second price arrives
    before = settle(rows, prices=[price("16:00", "17:30", 420_000)])
    after = settle(rows)
    # then
    assert before.settlements.select("state", "reason", "amount_minor").rows() == [
        ("held", "PRICE_MISSING", 0)
    ]
    assert after.settlements.select("state", "reason").rows() == [("booked", "")]
    assert after.settlements["amount_minor"].item() > 0


def test_a_settlement_without_any_price_is_held_and_shown() -> None:
    # given no price at all
    rows = readings(reading("car", at("17:00"), at("18:00"), 7_000_000))
    # when
    priced = settle(rows, prices=[])
    # then
    assert priced.lines.is_empty()
    assert priced.settlements.select("event_id", "vehicle_id", "state", "amount_minor").rows() == [
        ("peak", "car", "held", 0)
    ]


@pytest.mark.parametrize(
    ("rule", "amount"), [("zero", []), ("pass_through", [-378])], ids=["zero", "pass_through"]
)
def test_a_negative_price_does_what_the_program_says(rule: str, amount: list[int]) -> None:
    # given an hour of 3 kWh at -1.144 per kWh
    rows = readings(reading("car", at("17:00"), at("18:00"), 3_000_000))
    # when
    priced = settle(
        rows,
        program={"negative_price": rule},
        prices=[price("16:00", "21:00", -1_346_300)],
        contracts=[contract("car")],
    )
    # then
    assert priced.settlements["amount_minor"].to_list() == amount


def test_a_factor_outside_its_declared_range_stops_the_product_before_it_wraps() -> None:
    # given a rate that no contract table would accept
    rows = readings(
        reading("car", at("17:00"), at("18:00"), 10**9, power_start_w=10**6, power_end_w=10**6)
    )
    # when it is priced, then it is refused by name
    with pytest.raises(BoundExceededError, match="incentive_rate_ppm"):
        settle(
            rows,
            prices=[price("16:00", "21:00", 10**8)],
            contracts=[contract("car", rate_ppm=10**16)],
        )


# --- against the oracle ---------------------------------------------------------------------

MINUTES = st.integers(0, 299)


@st.composite
def evenings(draw: st.DrawFn) -> tuple[list[dict[str, Any]], ...]:
    """Readings, events, prices and contracts of an evening, with gaps, overlaps and odd edges."""

    def moment(minute: int):
        return at("16:00") + timedelta(minutes=minute)

    events = []
    for number in range(draw(st.integers(0, 3))):
        start = draw(MINUTES)
        end = start + draw(st.integers(1, 120))
        events.append(
            {
                "event_id": f"event-{number}",
                "started_at": moment(start),
                "ended_at": moment(end),
                "created_at": moment(-draw(st.integers(1, 3))),
            }
        )
    prices = []
    for number in range(draw(st.integers(0, 6))):
        start = draw(MINUTES)
        micros = draw(
            st.one_of(st.integers(-500_000, 2_000_000), st.sampled_from([420_000, 615_000]))
        )
        prices.append(
            {
                "started_at": moment(start),
                "ended_at": moment(start + draw(st.integers(1, 150))),
                "micros": micros,
                "received_at": moment(-number - 1),
            }
        )
    contracts = []
    for vehicle in ("a", "b"):
        for _ in range(draw(st.sampled_from([0, 1, 1, 1, 2]))):
            valid_from = draw(st.sampled_from([-600, 30, 100]))
            valid_to = draw(st.sampled_from([None, None, 90, 200]))
            contracts.append(
                {
                    "vehicle_id": vehicle,
                    "rate_ppm": draw(st.integers(0, 1_200_000)),
                    "valid_from": moment(valid_from),
                    "valid_to": None if valid_to is None else moment(valid_to),
                }
            )
    rows = []
    for vehicle in ("a", "b"):
        clock = at("16:00") + timedelta(seconds=draw(st.integers(0, 7_200)))
        for _ in range(draw(st.integers(0, 8))):
            length = timedelta(seconds=draw(st.sampled_from([15, 15, 300, 613, 1_800])))
            energy = draw(st.integers(0, 12_000_000))
            row = reading(
                vehicle, clock, clock + length, energy, conflicted=draw(st.integers(0, 9)) == 0
            )
            if draw(st.integers(0, 9)) == 0:
                row["power_end_w"] = draw(st.integers(-20_000, 20_000))
            rows.append(row)
            clock += length + timedelta(seconds=draw(st.sampled_from([0, 0, 60])))
    return rows, events, prices, contracts


@settings(max_examples=200, deadline=None)
@given(evenings())
def test_any_evening_settles_as_the_independent_oracle_says(evening) -> None:
    # given an evening
    rows, events, prices, contracts = evening
    expected = oracle.settle(
        rows,
        events,
        [{**p, "price": Decimal(p["micros"]) / 1_000_000} for p in prices],
        [{**c, "rate": Decimal(c["rate_ppm"]) / 1_000_000} for c in contracts],
        (EVENING.started_at, EVENING.ended_at),
    )
    # when the rules settle it
    settled = grid(
        [
            Window(e["event_id"], PROGRAM, e["started_at"], e["ended_at"], e["created_at"])
            for e in events
        ],
        [
            Price(PROGRAM, p["started_at"], p["ended_at"], p["micros"], p["received_at"])
            for p in prices
        ],
        [
            {
                "vehicle_id": c["vehicle_id"],
                "program": PROGRAM,
                "incentive_rate_ppm": c["rate_ppm"],
                "account": "x",
                "valid_from": c["valid_from"],
                "valid_to": c["valid_to"],
            }
            for c in contracts
        ],
    )
    matched = match(readings(*rows), settled, EVENING)
    priced = price_matched(matched.matched, matched.unpaid, settled.programs)
    # then every settlement pays what the oracle pays
    got = {
        (e, v): a
        for e, v, a, s in priced.settlements.select(
            "event_id", "vehicle_id", "amount_minor", "state"
        ).iter_rows()
        if s == "booked"
    }
    held = {
        (e, v)
        for e, v, s in priced.settlements.select("event_id", "vehicle_id", "state").iter_rows()
        if s == "held"
    }
    assert got == {
        key: amount for key, amount in expected.payable.items() if key not in expected.held
    }
    assert held == expected.held
    # and every milliwatt-hour is where the oracle has it
    energy = dict(
        matched.matched.group_by("vehicle_id").agg(pl.col("energy_milliwh").sum()).iter_rows()
    )
    where = {(v, "PAID"): e for v, e in energy.items()}
    where |= {
        (v, r): e
        for v, r, e in matched.unpaid.group_by("vehicle_id", "reason")
        .agg(pl.col("energy_milliwh").sum())
        .iter_rows()
    }
    assert where == {key: e for key, e in expected.energy.items() if e}
