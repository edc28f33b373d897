"""Pricing of anything at all, against fractions: one row after the other, sharing no code with it."""

from collections import defaultdict
from datetime import timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.pricing import Priced
from tests.settlement.matched import at, priced, row, tariff

Row = dict[str, Any]
MODES = ["half_away", "half_even", "down"]
SECOND = 1_000_000


# --- what is expected, in fractions -----------------------------------------------------------------


def rounded(value: Fraction, mode: str) -> int:
    size, whole = abs(value), int(abs(value))
    left = size - whole
    up = {
        "half_away": left >= Fraction(1, 2),
        "half_even": left > Fraction(1, 2) or (left == Fraction(1, 2) and whole % 2 == 1),
        "down": False,
    }[mode]
    return (1 if value >= 0 else -1) * (whole + up)


def found(value: Fraction, table: list[tuple[int, int]]) -> Fraction:
    """The multiplier (in thousandths in the table) of the half-open bracket."""
    best = table[0][1]
    for start, multiplier in table:
        if value >= start:
            best = multiplier
    return Fraction(best, 1000)


def length_us(one: Row) -> int:
    took: timedelta = one["ended_at"] - one["started_at"]
    return took // timedelta(microseconds=1)


def slab_kwh(one: Row, tiers: dict[str, list[tuple[int, int]]]) -> Fraction:
    kw = Fraction(one["power_milliwh"], 10**6) / Fraction(length_us(one), 3600 * SECOND)
    minutes = Fraction(one["event_discharged_us"], 60 * SECOND)
    energy = Fraction(one["energy_milliwh"], 10**6)
    return energy * found(kw, tiers["power"]) * found(minutes, tiers["duration"])


def graduated_kwh(one: Row, tiers: dict[str, list[tuple[int, int]]]) -> Fraction:
    size, power = abs(one["energy_milliwh"]), one["power_milliwh"]
    ends: list[int] = []
    for edge, _ in tiers["power"][1:]:
        under = Fraction(edge * length_us(one), 3600 * SECOND) * 10**6
        if one["energy_milliwh"] > 0 and power > 0:
            ends.append(int(Fraction(size * min(int(under), power), power)))
        else:
            ends.append(size)
    ends.append(size)
    total, low = Fraction(0), 0
    for high, (_, multiplier) in zip(ends, tiers["power"], strict=True):
        total += Fraction(multiplier, 1000) * over_time(high - low, one, tiers["duration"])
        low = high
    return total / 10**6 * (1 if one["energy_milliwh"] > 0 else -1)


def over_time(part: int, one: Row, table: list[tuple[int, int]]) -> Fraction:
    begin, took = one["discharged_before_us"], one["discharged_us"]
    if one["energy_milliwh"] < 0:
        took = 0
    edges = [start * 60 * SECOND for start, _ in table] + [10**18]
    pieces = [max(0, min(begin + took, high) - max(begin, low)) for low, high in pairwise(edges)]
    if took == 0:
        pieces = [int(low <= begin < high) for low, high in pairwise(edges)]
    last = max(number for number, piece in enumerate(pieces) if piece)
    parts = [part * piece // sum(pieces) for piece in pieces]
    parts[last] += part - sum(parts)
    return sum(
        (Fraction(p * m, 1000) for p, (_, m) in zip(parts, table, strict=True)), start=Fraction(0)
    )


def check(result: Priced, exact: dict[tuple[Any, ...], Fraction], mode: str, stage: str) -> None:
    """Lines as their exact amounts rounded once, settlements as their sums rounded once; and how far
    rounding may carry either (P1, P23).
    """
    step = 10_000 if stage == "line" else 1
    expected = {key: rounded(value * 10**6 / step, mode) * step for key, value in exact.items()}
    keys = result.lines.select("vehicle_id", "started_at", "term").rows()
    amounts = dict(zip(keys, result.lines["amount_micros"].to_list(), strict=True))
    assert amounts == expected
    off = Fraction(1) if mode == "down" else Fraction(1, 2)
    assert all(abs(expected[key] - exact[key] * 10**6) <= off * step for key in expected)
    sums: dict[str, int] = defaultdict(int)
    counts: dict[str, int] = defaultdict(int)
    for (vehicle, _, _), amount in expected.items():
        sums[vehicle] += amount
        counts[vehicle] += 1
    for one in result.settlements.iter_rows(named=True):
        total = sums.pop(one["vehicle_id"])
        assert one["lines_micros"] == total
        assert one["amount_minor"] == rounded(Fraction(total, 10_000), mode)
        assert one["rounding_difference_micros"] == one["amount_minor"] * 10_000 - total
        assert abs(one["rounding_difference_micros"]) <= off * 10_000
        whole = sum(
            (v for (name, _, _), v in exact.items() if name == one["vehicle_id"]), Fraction(0)
        )
        bound = off * 10_000 + off * step * counts[one["vehicle_id"]]
        assert abs(one["amount_minor"] * 10_000 - whole * 10**6) <= bound
    assert not sums


# --- anything at all --------------------------------------------------------------------------------


@st.composite
def tables(draw: st.DrawFn, highest: int) -> list[tuple[int, int]]:
    starts = [0, *sorted(draw(st.sets(st.integers(1, highest), max_size=3)))]
    return [(start, draw(st.integers(0, 2_000))) for start in starts]


@st.composite
def intervals(draw: st.DrawFn) -> list[Row]:
    """Rows of two vehicles, each in the order of time; energies of either sign, often at an edge."""
    rows: list[Row] = []
    for vehicle in draw(st.sampled_from([["car"], ["car", "van"]])):
        clock, before = at("16:00"), 0
        mine: list[Row] = []
        for _ in range(draw(st.integers(1, 4))):
            us = draw(
                st.sampled_from([60 * SECOND, 1800 * SECOND, 3600 * SECOND])
                | st.integers(1, 7200 * SECOND)
            )
            edge = draw(st.integers(0, 12)) * us // 3600
            energy = draw(st.integers(-3_000_000, 20_000_000) | st.just(edge) | st.just(edge + 1))
            power = energy + draw(st.just(0) | st.integers(0, 5_000_000)) * (energy > 0)
            took = draw(st.just(us) | st.integers(0, us))
            end = clock + timedelta(microseconds=us)
            mine.append(
                row(
                    vehicle, clock, end, energy,
                    power_milliwh=power, discharged_us=took, discharged_before_us=before,
                    price_micros_per_kwh=draw(st.integers(-(10**6), 3 * 10**6) | st.just(420_000)),
                    incentive_rate_ppm=draw(st.integers(0, 4_000_000) | st.just(850_000)),
                    thermal_factor_ppm=draw(st.integers(0, 1_000_000)),
                    ordered_w=draw(st.integers(0, 12_000)),
                    readings=draw(st.integers(0, 3)),
                )
            )  # fmt: skip
            clock, before = end, before + took
        rows += [one | {"event_discharged_us": before} for one in mine]
    return rows


def as_text(table: list[tuple[int, int]]) -> list[dict[str, str]]:
    return [{"from": f"{start}", "multiplier": f"{m // 1000}.{m % 1000:03}"} for start, m in table]


@settings(max_examples=200, deadline=None)
@given(
    rows=intervals(),
    power=tables(15),
    duration=tables(150),
    tier_mode=st.sampled_from(["slab", "graduated"]),
    mode=st.sampled_from(MODES),
    stage=st.sampled_from(["line", "settlement"]),
)
def test_energy_pays_what_fractions_say(rows, power, duration, tier_mode, mode, stage) -> None:
    # given any matched energy and any tiers
    tiers = {"power": power, "duration": duration}
    program = tariff(
        tiers={"mode": tier_mode, "power_kw": as_text(power), "duration_min": as_text(duration)},
        rounding={"mode": mode, "stage": stage},
    )
    # when
    result = priced(*rows, program=program)
    # then
    tiered = slab_kwh if tier_mode == "slab" else graduated_kwh
    exact = {
        (one["vehicle_id"], one["started_at"], "energy"): tiered(one, tiers)
        * Fraction(one["price_micros_per_kwh"], 10**6)
        * Fraction(one["incentive_rate_ppm"], 10**6)
        * Fraction(one["thermal_factor_ppm"], 10**6)
        for one in rows
    }
    check(result, exact, mode, stage)
    assert result.lines["tiered_nanowh"].to_list() == [
        tiered(one, tiers) * 10**12
        for one in sorted(rows, key=lambda one: (one["vehicle_id"], one["started_at"]))
    ]


@settings(max_examples=200, deadline=None)
@given(
    rows=intervals(),
    price=st.integers(0, 10**6),
    penalty=st.integers(0, 10**6),
    capped=st.booleans(),
    mode=st.sampled_from(MODES),
    stage=st.sampled_from(["line", "settlement"]),
)
def test_orders_pay_what_fractions_say(rows, price, penalty, capped, mode, stage) -> None:
    # given orders of either outcome
    terms = {
        "price_per_kw": f"{price // 1000}.{price % 1000:03}",
        "penalty_per_kw": f"{penalty // 1000}.{penalty % 1000:03}",
        "cap_at_order": capped,
    }
    program = tariff(product="order", order=terms, rounding={"mode": mode, "stage": stage})
    # when
    result = priced(*rows, program=program)
    # then
    exact: dict[tuple[Any, ...], Fraction] = {}
    for one in rows:
        hours = Fraction(length_us(one), 3600 * SECOND)
        ordered = rounded(one["ordered_w"] * 1000 * hours, "half_away")
        delivered = one["energy_milliwh"]
        paid = max(0, min(ordered, delivered) if capped else delivered)
        rate = Fraction(one["incentive_rate_ppm"], 10**6)
        key = (one["vehicle_id"], one["started_at"])
        missing = max(0, ordered - delivered)
        for term, energy, per_kw in (("delivery", paid, price), ("shortfall", missing, -penalty)):
            if energy:
                kw = Fraction(energy, 10**6) / hours
                exact[*key, term] = kw * Fraction(per_kw, 1000) * rate
    check(result, exact, mode, stage)


@settings(max_examples=200, deadline=None)
@given(
    rows=intervals(),
    per_kw=st.integers(0, 10**6),
    over=st.sampled_from(["event_hours", "events"]),
    absent=st.sampled_from(["zero", "excluded"]),
    mode=st.sampled_from(MODES),
    stage=st.sampled_from(["line", "settlement"]),
)
def test_seasons_pay_what_fractions_say(rows, per_kw, over, absent, mode, stage) -> None:
    # given events of a season, some without any reading
    terms = {
        "per_avg_kw": f"{per_kw // 1000}.{per_kw % 1000:03}",
        "average_over": over,
        "absent": absent,
    }
    program = tariff(product="capacity", capacity=terms, rounding={"mode": mode, "stage": stage})
    # when
    result = priced(*rows, program=program)
    # then
    counted = [one for one in rows if absent == "zero" or one["readings"] > 0]
    exact: dict[tuple[Any, ...], Fraction] = {}
    for one in counted:
        events = [o for o in counted if o["vehicle_id"] == one["vehicle_id"]]
        whole = sum(Fraction(o["event_us"], 3600 * SECOND) for o in events)
        if over == "events":
            whole = Fraction(one["event_us"], 3600 * SECOND) * len(events)
        key = (one["vehicle_id"], one["started_at"], "capacity")
        rate = Fraction(one["incentive_rate_ppm"], 10**6)
        kw = Fraction(one["energy_milliwh"], 10**6) / whole
        exact[key] = kw * Fraction(per_kw, 1000) * rate
    check(result, exact, mode, stage)


# --- laws -------------------------------------------------------------------------------------------

PROGRAMS = {
    "energy": tariff(
        tiers={
            "mode": "graduated",
            "power_kw": as_text([(0, 1000), (5, 1150)]),
            "duration_min": as_text([(0, 1000), (60, 1100)]),
        }
    ),
    "capacity": tariff(product="capacity", capacity={"per_avg_kw": "225.00"}),
    "order": tariff(product="order", order={"price_per_kw": "7.00", "penalty_per_kw": "11.00"}),
}


@settings(max_examples=60, deadline=None)
@given(rows=intervals(), copies=st.integers(2, 4), product=st.sampled_from(sorted(PROGRAMS)))
def test_copies_of_a_fleet_cost_as_often_what_one_costs(rows, copies, product) -> None:
    # given a fleet, and copies of it (P12)
    fleet = [
        one | {"vehicle_id": f"{one['vehicle_id']}-{n}"} for n in range(copies) for one in rows
    ]
    # when
    alone, together = (priced(*r, program=PROGRAMS[product]) for r in (rows, fleet))
    # then
    for column in ("amount_minor", "lines_micros", "energy_milliwh"):
        assert together.settlements[column].sum() == copies * alone.settlements[column].sum()


@settings(max_examples=60, deadline=None)
@given(rows=intervals(), product=st.sampled_from(sorted(PROGRAMS)))
def test_one_vehicle_changes_no_line_of_another(rows, product) -> None:
    # given a fleet, and the first vehicle of it alone (P11)
    mine = [one for one in rows if one["vehicle_id"] == "car"]
    # when
    alone, together = (priced(*r, program=PROGRAMS[product]) for r in (mine, rows))
    # then
    is_mine = pl.col("vehicle_id") == "car"
    assert together.lines.filter(is_mine).equals(alone.lines)
    assert together.settlements.filter(is_mine).equals(alone.settlements)


@settings(max_examples=60, deadline=None)
@given(rows=intervals(), data=st.data())
def test_more_energy_never_pays_less_where_multipliers_rise(rows, data) -> None:
    # given rates that are not negative, and one interval that exports more (P9)
    given_rows = [one | {"price_micros_per_kwh": abs(one["price_micros_per_kwh"])} for one in rows]
    which = data.draw(st.integers(0, len(rows) - 1))
    more = data.draw(st.integers(1, 10**6))
    better = [dict(one) for one in given_rows]
    for column in ("energy_milliwh", "power_milliwh", "exported_milliwh"):
        better[which][column] += more
    # when
    before, after = (priced(*r, program=PROGRAMS["energy"]) for r in (given_rows, better))
    # then
    paid = [result.settlements["amount_minor"].sum() for result in (before, after)]
    assert paid[0] <= paid[1]
