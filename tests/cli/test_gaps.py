"""`v2g gaps list`: what it prints, and how it ends."""

import json
from datetime import timedelta

import pytest
from typer.testing import CliRunner

from cli.main import app
from storage.engine import Role, connect
from storage.landing import Lander
from storage.streams import Watch
from tests.storage.made import arrival, packet


@pytest.fixture
def dsn(plain_database):
    """E1 misses 2 to 4, E2 missed 2 and has it now, E3 misses nothing."""
    lander = Lander(plain_database)
    with connect(plain_database, Role.INGEST) as conn:
        conn.autocommit = True
        for sequences in ({"E1": (1, 5), "E2": (1, 3), "E3": (1, 2)}, {"E2": (2,)}):
            lander.land([arrival(packet(evse, n)) for evse in sequences for n in sequences[evse]])
            Watch(conn).look(grace=timedelta(0))
    lander.close()
    return plain_database


def run(*words: str, dsn: str, status: int = 0) -> str:
    result = CliRunner().invoke(
        app, ["gaps", "list", *words, "--database", dsn], env={"COLUMNS": "160"}
    )
    assert result.exit_code == status, result.output
    return result.output


def test_open_gaps_are_told_as_a_program_reads_them(dsn):
    told = json.loads(run("--json", dsn=dsn))

    [one] = told["gaps"]
    assert told["more"] is False
    found_at = one.pop("found_at")
    assert found_at.endswith("+00:00")
    assert one == {
        "evse_id": "E1",
        "stream_epoch": 1,
        "first": 2,
        "last": 4,
        "packets": 3,
        "signed_after": "2026-07-01T12:00:15+00:00",
        "signed_before": "2026-07-01T12:01:15+00:00",
        "open": True,
    }


def test_closed_gaps_are_shown_on_request(dsn):
    told = json.loads(run("--closed", "--json", dsn=dsn))

    assert {(one["evse_id"], one["open"]) for one in told["gaps"]} == {("E1", True), ("E2", False)}


def test_people_see_a_table_and_a_limit_says_that_there_is_more(dsn):
    shown = run("--closed", "--limit", "1", dsn=dsn)

    assert "Missing packets" in shown
    assert "--limit 2 shows more" in shown


def test_an_evse_without_gaps_has_nothing_missing(dsn):
    assert run("--evse", "E3", dsn=dsn) == "nothing is missing\n"


def test_a_database_that_is_not_there_is_told(tmp_path):
    shown = run(dsn=f"host={tmp_path} dbname=none", status=1)

    assert "try again" in shown
