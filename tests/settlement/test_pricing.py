"""What a line and a settlement are worth."""

from datetime import timedelta
from fractions import Fraction
from typing import Any

import pytest

from settlement import units
from settlement.bounds import BoundExceededError
from settlement.pricing import (
    MissingFactorError,
    NoTimeError,
    Term,
    UnknownVersionError,
    price,
)
from settlement.pricing.lines import ENERGY_DIVISOR, ENERGY_FACTORS, MILLIWH_PER_KW_US
from settlement.schemas import LINE, SETTLEMENT
from settlement.units import W_US_PER_MILLIWH
from tests.settlement.matched import (
    MINUTE_US,
    PROGRAM,
    TIERS,
    at,
    matched,
    priced,
    row,
    tariff,
    unpaid,
    unpaid_row,
)

HOUR_US = 60 * MINUTE_US


def hour(milliwh: int, **changes: object) -> dict[str, object]:
    return row("car", at("17:00"), at("18:00"), milliwh, **changes)


def test_the_worked_example_pays_to_the_micro_what_the_rules_say() -> None:
    # given the worked example: two prices within one event, the battery warm in the second half
    event = {"incentive_rate_ppm": 850_000, "event_discharged_us": HOUR_US}
    first = row("car", at("17:00"), at("17:30"), 3_600_000, **event)
    second = row(
        "car",
        at("17:30"),
        at("18:00"),
        4_050_000,
        price_micros_per_kwh=615_000,
        thermal_factor_ppm=800_000,
        **event,
    )
    # when
    result = priced(first, second, program=tariff(tiers=TIERS))
    # then each line is the product of its named factors
    shown = ("term", "avg_w", "tier_multiplier_ppm", "tiered_nanowh", "amount_micros")
    assert result.lines.select(shown).rows() == [
        ("energy", 7_200, 1_265_000, 4_554_000_000_000, 1_625_778),
        ("energy", 8_100, 1_265_000, 5_123_250_000_000, 2_142_543),
    ]
    # and the settlement is the sum of its lines as shown, rounded once, the difference shown
    settlement = result.settlements.row(0, named=True)
    assert settlement["energy_milliwh"] == 7_650_000
    assert settlement["lines_micros"] == 3_768_321
    assert settlement["amount_minor"] == 377
    assert settlement["rounding_difference_micros"] == 1_679


def test_the_frames_have_the_declared_columns_in_a_fixed_order() -> None:
    # given rows of two vehicles in no order
    rows = [
        row("van", at("17:30"), at("18:00"), 1_000),
        row("van", at("17:00"), at("17:30"), 1_000),
        row("car", at("17:00"), at("18:00"), 1_000),
    ]
    # when
    result, reversed_ = priced(*rows), priced(*rows[::-1])
    # then
    assert result.lines.schema == LINE.schema
    assert ["settlement_id", *result.settlements.columns] == SETTLEMENT.schema.names()
    assert result.lines.select("vehicle_id", "started_at").rows() == [
        ("car", at("17:00")),
        ("van", at("17:00")),
        ("van", at("17:30")),
    ]
    assert result.lines.equals(reversed_.lines)
    assert result.settlements.equals(reversed_.settlements)


def test_nothing_matched_prices_to_nothing() -> None:
    result = price(matched(), unpaid(), {PROGRAM: [tariff()]})
    assert (result.lines.height, result.settlements.height) == (0, 0)
    assert result.lines.schema == LINE.schema


# --- tiers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("milliwh", "multiplier"),
    [
        (-1, 1_100_000),
        (4_999_999, 1_100_000),
        (5_000_000, 1_265_000),
        (9_999_999, 1_265_000),
        (10_000_000, 1_430_000),
    ],
    ids=["below 0", "just under 5 kW", "exactly 5 kW", "just under 10 kW", "exactly 10 kW"],
)
def test_a_bracket_begins_at_its_own_edge(milliwh: int, multiplier: int) -> None:
    result = priced(hour(milliwh), program=tariff(tiers=TIERS))
    assert result.lines["tier_multiplier_ppm"].to_list() == [multiplier]


def test_fifty_nine_minutes_earn_no_duration_tier_and_sixty_do() -> None:
    # given two hours of which one was discharged a microsecond short of sixty minutes
    rows = [
        hour(6_000_000, event_discharged_us=HOUR_US - 1),
        row("van", at("17:00"), at("18:00"), 6_000_000),
    ]
    # when
    result = priced(*rows, program=tariff(tiers=TIERS))
    # then
    assert result.lines["tier_multiplier_ppm"].to_list() == [1_150_000, 1_265_000]


def test_the_power_of_an_interval_is_judged_before_caps_cut_its_energy() -> None:
    # given 6 kWh in an hour of which a cap left 1 kWh
    result = priced(hour(1_000_000, power_milliwh=6_000_000), program=tariff(tiers=TIERS))
    # then it is paid, and shown, as what it was: 6 kW for some of the time
    assert result.lines.select("tier_multiplier_ppm", "avg_w").rows() == [(1_265_000, 6_000)]


@pytest.mark.parametrize(
    ("changes", "nanowh", "mean"),
    [
        # 12 kWh in an hour: 5 below 5 kW, 5 below 10 kW, 2 above.
        ({"energy": 12_000_000}, 5_000_000 * 1_000_000 + 5_000_000 * 1_150_000 + 2_000_000 * 1_300_000, 1_112_500),
        # half of it in the second hour of the event: each part halved, the second half × 1.1.
        ({"energy": 12_000_000, "before": 30}, int(13_350_000_000_000 * Fraction(21, 20)), 1_168_125),
        # all of it in the second hour.
        ({"energy": 12_000_000, "before": 60}, int(13_350_000_000_000 * Fraction(11, 10)), 1_223_750),
        # a cap left a quarter: each part a quarter.
        ({"energy": 3_000_000, "power": 12_000_000}, 13_350_000_000_000 // 4, 1_112_500),
        ({"energy": 5_000_000}, 5_000_000_000_000, 1_000_000),
        ({"energy": 5_000_001}, 5_000_000_000_000 + 1_150_000, 1_000_000),
        # an odd milliwatt-hour at the duration edge goes to the later part.
        ({"energy": 3, "before": 30}, 1 * 1_000_000 + 2 * 1_100_000, 1_066_667),
        # what is taken in lies below the first edge, in the duration bracket reached by then.
        ({"energy": -3, "before": 30}, -3_000_000, 1_000_000),
        ({"energy": -3, "before": 60}, -3_300_000, 1_100_000),
        ({"energy": -12_000_000}, -12_000_000_000_000, 1_000_000),
        # of nothing the multiplier that slab tiers would show.
        ({"energy": 0}, 0, 1_100_000),
        ({"energy": 0, "before": 60, "discharged": 0}, 0, 1_100_000),
        # charged on balance, and not discharged at any time: the bracket that it stands in.
        ({"energy": -10, "before": 90, "discharged": 0}, -11_000_000, 1_100_000),
        # energy of no power lies in the first power bracket.
        ({"energy": 10, "power": 0}, 10_000_000, 1_000_000),
    ],
    ids=[
        "three power brackets", "across the hour", "in the second hour", "capped", "at the edge",
        "past the edge", "odd", "taken in", "taken in, later", "much taken in", "nothing", "nothing, later",
        "never discharged", "no power",
    ],
)  # fmt: skip
def test_graduated_tiers_give_each_part_its_own_bracket(
    changes: dict[str, int], nanowh: int, mean: int
) -> None:
    # given
    before = changes.get("before", 0) * MINUTE_US
    discharged = changes.get("discharged", HOUR_US)
    given = hour(
        changes["energy"],
        power_milliwh=changes.get("power", changes["energy"]),
        discharged_us=discharged,
        discharged_before_us=before,
        event_discharged_us=before + discharged,
    )
    # when
    result = priced(given, program=tariff(tiers={**TIERS, "mode": "graduated"}))
    # then
    assert result.lines.select("tiered_nanowh", "tier_multiplier_ppm").rows() == [(nanowh, mean)]


def test_the_remainder_goes_to_the_last_bracket_that_is_reached_and_not_to_one_it_ends_at() -> None:
    # given 10 mWh from the 30th to the 120th minute of an event, and brackets from 60 and 120 on
    tiers = {
        "mode": "graduated",
        "duration_min": [
            {"from": "0", "multiplier": "1.000"},
            {"from": "60", "multiplier": "2.000"},
            {"from": "120", "multiplier": "3.000"},
        ],
    }
    given = hour(
        10,
        discharged_us=HOUR_US * 3 // 2,
        discharged_before_us=HOUR_US // 2,
        event_discharged_us=HOUR_US * 2,
    )
    # when
    lines = priced(given, program=tariff(tiers=tiers)).lines
    # then a third, rounded down, before the 60th, all else before the 120th
    assert lines["tiered_nanowh"].to_list() == [3 * 1_000_000 + 7 * 2_000_000]


def test_a_mean_of_half_a_millionth_is_shown_even() -> None:
    # given one part at 1.001 and one at 1.001 × 1.001 = 1.002001
    tiers = {
        "mode": "graduated",
        "power_kw": [{"from": "0", "multiplier": "1.001"}],
        "duration_min": [
            {"from": "0", "multiplier": "1.000"},
            {"from": "60", "multiplier": "1.001"},
        ],
    }
    given = hour(2, discharged_before_us=HOUR_US // 2, event_discharged_us=HOUR_US * 3 // 2)
    # when
    lines = priced(given, program=tariff(tiers=tiers)).lines
    # then
    assert lines.select("tiered_nanowh", "tier_multiplier_ppm").rows() == [(2_003_001, 1_001_500)]


def test_the_mean_of_graduated_tiers_is_for_reading_and_not_paid_with() -> None:
    # given 3 kWh of which one earns 1.0 and two 1.1, at 100 per kWh: the mean would pay 320.0001
    given = hour(
        3_000_000,
        discharged_before_us=HOUR_US // 3 * 2,
        event_discharged_us=HOUR_US * 5 // 3,
        price_micros_per_kwh=100_000_000,
    )
    # when
    result = priced(given, program=tariff(tiers={**TIERS, "mode": "graduated"}))
    # then
    assert result.lines["tier_multiplier_ppm"].to_list() == [1_066_667]
    assert result.lines["amount_micros"].to_list() == [320_000_000]


# --- rounding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "micros"),
    [
        ("half_away", [-3, -2, -1, 1, 2, 3]),
        ("half_even", [-2, -2, 0, 0, 2, 2]),
        ("down", [-2, -1, 0, 0, 1, 2]),
    ],
)
def test_half_a_micro_goes_where_the_program_says_and_a_negative_one_mirrors_it(
    mode: str, micros: list[int]
) -> None:
    # given energies of ±½, ±1½ and ±2½ micros at 0.50 per kWh
    rows = [
        row("car", at("17:00") + timedelta(minutes=n), at("17:01") + timedelta(minutes=n), energy,
            price_micros_per_kwh=500_000)
        for n, energy in enumerate([-5, -3, -1, 1, 3, 5])
    ]  # fmt: skip
    # when
    result = priced(*rows, program=tariff(rounding={"mode": mode}))
    # then
    assert result.lines["amount_micros"].to_list() == micros


@pytest.mark.parametrize(
    ("mode", "minor"),
    [
        ("half_away", [-3, -1, 1, 3]),
        ("half_even", [-2, 0, 0, 2]),
        ("down", [-2, 0, 0, 2]),
    ],
)
def test_half_a_minor_unit_goes_where_the_program_says(mode: str, minor: list[int]) -> None:
    # given settlements of ±0.005 and ±0.025
    rows = [
        row(name, at("17:00"), at("18:00"), energy, price_micros_per_kwh=1_000_000)
        for name, energy in [("a", -25_000), ("b", -5_000), ("c", 5_000), ("d", 25_000)]
    ]
    # when
    result = priced(*rows, program=tariff(rounding={"mode": mode}))
    # then
    assert result.settlements["amount_minor"].to_list() == minor
    differences = result.settlements["rounding_difference_micros"].to_list()
    assert differences[0] == -differences[3]
    assert differences[1] == -differences[2]


def test_rounding_each_line_is_another_promise_than_rounding_the_settlement() -> None:
    # given two lines of 0.00595 each
    rows = [
        row("car", at("17:00"), at("17:30"), 14_167),
        row("car", at("17:30"), at("18:00"), 9_675, price_micros_per_kwh=615_000),
    ]
    # when they are rounded at either stage
    by_line = priced(*rows, program=tariff(rounding={"stage": "line"}))
    by_settlement = priced(*rows)
    # then both pay what a person adds up from the lines shown
    assert by_line.lines["amount_micros"].to_list() == [10_000, 10_000]
    assert by_line.settlements["amount_minor"].to_list() == [2]
    assert by_settlement.settlements["amount_minor"].to_list() == [1]
    for result in (by_line, by_settlement):
        shown = result.lines["amount_micros"].sum()
        settlement = result.settlements.row(0, named=True)
        assert (
            settlement["amount_minor"] * 10_000 - shown == settlement["rounding_difference_micros"]
        )


@pytest.mark.parametrize(
    ("minor_units", "amount"), [(0, 1), (2, 123), (3, 1_235), (6, 1_234_568)], ids=str
)
def test_a_currency_has_the_minor_units_that_its_program_says(
    minor_units: int, amount: int
) -> None:
    # given 1.234568
    given = hour(1_234_568, price_micros_per_kwh=1_000_000)
    # when, then
    result = priced(given, program=tariff(minor_units=minor_units, currency="BHD"))
    assert result.settlements.select("currency", "amount_minor").rows() == [("BHD", amount)]


def test_the_average_power_is_rounded_half_away_for_reading() -> None:
    # given energies of ±½ W over an hour
    rows = [hour(500), row("van", at("17:00"), at("18:00"), -500)]
    # when, then
    assert priced(*rows).lines["avg_w"].to_list() == [1, -1]


# --- signs ------------------------------------------------------------------------------------------


def test_a_negative_price_that_is_passed_on_costs() -> None:
    # given an hour of 3 kWh at -1.26 per kWh
    result = priced(hour(3_000_000, price_micros_per_kwh=-1_260_000))
    # when, then
    assert result.settlements.select("amount_minor", "state").rows() == [(-378, "booked")]


def test_energy_taken_in_takes_back_what_the_same_energy_given_pays() -> None:
    # given an interval that exports and one that takes the same in
    rows = [
        row("car", at("17:00"), at("17:30"), 1_234_567),
        row("car", at("17:30"), at("18:00"), -1_234_567),
    ]
    # when
    result = priced(*rows)
    # then they cancel to the micro
    given, taken = result.lines["amount_micros"].to_list()
    assert (given, given + taken) == (518_518, 0)
    assert result.settlements.select("energy_milliwh", "amount_minor").rows() == [(0, 0)]


# --- capacity ---------------------------------------------------------------------------------------


def season(**changes: object) -> list[dict[str, object]]:
    """Rhode Island's ConnectedSolutions: 3 h and 2 h at 5 kW, 3 h with the car away."""
    events = [
        (at("14:00"), at("17:00"), 15_000_000, 700),
        (at("17:00"), at("19:00"), 10_000_000, 480),
        (at("19:00"), at("22:00"), 0, 0),
    ]
    return [
        row("car", start, end, energy, readings=readings, event_id="season-2026",
            price_micros_per_kwh=None, **changes)
        for start, end, energy, readings in events
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("terms", "rounding", "amount"),
    [
        ({}, "half_away", 70_313),
        ({}, "half_even", 70_312),
        ({"average_over": "events"}, "half_away", 75_000),
        ({"absent": "excluded"}, "half_away", 112_500),
        ({"average_over": "events", "absent": "excluded"}, "half_away", 112_500),
    ],
    ids=["703.125 half away", "703.125 half even", "per event", "absence left out", "both"],
)
def test_a_season_pays_its_average_power(terms: dict[str, str], rounding: str, amount: int) -> None:
    # given a season of 225.00 per average kW
    program = tariff(
        product="capacity",
        capacity={"per_avg_kw": "225.00", **terms},
        rounding={"mode": rounding},
    )
    # when
    result = priced(*season(), program=program)
    # then
    assert result.settlements.select("event_id", "amount_minor", "energy_milliwh").rows() == [
        ("season-2026", amount, 25_000_000)
    ]


def test_each_event_of_a_season_shows_its_share_of_the_average() -> None:
    # given, when
    program = tariff(product="capacity", capacity={"per_avg_kw": "225.00"})
    lines = priced(*season(), program=program).lines
    # then 8 h are averaged over, absence included
    shown = (
        "term",
        "over_us",
        "avg_w",
        "price_micros_per_kw",
        "price_micros_per_kwh",
        "amount_micros",
    )
    assert lines.select(shown).rows() == [
        ("capacity", 8 * HOUR_US, 5_000, 225_000_000, None, 421_875_000),
        ("capacity", 8 * HOUR_US, 5_000, 225_000_000, None, 281_250_000),
        ("capacity", 8 * HOUR_US, 0, 225_000_000, None, 0),
    ]


@pytest.mark.parametrize(
    ("kw", "per_kw", "amount"),
    [(5, "275.00", 137_500), (1000, "200.00", 20_000_000)],
    ids=["5 kW at 275", "1000 kW at 200"],
)
def test_published_figures_of_connected_solutions_come_out(
    kw: int, per_kw: str, amount: int
) -> None:
    program = tariff(product="capacity", capacity={"per_avg_kw": per_kw})
    result = priced(hour(kw * 1_000_000, price_micros_per_kwh=None), program=program)
    assert result.settlements["amount_minor"].to_list() == [amount]


def test_an_incentive_rate_applies_to_power_too_and_tiers_do_not() -> None:
    # given a season at a rate of 0.8, warm and with a price per kWh that is not asked for
    program = tariff(product="capacity", capacity={"per_avg_kw": "225.00"})
    lines = priced(*season(incentive_rate_ppm=800_000), program=program).lines
    # when, then
    assert lines["amount_micros"].to_list() == [337_500_000, 225_000_000, 0]
    assert set(lines["tier_multiplier_ppm"]) == {1_000_000}
    assert lines["tiered_nanowh"].to_list() == [15 * 10**12, 10**13, 0]


# --- orders -----------------------------------------------------------------------------------------

ORDER = {"price_per_kw": "7.00", "penalty_per_kw": "11.00", "cap_at_order": True}


@pytest.mark.parametrize("minutes", [15, 60], ids=["a quarter of an hour", "an hour"])
@pytest.mark.parametrize(
    ("allocation", "amount"),
    [(7, 1400), (8, 1400), (9, -400), (10, -2200), (11, -3300)],
    ids=["more than ordered", "as ordered", "half of it", "nothing", "the wrong way"],
)
def test_the_published_table_of_usef_comes_out(allocation: int, amount: int, minutes: int) -> None:
    # given a baseline of 10 kW, 2 kW ordered, and that much drawn
    delivered = (10 - allocation) * 1_000_000 * minutes // 60
    given = row(
        "car", at("17:00"), at("17:00") + timedelta(minutes=minutes), delivered, ordered_w=2_000,
        price_micros_per_kwh=None,
    )  # fmt: skip
    # when
    result = priced(given, program=tariff(product="order", order=ORDER, currency="EUR"))
    # then
    assert result.settlements.select("currency", "amount_minor").rows() == [("EUR", amount)]


def test_an_order_shows_what_was_delivered_and_what_was_missing() -> None:
    # given 2 kW ordered for an hour, 1 kW delivered
    given = hour(1_000_000, ordered_w=2_000, price_micros_per_kwh=None)
    # when
    result = priced(given, program=tariff(product="order", order=ORDER))
    # then
    shown = ("term", "energy_milliwh", "avg_w", "price_micros_per_kw", "over_us", "amount_micros")
    assert result.lines.select(shown).rows() == [
        ("delivery", 1_000_000, 1_000, 7_000_000, HOUR_US, 7_000_000),
        ("shortfall", 1_000_000, 1_000, -11_000_000, HOUR_US, -11_000_000),
    ]
    # and what was missing is no energy of the settlement
    assert result.settlements["energy_milliwh"].to_list() == [1_000_000]


@pytest.mark.parametrize(
    ("ordered", "delivered", "terms"),
    [
        (2_000, 2_000_000, ["delivery"]),
        (2_000, 0, ["shortfall"]),
        (0, 1_000_000, []),
        (0, -1_000_000, ["shortfall"]),
        (0, 0, []),
    ],
    ids=["all", "nothing", "unasked", "the wrong way", "nothing asked, nothing given"],
)
def test_an_order_has_no_line_of_nothing(ordered: int, delivered: int, terms: list[str]) -> None:
    given = hour(delivered, ordered_w=ordered, price_micros_per_kwh=None)
    lines = priced(given, program=tariff(product="order", order=ORDER)).lines
    assert lines["term"].to_list() == terms


def test_a_program_may_pay_for_more_than_was_ordered() -> None:
    # given 3 kW delivered of 2 kW
    given = hour(3_000_000, ordered_w=2_000, price_micros_per_kwh=None)
    # when, then
    program = tariff(product="order", order={**ORDER, "cap_at_order": False})
    assert priced(given, program=program).settlements["amount_minor"].to_list() == [2_100]


def test_a_vehicle_that_never_came_owes_the_whole_shortfall() -> None:
    given = hour(0, ordered_w=2_000, price_micros_per_kwh=None, readings=0)
    result = priced(given, program=tariff(product="order", order=ORDER))
    assert result.settlements.select("amount_minor", "state").rows() == [(-2_200, "booked")]


def test_ordered_energy_is_rounded_half_away_to_the_milliwatt_hour() -> None:
    # given 1 W for 1.8 s, half a milliwatt-hour, of which nothing came
    given = row(
        "car", at("17:00"), at("17:00") + timedelta(seconds=1.8), 0, ordered_w=1,
        price_micros_per_kwh=None,
    )  # fmt: skip
    # when, then
    lines = priced(given, program=tariff(product="order", order=ORDER)).lines
    assert lines.select("term", "energy_milliwh").rows() == [("shortfall", 1)]


# --- versions and contracts -------------------------------------------------------------------------


def test_each_row_is_priced_by_its_own_version() -> None:
    # given two events under two versions in two currencies
    versions = [tariff(), tariff(version=2, currency="EUR", minor_units=0)]
    rows = matched(hour(5_000_000), hour(5_000_000, event_id="next", program_version=2))
    # when
    settlements = price(rows, unpaid(), {PROGRAM: versions}).settlements
    # then
    shown = ("event_id", "program_version", "currency", "amount_minor")
    assert settlements.select(shown).rows() == [("next", 2, "EUR", 2), ("peak", 1, "USD", 210)]


def test_each_contract_has_its_own_settlement() -> None:
    # given a season in which the contract changed
    rows = season()
    rows[1]["contract_id"] = rows[2]["contract_id"] = "new"
    program = tariff(product="capacity", capacity={"per_avg_kw": "225.00"})
    # when
    settlements = priced(*rows, program=program).settlements
    # then each averages over its own events
    assert settlements.select("contract_id", "amount_minor").rows() == [
        ("contract-car", 112_500),
        ("new", 45_000),
    ]


def test_a_version_that_was_not_given_is_refused_by_name() -> None:
    with pytest.raises(UnknownVersionError, match=r"program tariff: version 3 .* one of: 1$"):
        priced(hour(1, program_version=3))
    with pytest.raises(UnknownVersionError, match=r"program other: version 1 .* one of: none$"):
        priced(hour(1, program="other"))


# --- held -------------------------------------------------------------------------------------------


def test_a_missing_price_holds_the_settlement_and_shows_what_is_known() -> None:
    # given a price for the first half hour only
    known = row("car", at("17:00"), at("17:30"), 1_000_000)
    # when
    result = priced(known, without=[unpaid_row("car", "PRICE_MISSING")])
    # then
    shown = ("state", "reason", "lines_micros", "amount_minor", "rounding_difference_micros")
    assert result.settlements.select(shown).rows() == [("held", "PRICE_MISSING", 420_000, 0, 0)]


def test_other_reasons_hold_nothing_and_other_vehicles_are_not_held() -> None:
    # given
    rows = [hour(1_000_000), row("van", at("17:00"), at("18:00"), 1_000_000)]
    without = [
        unpaid_row("car", "OVER_CAP"),
        unpaid_row("van", "PRICE_MISSING", event_id="another"),
        unpaid_row("bus", "PRICE_MISSING", program="of nobody"),
    ]
    # when
    result = priced(*rows, without=without)
    # then
    assert result.settlements.select("event_id", "vehicle_id", "state").rows() == [
        ("another", "van", "held"),
        ("peak", "car", "booked"),
        ("peak", "van", "booked"),
    ]


def test_of_several_holding_reasons_the_first_in_precedence_is_named() -> None:
    # given both, in either order
    reasons = [unpaid_row("car", "THERMAL_MISSING"), unpaid_row("car", "PRICE_MISSING")]
    # when, then
    for without in (reasons, reasons[::-1]):
        assert priced(hour(1), without=without).settlements["reason"].to_list() == ["PRICE_MISSING"]


@pytest.mark.parametrize(
    ("others", "version", "currency"),
    [
        ([], 2, "EUR"),
        ([row("van", at("17:00"), at("18:00"), 1)], 1, "USD"),
    ],
    ids=["the latest version", "the version of its event"],
)
def test_a_settlement_without_any_line_is_held_and_shown(
    others: list[dict[str, Any]], version: int, currency: str
) -> None:
    # given no price for all of a vehicle's energy
    versions = [tariff(), tariff(version=2, currency="EUR")]
    # when
    result = price(
        matched(*others), unpaid(unpaid_row("car", "PRICE_MISSING")), {PROGRAM: versions}
    )
    # then
    settlement = result.settlements.row(0, named=True)
    assert settlement == {
        "program": PROGRAM,
        "program_version": version,
        "event_id": "peak",
        "vehicle_id": "car",
        "contract_id": "",
        "currency": currency,
        "energy_milliwh": 0,
        "lines_micros": 0,
        "amount_minor": 0,
        "rounding_difference_micros": 0,
        "state": "held",
        "reason": "PRICE_MISSING",
    }


# --- what cannot be priced --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "changes", "program"),
    [
        ("price_micros_per_kwh", {}, {}),
        ("incentive_rate_ppm", {"price_micros_per_kwh": 1}, {}),
        ("thermal_factor_ppm", {"price_micros_per_kwh": 1}, {}),
        ("ordered_w", {}, {"product": "order", "order": ORDER}),
        ("incentive_rate_ppm", {"ordered_w": 1}, {"product": "order", "order": ORDER}),
    ],
    ids=["price", "rate", "factor", "order", "rate of an order"],
)
def test_a_missing_factor_is_an_error_and_never_a_zero(
    column: str, changes: dict[str, object], program: dict[str, object]
) -> None:
    # given
    rows = [hour(1, **changes | {column: None}), hour(1, **changes | {column: None})]
    # when
    with pytest.raises(MissingFactorError, match=f"{column} is missing in 2 rows") as missing:
        priced(*rows, program=tariff(**program))
    # then
    assert (missing.value.program, missing.value.column, missing.value.rows) == (PROGRAM, column, 2)


def test_an_interval_without_time_is_an_error() -> None:
    with pytest.raises(NoTimeError, match="us is not positive in 1 rows"):
        priced(row("car", at("17:00"), at("17:00"), 1))
    program = tariff(product="capacity", capacity={"per_avg_kw": "225.00"})
    with pytest.raises(NoTimeError, match="event_us is not positive in 1 rows"):
        priced(hour(1, event_us=0), program=program)


@pytest.mark.parametrize(
    ("changes", "program", "named"),
    [
        ({"incentive_rate_ppm": 10**16}, {}, "incentive_rate_ppm"),
        ({"price_micros_per_kwh": 10**17}, {}, "price_micros_per_kwh"),
        ({"energy_milliwh": 10**14}, {}, "energy_milliwh"),
        ({"energy_milliwh": 10**14}, {"tiers": {**TIERS, "mode": "graduated"}}, "energy_milliwh"),
        ({"power_milliwh": 2**62, "energy_milliwh": 10**11, "discharged_us": 2**62},
         {"tiers": {**TIERS, "mode": "graduated"}}, None),
        ({"incentive_rate_ppm": 2**62, "energy_milliwh": 10**12, "ordered_w": 10**9},
         {"product": "order", "order": ORDER}, "incentive_rate_ppm"),
        ({"event_us": 2**62}, {"product": "capacity", "capacity": {"per_avg_kw": "1"}}, "event_us"),
    ],
    ids=["rate", "price", "energy", "graduated", "graduated, within", "power", "event time"],
)  # fmt: skip
def test_a_factor_outside_its_declared_range_stops_the_product_before_it_wraps(
    changes: dict[str, object], program: dict[str, object], named: str | None
) -> None:
    # given the largest of everything else
    largest: dict[str, object] = {
        "energy_milliwh": 10**11,
        "power_milliwh": 10**11,
        "price_micros_per_kwh": 10**8,
        "incentive_rate_ppm": 4 * 10**6,
    }
    rows = [hour(1, **largest | changes), hour(1, **largest | changes)]
    # when, then
    if named is None:
        assert priced(*rows, program=tariff(**program)).lines.height == 2
    else:
        with pytest.raises(BoundExceededError, match=named):
            priced(*rows, program=tariff(**program))


def test_no_product_of_declared_bounds_can_leave_128_bits() -> None:
    # given the declared bounds of every factor
    energy, tier = units.LINE_MAX_MILLIWH, units.FACTOR_MAX_PPM
    bounds = {name: LINE.column(name).high or 0 for name in ENERGY_FACTORS}
    longest_us, parts = 2**53, units.MICROS_PER_UNIT
    # when each product is formed in Python, which does not wrap
    products = {
        "energy": bounds["tiered_nanowh"]
        * bounds["price_micros_per_kwh"]
        * bounds["incentive_rate_ppm"]
        * bounds["thermal_factor_ppm"],
        "energy divisor, by line": ENERGY_DIVISOR * parts,
        "power": energy * MILLIWH_PER_KW_US * units.PRICE_MAX_MICROS_PER_KW * tier,
        "power divisor, by line": longest_us * units.PPM * parts,
        "average power": energy * W_US_PER_MILLIWH,
        "power bracket": units.POWER_MAX_W * longest_us,
        "graduated by power": energy * energy,
        "graduated by duration": energy * longest_us,
        "ordered": units.POWER_MAX_W * longest_us,
    }
    # then all lie within, and what is kept in 64 bits lies within those
    assert [name for name, product in products.items() if product > units.INT128_MAX] == []
    assert bounds["tiered_nanowh"] == energy * tier <= 2**63 - 1
    # and the largest energy product comes close, so the bounds are the reason
    assert products["energy"] * 2 > units.INT128_MAX


def test_the_largest_line_that_is_declared_is_priced_exactly() -> None:
    # given every factor at its bound
    given = hour(
        10**11, price_micros_per_kwh=10**8, incentive_rate_ppm=4 * 10**6, thermal_factor_ppm=10**6
    )
    program = tariff(tiers={"power_kw": [{"from": "0", "multiplier": "4"}]})
    # when, then 100 MWh × 100 × 4 × 4
    assert priced(given, program=program).lines["amount_micros"].to_list() == [160_000_000_000_000]


def test_every_line_has_a_term_of_the_closed_list() -> None:
    assert [term.value for term in Term] == ["energy", "capacity", "delivery", "shortfall"]
