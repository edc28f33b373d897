"""Registers from one reading to the next: replayed, jumped, exchanged."""

from typing import Any

import pytest

from tests.settlement.metering.makers import Row, contract, faults, pieces, reading

ERR = "ERR_DATA_INCONSISTENCY"
EXCHANGED = "METER_EXCHANGED"
KWH = 1_000_000
STEP = 1_000
FREE: dict[str, Any] = {"power_start_w": None, "power_end_w": None}


def series(*registers: tuple[int, int], start: int = 17 * 60, **changes: Any) -> list[Row]:
    """Readings of ten minutes each, one after the other."""
    return [
        reading(_clock(start + 10 * n), _clock(start + 10 * n + 10), pair, **FREE | changes)
        for n, pair in enumerate(registers)
    ]


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def test_readings_that_follow_each_other_are_sound() -> None:
    rows = series((5 * KWH, 6 * KWH), (6 * KWH, 6 * KWH), (6 * KWH, 8 * KWH))
    assert faults(*rows) == [None, None, None]


@pytest.mark.parametrize(
    ("ahead", "fault"),
    [
        pytest.param(0, None, id="equal"),
        pytest.param(STEP, None, id="one step of the register"),
        pytest.param(STEP + 1, ERR, id="more than a step: a jump"),
        pytest.param(-1, ERR, id="a mWh back"),
    ],
)
@pytest.mark.parametrize("register", ["export", "import"])
def test_a_reading_begins_where_the_one_before_ended(
    ahead: int, fault: str | None, register: str
) -> None:
    rows = [
        reading("17:00", "17:10", (5 * KWH, 6 * KWH), (5 * KWH, 6 * KWH), **FREE),
        reading("17:10", "17:20", (6 * KWH, 7 * KWH), (6 * KWH, 7 * KWH), **FREE),
        reading("17:20", "17:30", (9 * KWH, 9 * KWH), (9 * KWH, 9 * KWH), **FREE),
    ]
    rows[1] |= {f"{register}_start_milliwh": 6 * KWH + ahead}
    assert faults(*rows[:2]) == [None, fault]


def test_after_a_jump_the_register_counts_on_from_there() -> None:
    rows = series((5 * KWH, 6 * KWH), (50 * KWH, 51 * KWH), (51 * KWH, 52 * KWH))
    assert faults(*rows) == [None, ERR, None]


@pytest.mark.parametrize(
    ("rise", "rated", "fault"),
    [
        # 10 kW for an hour, 1.1 times, and a step.
        pytest.param(11 * KWH + STEP, 10_000, None, id="what the rating delivers in the gap"),
        pytest.param(11 * KWH + STEP + 1, 10_000, ERR, id="a mWh more"),
        pytest.param(11_000 * KWH + STEP, None, None, id="what the highest power delivers"),
        pytest.param(11_000 * KWH + STEP + 1, None, ERR, id="a mWh more than that"),
    ],
)
def test_over_a_gap_the_export_register_rises_by_no_more_than_the_rating_delivers(
    rise: int, rated: int | None, fault: str | None
) -> None:
    rows = [
        *series((5 * KWH, 6 * KWH), start=17 * 60),
        *series((6 * KWH + rise, 6 * KWH + rise), start=18 * 60 + 10),
    ]
    assert faults(*rows, contracts=[contract(rated_w=rated)]) == [None, fault]


def test_over_a_gap_import_is_not_bound_by_the_rating_of_discharge() -> None:
    rows = [
        reading("17:00", "17:10", (0, KWH), (0, 0), **FREE),
        reading("18:10", "18:20", (KWH, 2 * KWH), (50 * KWH, 50 * KWH), **FREE),
    ]
    assert faults(*rows, contracts=[contract(rated_w=10_000)]) == [None, None]


def test_a_replayed_range_is_unpaid_entirely_and_what_exceeds_it_is_sound() -> None:
    first = series((100 * KWH, 101 * KWH), (101 * KWH, 102 * KWH), (102 * KWH, 103 * KWH))
    again = series(
        (100 * KWH, 101 * KWH), (101 * KWH, 102 * KWH), (102 * KWH, 103 * KWH), start=18 * 60
    )
    beyond = series((103 * KWH, 104 * KWH), start=19 * 60)
    found = faults(*first, *again, *beyond, contracts=[contract(rated_w=10_000)])
    assert found == [None] * 3 + [ERR] * 3 + [None]


@pytest.mark.parametrize("rated", [10_000, None], ids=["rated", "rating not known"])
@pytest.mark.parametrize("gap_min", [0, 10, 600], ids=["at once", "ten minutes", "ten hours"])
def test_no_gap_is_so_long_that_a_replayed_range_counts_again(
    rated: int | None, gap_min: int
) -> None:
    first = series((20 * KWH, 21 * KWH), (21 * KWH, 22 * KWH), start=60)
    again = series((20 * KWH, 21 * KWH), (21 * KWH, 22 * KWH), start=80 + gap_min)
    found = faults(*first, *again, contracts=[contract(rated_w=rated)])
    assert found == [None, None, ERR, ERR]


def test_a_reading_that_begins_in_a_counted_range_is_at_fault_though_it_ends_beyond() -> None:
    rows = series((100 * KWH, 103 * KWH), (102 * KWH, 105 * KWH), (105 * KWH, 106 * KWH))
    assert faults(*rows) == [None, ERR, None]


def test_a_series_replayed_twice_is_unpaid_both_times() -> None:
    once = [(100 * KWH, 101 * KWH), (101 * KWH, 102 * KWH)]
    assert faults(*series(*once, *once, *once)) == [None] * 2 + [ERR] * 4


@pytest.mark.parametrize(
    ("start", "gap_min", "rated", "fault"),
    [
        pytest.param(0, 0, 10_000, None, id="at zero, at once"),
        pytest.param(STEP, 0, 10_000, None, id="within a step of zero"),
        pytest.param(STEP + 1, 0, 10_000, ERR, id="beyond a step, at once"),
        pytest.param(11 * KWH + STEP, 60, 10_000, None, id="as far as the rating delivers"),
        pytest.param(11 * KWH + STEP + 1, 60, 10_000, ERR, id="a mWh further"),
        pytest.param(99 * KWH, 60, None, None, id="rating not known, below all that was counted"),
        pytest.param(100 * KWH, 60, None, ERR, id="rating not known, a range that was counted"),
    ],
)
def test_a_register_that_restarts_near_zero_between_readings_is_another_meter(
    start: int, gap_min: int, rated: int | None, fault: str | None
) -> None:
    rows = [
        *series((100 * KWH, 101 * KWH), (101 * KWH, 102 * KWH)),
        *series((start, start + KWH), start=17 * 60 + 20 + gap_min),
    ]
    assert faults(*rows, contracts=[contract(rated_w=rated)]) == [None, None, fault]


def test_continuity_starts_anew_with_another_meter() -> None:
    rows = series((100 * KWH, 101 * KWH), (0, KWH), (KWH, 2 * KWH), (KWH, 2 * KWH))
    assert faults(*rows) == [None, None, None, ERR]


def test_after_an_exchange_within_a_reading_the_new_meter_counts() -> None:
    rows = series((100 * KWH, 101 * KWH), (101 * KWH, 5 * STEP), (5 * STEP, KWH), (KWH, 2 * KWH))
    assert faults(*rows) == [None, EXCHANGED, None, None]


def test_a_reading_at_fault_by_itself_does_not_say_where_the_register_stood() -> None:
    rows = series((5 * KWH, 6 * KWH), (6 * KWH, 900 * KWH), (6 * KWH, 7 * KWH), (7 * KWH, 8 * KWH))
    rows[1] |= {"conflicted": True}
    assert faults(*rows) == [None, ERR, None, None]


def test_what_is_left_out_does_not_hide_a_range_counted_twice() -> None:
    rows = series((5 * KWH, 6 * KWH), (4 * KWH, 5 * KWH), (5 * KWH, 6 * KWH), (6 * KWH, 7 * KWH))
    rows[1] |= {"conflicted": True}
    assert faults(*rows) == [None, ERR, ERR, None]


def test_registers_are_those_of_an_evse_whichever_vehicle_stands_there() -> None:
    rows = series((5 * KWH, 6 * KWH), (6 * KWH, 7 * KWH), (5 * KWH, 6 * KWH))
    for row, vehicle in zip(rows, ["car", "van", "car"], strict=True):
        row["vehicle_id"] = vehicle
    elsewhere = series((5 * KWH, 6 * KWH), start=18 * 60, evse_id="other")
    assert faults(*rows, *elsewhere) == [None, None, ERR, None]


def test_registers_are_watched_where_only_exports_are_kept() -> None:
    rows = series((5 * KWH, 6 * KWH), (7 * KWH, 7 * KWH), (6 * KWH, 7 * KWH))
    kept = {p["fault"]: p["exported_milliwh"] for p in pieces(*rows)}
    assert kept == {None: KWH, ERR: KWH}
