"""The last known state of vehicles: from verified packets only, and never in the way of judging."""

import logging
from collections import Counter
from datetime import timedelta
from pathlib import Path

import grimp
import pytest

from storage.vehicle_state import VehicleState
from storage.vehicle_state_redis import RedisStates
from tasks.judge import judge_packets
from tasks.vehicle_state import Keeper, StateSettings, keeper, vehicle_states
from tests.packets import make_key
from tests.tasks.scene import PERIOD, START, Scene, administrator, now, vehicle_of

EVSE = "DE*V2G*E00001"
VEHICLE = vehicle_of(EVSE)
ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def bare(monkeypatch):
    import os

    for name in os.environ:
        if name.startswith("V2G_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("V2G_VEHICLE_STATE_MINUTES", str(7 * 24 * 60))  # the scene is yesterday's


@pytest.fixture
def scene(plain_database: str) -> Scene:
    made = Scene(plain_database)
    made.set_up(EVSE)
    return made


def judge(scene: Scene, **how) -> Keeper:
    kept = how.get("keeper") or keeper(scene.dsn, clock=now)
    judge_packets(scene.dsn, clock=now, threads=2, after_commit=kept)
    return kept


def told(scene: Scene, vehicle: str = VEHICLE) -> VehicleState | None:
    return vehicle_states(scene.dsn).get(vehicle, now=now())


def test_judging_leaves_the_newest_state_of_each_vehicle(scene: Scene) -> None:
    # given packets out of order
    scene.land(scene.packet(EVSE, n) for n in (3, 9, 1))
    # when
    judge(scene)
    # then
    assert told(scene) == VehicleState(VEHICLE, EVSE, START + 10 * PERIOD, 795_000, 7_200)


def test_what_comes_late_changes_nothing(scene: Scene) -> None:
    scene.land([scene.packet(EVSE, 9)])
    judge(scene)
    scene.land([scene.packet(EVSE, 3)])
    judge(scene)

    state = told(scene)
    assert state is not None
    assert state.measured_at == START + 10 * PERIOD


def test_what_is_refused_says_nothing_of_a_vehicle(scene: Scene) -> None:
    # given a forgery, a misplaced packet, and a second content for an identity that stands
    scene.land([scene.packet(EVSE, 1)])
    judge(scene)
    true_key = scene.keys[EVSE]
    scene.land([scene.packet(EVSE, 1, soc_end_pct="1.0000", ended_at=None)])
    scene.land([scene.packet(EVSE, 1, soc_end_pct="2.0000", session_id="SESSION-2")])
    scene.keys[EVSE] = make_key()
    scene.land([scene.packet(EVSE, 5, header={"kid": true_key.key_id}, soc_end_pct="3.0000")])
    # when
    judge(scene)
    # then the state is still that of the one packet that stands
    reasons = Counter(reason for (reason,) in scene.rows("select reason from quarantine"))
    assert reasons == {"UNREADABLE": 1, "CONFLICTING_CONTENT": 1, "BAD_SIGNATURE": 1}
    state = told(scene)
    assert state is not None
    assert state.soc_ppm == 799_000


def test_a_state_that_is_older_than_its_time_to_live_is_not_kept(scene: Scene, monkeypatch) -> None:
    monkeypatch.setenv("V2G_VEHICLE_STATE_MINUTES", "1")
    scene.land([scene.packet(EVSE, 1)])

    kept = judge(scene)

    assert (kept.kept, kept.failures) == (0, 0)
    assert told(scene) is None


def test_a_cache_that_is_not_there_stops_no_judging_and_is_counted(
    scene: Scene, monkeypatch, caplog
) -> None:
    # given a Redis that nobody runs
    monkeypatch.setenv("V2G_REDIS_URL", "redis://127.0.0.1:1")
    scene.land(scene.packet(EVSE, n) for n in range(10))
    kept = keeper(scene.dsn, clock=now)
    # when
    with caplog.at_level(logging.WARNING):
        summary = judge_packets(scene.dsn, clock=now, threads=2, after_commit=kept)
    # then
    assert (summary.packets, summary.readings) == (10, 10)
    assert (kept.kept, kept.failures) == (0, 1)
    assert "judging is not affected" in caplog.text
    assert "127.0.0.1:1" in caplog.text


def test_settings_that_cannot_be_used_stop_no_judging_either(
    scene: Scene, monkeypatch, caplog
) -> None:
    scene.land([scene.packet(EVSE, 1)])
    for name, value in (
        ("V2G_REDIS_URL", "redis://:hunter2@redis.example"),
        ("V2G_VEHICLE_STATE_MINUTES", "soon"),
    ):
        monkeypatch.setenv(name, value)
        kept = judge(scene)
        scene.land([scene.packet(EVSE, 2)])
    assert kept.failures == 1
    assert scene.one("select count(*) from reading") == 2
    assert "hunter2" not in caplog.text


def test_after_a_failure_it_tries_no_more_in_this_run(scene: Scene) -> None:
    # given a cache whose place is asked for, and which is not there
    asked = []

    def absent():
        asked.append(1)
        return RedisStates("redis://127.0.0.1:1", keep=timedelta(days=7))

    kept = Keeper(scene.dsn, absent, clock=now)
    # when it meets three commits
    for n in range(3):
        scene.land([scene.packet(EVSE, n)])
        judge(scene, keeper=kept)
    # then it looked for it once, and all three went without
    assert (len(asked), kept.failures) == (1, 3)


def test_a_lie_in_the_cache_moves_no_money(scene: Scene) -> None:
    # given a delivered evening, and the same settled twice with a cache that lies between
    scene.deliver(scene.packet(EVSE, n) for n in range(240))
    first = scene.settle(dry_run=True)
    with administrator(scene.dsn) as conn:
        conn.execute(
            "insert into vehicle_state values (%s, 'nowhere', now(), 0, -999999, now() + interval '1 day')",
            [VEHICLE],
        )
    second = scene.settle(dry_run=True)
    # then
    assert first.amount_minor == second.amount_minor > 0
    scene.settle()
    assert scene.owed()


def test_the_state_is_the_only_use_of_its_table_and_nothing_that_pays_can_reach_it() -> None:
    # given everything that any module imports, directly or through others
    graph = grimp.build_graph(
        *("api", "benchmarks", "cases", "cli", "expectations", "flows", "ingest_daemon"),
        *("oracle", "settlement", "simulators", "statements", "storage", "tasks"),
    )
    caches = ("storage.vehicle_state", "storage.vehicle_state_redis")
    # then only the step that keeps states knows the stores
    direct = {one for cache in caches for one in graph.find_modules_that_directly_import(cache)}
    assert direct <= {*caches, "tasks.vehicle_state"}
    # and only its wrappers know that step
    readers = graph.find_modules_that_directly_import("tasks.vehicle_state")
    assert readers <= {
        "api.app",
        "api.vehicles",
        "cli.doctor",
        "cli.settle",
        "cli.quarantine",
        "cli.true_up",
        "cli.vehicles",
        "tasks.prefect_tasks.settling",
    }
    for payer in (
        "tasks.settle",
        "tasks.true_up",
        "tasks.posting.run",
        "tasks.computing",
        "tasks.judge",
    ):
        reached = graph.find_upstream_modules(payer)
        assert not reached & {*caches, "tasks.vehicle_state"}, payer
    # and no SQL elsewhere names the table
    named = {
        str(file.relative_to(ROOT))
        for folder in ("storage", "tasks", "expectations", "cases", "statements", "settlement")
        for file in (ROOT / folder).rglob("*.py")
        if "vehicle_state" in file.read_text("utf-8")
    }
    assert named == {
        "storage/migrations/versions/0011_vehicle_state.py",
        "storage/tables/vehicles.py",
        "storage/vehicle_state.py",
        "storage/vehicle_state_redis.py",
        "tasks/prefect_tasks/settling.py",
        "tasks/vehicle_state.py",
    }


def test_a_time_to_live_has_bounds() -> None:
    for minutes in (0, 366 * 24 * 60 + 1):
        with pytest.raises(ValueError, match="vehicle_state_minutes"):
            StateSettings(vehicle_state_minutes=minutes)
