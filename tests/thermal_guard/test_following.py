"""Which battery is where, and what is known of it: clocks that differ, late samples, contracts that begin."""

from datetime import timedelta

import pytest

from storage.engine import Role, connect
from storage.registry import Contract, put_contracts
from tests.evse_agent.harness import EVSE_ID
from tests.thermal_guard.harness import CAR, World, guarding, look
from thermal_guard import watch

LIMITED = (0, "THERMAL_LIMIT_REACHED")
LOST = (0, "THERMAL_SENSOR_LOST")
RELEASED = (None, "THERMAL_RELEASED")
OTHER = "DE*V2G*E00002"
HOUR_S = 3600


@pytest.fixture
def world(plain_database) -> World:
    return World(plain_database)


def test_a_battery_first_measured_after_the_guard_began_is_limited_within_seconds(
    world, monkeypatch
):
    with guarding(world, None, monkeypatch) as guard:
        world.measure(30)
        look(guard)
        world.measure(56, evse=OTHER, after_s=1)
        for _ in range(5):
            look(guard)
            world.at += timedelta(seconds=1)
        assert world.said(OTHER) == [LIMITED]


@pytest.mark.parametrize("ahead_s", [60, HOUR_S - 60, 30 * HOUR_S])
def test_a_sensor_whose_clock_is_ahead_is_lost_until_it_is_right_again(world, monkeypatch, ahead_s):
    with guarding(world, None, monkeypatch) as guard:
        # given a poller whose clock is ahead: how old its temperatures are nobody knows
        ahead = timedelta(seconds=ahead_s)
        for _ in range(3):
            world.measure(30, after_s=60, measured_at=world.at + timedelta(seconds=60) + ahead)
            look(guard)
        assert world.said() == [LOST]
        # when its clock is put right while the battery is hot
        world.measure(56)
        look(guard)
        # then no temperature of the future releases it
        world.measure(56, after_s=60)
        look(guard)
        assert world.commands()[-1]["limit_w"] == 0
        # and once that time has passed it is followed as ever
        if ahead_s < HOUR_S:
            world.measure(56, after_s=ahead_s)
            look(guard)
        assert world.said()[-1] == LIMITED
        world.measure(44)
        look(guard)
        assert world.said()[-1] == RELEASED


def test_a_guard_whose_clock_is_set_back_releases_nothing_and_limits(world, monkeypatch):
    with guarding(world, None, monkeypatch) as guard:
        world.measure(30)
        look(guard)
        # when its clock is set back, and the battery gets hot by the right one
        right = world.at
        world.at -= timedelta(hours=2)
        world.measure(56, measured_at=right + timedelta(seconds=5))
        look(guard)
        assert world.said() == [LOST]
    # and another one that begins with the wrong clock comes to the same
    with guarding(world, None, monkeypatch) as guard:
        look(guard)
        assert world.said() == [LOST]
        # when the clock is right again
        world.at = right + timedelta(seconds=10)
        look(guard)
        assert world.said() == [LOST, LIMITED]


def test_a_limit_that_stood_outlives_a_contract_that_begins_or_ends(world, monkeypatch):
    # given a hot battery of which nobody knows the vehicle
    with guarding(world, None, monkeypatch) as guard:
        world.measure(56)
        look(guard)
        # when a contract says it
        world.contract(time_constant_min=0)
        world.measure(50, after_s=30)
        look(guard)
        # then it is released within the band, and nowhere else
        assert world.said() == [LIMITED]
        [subject] = {place.subject for place in guard._watch._places.values()}
        assert subject == CAR
        # and so when it ends
        end(world)
        world.measure(50, after_s=30)
        look(guard)
        assert world.said() == [LIMITED]
        world.measure(45)
        look(guard)
        assert world.said() == [LIMITED, RELEASED]


def end(world: World) -> None:
    with connect(world.dsn, Role.SETTLE) as conn:
        ended = Contract(
            f"contract-{CAR}-{EVSE_ID}",
            CAR,
            "v2g-tiered-thermal",
            1_000_000,
            "owner",
            world.at - timedelta(days=30),
            valid_to=world.at,
            evse_id=EVSE_ID,
        )
        put_contracts(conn, [ended], now=world.at)


def test_a_limit_that_stood_outlives_a_restart_and_a_contract_that_began_meanwhile(
    world, monkeypatch
):
    with guarding(world, None, monkeypatch) as guard:
        world.measure(56)
        look(guard)
    world.contract(time_constant_min=0)
    world.measure(50, after_s=2 * HOUR_S)
    with guarding(world, None, monkeypatch, look_back_s=60) as guard:
        look(guard)
        assert world.said() == [LIMITED]


@pytest.mark.parametrize(("here", "there"), [(EVSE_ID, OTHER), (OTHER, EVSE_ID)])
def test_a_charger_without_a_battery_elsewhere_costs_its_owner_nothing(
    world, monkeypatch, here, there
):
    # given a vehicle with contracts at two chargers, and nothing to be measured at one of them
    world.contract(here)
    world.contract(there)

    def measure() -> None:
        world.measure(30, evse=here, device=here)
        world.measure(None, evse=there, device=there)

    measure()
    with guarding(world, None, monkeypatch) as guard:
        for _ in range(14):
            measure()
            look(guard)
        # then it may discharge where it is
        assert world.said(here) == []
        assert world.said(there) == [LOST]


def test_of_a_vehicle_measured_at_two_chargers_the_hot_one_stays_limited(world, monkeypatch):
    world.contract(EVSE_ID, time_constant_min=0)
    world.contract(OTHER, time_constant_min=0)
    with guarding(world, None, monkeypatch) as guard:
        for celsius in (56, 50, 50, 46):
            world.measure(celsius)
            look(guard)
            world.measure(25, evse=OTHER, device="plc-2")
            look(guard)
        assert world.said() == [LIMITED]
        world.measure(45)
        look(guard)
        assert world.said() == [LIMITED, RELEASED]
        assert world.said(OTHER) == []


def test_what_lands_late_is_followed_in_its_place_at_every_charger(world, monkeypatch):
    # given a vehicle that its device names, and more chargers than are followed again at once
    monkeypatch.setattr(watch, "AT_ONCE", 2)
    evses = [f"E{number}" for number in range(5)]
    with guarding(world, None, monkeypatch) as guard:
        world.at += timedelta(seconds=60)
        for evse in evses:
            world.measure(46, after_s=0, evse=evse, device=evse, vehicle=f"car-{evse}")
        look(guard)
        # when it becomes known that their batteries had been too hot
        for evse in evses:
            world.measure(
                56,
                after_s=0,
                evse=evse,
                device=evse,
                vehicle=f"car-{evse}",
                measured_at=world.at - timedelta(seconds=30),
            )
        world.at += timedelta(seconds=61)
        for _ in range(3):
            look(guard)
        # then what they said since was no release
        assert [world.said(evse) for evse in evses] == [[LIMITED]] * 5


def test_a_late_sample_of_a_battery_that_went_elsewhere_does_not_bring_it_back(world, monkeypatch):
    with guarding(world, None, monkeypatch) as guard:
        world.measure(30, vehicle=CAR)
        look(guard)
        world.measure(46, vehicle=CAR, evse=OTHER, device="plc-2", after_s=60)
        look(guard)
        # when it becomes known that it had been too hot before it left
        world.measure(56, vehicle=CAR, after_s=61, measured_at=world.at - timedelta(seconds=30))
        look(guard)
        # then it is limited where it is
        assert world.said(OTHER) == [LIMITED]
        world.measure(45, vehicle=CAR, evse=OTHER, device="plc-2")
        look(guard)
        assert world.said(OTHER) == [LIMITED, RELEASED]
