"""`v2g quality`: what is held and why, what the gate says, and a named word that lets a period go."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from tests.tasks.holding import CHECK, EVSE, EXPECTED, Hours, complete, hour

FIRST = str(hour(0))
NEVER = str(hour(5))


class Shell:
    """Commands against one database."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def run(self, *words: str, status: int = 0) -> Result:
        done = CliRunner().invoke(
            app, [*words], env={"V2G_DATABASE_URL": self.dsn, "COLUMNS": "240"}
        )
        assert done.exit_code == status, done.output
        return done

    def told(self, *words: str, status: int = 0) -> Any:
        """What a command prints as JSON."""
        return json.loads(self.run(*words, "--json", status=status).stdout)

    def release(self, *words: str, status: int = 0) -> Result:
        word = ("--by", "ada", "--why", "one charger is broken")
        return self.run("quality", "release", FIRST, *word, *words, status=status)


@pytest.fixture
def hours(plain_database: str) -> Hours:
    """An hour that is held: one reading of four is there."""
    hours = Hours(plain_database)
    hours.deliver(0, [0])
    hours.settle(0)
    return hours


@pytest.fixture
def shell(plain_database: str) -> Shell:
    return Shell(plain_database)


def test_where_nothing_is_held_the_list_is_empty_and_all_is_well(shell):
    assert shell.told("quality", "list") == {"held": []}
    assert "0 periods are held" in shell.run("quality", "list").stdout


def test_a_held_period_is_listed_with_its_money_and_its_reason(shell, hours):
    # when somebody asks what is held
    told = shell.told("quality", "list", status=1)
    shown = shell.run("quality", "list", status=1).stdout

    # then there is the hour, how much it withholds, and why
    (one,) = told["held"]
    assert (one["energy_milliwh"], one["would_have_been_micros"], one["currency"]) == (
        30_000, 10_710, "USD",
    )  # fmt: skip
    assert (one["tries"], CHECK in one["reason"]) == (1, True)
    assert "1 periods are held" in shown
    assert "0.03" in shown
    assert f"expected {EXPECTED}" in shown


def test_one_period_is_shown_with_its_verdict_what_came_since_and_who_released_it(shell, hours):
    # given that one more reading came, and that a person has released it
    hours.deliver(0, [1])
    shell.release()

    # when it is looked at
    told = shell.told("quality", "show", FIRST)
    shown = shell.run("quality", "show", FIRST).stdout

    # then all of it is there
    assert told["verdict"]["worst"] == "critical"
    assert told["news"]
    assert [(one["by"], one["why"]) for one in told["releases"]] == [
        ("ada", "one charger is broken")
    ]
    assert CHECK in shown
    assert "ada: one charger is broken" in shown
    assert "held since" in shown


def test_one_verdict_is_shown_by_the_beginning_of_its_id(shell, hours):
    # given
    (one,) = shell.told("quality", "list", "--verdicts")["verdicts"]

    # when
    told = shell.told("quality", "show", one["quality_id"][:8])

    # then
    assert told["quality_id"] == one["quality_id"]
    assert one["quality_id"] in shell.run("quality", "show", one["quality_id"]).stdout
    assert one["quality_id"][:8] in shell.run("quality", "list", "--verdicts").stdout


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        (("show", NEVER), 1, "the gate has not looked at it"),
        (("show", "ffffffff"), 1, "ffffffff"),
        (("show", "yesterday/today"), 2, "yesterday"),
        (("check", "2026-07-01T16:00:00Z"), 2, "expected start and end"),
        (("release", NEVER, "--by", "ada", "--why", "so"), 1, "not held"),
        (("release", FIRST, "--by", " ", "--why", "so"), 2, ""),
        (("release", FIRST, "--by", "ada", "--why", ""), 2, ""),
    ],
)
def test_what_cannot_be_done_is_said_with_what_was_expected(shell, asked, status, said):
    done = shell.run("quality", *asked, status=status)

    assert said in done.output
    assert "Traceback" not in done.output


def test_a_check_keeps_what_the_gate_finds_and_books_nothing(shell, hours):
    # when the real gate looks at the hour
    found = shell.told("quality", "check", FIRST, status=0)

    # then its verdict is the newest, and no settlement is there
    assert (
        shell.told("quality", "list", "--verdicts")["verdicts"][0]["quality_id"]
        == found["quality_id"]
    )
    assert "registers agree with powers" in {one["check"] for one in found["checks"]}
    assert hours.scene.rows("select count(*) from settlement") == [(0,)]


def test_a_released_period_is_settled_by_the_next_run_and_the_word_is_kept(shell, plain_database):
    # given an hour whose meters disagree with their own registers, which the real gate holds
    hours = Hours(plain_database)
    hours.scene.deliver([hours.scene.packet(EVSE, one, power_end_w="0") for one in range(EXPECTED)])
    start, _, end = FIRST.partition("/")
    held = shell.told("settle", "--from", start, "--to", end, status=1)

    # when a person has released it and the next run comes
    shell.release()
    told = shell.told("settle")

    # then it is settled, under that name
    assert (held["state"], len(told["tried_again"])) == ("held", 1)
    assert "registers agree with powers" in held["reason"]
    assert shell.told("quality", "list") == {"held": []}
    (reason,) = (
        one for (one,) in hours.scene.rows("select reason from settlement_run") if "ada" in one
    )
    assert "one charger is broken" in reason


def test_a_second_word_about_the_same_finding_is_refused(shell, hours):
    shell.release()

    assert "ada" in shell.release(status=1).output


def test_a_period_that_is_asked_for_by_hand_hears_the_word_too(shell, hours):
    # given a held hour, looked at once more by a gate that finds the same, and released
    complete(hours.dsn, hour(0), hours.clock())
    shell.release()

    # when just that hour is settled by hand
    start, _, end = FIRST.partition("/")
    told = shell.told("settle", "--from", start, "--to", end)

    # then
    assert told["state"] == "settled"
    assert told["tried_again"] == []
