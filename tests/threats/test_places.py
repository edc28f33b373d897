"""S8, S9, S14: where the car says it is, how full it says it is, and the same time claimed twice."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from tests.tasks.scene import HOUR, START, WHOLE, Scene, vehicle_of
from tests.threats.claims import Liar, site, unpaid
from tests.threats.conftest import EVSE

VEHICLE = vehicle_of(EVSE)
OTHER = "DE*V2G*E00002"
FAR: dict[str, Any] = {
    "latitude_deg": "48.137154",
    "longitude_deg": "11.576124",
}  # 504 km from home


@pytest.fixture
def home(scene: Scene) -> Scene:
    """The vehicle's contract names a site, and the site has a position."""
    site(scene)
    scene.contract(EVSE, site_id="home")
    return scene


def settle(scene: Scene, packets: Iterable[bytes]):
    scene.deliver(packets)
    return scene.settle()


# --- S8 positions ------------------------------------------------------------------------------


def test_s8_a_position_500_km_from_the_enrolled_premise_earns_nothing(home: Scene) -> None:
    settled = settle(home, Liar(home, EVSE, VEHICLE).steps([7_200] * 4, **FAR))
    assert (settled.paid_milliwh, unpaid(settled)) == (0, {"OUTSIDE_RADIUS": 7_200})
    assert home.owed() == {}


def test_s8_a_position_at_the_premise_is_no_evidence_that_would_earn_more(home: Scene) -> None:
    # given the same energy, half of it with a position at home and half with none stated
    liar = Liar(home, EVSE, VEHICLE)
    stated = liar.steps([7_200, 7_200])
    silent = liar.steps(
        [7_200, 7_200], START + HOUR / 2, version=2, latitude_deg=None, longitude_deg=None
    )
    # when
    settled = settle(home, stated + silent)
    # then each is paid by the meter, one as the other
    assert settled.paid_milliwh == 7_200_000


# --- S9 state of charge ------------------------------------------------------------------------


def test_s9_a_battery_that_claims_to_have_given_20_kwh_is_paid_what_the_meter_saw(
    scene: Scene,
) -> None:
    # given a car of unknown capacity that claims to have lost a third of its charge, meter 2 kWh
    lie: dict[str, Any] = {"soc_start_pct": "80.0000", "soc_end_pct": "46.0000"}
    settled = settle(scene, Liar(scene, EVSE, VEHICLE).steps([2_000] * 4, **lie))
    # then the meter is paid, and not a watt-hour more
    assert settled.paid_milliwh == 2_000_000


def test_s9_where_the_capacity_is_known_such_a_lie_is_paid_nothing_until_it_is_explained(
    scene: Scene,
) -> None:
    scene.contract(EVSE, capacity_milliwh=60_000_000)
    lie: dict[str, Any] = {
        "soc_start_pct": "80.0000",
        "soc_end_pct": "46.0000",
    }  # 20.4 kWh, each quarter
    settled = settle(scene, Liar(scene, EVSE, VEHICLE).steps([2_000] * 4, **lie))
    assert (settled.paid_milliwh, unpaid(settled)) == (0, {"ERR_DATA_INCONSISTENCY": 2_000})


def test_s9_a_meter_that_claims_20_kwh_from_a_battery_that_lost_none_is_paid_nothing(
    scene: Scene,
) -> None:
    # given a known capacity, and a charge that stays where it was
    scene.contract(EVSE, capacity_milliwh=60_000_000)
    settled = settle(scene, Liar(scene, EVSE, VEHICLE).steps([20_000] * 4))
    assert (settled.paid_milliwh, unpaid(settled)) == (0, {"ERR_DATA_INCONSISTENCY": 20_000})


def test_s9_registers_that_the_powers_do_not_bear_out_are_paid_nothing(scene: Scene) -> None:
    # given registers that claim ten times what the stated powers deliver
    liar = Liar(scene, EVSE, VEHICLE)
    lies = [liar.step(START + n * HOUR / 4, 720, energy_milliwh=1_800_000) for n in range(4)]
    settled = settle(scene, lies)
    assert (settled.paid_milliwh, unpaid(settled)) == (0, {"ERR_DATA_INCONSISTENCY": 7_200})


# --- S14 the same time twice -------------------------------------------------------------------


def test_s14_two_sessions_at_one_evse_over_the_same_time_are_both_held(scene: Scene) -> None:
    # given one charger that reports two discharges at once, under two epochs
    scene.enrol(OTHER)  # brings the second vehicle's contract
    one = Liar(scene, EVSE, VEHICLE).steps([7_200] * 4)
    two = Liar(scene, EVSE, vehicle_of(OTHER), epoch=2, export_wh=5_000_000).steps([7_200] * 4)
    # when
    settled = settle(scene, one + two)
    # then neither is paid
    assert (settled.paid_milliwh, unpaid(settled)) == (0, {"ERR_DATA_INCONSISTENCY": 14_400})
    assert scene.owed() == {}


def test_s14_the_same_energy_signed_again_under_a_new_epoch_pays_nothing_twice(
    scene: Scene,
) -> None:
    one = Liar(scene, EVSE, VEHICLE).steps([7_200] * 4)
    two = Liar(scene, EVSE, VEHICLE, epoch=2).steps([7_200] * 4)
    settled = settle(scene, one + two)
    assert settled.paid_milliwh == 0


def test_s14_sessions_that_only_touch_are_both_paid(scene: Scene) -> None:
    # given the honest case beside it: one car leaves as the next one comes
    scene.enrol(OTHER)
    liar = Liar(scene, EVSE, VEHICLE)
    first = liar.steps([7_200, 7_200])
    liar.vehicle = vehicle_of(OTHER)
    second = liar.steps([7_200, 7_200], START + HOUR / 2)
    settled = settle(scene, first + second)
    assert settled.paid_milliwh == 7_200_000


def test_s14_one_vehicle_at_two_evses_at_one_time_is_paid_at_neither(scene: Scene) -> None:
    # given a clone: the same vehicle discharges at two chargers
    scene.enrol(OTHER, contract=False)
    one = Liar(scene, EVSE, VEHICLE).steps([7_200] * 4)
    two = Liar(scene, OTHER, VEHICLE).steps([7_200] * 4)
    settled = settle(scene, one + two)
    assert (settled.paid_milliwh, unpaid(settled)) == (0, {"TWO_PLACES": 14_400})


def test_s14_the_overlap_is_found_when_the_second_session_comes_days_late(scene: Scene) -> None:
    # given a session that was paid
    scene.enrol(OTHER, contract=False)
    assert settle(scene, Liar(scene, EVSE, VEHICLE).steps([7_200] * 4)).paid_milliwh == 7_200_000
    assert scene.owed()
    # when the same vehicle turns out to have been elsewhere
    scene.deliver(Liar(scene, OTHER, VEHICLE).steps([7_200] * 4))
    scene.settle(WHOLE)
    # then what was paid is taken back
    assert scene.owed() == {}


def test_s14_it_takes_no_more_than_a_moment_of_overlap(scene: Scene) -> None:
    scene.enrol(OTHER, contract=False)
    one = Liar(scene, EVSE, VEHICLE).steps([7_200])
    start = START + HOUR / 4 - timedelta(milliseconds=1)
    two = Liar(scene, OTHER, VEHICLE).steps([7_200], start)
    settled = settle(scene, one + two)
    assert (settled.paid_milliwh, unpaid(settled)) == (0, {"TWO_PLACES": 3_600})
