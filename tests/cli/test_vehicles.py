"""`v2g vehicles state`: what it prints, and how it ends."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from cli.main import app
from storage.vehicle_state import DatabaseStates, VehicleState

NOW = datetime.now(UTC)
ONE = VehicleState("V1", "DE*V2G*E00001", NOW - timedelta(minutes=1), 615_000, -7_200)
TWO = VehicleState("V2", "DE*V2G*E00002", NOW - timedelta(minutes=2), None, None)


@pytest.fixture
def dsn(plain_database: str) -> str:
    DatabaseStates(plain_database, keep=timedelta(days=1)).put([ONE, TWO], now=NOW)
    return plain_database


def run(*words: str, dsn: str, status: int = 0, **environment: str) -> str:
    result = CliRunner().invoke(
        app, ["vehicles", "state", *words, "--database", dsn], env={"COLUMNS": "160", **environment}
    )
    assert result.exit_code == status, result.output
    return result.output


def test_one_vehicle_is_told_as_a_program_reads_it(dsn: str) -> None:
    told = json.loads(run("V1", "--json", dsn=dsn))
    assert (told["vehicle_id"], told["soc_ppm"], told["power_w"]) == ("V1", 615_000, -7_200)
    assert told["measured_at"].endswith("Z")
    age_s = (datetime.now(UTC) - ONE.measured_at).total_seconds()
    assert age_s - 30 <= told["age_seconds"] <= age_s


def test_all_vehicles_are_told_the_newest_first_and_what_was_not_stated_says_so(dsn: str) -> None:
    told = json.loads(run("--json", dsn=dsn))
    assert [one["vehicle_id"] for one in told["vehicles"]] == ["V1", "V2"]
    assert told["vehicles"][1]["soc_ppm"] is None
    shown = run(dsn=dsn)
    assert "61.5" in shown
    assert "-7200" in shown
    assert "not stated" in shown
    assert "never what is paid" in shown


def test_a_vehicle_that_nobody_knows_ends_with_one_and_says_where_to_look(dsn: str) -> None:
    assert "quarantine" in run("V9", dsn=dsn, status=1)


def test_a_cache_that_does_not_answer_ends_with_one_and_bad_settings_with_two(dsn: str) -> None:
    silent = run("V1", dsn=dsn, status=1, V2G_REDIS_URL="redis://127.0.0.1:1")
    assert "Redis at 127.0.0.1:1" in silent
    assert "rediss://" in run(dsn=dsn, status=2, V2G_REDIS_URL="redis://redis.example")
    assert "vehicle_state_minutes" in run(dsn=dsn, status=2, V2G_VEHICLE_STATE_MINUTES="0")
