"""State of charge against energy, and distance from the site."""

from dataclasses import replace
from typing import Any

import pytest

from tests.settlement.metering.makers import (
    CHECKS,
    HOME,
    Row,
    at,
    contract,
    faults,
    pieces,
    reading,
    site,
    timeline,
)

ERR = "ERR_DATA_INCONSISTENCY"
KWH = 1_000_000
CHARGE = replace(CHECKS, soc_tolerance_pct=25)
RADIUS = replace(CHECKS, site_radius_m=250)
BATTERY = [contract(capacity_milliwh=50 * KWH)]


def pct(start: float | None, end: float | None) -> Row:
    return {
        "soc_start_ppm": None if start is None else round(start * 10_000),
        "soc_end_ppm": None if end is None else round(end * 10_000),
    }


@pytest.mark.parametrize(
    ("soc", "fault"),
    [
        pytest.param((80, 60), None, id="10 kWh of each"),
        pytest.param((80, 65), None, id="7.5 kWh by charge: 25 % of the larger, at the tolerance"),
        pytest.param((80, 65.0001), ERR, id="a ppm less"),
        pytest.param((80, 53.3334), None, id="13.33 kWh by charge: within 25 % of the larger"),
        pytest.param((80, 53.3333), ERR, id="a ppm more"),
        pytest.param((60, 80), ERR, id="it was charged"),
        pytest.param((None, 20), None, id="not known at the start"),
        pytest.param((20, None), None, id="not known at the end"),
    ],
)
def test_the_energy_of_an_event_and_the_change_of_charge_agree(
    soc: tuple[float | None, float | None], fault: str | None
) -> None:
    row = reading("17:00", "18:00", (0, 10 * KWH), **pct(*soc))
    assert faults(row, checks=CHARGE, contracts=BATTERY) == [fault]


@pytest.mark.parametrize(
    ("energy", "fault"),
    [
        pytest.param(KWH, None, id="2 % of the capacity"),
        pytest.param(KWH + 1, ERR, id="a mWh more"),
    ],
)
def test_the_resolution_of_the_state_of_charge_is_no_contradiction(
    energy: int, fault: str | None
) -> None:
    row = reading("17:00", "18:00", (0, energy), **pct(80, 80))
    assert faults(row, checks=CHARGE, contracts=BATTERY) == [fault]


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"checks": CHECKS, "contracts": BATTERY}, id="switched off"),
        pytest.param({"checks": CHARGE, "contracts": [contract()]}, id="capacity not known"),
        pytest.param({"checks": CHARGE, "contracts": []}, id="no contract"),
    ],
)
def test_without_a_tolerance_or_a_capacity_charge_is_not_compared(
    how: dict[str, Any],
) -> None:
    row = reading("17:00", "18:00", (0, 20 * KWH), **pct(80, 80))
    assert faults(row, **how) == [None]


def test_outside_of_events_a_reading_is_compared_by_itself() -> None:
    rows = [
        reading("17:00", "17:30", (0, 10 * KWH), **pct(80, 80)),
        reading("17:30", "18:00", (10 * KWH, 20 * KWH), **pct(80, 60)),
    ]
    assert faults(*rows, event="", checks=CHARGE, contracts=BATTERY) == [ERR, None]


def test_charge_is_compared_over_the_whole_event_and_condemns_all_its_readings() -> None:
    cells = timeline("17:00", "17:30", "18:00", "19:00", events={1: "e1", 2: "e1", 3: "e2"})
    # None of them says more by itself than the resolution allows, 1 kWh.
    rows = [
        reading("16:30", "17:00", (0, KWH), **pct(80, 80)),
        reading("17:00", "17:30", (KWH, 2 * KWH), **pct(80, 80)),
        reading("17:30", "17:45", (2 * KWH, 2 * KWH), **pct(None, None)),
        reading("17:45", "18:00", (2 * KWH, 3 * KWH), **pct(80, 80)),
        reading("18:00", "19:00", (3 * KWH, 4 * KWH), **pct(80, 80)),
    ]
    found = pieces(*rows, cells=cells, checks=CHARGE, contracts=BATTERY, idle=True)
    assert [(p["interval"], p["fault"], p["readings"]) for p in found] == [
        (0, None, 1),
        (1, ERR, 1),
        (2, ERR, 2),
        (3, None, 1),
    ]


def test_short_readings_of_an_event_may_make_up_for_each_other() -> None:
    rows = [
        reading("17:00", "17:30", (0, KWH), **pct(80, 80)),
        reading("17:30", "18:00", (KWH, 2 * KWH), **pct(80, 76)),
    ]
    assert faults(*rows, checks=CHARGE, contracts=BATTERY) == [None, None]


def test_a_meter_exchanged_stays_one_whatever_the_charge_says() -> None:
    row = reading("17:00", "18:00", (90 * KWH, 0), **pct(80, 60))
    assert faults(row, checks=CHARGE, contracts=BATTERY) == ["METER_EXCHANGED"]


def test_energy_in_doubt_for_another_reason_does_not_drag_its_event_along() -> None:
    rows = [
        reading("17:00", "17:30", (0, 5 * KWH), **pct(80, 70)),
        reading("17:30", "18:00", (5 * KWH, 900 * KWH), **pct(70, 70), conflicted=True),
    ]
    assert faults(*rows, checks=CHARGE, contracts=BATTERY) == [None, ERR]


def test_import_is_what_the_charge_rises_by() -> None:
    rows = [
        reading("17:00", "17:30", (0, 0), (0, 10 * KWH), **pct(50, 70)),
        reading("17:30", "18:00", (0, 0), (10 * KWH, 20 * KWH), **pct(70, 90)),
    ]
    assert faults(*rows, checks=CHARGE, contracts=BATTERY) == [None, None]


def test_capacities_of_successive_contracts_each_count_for_their_readings() -> None:
    terms = [
        contract(contract_id="a", capacity_milliwh=50 * KWH, valid_to=at("17:30")),
        contract(contract_id="b", capacity_milliwh=100 * KWH, valid_from=at("17:30")),
    ]
    rows = [
        reading("17:00", "17:30", (0, 5 * KWH), **pct(80, 70)),
        reading("17:30", "18:00", (5 * KWH, 15 * KWH), **pct(70, 60)),
    ]
    assert faults(*rows, checks=CHARGE, contracts=terms) == [None, None]


# One millionth of a degree of latitude is 0.111195 m on the sphere of radius 6,371,008.8 m.
@pytest.mark.parametrize(
    ("moved", "fault"),
    [
        pytest.param({}, None, id="at the site"),
        pytest.param({"latitude_microdeg": 37_002_248}, None, id="249.97 m north"),
        pytest.param({"latitude_microdeg": 37_002_249}, "OUTSIDE_RADIUS", id="250.08 m north"),
        # At 37° of latitude a degree of longitude is cos 37° = 0.798636 as long.
        pytest.param({"longitude_microdeg": -122_002_815}, None, id="249.98 m west"),
        pytest.param({"longitude_microdeg": -122_002_816}, "OUTSIDE_RADIUS", id="250.07 m west"),
        pytest.param({"latitude_microdeg": None}, None, id="no latitude"),
        pytest.param({"longitude_microdeg": None}, None, id="no longitude"),
        pytest.param(
            {"latitude_microdeg": -37_000_000, "longitude_microdeg": 58_000_000},
            "OUTSIDE_RADIUS",
            id="the other side of the earth",
        ),
    ],
)
def test_a_vehicle_discharges_within_the_radius_of_its_site(moved: Row, fault: str | None) -> None:
    row = reading("17:00", "18:00", (0, KWH), **HOME | moved)
    found = faults(row, checks=RADIUS, contracts=[contract(site_id="home")], sites=[site()])
    assert found == [fault]


def test_the_antimeridian_is_no_distance() -> None:
    row = reading("17:00", "18:00", (0, KWH), latitude_microdeg=0, longitude_microdeg=-179_999_999)
    fiji = site(latitude_microdeg=0, longitude_microdeg=179_999_999)
    assert faults(row, checks=RADIUS, contracts=[contract(site_id="home")], sites=[fiji]) == [None]


AWAY: Row = {"latitude_microdeg": 38_000_000, "longitude_microdeg": -122_000_000}


@pytest.mark.parametrize(
    ("how", "fault"),
    [
        pytest.param({}, "OUTSIDE_RADIUS", id="its site is elsewhere"),
        pytest.param({"checks": CHECKS}, None, id="switched off"),
        pytest.param({"sites": None}, None, id="nobody has declared sites"),
        pytest.param({"sites": []}, None, id="its site is not declared"),
        pytest.param({"sites": [site(latitude_microdeg=None)]}, None, id="position not known"),
        pytest.param({"contracts": [contract()]}, None, id="no site named"),
        pytest.param({"contracts": [contract("van", site_id="home")]}, None, id="another's site"),
        pytest.param(
            {
                "contracts": [contract(site_id="home"), contract(site_id="away")],
                "sites": [site(), site("away", **AWAY)],
            },
            None,
            id="one of its sites is here",
        ),
        pytest.param(
            {
                "contracts": [
                    contract(site_id="home"),
                    contract(site_id="away", valid_to=at("17:00")),
                ],
                "sites": [site(), site("away", **AWAY)],
            },
            "OUTSIDE_RADIUS",
            id="was its site until now",
        ),
    ],
)
def test_the_site_is_that_of_a_contract_in_force(how: dict[str, Any], fault: str | None) -> None:
    given = {"checks": RADIUS, "contracts": [contract(site_id="home")], "sites": [site()]} | how
    assert faults(reading("17:00", "18:00", (0, KWH), **AWAY), **given) == [fault]


def test_every_reading_of_a_drive_is_judged_by_its_own_position() -> None:
    rows = [
        reading("17:00", "17:10", (0, KWH), **HOME),
        reading("17:10", "17:20", (KWH, 2 * KWH), **AWAY),
        reading("17:20", "17:30", (2 * KWH, 3 * KWH), **AWAY),
        reading("17:30", "17:40", (3 * KWH, 4 * KWH), **HOME),
    ]
    found = faults(*rows, checks=RADIUS, contracts=[contract(site_id="home")], sites=[site()])
    assert found == [None, "OUTSIDE_RADIUS", "OUTSIDE_RADIUS", None]


def test_the_first_fault_in_precedence_is_named() -> None:
    far = reading("17:00", "18:00", (0, 20 * KWH), **AWAY)
    terms = [contract(site_id="home", rated_w=10_000)]
    how: dict[str, Any] = {"checks": RADIUS, "contracts": terms, "sites": [site()]}
    assert faults(far, **how) == ["ABOVE_RATING"]
    elsewhere = reading("17:30", "18:30", (0, KWH), evse_id="B", **HOME)
    assert faults(far, elsewhere, **how) == ["TWO_PLACES", "TWO_PLACES"]
    assert faults(far | {"conflicted": True}, **how) == [ERR]
