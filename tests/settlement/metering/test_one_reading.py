"""Checks of a reading by itself: registers against powers, registers backwards, rating, size."""

from typing import Any

import pytest

from settlement import units
from tests.settlement.metering.makers import (
    at,
    contract,
    faults,
    frame,
    pieces,
    reading,
    timeline,
)

HOUR = ("17:00", "18:00")
ERR = "ERR_DATA_INCONSISTENCY"
EXCHANGED = "METER_EXCHANGED"
MWH = 1_000_000
"""Milliwatt-hours of a kWh."""


@pytest.mark.parametrize(
    ("energy", "powers", "fault"),
    [
        pytest.param(10_000_000, (10_000, 10_000), None, id="agree"),
        pytest.param(10_000_000, (8_000, 12_000), None, id="agree on average"),
        pytest.param(10_000_000, (9_500, 9_500), None, id="registers 5 % more: at the tolerance"),
        pytest.param(10_000_000, (9_499, 9_500), ERR, id="half a watt beyond the tolerance"),
        pytest.param(9_500_000, (10_000, 10_000), None, id="powers 5 % more: at the tolerance"),
        pytest.param(9_499_999, (10_000, 10_000), ERR, id="a mWh beyond the tolerance"),
        pytest.param(2_000, (1, 1), None, id="apart by one step of the register"),
        pytest.param(2_001, (1, 1), ERR, id="apart by more than a step"),
        pytest.param(0, (1, 1), None, id="too little for the register to show"),
        pytest.param(0, (1_000, 1_000), ERR, id="power without energy"),
        pytest.param(10_000_000, (-10_000, -10_000), ERR, id="the sign is wrong"),
        pytest.param(10_000_000, (None, 1), None, id="no power at the start"),
        pytest.param(10_000_000, (1, None), None, id="no power at the end"),
        pytest.param(10_000_000, (None, None), None, id="no powers"),
    ],
)
def test_registers_and_powers_agree_within_the_tolerance_of_the_larger(
    energy: int, powers: tuple[Any, Any], fault: str | None
) -> None:
    row = reading(
        *HOUR, (5 * MWH, 5 * MWH + energy), power_start_w=powers[0], power_end_w=powers[1]
    )
    assert faults(row) == [fault]


def test_import_counts_against_export_where_powers_are_compared() -> None:
    row = reading(*HOUR, (0, 4_000_000), (0, 1_000_000), power_start_w=3_000, power_end_w=3_000)
    assert faults(row) == [None]


def test_a_day_at_the_highest_power_does_not_wrap_in_the_comparison() -> None:
    start, end = at("00:00"), at("00:00").replace(day=2)
    highest = units.POWER_MAX_W
    energy = highest * 24 * 1_000
    right = reading(start, end, (0, energy), power_start_w=highest, power_end_w=highest)
    wrong = right | {"power_start_w": -highest, "power_end_w": -highest}
    quarters = timeline(*[at(f"{h:02}:{m:02}") for h in range(24) for m in range(0, 60, 1)])
    assert {p["fault"] for p in pieces(right, cells=quarters)} == {None}
    assert {p["fault"] for p in pieces(wrong, cells=quarters)} == {ERR}


def test_two_contents_for_one_identity_are_at_fault() -> None:
    assert faults(reading(*HOUR, (0, MWH), conflicted=True)) == [ERR]


@pytest.mark.parametrize(
    ("registers", "imports", "rated", "fault"),
    [
        pytest.param((5 * MWH, 0), (0, 0), 10_000, EXCHANGED, id="restarted at zero"),
        pytest.param((5 * MWH, 11_001_000), (0, 0), 10_000, None, id="forwards after all"),
        pytest.param((90 * MWH, 11_001_000), (0, 0), 10_000, EXCHANGED, id="at the bound"),
        pytest.param((90 * MWH, 11_001_001), (0, 0), 10_000, ERR, id="a mWh beyond the bound"),
        pytest.param((5 * MWH, 5 * MWH - 1), (0, 0), 1_000, ERR, id="back by a mWh"),
        pytest.param((0, 0), (70 * MWH, 40), 10_000, EXCHANGED, id="the import register"),
        pytest.param((0, 0), (70 * MWH, 60 * MWH), 10_000, ERR, id="import not near zero"),
        pytest.param((50 * MWH, 9), (70 * MWH, 9), 10_000, EXCHANGED, id="both registers"),
        pytest.param((50 * MWH, 9), (70 * MWH, 69 * MWH), 10_000, ERR, id="one of two near zero"),
        pytest.param((50 * MWH, 9 * MWH), (0, 0), None, EXCHANGED, id="rating not known"),
        pytest.param((20_000 * MWH, 11_000 * MWH + 1_001), (0, 0), None, ERR, id="nor near zero"),
    ],
)
def test_a_register_that_runs_backwards_is_an_exchange_only_near_zero(
    registers: tuple[int, int], imports: tuple[int, int], rated: int | None, fault: str | None
) -> None:
    row = reading(*HOUR, registers, imports, power_start_w=None, power_end_w=None)
    assert faults(row, contracts=[contract(rated_w=rated)]) == [fault]


@pytest.mark.parametrize(
    ("changes", "exported", "imported"),
    [
        pytest.param({"power_start_w": 6_000, "power_end_w": 8_000}, 7_000_000, 0, id="export"),
        pytest.param({"power_start_w": -6_000, "power_end_w": 0}, 0, 0, id="import"),
        pytest.param({"power_start_w": None, "power_end_w": None}, 0, 0, id="no powers"),
    ],
)
def test_what_flowed_while_a_meter_was_exchanged_is_put_at_what_the_powers_say(
    changes: dict[str, Any], exported: int, imported: int
) -> None:
    row = reading(*HOUR, (50 * MWH, 7), **changes)
    (piece,) = pieces(row)
    assert piece["fault"] == EXCHANGED
    assert (piece["exported_milliwh"], piece["imported_milliwh"]) == (exported, imported)
    assert piece["readings"] == 1


def test_measuring_leaves_the_given_frame_as_it_was() -> None:
    rows = [reading(*HOUR, (50 * MWH, 7)), reading("18:00", "19:00", (7, 1_000_007))]
    given = frame(rows)
    assert pieces(*rows) == pieces(*given.to_dicts())
    assert given.equals(frame(rows))


@pytest.mark.parametrize(
    ("energy", "rated", "fault"),
    [
        pytest.param(10_201_000, [10_000], None, id="1.02 times and one step"),
        pytest.param(10_201_001, [10_000], "ABOVE_RATING", id="a mWh more"),
        pytest.param(10_201_001, [None], None, id="not known"),
        pytest.param(10_201_001, [], None, id="no contract"),
        pytest.param(10_201_001, [20_000, 10_000], "ABOVE_RATING", id="the lowest of two"),
        pytest.param(10_201_001, [20_000, None], None, id="the only one known"),
    ],
)
def test_no_more_than_the_rated_power_delivers(
    energy: int, rated: list[int | None], fault: str | None
) -> None:
    row = reading(*HOUR, (0, energy))
    terms = [contract(contract_id=f"c{n}", rated_w=r) for n, r in enumerate(rated)]
    assert faults(row, contracts=terms) == [fault]


def test_the_rating_is_that_of_the_contract_in_force_as_the_reading_starts() -> None:
    terms = [
        contract(contract_id="old", rated_w=5_000, valid_to=at("18:00")),
        contract(contract_id="new", rated_w=20_000, valid_from=at("18:00")),
        contract("other", rated_w=1),
    ]
    rows = [
        reading("17:00", "18:00", (0, 10 * MWH)),
        reading("18:00", "19:00", (10 * MWH, 20 * MWH)),
    ]
    assert faults(*rows, contracts=terms) == ["ABOVE_RATING", None]


def test_import_is_not_held_against_the_rating_of_discharge() -> None:
    row = reading(*HOUR, (0, 0), (0, 50 * MWH))
    assert faults(row, contracts=[contract(rated_w=10_000)]) == [None]


@pytest.mark.parametrize(
    ("energy", "fault"),
    [
        pytest.param(units.PIECE_MAX_MILLIWH, None, id="the most that a piece may hold"),
        pytest.param(units.PIECE_MAX_MILLIWH + 1, ERR, id="a mWh more"),
    ],
)
def test_a_piece_holds_no_more_than_an_evse_can_deliver(energy: int, fault: str | None) -> None:
    (piece,) = pieces(reading(*HOUR, (0, energy), power_start_w=None, power_end_w=None))
    assert (piece["fault"], piece["exported_milliwh"]) == (fault, energy)


def test_a_piece_is_judged_by_its_sum_and_joins_the_others_of_its_fault() -> None:
    half = units.PIECE_MAX_MILLIWH // 2 + 1
    none: dict[str, Any] = {"power_start_w": None, "power_end_w": None}
    rows = [
        reading("17:00", "17:20", (0, half), **none),
        reading("17:20", "17:40", (half, 2 * half), **none),
        reading("17:40", "18:00", (2 * half, 2 * half + 10), conflicted=True),
    ]
    (piece,) = pieces(*rows)
    assert piece["fault"] == ERR
    assert (piece["exported_milliwh"], piece["readings"]) == (2 * half + 10, 3)
