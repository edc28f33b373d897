"""S15: a ring in a running system is named by the report, and the report moves no money."""

import json
from datetime import timedelta
from random import Random

import pytest
from typer.testing import CliRunner

from cli.main import app
from settlement.collusion import Kind
from settlement.periods import Period
from tasks.suspicions import PeriodTooLongError, find_suspicions
from tests.tasks.scene import HOUR, START, WHOLE, Scene, now, vehicle_of
from tests.threats.claims import HOME, Liar
from tests.threats.conftest import EVSE

MINUTE = timedelta(minutes=1)
RING = [f"DE*V2G*E1000{n}" for n in range(10)]
HONEST = [f"DE*V2G*E2000{n}" for n in range(10)]


def evening(scene: Scene, evse: str, curve: Random, clock: Random) -> list[bytes]:
    """An hour of discharge that jitters as this curve and this clock say."""
    liar = Liar(scene, evse, vehicle_of(evse))
    return [
        liar.step(
            START + n * MINUTE,
            7_200 + curve.randint(-40, 40),
            length=MINUTE,
            clock_offset_ms=f"{clock.randint(-8_000, 8_000) / 1000:.3f}",
        )
        for n in range(60)
    ]


@pytest.fixture
def ringed(scene: Scene) -> Scene:
    """Ten honest chargers, and ten that one script feeds, all paid to one account."""
    scene.enrol(*RING, *HONEST)
    for evse in RING:
        scene.contract(evse, account="a-ring")
    packets = [
        *(p for evse in RING for p in evening(scene, evse, Random("ring"), Random("ring clock"))),
        *(p for evse in HONEST for p in evening(scene, evse, Random(evse), Random(evse + "c"))),
    ]
    scene.deliver(packets)
    return scene


def test_s15_a_ring_of_ten_is_named_by_curve_clock_and_account_and_nobody_else_is(
    ringed: Scene,
) -> None:
    report = find_suspicions(ringed.dsn, WHOLE, now=now())
    told = {one.kind: one for one in report.found}
    cars = tuple(sorted(map(vehicle_of, RING)))
    assert set(told) == {Kind.IDENTICAL_CURVES, Kind.CLOCKS_TOGETHER, Kind.SHARED_ACCOUNT}
    assert told[Kind.IDENTICAL_CURVES].members == cars
    assert "all paid to" in told[Kind.IDENTICAL_CURVES].detail
    assert "a-ring" in told[Kind.IDENTICAL_CURVES].detail
    assert told[Kind.CLOCKS_TOGETHER].members == tuple(sorted(RING))
    assert told[Kind.SHARED_ACCOUNT].members == cars
    # and it is a report: nothing is held, nothing is written
    assert ringed.settle().held == 0


def test_s8_one_vehicle_at_two_sites_ten_minutes_apart_is_named(scene: Scene) -> None:
    # given a vehicle in Berlin, and ten minutes later in Munich
    other = "DE*V2G*E00002"
    scene.enrol(other, contract=False)
    vehicle = vehicle_of(EVSE)
    here = Liar(scene, EVSE, vehicle).step(START, 7_200)
    there = Liar(scene, other, vehicle).step(
        START + HOUR / 4 + 10 * MINUTE, 7_200, latitude_deg="48.137154", longitude_deg="11.576124"
    )
    scene.deliver([here, there])
    # when
    [found] = find_suspicions(scene.dsn, WHOLE, now=now()).found
    # then
    assert (found.kind, found.members) == (Kind.IMPOSSIBLE_TRAVEL, (vehicle,))
    assert "504 km" in found.detail
    assert HOME[0].startswith("52.5")


def test_s15_the_command_names_them_and_ends_with_one(ringed: Scene) -> None:
    period = ("--from", WHOLE.started_at.isoformat(), "--to", WHOLE.ended_at.isoformat())
    words = ["fleet", "suspicions", *period, "--database", ringed.dsn]
    shown = CliRunner().invoke(app, words, env={"COLUMNS": "200"})
    assert shown.exit_code == 1
    assert "IDENTICAL_CURVES" in shown.output
    assert "nothing is held by them" in shown.output
    told = json.loads(CliRunner().invoke(app, [*words, "--json"]).stdout)
    assert told["vehicles"] == 20
    assert len(told["found"]) == 3


def test_s15_a_fleet_without_a_ring_ends_with_zero_and_too_long_a_period_with_two(
    scene: Scene,
) -> None:
    scene.deliver(evening(scene, EVSE, Random(1), Random(2)))
    period = ["--from", WHOLE.started_at.isoformat(), "--to", WHOLE.ended_at.isoformat()]
    words = ["fleet", "suspicions", "--database", scene.dsn]
    assert CliRunner().invoke(app, [*words, *period]).exit_code == 0
    with pytest.raises(PeriodTooLongError, match="one week after the other"):
        find_suspicions(scene.dsn, Period(START, START + timedelta(days=8)), now=now())
    period[3] = (WHOLE.ended_at + timedelta(days=30)).isoformat()
    assert CliRunner().invoke(app, [*words, *period]).exit_code == 2
