"""Readings in parts: nothing lost, nothing made, at whatever edge."""

from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from settlement import units
from settlement.metering import PIECES, divide_over, measure
from settlement.schemas import CONTRACT
from tests.settlement.metering.makers import CHECKS, Row, at, frame, pieces, reading, timeline

MIN = 60_000_000
HALVES = timeline("17:30")
THIRDS = timeline("17:20", "17:40")


def parts(*rows: Row, cells: pl.DataFrame, **how: Any) -> list[tuple[int, int, int, int]]:
    return [
        (p["interval"], p["exported_milliwh"], p["imported_milliwh"], p["discharged_us"] // MIN)
        for p in pieces(*rows, cells=cells, **how)
    ]


@pytest.mark.parametrize(
    ("cells", "energy", "expected"),
    [
        pytest.param(timeline(), 1_001, [(0, 1_001, 0, 60)], id="whole"),
        pytest.param(timeline("17:00", "18:00"), 9, [(1, 9, 0, 60)], id="edges at its edges"),
        pytest.param(HALVES, 7, [(0, 3, 0, 30), (1, 4, 0, 30)], id="the last has the remainder"),
        pytest.param(
            THIRDS, 11, [(0, 3, 0, 20), (1, 3, 0, 20), (2, 5, 0, 20)], id="over three cells"
        ),
        pytest.param(THIRDS, 2, [(2, 2, 0, 20)], id="parts without energy are none"),
        pytest.param(timeline("17:59:59.999999"), 1, [(1, 1, 0, 0)], id="a microsecond has it all"),
    ],
)
def test_a_reading_is_divided_in_proportion_to_time(
    cells: pl.DataFrame, energy: int, expected: list[tuple[int, int, int, int]]
) -> None:
    row = reading("17:00", "18:00", (5, 5 + energy), power_start_w=None, power_end_w=None)
    assert parts(row, cells=cells) == expected


def test_export_and_import_are_divided_each_by_itself() -> None:
    row = reading("17:00", "18:00", (0, 1_000_001), (0, 3))
    assert parts(row, cells=HALVES) == [(0, 500_000, 1, 30), (1, 500_001, 2, 30)]


def test_a_part_that_only_imports_is_no_discharged_time() -> None:
    row = reading("17:00", "18:00", (0, 1), (0, 10))
    assert parts(row, cells=HALVES) == [(0, 0, 5, 0), (1, 1, 5, 30)]


@pytest.mark.parametrize(
    ("how", "kept"),
    [
        pytest.param({}, [0], id="exports"),
        pytest.param({"imports": True}, [0, 1], id="and imports"),
        pytest.param({"idle": True}, [0, 1, 2], id="and all time covered"),
        pytest.param({"imports": True, "idle": True}, [0, 1, 2], id="both"),
    ],
)
def test_what_is_kept_is_what_is_asked_for(how: dict[str, Any], kept: list[int]) -> None:
    rows = [
        reading("17:00", "17:10", (0, 1_000)),
        reading("17:10", "17:20", (1_000, 1_000), (0, 1_000)),
        reading("17:20", "17:30", (1_000, 1_000), (1_000, 1_000)),
    ]
    cells = timeline("17:10", "17:20")
    assert [p["interval"] for p in pieces(*rows, cells=cells, **how)] == kept


def test_idle_parts_cover_time_without_discharging() -> None:
    row = reading("17:00", "18:00", (0, 1), power_start_w=None, power_end_w=None)
    found = pieces(row, cells=HALVES, idle=True)
    assert [(p["covered_us"] // MIN, p["discharged_us"] // MIN) for p in found] == [
        (30, 0),
        (30, 30),
    ]


@pytest.mark.parametrize("energy", [1, 10**9 + 7, units.PIECE_MAX_MILLIWH, 10**15])
def test_a_day_in_one_reading_is_divided_without_loss(energy: int) -> None:
    start = at("00:00")
    day = reading(
        start, start + timedelta(days=1), (0, energy), power_start_w=None, power_end_w=None
    )
    minutes = timeline(*[start + timedelta(minutes=n) for n in range(1, 1_440)])
    found = parts(day, cells=minutes)
    assert sum(exported for _, exported, _, _ in found) == energy
    assert [p for p in found if p[0] < 1_439] == [
        (n, energy // 1_440, 0, 1) for n in range(1_439) if energy >= 1_440
    ]


def test_cells_may_be_numbered_in_any_way() -> None:
    cells = HALVES.with_columns(interval=pl.Series([7, 3], dtype=pl.UInt32))
    assert parts(reading("17:00", "18:00", (0, 7)), cells=cells) == [(3, 4, 0, 30), (7, 3, 0, 30)]


def test_several_readings_of_an_interval_are_one_piece() -> None:
    rows = [reading(f"17:{n:02}", f"17:{n + 10}", (n * 100, n * 100 + 1_000)) for n in (10, 20, 30)]
    (piece,) = pieces(*rows, idle=True)
    assert piece == {
        "vehicle_id": "car",
        "evse_id": "EVSE",
        "interval": 0,
        "fault": None,
        "exported_milliwh": 3_000,
        "imported_milliwh": 0,
        "covered_us": 30 * MIN,
        "discharged_us": 30 * MIN,
        "readings": 3,
    }


def test_no_readings_are_no_pieces() -> None:
    nothing = measure(frame([]), HALVES, CHECKS, CONTRACT.empty(), None, imports=True, idle=True)
    assert nothing.equals(pl.DataFrame(schema=PIECES))


def test_claimed_discharges_are_divided_by_whatever_they_are_told_apart_by() -> None:
    claims = pl.DataFrame(
        {
            "reason": ["BAD_SIGNATURE", "BAD_SIGNATURE", "CLOCK_OFFSET"],
            "started_at": [at("17:00"), at("17:30"), at("17:00")],
            "ended_at": [at("18:00"), at("18:00"), at("18:00")],
            "energy_milliwh": [7, 10, 1],
        },
        schema_overrides=dict.fromkeys(("started_at", "ended_at"), pl.Datetime("us", "UTC")),
    )
    divided = divide_over(claims.lazy(), HALVES, ["reason"]).sort("reason", "interval")
    assert list(divided.iter_rows()) == [
        ("BAD_SIGNATURE", 0, 3, 30 * MIN, 1),
        ("BAD_SIGNATURE", 1, 14, 60 * MIN, 2),
        ("CLOCK_OFFSET", 1, 1, 30 * MIN, 1),
    ]
