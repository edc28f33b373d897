"""`v2g thermal status` and `limits`: what they print, and how they end."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from typer.testing import CliRunner

from cli.main import app
from storage import throttling
from storage.engine import Role, connect
from storage.thermal_samples import Sample, put_samples
from storage.throttling import Command, Outcome

SECOND = timedelta(seconds=1)
HOT, FREE, ALONE = "DE*ABC*E1", "DE*ABC*E2", "DE*ABC*E3"
ID = UUID(int=7)


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def dsn(plain_database, now):
    """One EVSE limited, one free with a sensor that is silent, one released of which nothing is measured."""

    def sample(evse: str, sensor: str, value: int | None, quality: str = "good") -> Sample:
        return Sample("plc", sensor, evse, "", now - 10 * SECOND, b"", value, quality)

    with connect(plain_database, Role.INGEST) as conn:
        put_samples(
            conn,
            [
                sample(HOT, "803.ModTmpMax", 56_200),
                sample(HOT, "803.ModTmpAvg", 51_000),
                sample(FREE, "t1", None, "no_answer"),
            ],
            now=now,
        )
    with connect(plain_database, Role.GUARD) as conn:
        evidence = {"vehicle_id": "car", "terms": [{"filtered_millicelsius": 55_100}]}
        at = now - 9 * SECOND
        limited = Command(ID, HOT, 1, 0, "THERMAL_LIMIT_REACHED", evidence, at, at)
        released = Command(UUID(int=8), ALONE, 1, None, "THERMAL_RELEASED", {}, at, at)
        throttling.order(conn, [limited, released])
        throttling.tell(
            conn,
            [
                *(Outcome(ID, state, f"mqtt:{HOT}", "", at) for state in ("sent", "failed") * 2),
                Outcome(ID, "sent", f"mqtt:{HOT}", "", at),
                Outcome(released.command_id, "obeyed", f"mqtt:{ALONE}", "", at),
            ],
        )
    return plain_database


def run(*words: str, dsn: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["thermal", *words, "--database", dsn], env={"COLUMNS": "180"})
    assert result.exit_code == status, result.output
    return result.output


def obey(dsn: str) -> None:
    with connect(dsn, Role.GUARD) as conn:
        throttling.tell(conn, [Outcome(ID, "obeyed", f"mqtt:{HOT}", "", datetime.now(UTC))])


def test_every_evse_is_shown_with_temperature_state_and_acknowledgement(dsn):
    lines = run("status", dsn=dsn, status=3).splitlines()
    [hot] = [line for line in lines if HOT in line]
    [free] = [line for line in lines if FREE in line]
    [alone] = [line for line in lines if ALONE in line]
    assert "0 W: THERMAL_LIMIT_REACHED" in hot
    assert "56.2 °C" in hot
    assert " NO " in hot
    assert "free" in free
    assert "no_answer" in free
    assert "released" in alone
    assert "no sensor" in alone


def test_a_limit_that_is_not_acknowledged_is_an_exit_status_until_it_is(dsn):
    run("status", "--json", dsn=dsn, status=3)
    run("status", "--evse", FREE, dsn=dsn)
    obey(dsn)
    run("status", dsn=dsn)


def test_a_program_reads_all_sensors_with_their_zones(dsn, now):
    told = {
        one["evse_id"]: one
        for one in json.loads(run("status", "--json", dsn=dsn, status=3))["evses"]
    }
    hot = told[HOT]
    assert (hot["state"], hot["limit_w"], hot["acknowledged"]) == ("limited", 0, False)
    assert hot["battery_millicelsius"] == 56_200
    assert hot["vehicle_id"] == "car"
    assert datetime.fromisoformat(hot["since"]) == now - 9 * SECOND
    assert [one["sensor"] for one in hot["sensors"]] == ["803.ModTmpAvg", "803.ModTmpMax"]
    assert 9 < hot["age_s"] < 600
    assert hot["ways"][f"mqtt:{HOT}"]["state"] == "sent"
    assert told[FREE]["state"] == "free"
    assert told[FREE]["acknowledged"] is None


def test_the_audit_tells_the_story_of_each_command(dsn):
    text = run("limits", dsn=dsn)
    [hot] = [line for line in text.splitlines() if HOT in line]
    assert "0 W" in hot
    assert "sent, failed, sent, failed, sent" in hot
    assert "55.1 °C" in hot

    [one] = json.loads(run("limits", "--evse", HOT, "--json", dsn=dsn))["commands"]
    assert one["command_id"] == str(ID)
    assert [said["state"] for said in one["outcomes"]] == ["sent", "failed"] * 2 + ["sent"]
    assert one["recorded_at"].endswith("+00:00")


def test_the_audit_can_be_cut(dsn, now):
    assert "there are more" in run("limits", "--limit", "1", dsn=dsn)
    assert "nothing was commanded" in run("limits", "--since", now.isoformat(), dsn=dsn)
    assert "--since" in run("limits", "--since", "yesterday", dsn=dsn, status=2)


def test_an_empty_database_says_so(plain_database):
    assert "nothing was measured" in run("status", dsn=plain_database)
    assert "nothing was commanded" in run("limits", dsn=plain_database)
    assert json.loads(run("status", "--json", dsn=plain_database))["evses"] == []


@pytest.mark.parametrize("command", ["status", "limits"])
def test_a_database_that_is_away_is_an_exit_status(command):
    assert run(command, dsn="host=127.0.0.1 port=1 dbname=none", status=1)
