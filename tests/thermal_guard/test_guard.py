"""Temperatures in, limits out: a real database, the shipped broker over TLS, a real agent."""

import json
from datetime import timedelta

import httpx
import polars as pl
import pytest

from embedded.processes import free_port
from settlement.periods import Period
from settlement.thermal import factors
from storage.attaching import attach
from storage.engine import Role, connect
from storage.registry import load_programs
from storage.temperatures import load_temperatures
from tests.evse_agent.harness import EVSE_ID
from tests.ingest_daemon.harness import METRICS_TOKEN, secret_file
from tests.thermal_guard.harness import (
    CAR,
    GuardProcess,
    World,
    charger,
    guarding,
    limit_of,
    look,
    stopped_database,
    until,
)
from tests.tls import TlsSite

LIMITED = (0, "THERMAL_LIMIT_REACHED")
LOST = (0, "THERMAL_SENSOR_LOST")
RELEASED = (None, "THERMAL_RELEASED")
OTHER, THIRD, FOURTH = "DE*V2G*E00002", "DE*V2G*E00003", "DE*V2G*E00004"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with TlsSite(tmp_path_factory.mktemp("guarded")) as running:
        yield running


@pytest.fixture(scope="module")
def agent(site, tmp_path_factory):
    with charger(tmp_path_factory.mktemp("agent"), site) as running:
        running.wait_up()
        yield running


@pytest.fixture
def world(plain_database) -> World:
    return World(plain_database)


def settled(world: World, count: int, evse: str = EVSE_ID):
    """Whether there are so many commands, and the last one is obeyed."""
    return lambda: len(world.commands(evse)) == count and world.obeyed(evse)


def test_a_hot_battery_is_limited_and_released_only_within_the_band(
    world, site, agent, monkeypatch
):
    with guarding(world, site, monkeypatch) as guard:
        # given a battery below its limit: nothing is commanded
        world.measure(54.9)
        look(guard)
        assert world.commands() == []

        # when it reaches the limit
        world.measure(55.0)
        until(guard, world.obeyed, "the limit to be obeyed")
        # then its charger stands at 0 W
        assert world.said() == [LIMITED]
        assert limit_of(agent) == 0

        # when it cools, but not into the band, or below it
        for celsius in (50, 45.001, 19.9):
            world.measure(celsius)
            look(guard)
        # then it stays limited
        assert world.said() == [LIMITED]

        # when it is back within
        world.measure(45)
        until(guard, settled(world, 2), "the release")
        # then it may discharge again
        assert world.said() == [LIMITED, RELEASED]
        assert limit_of(agent) is None


def test_a_lost_sensor_throttles_and_good_samples_release(world, site, agent, monkeypatch):
    with guarding(world, site, monkeypatch, lost_after_s=120) as guard:
        world.measure(30)
        look(guard)
        # when the sensor gives nothing for exactly as long as it may
        world.measure(None, after_s=120)
        look(guard)
        assert world.commands() == []
        # and a moment longer
        world.at += timedelta(microseconds=1)
        until(guard, world.obeyed, "the limit to be obeyed")
        assert world.said() == [LOST]
        assert limit_of(agent) == 0
        # then only a good sample releases it, and one that the temperature permits
        world.measure(None)
        look(guard)
        assert world.said() == [LOST]
        world.measure(56)
        look(guard)
        assert world.said() == [LOST, LIMITED]
        world.measure(44)
        until(guard, settled(world, 3), "the release")
        assert world.said() == [LOST, LIMITED, RELEASED]


def test_the_programs_terms_count_before_the_settings(world, site, agent, monkeypatch):
    # given a vehicle in a program whose factor is 0 from 50 °C, and whose band ends at 40 °C
    world.contract(
        time_constant_min=0, curve_c=[["20", "1"], ["40", "1"], ["50", "0"]], release_c=["20", "40"]
    )
    with guarding(world, site, monkeypatch) as guard:
        world.measure(49.9)
        look(guard)
        assert world.said() == []
        world.measure(50)
        look(guard)
        world.measure(44)
        until(guard, settled(world, 1), "the limit")
        assert world.said() == [LIMITED]
        world.measure(40)
        until(guard, settled(world, 2), "the release")
    [first, _] = world.commands()
    assert first["evidence"]["vehicle_id"] == CAR
    assert first["evidence"]["terms"][0]["limit_high_millicelsius"] == 50_000


def test_the_settlement_comes_to_the_states_that_were_commanded(world, monkeypatch):
    # given an afternoon in a program with a filter of ten minutes
    world.contract(time_constant_min=10)
    states = []
    with guarding(world, None, monkeypatch) as guard:
        for celsius in (30, 70, 70, 70, 70, 70, 50, 50, 30, 30, 30, 30, 70, 30, 75, 75, 75):
            world.measure(celsius, after_s=240)
            look(guard)
            said = world.said()
            states.append((world.at, bool(said) and said[-1] == LIMITED))
    # when the same samples are attached to their vehicle and settled
    with connect(world.dsn, Role.SETTLE) as conn:
        while attach(conn, now=world.at).more:
            pass
        period = Period(states[0][0], world.at + timedelta(seconds=1))
        measured = load_temperatures(conn, period, known_at=world.at + timedelta(seconds=1))
        [program] = load_programs(conn, known_at=world.at)["v2g-tiered-thermal"]
    moments = pl.DataFrame(
        [(CAR, at, at + timedelta(microseconds=1)) for at, _ in states],
        schema={
            "vehicle_id": pl.String(),
            "started_at": pl.Datetime("us", "UTC"),
            "ended_at": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )
    assert program.thermal
    reasons = factors(measured, moments, program.thermal)["thermal_reason"].to_list()
    # then it was limited exactly where nothing is earned
    assert [reason == LIMITED[1] for reason in reasons] == [state for _, state in states]
    assert world.said() == [LIMITED, RELEASED, LIMITED]


def test_a_restart_forgets_nothing_that_stood(world, site, agent, monkeypatch):
    with guarding(world, site, monkeypatch) as guard:
        world.measure(56)
        until(guard, settled(world, 1), "the limit")
    # given a guard that was away for long while the battery cooled, but not into the band
    for _ in range(3):
        world.measure(50, after_s=3000)
    # when another one begins
    with guarding(world, site, monkeypatch, look_back_s=60) as guard:
        look(guard)
        # then the limit stands, without a second command
        assert world.said() == [LIMITED]
        assert guard.metrics.limited.labels(reason="THERMAL_LIMIT_REACHED")._value.get() == 1
        world.measure(45)
        until(guard, settled(world, 2), "the release")


def test_what_lands_late_is_followed_in_its_place(world, site, agent, monkeypatch):
    with guarding(world, site, monkeypatch) as guard:
        world.measure(46, after_s=60)
        look(guard)
        assert world.said() == []
        # when it becomes known that the battery had been too hot half a minute earlier
        world.measure(56, after_s=1, measured_at=world.at - timedelta(seconds=30))
        world.at += timedelta(seconds=61)
        world.measure(46, after_s=0)
        look(guard)
        # then what it said since then was no release
        assert world.said() == [LIMITED]


def test_a_hot_battery_is_limited_where_it_goes(world, site, monkeypatch):
    with guarding(world, None, monkeypatch) as guard:
        world.measure(56, vehicle=CAR)
        look(guard)
        # when it cools a little and is plugged in elsewhere
        world.measure(50, vehicle=CAR, evse=OTHER, device="plc-2")
        look(guard)
        # then it is limited there, and nothing is released where it was
        assert world.said(OTHER) == [LIMITED]
        assert world.said() == [LIMITED]
        # and another one that comes there is not
        world.measure(30, vehicle="car-2")
        look(guard)
        assert world.said() == [LIMITED, RELEASED]
        assert world.said(OTHER) == [LIMITED]


def test_a_sensor_that_never_gave_anything_good_is_lost_too(world, monkeypatch):
    with guarding(world, None, monkeypatch) as guard:
        world.measure(None)
        look(guard)
        assert world.said() == []
        for _ in range(13):
            world.measure(None, after_s=10)
            look(guard)
        assert world.said() == [LOST]


def test_what_is_no_sensor_of_a_battery_limits_nobody(world, monkeypatch):
    with guarding(world, None, monkeypatch) as guard:
        for _ in range(13):
            world.measure(None, after_s=10, quality="not_implemented")
            look(guard)
        assert world.said() == []


# --- chargers that are away, forget or refuse ---------------------------------------------------------


def test_a_charger_that_was_away_is_limited_when_it_is_back(world, site, tmp_path, monkeypatch):
    with charger(tmp_path / "agent", site, OTHER) as away:
        away.wait_up()
        away.process.kill()
        with guarding(world, site, monkeypatch) as guard:
            world.measure(56, evse=OTHER)
            until(
                guard,
                lambda: (
                    "failed" in [s for one in world.commands(OTHER) for s in world.outcomes(one)]
                ),
                "the guard to notice that nobody answers",
            )
            # when it is back
            away.start()
            until(guard, settled(world, 1, OTHER), "the limit to be obeyed")
            assert limit_of(away) == 0

            # and when it comes back without what it knew
            away.process.kill()
            for file in away.folder.glob("store.db*"):
                file.unlink()
            [command] = world.commands(OTHER)
            before = world.outcomes(command).count("obeyed")
            away.start()
            until(
                guard,
                lambda: world.outcomes(command).count("obeyed") > before,
                "the same command to be obeyed again",
            )
            # then it is told again, and is limited again
            assert limit_of(away) == 0
            assert world.said(OTHER) == [LIMITED]


def test_a_refusal_is_recorded_and_tried_again(world, site, monkeypatch, caplog):
    with (
        site.connect(OTHER) as refusing,
        guarding(world, site, monkeypatch) as guard,
    ):
        refusing.subscribe(f"v2g/{OTHER}/command")

        def answer(state: str) -> dict[str, object]:
            command: dict[str, object] = json.loads(heard(guard, refusing))
            said = {"version": 1, "command_id": command["command_id"], "state": state}
            refusing.publish(f"v2g/{OTHER}/status", json.dumps(said).encode())
            return command

        world.measure(56, evse=OTHER)
        first = answer("refused")
        assert (first["limit_w"], first["kind"], first["reason"]) == (0, "limit", LIMITED[1])
        again = answer("obeyed")
        assert again == first
        until(guard, settled(world, 1, OTHER), "the answer")
        [command] = world.commands(OTHER)
        assert world.outcomes(command) == ["sent", "refused", "sent", "obeyed"]
        assert any(r.levelname == "ERROR" and r.message == "refused" for r in caplog.records)


def heard(guard, connection) -> bytes:
    """The next message of a connection, while the guard goes on."""
    until(guard, lambda: not connection.messages.empty(), "a message")
    payload: bytes = connection.messages.get()[1]
    return payload


def test_nobody_acknowledges_for_another(world, site, monkeypatch):
    with (
        site.connect(OTHER) as liar,
        site.connect(THIRD) as honest,
        guarding(world, site, monkeypatch) as guard,
    ):
        honest.subscribe(f"v2g/{THIRD}/command")
        world.measure(56, evse=THIRD)
        command = json.loads(heard(guard, honest))
        said = {"version": 1, "command_id": command["command_id"], "state": "obeyed"}
        # when another charger says that it was obeyed, and noise beside it
        for payload in (json.dumps(said).encode(), b"\xff", b"[]", b'{"version":1,"state":7}'):
            liar.publish(f"v2g/{OTHER}/status", payload)
        # then it is sent on and on until its own charger says so
        assert json.loads(heard(guard, honest)) == command
        assert not world.obeyed(THIRD)
        honest.publish(f"v2g/{THIRD}/status", json.dumps(said).encode())
        until(guard, settled(world, 1, THIRD), "the answer")


def test_the_client_of_the_charger_is_the_one_of_its_key(world, site, monkeypatch):
    world.enrol("EVSE/with slashes", OTHER)
    with site.connect(OTHER) as client, guarding(world, site, monkeypatch) as guard:
        client.subscribe(f"v2g/{OTHER}/command")
        world.measure(56, evse="EVSE/with slashes")
        assert json.loads(heard(guard, client))["limit_w"] == 0
        # and an EVSE that can be no topic, and has no key, is said to fail
        world.measure(56, evse="no/topic")
        until(
            guard,
            lambda: (
                "failed" in [s for one in world.commands("no/topic") for s in world.outcomes(one)]
            ),
            "the failure",
        )


# --- guards, brokers and databases that go ----------------------------------------------------------------


def test_a_guard_killed_after_storing_and_before_sending_leaves_a_command_that_is_sent(
    world, site, agent, tmp_path
):
    # given a broker that is away
    site.broker.kill()
    try:
        world.measure(56, after_s=0)
        with GuardProcess(tmp_path / "guard", world, site) as guard:
            guard.wait(lambda: world.commands() != [], "the command to be stored")
            # when the guard is killed
            guard.kill()
    finally:
        site.broker.start()
    [command] = world.commands()
    assert world.outcomes(command) == []
    # then the next one sends it
    port, token = free_port(), secret_file(tmp_path / "token", METRICS_TOKEN)
    watched = {"metrics_port": port, "metrics_token_file": token}
    with GuardProcess(tmp_path / "next", world, site, **watched) as guard:
        guard.wait(world.obeyed, "the limit to be obeyed")
        # and who looks on is told of it, with the token
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            assert http.get("/readyz").json() == {"state": "ready"}
            assert http.get("/metrics").status_code == 401
            bearer = {"Authorization": f"Bearer {METRICS_TOKEN}"}
            figures = http.get("/metrics", headers=bearer).text
        assert "v2g_thermal_guarding 1.0" in figures
        assert limit_of(agent) == 0
        # and when it cools, the process releases it, and stops when it is told to
        world.measure(40, after_s=1)
        guard.wait(settled(world, 2), "the release")
        assert guard.stop() == 0
        assert "event=stopped" in guard.log
    assert world.said() == [LIMITED, RELEASED]
    assert limit_of(agent) is None


def test_a_guard_killed_before_the_answer_sends_the_same_command_again(world, site, tmp_path):
    with site.connect(OTHER) as slow:
        slow.subscribe(f"v2g/{OTHER}/command")
        world.measure(56, after_s=0, evse=OTHER)
        with GuardProcess(tmp_path / "guard", world, site) as guard:
            first = json.loads(slow.next_message()[1])
            # when it is killed before its charger answers, and the answer is heard by nobody
            guard.kill()
            said = {"version": 1, "command_id": first["command_id"], "state": "obeyed"}
            slow.publish(f"v2g/{OTHER}/status", json.dumps(said).encode())
            while not slow.messages.empty():
                assert json.loads(slow.messages.get()[1]) == first
        [command] = world.commands(OTHER)
        assert set(world.outcomes(command)) <= {"sent", "failed"}
        # then the next guard sends the same command, no new one
        with GuardProcess(tmp_path / "next", world, site) as guard:
            assert json.loads(slow.next_message()[1]) == first
            slow.publish(f"v2g/{OTHER}/status", json.dumps(said).encode())
            guard.wait(lambda: world.obeyed(OTHER), "the answer")
    assert world.said(OTHER) == [LIMITED]


def test_a_second_guard_stands_by_and_takes_over(world, site, agent, monkeypatch):
    with guarding(world, site, monkeypatch) as first:
        world.measure(30)
        look(first)
        with guarding(world, site, monkeypatch) as second:
            world.measure(56)
            for _ in range(3):
                look(second)
            # then it decides nothing and speaks to nobody
            assert world.commands() == []
            assert not second._link.connected
            until(first, settled(world, 1), "the first one's limit")
            # when the first one is gone
            first._holding.close()
            first._link.stop()
            world.measure(44)
            until(second, settled(world, 2), "the second one's release")
    assert world.said() == [LIMITED, RELEASED]


def test_a_broker_that_restarts_costs_nothing_but_time(world, site, monkeypatch):
    with guarding(world, site, monkeypatch) as guard:
        world.measure(30, evse=FOURTH)
        until(guard, lambda: guard._link.connected, "the connection")
        site.broker.kill()
        try:
            until(guard, lambda: not guard._link.connected, "the guard to notice")
            world.measure(56, evse=FOURTH)
            look(guard)
            # then it is decided and stored, and waits
            assert world.said(FOURTH) == [LIMITED]
        finally:
            site.broker.start()
        with site.connect(FOURTH) as client:
            client.subscribe(f"v2g/{FOURTH}/command")
            command = json.loads(heard(guard, client))
            said = {"version": 1, "command_id": command["command_id"], "state": "obeyed"}
            client.publish(f"v2g/{FOURTH}/status", json.dumps(said).encode())
            until(guard, settled(world, 1, FOURTH), "the answer")


def test_without_the_database_what_was_stored_is_still_sent(world, site, monkeypatch):
    with site.connect(FOURTH) as client, guarding(world, site, monkeypatch) as guard:
        client.subscribe(f"v2g/{FOURTH}/command")
        world.measure(56, evse=FOURTH)
        first = json.loads(heard(guard, client))
        # when the database goes away before the charger answered
        with stopped_database(world.dsn):
            until(guard, lambda: not guard._health.checks()["database"].up, "the guard to notice")
            assert json.loads(heard(guard, client)) == first
            said = {"version": 1, "command_id": first["command_id"], "state": "obeyed"}
            client.publish(f"v2g/{FOURTH}/status", json.dumps(said).encode())
            until(guard, lambda: guard._book.unacknowledged == 0, "the answer")
        # then what happened is recorded once it is back
        until(guard, settled(world, 1, FOURTH), "the record")
        [command] = world.commands(FOURTH)
        assert world.outcomes(command).count("obeyed") == 1
        # and it goes on deciding
        world.measure(44, evse=FOURTH)
        until(guard, lambda: world.said(FOURTH) == [LIMITED, RELEASED], "the release")
