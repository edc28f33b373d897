"""`v2g payouts`: what waits is shown with its limit, and a person's decision is done or explained."""

import json
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cli.payouts import app
from settlement.limits import DEFAULTS, parse, plain
from storage import outbox
from storage.engine import Role, connect
from tasks.screening import screen
from tests.postings import NOON, posting

ROOT = Path(__file__).parents[2]
USD = DEFAULTS.currencies["USD"]
LARGE, BROKEN, SMALL = (
    posting(1, account="alice", amount_minor=USD.approval_above_minor + 1),
    posting(2, account="bob", amount_minor=-USD.posting_minor - 1),
    posting(3, account="bob", amount_minor=500),
)


@pytest.fixture
def database(plain_database: str) -> str:
    """With a payout that waits for approval, one that broke a limit, and one that shares its account."""
    for minute, one in enumerate((LARGE, BROKEN, SMALL)):
        at = NOON + timedelta(minutes=minute)
        with connect(plain_database, Role.SETTLE) as conn:
            outbox.enqueue(conn, [one], at)
        screen(plain_database, clock=partial(max, at, NOON))
    return plain_database


def run(*words: str, dsn: str, status: int = 0) -> str:
    """What a command prints on standard output, or, where it fails, in all."""
    result = CliRunner().invoke(app, [*words, "--database", dsn], env={"COLUMNS": "250"})
    assert result.exit_code == status, result.output
    return result.output if status else result.stdout


def shown(*words: str, dsn: str, status: int = 0) -> Any:
    return json.loads(run(*words, "--json", dsn=dsn, status=status))


def test_what_waits_is_listed_with_the_reason_and_in_money(database: str) -> None:
    # when it is listed, for people and for programs
    told = run("list", dsn=database, status=1)
    found = shown("list", dsn=database, status=1)["payouts"]

    # then each says what it waits for
    assert "1000.01 USD" in told
    assert "-5000.01 USD" in told
    assert [one["detail"].split(":")[0] for one in found] == ["APPROVAL", "LIMIT", "ACCOUNT_HELD"]
    assert [one["amount"] for one in found] == ["1000.01 USD", "-5000.01 USD", "5.00 USD"]
    assert len(shown("list", "--account", "bob", dsn=database, status=1)["payouts"]) == 2
    assert shown("list", "--state", "sent", dsn=database) == {"payouts": []}


def test_one_payout_is_shown_with_each_limit_what_was_found_and_allowed(database: str) -> None:
    told = run("show", BROKEN.posting_id, dsn=database)

    (row,) = (line for line in told.splitlines() if "posting_minor" in line and "│" in line and "LIMIT" not in line)  # fmt: skip
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "posting_minor", "in one posting", "5000.01 USD", "5000.00 USD"
    ]  # fmt: skip
    assert "bob, held" in told
    assert shown("show", BROKEN.posting_id, dsn=database)["verdict"] == "breach"
    assert "no such posting" in run("show", "none", dsn=database, status=1)


def test_each_decision_is_done_once_and_kept_with_its_author(database: str) -> None:
    # given decisions about each
    said = ("--by", "carol", "--why", "looked at it")
    assert "is pending" in run("approve", LARGE.posting_id, "--by", "carol", dsn=database)
    refused = shown("refuse", BROKEN.posting_id, *said, dsn=database)
    freed = shown("unhold", "bob", *said, dsn=database)

    # then
    assert refused == {"posting_id": BROKEN.posting_id, "state": "rejected"}
    assert freed == {"account": "bob", "released": 1}
    assert shown("list", dsn=database) == {"payouts": []}
    told = shown("show", BROKEN.posting_id, dsn=database)
    assert [(one["decision"], one["by"]) for one in told["decisions"]] == [("refused", "carol")]
    assert [one["event"] for one in told["account_history"]] == ["released", "held"]
    assert "looked at it" in run("show", BROKEN.posting_id, dsn=database)

    # and a second time is told
    again = run("approve", LARGE.posting_id, "--by", "dave", dsn=database, status=1)
    assert "it is pending; expected one that is parked" in again


def test_what_broke_a_limit_can_be_released(database: str) -> None:
    assert shown(
        "release", BROKEN.posting_id, "--by", "carol", "--why", "true", dsn=database
    ) == {"posting_id": BROKEN.posting_id, "state": "pending"}  # fmt: skip


def test_an_account_is_held_and_released(database: str) -> None:
    said = ("--by", "carol", "--why", "asks")
    assert "account eve is held; 0 postings are parked" in run("hold", "eve", *said, dsn=database)
    assert "held already" in run("hold", "eve", *said, dsn=database, status=1)
    assert {one["account"] for one in shown("holds", dsn=database, status=1)["holds"]} == {"bob", "eve"}  # fmt: skip
    assert "2 accounts are held" in run("holds", dsn=database, status=1)
    assert "account eve is released" in run("unhold", "eve", *said, dsn=database)


def test_the_limits_in_force_can_be_saved_changed_and_set(database: str, tmp_path: Path) -> None:
    # given the limits in force, as a file
    before = shown("limits", "show", dsn=database)
    assert (before["version"], parse(before["document"], "shown")) == (0, DEFAULTS)
    file = tmp_path / "limits.yaml"
    before["document"]["currencies"]["USD"]["approval_above_minor"] = 7
    file.write_text(yaml.safe_dump(before["document"]))

    # when they are set
    made = shown("limits", "set", str(file), "--by", "anna", "--why", "tighter", dsn=database)

    # then they are in force, and history says who and why
    assert made == {"version": 1, "set_by": "anna"}
    assert "version 1, set by anna" in run("limits", "show", dsn=database)
    assert "0.07" in run("limits", "show", dsn=database)
    versions = shown("limits", "show", "--history", dsn=database)["versions"]
    assert [(one["version"], one["set_by"]) for one in versions] == [(1, "anna"), (0, "")]
    assert "tighter" in run("limits", "show", "--history", dsn=database)


def test_the_example_can_be_set(database: str) -> None:
    example = str(ROOT / "infra" / "limits.example.yaml")
    said = ("--by", "anna", "--why", "as shipped")

    assert "as shipped" in run("limits", "set", example, *said, dsn=database)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["list", "--state", "lost"], "Invalid value"),
        (["approve", "any", "--by", ""], "--by: ''; expected 1 to 64 printable characters"),
        (["refuse", "any", "--by", "x", "--why", " "], "--why: ' '; expected"),
        (["hold", "any", "--by", "Screening", "--why", "x"], "expected a person's name"),
        (["limits", "set", "nowhere.yaml", "--by", "x", "--why", "x"], "expected a file to read"),
        (["limits", "set", "{file}", "--by", "x", "--why", "x"], "limits.yaml: unrated_kw: -1; expected a whole number"),
        (["limits", "set", "{broken}", "--by", "x", "--why", "x"], "no YAML"),
        (["limits", "set", "{endless}", "--by", "x", "--why", "x"], "longer than expected"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_ends_with_two(database: str, tmp_path: Path, words, said) -> None:
    files = {"file": "limits.yaml", "broken": "broken.yaml", "endless": "endless.yaml"}
    paths = {name: str(tmp_path / file) for name, file in files.items()}
    Path(paths["file"]).write_text(json.dumps({**plain(DEFAULTS), "unrated_kw": -1}))
    Path(paths["broken"]).write_text("a: [")
    Path(paths["endless"]).write_text("#" * (1024 * 1024 + 1))

    told = run(*(word.format(**paths) for word in words), dsn=database, status=2)

    assert said in " ".join(told.split())


def test_a_database_that_does_not_answer_ends_with_one(tmp_path: Path) -> None:
    for words in (["list"], ["limits", "show"], ["approve", "any", "--by", "x"]):
        assert "connecting as v2g_operator" in run(*words, dsn=f"host={tmp_path} dbname=none", status=1)  # fmt: skip
