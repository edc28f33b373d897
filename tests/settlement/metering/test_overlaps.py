"""The same time twice: at one EVSE, in two places, in what is covered."""

from datetime import datetime
from itertools import permutations
from typing import Any

import pytest

from settlement.metering import measure
from settlement.periods import Period
from settlement.schemas import CONTRACT
from tests.settlement.metering.makers import (
    CHECKS,
    Row,
    at,
    contract,
    faults,
    frame,
    pieces,
    reading,
    timeline,
)

ERR = "ERR_DATA_INCONSISTENCY"
TWO = "TWO_PLACES"
KWH = 1_000_000
MIN = 60_000_000


def some(start: str, end: str, evse: str = "A", vehicle: str = "car", **changes: Any) -> Row:
    """A reading that exported a kWh."""
    return reading(start, end, (0, KWH), **{"evse_id": evse, "vehicle_id": vehicle} | changes)


def idle(start: str, end: str, evse: str = "A", vehicle: str = "car") -> Row:
    return reading(start, end, (KWH, KWH), evse_id=evse, vehicle_id=vehicle)


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        pytest.param(("17:30", "18:30"), ERR, id="the end of it"),
        pytest.param(("17:10", "17:20"), ERR, id="within it"),
        pytest.param(("16:30", "18:30"), ERR, id="around it"),
        pytest.param(("17:59:59.999999", "18:10"), ERR, id="a microsecond"),
        pytest.param(("18:00", "19:00"), None, id="directly after it"),
        pytest.param(("16:00", "17:00"), None, id="directly before it"),
    ],
)
@pytest.mark.parametrize("vehicle", ["car", "van"])
def test_the_same_time_at_one_evse_is_claimed_once(
    other: tuple[str, str], fault: str | None, vehicle: str
) -> None:
    ordered = sorted([("17:00", "18:00"), other])
    registers = {ordered[0]: (0, KWH), ordered[1]: (KWH, 2 * KWH)}
    rows = [
        reading("17:00", "18:00", registers["17:00", "18:00"]),
        reading(*other, registers[other], vehicle_id=vehicle),
    ]
    assert faults(*rows) == [fault, fault]


def test_the_same_reading_again_under_a_new_epoch_leaves_both_unpaid() -> None:
    row = some("17:00", "18:00")
    (piece,) = pieces(row, row | {"stream_epoch": 2})
    assert (piece["fault"], piece["exported_milliwh"], piece["readings"]) == (ERR, 2 * KWH, 2)


def test_a_reading_over_others_is_found_however_many_lie_between() -> None:
    rows = [
        reading("16:00", "18:00", (0, KWH)),
        reading("16:10", "16:20", (KWH, 2 * KWH)),
        reading("17:50", "18:10", (2 * KWH, 3 * KWH)),
        reading("18:10", "18:20", (3 * KWH, 4 * KWH)),
    ]
    assert faults(*rows) == [ERR, ERR, ERR, None]


@pytest.mark.parametrize(
    ("other", "fault"),
    [
        pytest.param(("17:30", "18:30"), TWO, id="the end of it"),
        pytest.param(("17:10", "17:20"), TWO, id="within it"),
        pytest.param(("16:30", "18:30"), TWO, id="around it"),
        pytest.param(("18:00", "19:00"), None, id="directly after it"),
    ],
)
def test_a_vehicle_is_in_one_place_at_a_time(other: tuple[str, str], fault: str | None) -> None:
    assert faults(some("17:00", "18:00"), some(*other, evse="B")) == [fault, fault]


def test_two_vehicles_at_two_evses_are_not_in_two_places() -> None:
    assert faults(some("17:00", "18:00"), some("17:30", "18:30", "B", "van")) == [None, None]


def test_import_in_one_place_and_export_in_another_are_two_places() -> None:
    charging = reading("17:30", "18:30", (0, 0), (0, KWH), evse_id="B")
    assert faults(some("17:00", "18:00"), charging) == [TWO, TWO]


def test_an_open_session_that_moves_no_energy_is_no_second_place() -> None:
    assert faults(some("17:00", "18:00"), idle("17:30", "18:30", "B")) == [None, None]


def test_of_several_places_each_reading_that_shares_time_with_another_is_named() -> None:
    rows = [
        some("16:00", "19:00", "A"),
        some("16:10", "16:20", "B"),
        some("17:00", "17:10", "C"),
        some("18:50", "19:10", "B", export_start_milliwh=KWH, export_end_milliwh=2 * KWH),
        some("19:05", "19:20", "C", export_start_milliwh=KWH, export_end_milliwh=2 * KWH),
        some("19:20", "19:30", "A", export_start_milliwh=KWH, export_end_milliwh=2 * KWH),
    ]
    for order in permutations(range(3)):
        shuffled = [rows[n] for n in order] + rows[3:]
        expected = [TWO, TWO, TWO, TWO, TWO, None]
        assert faults(*shuffled) == expected


def test_inconsistent_readings_in_two_places_are_called_inconsistent() -> None:
    rows = [some("17:00", "18:00", conflicted=True), some("17:30", "18:30", "B")]
    assert faults(*rows) == [ERR, TWO]


def covered(*rows: Row, **how: Any) -> dict[tuple[str | None, str], int]:
    """Minutes covered, by fault and EVSE."""
    found: dict[tuple[str | None, str], int] = {}
    for piece in pieces(*rows, idle=True, **how):
        key = piece["fault"], piece["evse_id"]
        found[key] = found.get(key, 0) + piece["covered_us"] // MIN
    return found


def test_time_covered_at_two_evses_counts_once() -> None:
    rows = [some("17:00", "18:00", "A"), idle("17:30", "18:20", "B"), idle("17:40", "18:10", "C")]
    assert covered(*rows) == {(None, "A"): 60, (None, "B"): 20, (None, "C"): 0}


def test_of_readings_over_the_same_time_the_first_evse_by_name_covers_it() -> None:
    rows = [idle("17:00", "18:00", "B"), idle("17:00", "18:00", "A")]
    assert covered(*rows) == covered(*reversed(rows)) == {(None, "A"): 60, (None, "B"): 0}


def test_a_reading_at_fault_takes_no_covered_time_from_one_that_stands() -> None:
    rows = [some("17:00", "18:00", "A"), idle("17:30", "18:20", "B")]
    terms = [contract(rated_w=100)]
    assert covered(*rows, contracts=terms) == {("ABOVE_RATING", "A"): 60, (None, "B"): 50}


def test_covered_time_is_divided_where_it_begins_within_a_cell() -> None:
    rows = [some("17:00", "18:00", "A"), idle("17:30", "19:00", "B")]
    found = pieces(*rows, cells=timeline("17:45", "18:30"), idle=True)
    minutes = {(p["evse_id"], p["interval"]): p["covered_us"] // MIN for p in found}
    assert minutes == {("A", 0): 45, ("A", 1): 15, ("B", 0): 0, ("B", 1): 30, ("B", 2): 30}


def test_a_reading_that_is_not_counted_is_still_compared_with() -> None:
    rows = [some("16:50", "17:10", "EVSE"), reading("17:00", "17:20", (KWH, 2 * KWH))]

    def counted(start: datetime, end: datetime) -> list[tuple[str | None, int]]:
        measured = measure(
            frame(rows),
            timeline(),
            CHECKS,
            CONTRACT.empty(),
            None,
            imports=False,
            idle=False,
            counted=Period(start, end),
        )
        return list(measured.select("fault", "exported_milliwh").iter_rows())

    assert counted(at("16:50"), at("17:00")) == [(ERR, KWH)]
    assert counted(at("16:50"), at("17:01")) == [(ERR, 2 * KWH)]
    assert counted(at("17:01"), at("18:00")) == []
