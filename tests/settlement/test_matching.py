"""Which energy falls where, and why the rest is not paid."""

import random
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from settlement.engine import Computed
from settlement.periods import Period
from settlement.reasons import UnpaidReason
from settlement.timeline import Price, Window
from tests.settlement.frames import (
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
FLAT = price("16:00", "21:00", 420_000)


def matched(
    *rows: dict[str, object],
    windows=(PEAK,),
    prices=(FLAT,),
    contracts=None,
    period: Period = EVENING,
    **more,
) -> Computed:
    vehicles = {str(row["vehicle_id"]) for row in rows}
    given_contracts = [contract(v) for v in sorted(vehicles)] if contracts is None else contracts
    known = facts(windows, prices, given_contracts, **more)
    return computed(readings(*rows), known, period)


def paid(result: Computed) -> int:
    return int(result.matched["energy_milliwh"].sum())


def unpaid(result: Computed) -> dict[str, int]:
    return dict(result.unpaid.group_by("reason").agg(pl.col("energy_milliwh").sum()).iter_rows())


def test_a_discharge_that_ends_as_the_window_opens_earns_nothing() -> None:
    result = matched(reading("car", at("16:59:45"), at("17:00"), 30_000))
    assert paid(result) == 0
    assert unpaid(result) == {"OUTSIDE_WINDOW": 30_000}


def test_a_discharge_that_starts_as_the_window_closes_earns_nothing() -> None:
    result = matched(reading("car", at("18:00"), at("18:00:15"), 30_000))
    assert unpaid(result) == {"OUTSIDE_WINDOW": 30_000}


def test_a_discharge_across_the_edge_is_divided_by_time_and_the_last_part_takes_the_remainder() -> (
    None
):
    # given 10 mWh over 15 s of which 7 s lie before the window
    start = at("16:59:53")
    # when
    result = matched(reading("car", start, start + timedelta(seconds=15), 10))
    # then 10 × 7 / 15 = 4.67 is 4, and the rest is the window's
    assert (unpaid(result), paid(result)) == ({"OUTSIDE_WINDOW": 4}, 6)


def test_a_reading_longer_than_the_window_is_divided_in_three() -> None:
    short = window("short", "17:10", "17:20")
    result = matched(reading("car", at("17:00"), at("17:30"), 100), windows=[short])
    assert (paid(result), unpaid(result)) == (33, {"OUTSIDE_WINDOW": 67})


def test_of_two_events_over_the_same_time_the_one_created_last_gets_the_energy() -> None:
    newer = window("newer", "17:30", "19:00", created="12:00")
    result = matched(reading("car", at("17:00"), at("18:00"), 1_000), windows=[PEAK, newer])
    assert dict(result.matched.select("event_id", "energy_milliwh").iter_rows()) == {
        "peak": 500,
        "newer": 500,
    }


def test_prices_that_do_not_change_make_one_line() -> None:
    grains = [
        price(f"17:{m:02}", f"17:{m + 5:02}" if m < 55 else "18:00", 420_000)
        for m in range(0, 60, 5)
    ]
    result = matched(reading("car", at("17:00"), at("18:00"), 1_000), prices=grains)
    assert result.matched.height == 1


def test_a_price_received_later_replaces_the_earlier_one() -> None:
    revised = price("17:00", "18:00", 500_000, received="22:00")
    result = matched(reading("car", at("17:00"), at("18:00"), 1_000), prices=[FLAT, revised])
    assert result.matched["price_micros_per_kwh"].to_list() == [500_000]


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        ([], UnpaidReason.NO_CONTRACT),
        ([contract("car", valid_from="17:00:01")], UnpaidReason.NO_CONTRACT),
        ([contract("car", valid_to="17:00")], UnpaidReason.NO_CONTRACT),
        ([contract("car"), contract("car", rate_ppm=900_000)], UnpaidReason.DOUBLE_ENROLMENT),
    ],
    ids=["none", "from a second after the start", "until the start", "two at once"],
)
def test_only_one_contract_in_force_as_the_event_starts_pays(
    terms: list[dict[str, object]], reason: UnpaidReason
) -> None:
    result = matched(reading("car", at("17:00"), at("18:00"), 5_000_000), contracts=terms)
    assert unpaid(result) == {reason.value: 5_000_000}
    assert result.unpaid["would_have_been_micros"].item() > 0


@pytest.mark.parametrize("until", ["17:00", None], ids=["one after the other", "both at once"])
def test_a_vehicle_with_contracts_in_two_programs_is_accounted_for_once(until: str | None) -> None:
    # given two programs with an event each over the same hour
    other = example_program(program="other-energy")
    both = facts(
        [PEAK, Window("other-peak", "other-energy", at("17:00"), at("18:00"), at("09:00"))],
        [FLAT, Price("other-energy", at("16:00"), at("21:00"), 300_000, at("08:00"))],
        [contract("car", valid_to=until), contract("car", program="other-energy")],
        example_program(),
        other,
    )
    # when the hour and a quarter after it are matched
    rows = readings(
        reading("car", at("17:00"), at("18:00"), 1_000),
        reading("car", at("18:00"), at("18:15"), 250),
    )
    result = computed(rows, both, EVENING)
    # then every milliwatt-hour stands once
    assert paid(result) + sum(unpaid(result).values()) == 1_250
    assert paid(result) == (0 if until is None else 1_000)


def test_a_contract_that_ends_within_the_event_pays_the_whole_event() -> None:
    result = matched(
        reading("car", at("17:00"), at("18:00"), 1_000),
        contracts=[contract("car", valid_to="17:10")],
    )
    assert paid(result) == 1_000


def test_a_meter_that_contradicts_its_powers_is_not_paid() -> None:
    honest = reading("car", at("17:00"), at("17:30"), 3_000_000)
    liar = reading(
        "liar", at("17:00"), at("17:30"), 3_000_000, power_start_w=3_000, power_end_w=3_000
    )
    result = matched(honest, liar)
    assert unpaid(result) == {"ERR_DATA_INCONSISTENCY": 3_000_000}
    assert result.matched["vehicle_id"].to_list() == ["car"]


@pytest.mark.parametrize(
    ("watts", "fine"), [(5_700, True), (5_699, False), (6_315, True), (6_316, False)]
)
def test_registers_and_powers_may_differ_by_five_percent_of_the_larger(
    watts: int, fine: bool
) -> None:
    row = reading(
        "car", at("17:00"), at("18:00"), 6_000_000, power_start_w=watts, power_end_w=watts
    )
    assert (paid(matched(row)) > 0) is fine


def test_a_meter_that_counts_whole_watt_hours_is_not_a_liar() -> None:
    # given 3 kW for 15 s: 12.5 Wh, of which a whole-Wh meter shows 12 or 13
    row = reading(
        "car", at("17:00"), at("17:00:15"), 13_000, power_start_w=3_000, power_end_w=3_000
    )
    assert paid(matched(row)) == 13_000


OVERLAPS = {
    "the same energy under a new epoch": [(0, 30, "EVSE-1", "car"), (0, 30, "EVSE-1", "car")],
    "a minute too long": [(0, 31, "EVSE-1", "car"), (30, 45, "EVSE-1", "car")],
    "one inside another, and one after it": [
        (0, 40, "EVSE-1", "car"),
        (5, 10, "EVSE-1", "car"),
        (20, 30, "EVSE-1", "car"),
    ],
    "two cars at one EVSE": [(0, 30, "EVSE-1", "car"), (29, 45, "EVSE-1", "van")],
}


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        *((claims, "ERR_DATA_INCONSISTENCY") for claims in OVERLAPS.values()),
        ([(0, 30, "EVSE-1", "car"), (29, 45, "EVSE-2", "car")], "TWO_PLACES"),
    ],
    ids=[*OVERLAPS, "a car in two places"],
)
def test_what_claims_the_same_time_twice_is_not_paid_at_all(
    claims: list[tuple[int, int, str, str]], reason: str
) -> None:
    # given claims in minutes after 17:00, and an honest reading that touches the first of them
    rows = [
        reading(
            v,
            PEAK.started_at + timedelta(minutes=a),
            PEAK.started_at + timedelta(minutes=b),
            1_000,
            evse_id=e,
            stream_epoch=n,
        )
        for n, (a, b, e, v) in enumerate(claims)
    ]
    honest = reading("honest", at("17:00"), at("18:00"), 7_000)
    # when
    result = matched(*rows, honest)
    # then
    assert result.matched["vehicle_id"].to_list() == ["honest"]
    assert unpaid(result) == {reason: 1_000 * len(claims)}


def test_readings_that_only_touch_do_not_overlap() -> None:
    rows = [
        reading("car", at("17:00"), at("17:15"), 1_000),
        reading("car", at("17:15"), at("17:30"), 1_000, evse_id="EVSE-2"),
        reading("van", at("17:15"), at("17:30"), 1_000, evse_id="EVSE-car"),
    ]
    assert paid(matched(*metered(*rows))) == 3_000


def test_more_than_an_evse_can_deliver_harms_nobody_else() -> None:
    # given one EVSE that signs ten hours' worth of the most a reading may hold
    start = at("10:00")
    huge = [
        reading(
            "huge", start + timedelta(minutes=6 * n), start + timedelta(minutes=6 * n + 6), 10**9
        )
        for n in range(20)
    ]
    fine = reading("car", at("11:00"), at("12:00"), 5_000_000)
    day = window("day", "10:00", "20:00")
    # when
    result = matched(
        *metered(*huge, fine), windows=[day], prices=[price("10:00", "21:00", 420_000)]
    )
    # then
    assert unpaid(result) == {"ERR_DATA_INCONSISTENCY": 20 * 10**9}
    assert result.matched["vehicle_id"].to_list() == ["car"]


def test_what_two_programs_would_pay_for_the_same_time_neither_pays() -> None:
    # given a contract that ends as another begins, and an event of each that overlap
    other = example_program(program="other-energy")
    both = facts(
        [
            window("first", "16:30", "17:30"),
            Window("second", "other-energy", at("17:00"), at("18:00"), at("09:00")),
        ],
        [FLAT, Price("other-energy", at("16:00"), at("21:00"), 300_000, at("08:00"))],
        [
            contract("car", valid_to="17:00"),
            contract("car", program="other-energy", valid_from="17:00"),
        ],
        example_program(),
        other,
    )
    # when
    rows = readings(reading("car", at("17:05"), at("17:25"), 2_000))
    result = computed(rows, both, EVENING)
    # then
    assert paid(result) == 0
    assert unpaid(result).keys() == {"DOUBLE_ENROLMENT"}


def test_an_identity_with_two_contents_is_not_paid() -> None:
    result = matched(reading("car", at("17:00"), at("17:30"), 1_000, conflicted=True))
    assert unpaid(result) == {"ERR_DATA_INCONSISTENCY": 1_000}


def test_charging_inside_the_window_is_not_a_discharge() -> None:
    row = reading(
        "car",
        at("17:00"),
        at("18:00"),
        0,
        import_end_milliwh=5_000_000,
        power_start_w=-5_000,
        power_end_w=-5_000,
    )
    result = matched(row)
    assert (paid(result), unpaid(result)) == (0, {})


def test_an_event_that_ends_in_another_period_is_left_to_its_run() -> None:
    # given an evening cut at 17:30, in the middle of the event
    row = reading("car", at("16:30"), at("18:30"), 1_200)
    halves = [Period(at("16:00"), at("17:30")), Period(at("17:30"), at("21:00"))]
    # when each half is settled
    first, second = (matched(row, period=half) for half in halves)
    # then the event is settled once, whole, and all energy is accounted for once
    assert (paid(first), paid(second)) == (0, 600)
    assert unpaid(first) == {"OUTSIDE_WINDOW": 300}
    assert unpaid(second) == {"OUTSIDE_WINDOW": 300}


def test_the_same_stream_shuffled_gives_byte_identical_lines() -> None:
    # given two hundred readings of several cars, in order and shuffled
    rows = [
        reading(
            f"car-{n % 7}",
            at("16:50") + timedelta(seconds=15 * (n // 7) + n % 7),
            at("16:50") + timedelta(seconds=15 * (n // 7) + n % 7 + 15),
            31_000 + n,
            sequence=n,
        )
        for n in range(2_000)
    ]
    shuffled = random.Random(7).sample(rows, len(rows))
    known = facts([PEAK], [FLAT], [contract(f"car-{n}") for n in range(7)])
    # when both are settled
    first, second = (computed(readings(*order), known, EVENING) for order in (rows, shuffled))
    # then
    assert first.lines.write_csv() == second.lines.write_csv()
    assert_frame_equal(first.unpaid, second.unpaid)


@settings(deadline=None)
@given(st.integers(1, 10**9), st.integers(1, 3_600_000_000), st.integers(0, 3_600_000_000))
def test_the_parts_of_a_divided_reading_sum_to_the_whole(
    energy: int, length: int, before: int
) -> None:
    # given a reading that begins up to an hour before the window, of any length
    start = PEAK.started_at - timedelta(microseconds=before)
    row = reading(
        "car",
        start,
        start + timedelta(microseconds=length),
        energy,
        conflicted=False,
        power_start_w=0,
        power_end_w=0,
    )
    # when
    result = matched(row)
    # then nothing is lost or made, whatever the reason
    assert paid(result) + sum(unpaid(result).values()) == energy
