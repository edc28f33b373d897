"""`v2g lane`: looked at, paused and resumed, with names and reasons."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.lane import app
from storage import lanes
from storage.engine import Role, connect


class Shell:
    """Commands against one database."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def run(self, *words: str, status: int = 0) -> Result:
        done = CliRunner().invoke(app, [*words], env={"V2G_DATABASE_URL": self.dsn})
        assert done.exit_code == status, done.output
        return done

    def told(self, *words: str, status: int = 0) -> Any:
        """What a command prints as JSON."""
        return json.loads(self.run(*words, "--json", status=status).stdout)


@pytest.fixture
def shell(plain_database: str) -> Shell:
    return Shell(plain_database)


def test_a_lane_of_which_nothing_was_ever_said_is_open(shell):
    assert shell.run("show").stdout == "clearinghouse: open\n"
    assert shell.told("show") == {
        "partner": "clearinghouse", "rests": False, "standing": None, "said": [],
    }  # fmt: skip


def test_a_pause_lasts_until_it_is_resumed_and_both_are_kept(shell):
    # given
    paused = shell.run("pause", "--by", "anna", "--why", "their certificate ends")
    assert "rests until it is resumed; anna: their certificate ends" in paused.stdout

    # when somebody looks, and then resumes it
    shown = shell.run("show", status=3)
    shell.run("resume", "--by", "ben", "--why", "it is renewed")

    # then
    assert "rests until it is resumed" in shown.stdout
    told = shell.told("show")
    assert told["rests"] is False
    assert [(one["by"], one["why"]) for one in told["said"]] == [
        ("ben", "it is renewed"),
        ("anna", "their certificate ends"),
    ]


@pytest.mark.parametrize("option", ["--for", "--until"])
def test_a_pause_ends_by_itself_where_it_says_when(shell, option):
    said = f"{datetime.now(UTC) + timedelta(hours=2):%Y-%m-%dT%H:%M:%SZ}"
    how = (option, "2h" if option == "--for" else said)
    told = shell.told("pause", *how, "--by", "anna", "--why", "maintenance")
    until = datetime.fromisoformat(told["standing"]["until"])
    assert timedelta(minutes=118) < until - datetime.now(UTC) <= timedelta(hours=2)


def test_what_the_partner_asked_for_is_shown_too(shell):
    # given a poster that was asked to wait
    until = datetime.now(UTC) + timedelta(minutes=5)
    with connect(shell.dsn, Role.POSTER) as conn:
        lanes.prolong(conn, partner="clearinghouse", until=until, why="429: busy", now=until)

    # when, then
    assert "the partner: 429: busy" in shell.run("show", status=3).stdout


@pytest.mark.parametrize(
    "words",
    [
        ("pause", "--why", "no name"),
        ("pause", "--by", "anna"),
        ("pause", "--by", " ", "--why", "blank"),
        ("pause", "--by", "anna", "--why", "x", "--for", "2h", "--until", "2099-01-01T00:00:00Z"),
        ("pause", "--by", "anna", "--why", "x", "--until", "2020-01-01T00:00:00Z"),
        ("pause", "--by", "anna", "--why", "x", "--until", "soon"),
        ("pause", "--by", "anna", "--why", "x", "--for", "long"),
        ("resume", "--by", "the partner", "--why", "a mask"),
    ],
    ids=["no name", "no reason", "blank", "twice", "past", "no time", "no span", "mask"],
)
def test_what_makes_no_sense_changes_nothing(shell, words):
    shell.run(*words, status=2)
    assert shell.told("show")["said"] == []


def test_a_database_that_is_not_there_is_told_on_one_line(shell):
    nowhere = Shell("host=/nowhere dbname=v2g")
    assert "nothing is lost, try again" in nowhere.run("show", status=1).stderr
