"""`v2g ledger`, `v2g runs` and `v2g true-up`: what they print, and how they end."""

import json
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.storage.booked import book
from tests.tasks.scene import START, WHOLE, Scene, administrator

ONE = "DE*V2G*E00001"
DAY = timedelta(days=1)


def run(*words: str, dsn: str, status: int = 0) -> str:
    """What a command prints on standard output."""
    result = CliRunner().invoke(app, [*words, "--database", dsn], env={"COLUMNS": "200"})
    assert result.exit_code == status, result.output
    return result.output if status else result.stdout


def test_the_balance_is_printed_and_is_zero_in_sum(plain_database: str) -> None:
    book(plain_database, 101, 102)
    printed = json.loads(run("ledger", "balance", "--json", dsn=plain_database))
    assert printed["stands"] is True
    assert printed["trial"] == [
        {"currency": "USD", "debit_minor": 203, "credit_minor": 203, "balance_minor": 0}
    ]
    assert "payable:owner:alice" in run("ledger", "balance", dsn=plain_database)


def test_a_ledger_out_of_balance_ends_with_one(plain_database: str) -> None:
    book(plain_database, 101)
    with administrator(plain_database) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("delete from journal_line where account like 'payable%'")
    assert "does not balance in USD" in run("ledger", "balance", dsn=plain_database, status=1)


def test_a_period_is_closed_and_verified_and_a_change_is_named(
    plain_database: str, tmp_path: Path
) -> None:
    # given bookings, sealed into a file too
    out = tmp_path / "seals.ndjson"
    book(plain_database, 101, 102)
    closed = json.loads(run("ledger", "close", "--out", str(out), "--json", dsn=plain_database))
    assert (closed["seals"], closed["bookings"], closed["written"]) == (1, 2, 1)
    assert json.loads(out.read_text())["seal_digest"] == closed["seal_digest"]
    # when it is verified
    stands = json.loads(
        run("ledger", "verify", "--against", str(out), "--json", dsn=plain_database)
    )
    # then
    assert stands == {"bookings": 2, "seals": 1, "unsealed": 0, "finding": None}
    assert "sealed bookings" in run("ledger", "verify", dsn=plain_database)
    # and a superuser's edit ends it with one
    with psycopg.connect(plain_database, user="v2g") as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update line set amount_micros = 1 where settlement_id = 'settlement-102'")
    told = run("ledger", "verify", dsn=plain_database, status=1)
    assert "edited: seal 1, booking 2, settlement settlement-102" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(
            ["close", "--until", "yesterday"], "expected a time with its zone", id="no time"
        ),
        pytest.param(
            ["close", "--until", "2026-08-01"], "expected a time with its zone", id="no zone"
        ),
        pytest.param(["verify", "--against", "nowhere.ndjson"], "expected a file", id="no file"),
    ],
)
def test_what_cannot_be_read_ends_with_two(
    plain_database: str, words: list[str], said: str
) -> None:
    assert said in run("ledger", *words, dsn=plain_database, status=2)


def test_a_run_is_verified_and_one_that_came_to_something_else_ends_with_one(
    plain_database: str,
) -> None:
    # given a settled half hour
    scene = Scene(plain_database)
    scene.set_up(ONE)
    scene.deliver(scene.packet(ONE, n) for n in range(120))
    summary = scene.settle()
    # when
    printed = json.loads(run("runs", "verify", summary.run_id, "--json", dsn=plain_database))
    # then
    assert (printed["stands"], printed["replayed"]) == (True, summary.outputs_digest)
    with administrator(plain_database) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update price_version set price_micros_per_kwh = 1")
    told = run("runs", "verify", summary.run_id, dsn=plain_database, status=1)
    assert "comes to something else now: what it read differs" in told
    assert "not in this database" in run("runs", "verify", "x", dsn=plain_database, status=1)


def test_a_period_is_shown_as_of_an_earlier_time(plain_database: str) -> None:
    # given a settled half hour whose price was revised afterwards
    scene = Scene(plain_database)
    scene.set_up(ONE)
    scene.deliver(scene.packet(ONE, n) for n in range(120))
    summary = scene.settle()
    as_of = scene.one("select known_at from settlement_run").isoformat()
    scene.price(WHOLE.started_at, WHOLE.ended_at, 210_000)
    words = [
        "settle", "--from", WHOLE.started_at.isoformat(), "--to", WHOLE.ended_at.isoformat(),
    ]  # fmt: skip
    # when
    shown = json.loads(run(*words, "--as-of", as_of, "--json", dsn=plain_database))
    # then
    assert (shown["state"], shown["amount_minor"]) == ("replayed", 129)
    assert shown["outputs_digest"] == summary.outputs_digest
    assert "with its zone" in run(*words, "--as-of", "2026-07-01", dsn=plain_database, status=2)
    assert "needs a period" in run("settle", "--as-of", as_of, dsn=plain_database, status=2)


def test_the_calendar_is_shown_dry_and_then_run(plain_database: str) -> None:
    # given a day that its program's first run, due by now, has not settled
    scene = Scene(plain_database)
    scene.set_up(ONE)
    early = START - 3 * DAY
    scene.program(version=2, valid_from=early - DAY, timezone="UTC")
    scene.event("early", early, early + timedelta(hours=1))
    # when
    dry = json.loads(run("true-up", "--dry-run", "--json", dsn=plain_database))
    first = json.loads(run("true-up", "--json", dsn=plain_database))
    # then
    days = [f"{early:%F}", *([f"{START:%F}"] if len(dry["runs"]) > 1 else [])]
    assert [(one["day"], one["name"], one["state"]) for one in dry["runs"]] == [
        (day, "initial", "dry_run") for day in days
    ]
    assert [one["state"] for one in first["runs"]] == ["settled"] * len(days)
    assert "0 runs of the calendar" in run("true-up", dsn=plain_database)
    assert "go together" in run("true-up", "--release", "why", dsn=plain_database, status=2)
