"""`v2g post`: screened, sent, told; and a bar only where somebody watches."""

import io
import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from cli import post as command
from settlement.posting import Outcome
from storage import outbox
from storage.engine import Role, connect
from tasks.posting.run import Progress
from tests.postings import NOON, facts, posting
from tests.tasks.posting.scripted import ScriptedServer, answers

app = typer.Typer()
app.command()(command.post)


@pytest.fixture
def booked(plain_database: str) -> Callable[[int], str]:
    """Books so many small payouts, and gives the database."""

    def book(count: int) -> str:
        with connect(plain_database, Role.SETTLE) as conn:
            outbox.enqueue(conn, [posting(n) for n in range(1, count + 1)], NOON)
        return plain_database

    return book


def v2g(dsn: str, url: str, *words: str, status: int = 0, **settings: str) -> Result:
    environment = {"V2G_DATABASE_URL": dsn, "V2G_CLEARINGHOUSE_URL": url, **settings}
    done = CliRunner().invoke(app, [*words], env=environment)
    assert done.exit_code == status, done.output
    return done


def told(done: Result) -> Any:
    return json.loads(done.stdout)


def test_what_is_booked_is_screened_and_sent(booked):
    # given
    dsn = booked(3)

    # when
    with ScriptedServer(answers(201)) as server:
        done = v2g(dsn, server.url, "--until-empty", "--json")

    # then
    assert len(server.requests) == 3
    assert told(done)["screened"]["cleared"] == 3
    assert told(done)["done"]["outcomes"] == {"acknowledged": 3}


def test_what_gets_no_answer_is_told_by_the_exit_status(booked):
    # given
    dsn = booked(2)

    # when
    with ScriptedServer(answers(429, b"", retry_after="60")) as server:
        done = v2g(dsn, server.url, status=1, V2G_POST_CONCURRENCY="1")

    # then
    assert len(server.requests) == 1
    assert "2 still queued; nobody sends until" in done.stdout
    assert "the partner" in done.stdout


def test_what_breaks_a_limit_is_not_sent_and_told(booked):
    # given a payout beyond any limit
    dsn = booked(1)
    with connect(dsn, Role.SETTLE) as conn:
        outbox.enqueue(conn, [posting(99, amount_minor=10**12)], NOON)

    # when
    with ScriptedServer(answers(201)) as server:
        done = v2g(dsn, server.url, status=1)

    # then
    assert [r.fields["settlement_id"] for r in server.requests] == [facts(1).settlement_id]
    assert "1 wait for a person" in done.stdout


@pytest.mark.parametrize("setting", ["V2G_POST_CONCURRENCY", "V2G_POST_RETRY_SHARE_PERCENT"])
def test_a_setting_that_cannot_be_used_sends_nothing(booked, setting):
    with ScriptedServer(answers(201)) as server:
        v2g(booked(1), server.url, status=2, **{setting: "1000"})
    assert server.requests == []


def test_a_partner_that_cannot_be_asked_is_not(booked):
    # given an attempt in doubt
    dsn = booked(1)
    with ScriptedServer(answers(500, b"")) as server:
        v2g(dsn, server.url, status=1)
        with psycopg.connect(dsn, user="v2g") as conn:
            conn.execute("update posting_state set next_attempt_at = now()")

        # when
        v2g(dsn, server.url, status=1, V2G_CLEARINGHOUSE_ASKS_STATUS="false")

    # then
    assert [r.line.split()[0] for r in server.requests] == ["POST", "POST"]


def test_a_database_that_is_not_there_is_told(booked):
    done = v2g("host=/nowhere dbname=v2g", "http://127.0.0.1:1", status=1)
    assert "nothing is lost, try again" in done.stderr


def test_a_terminal_sees_how_far_it_is_what_it_was_in_money_and_how_long_it_will_take(monkeypatch):
    # given somebody who watches, and a clock that goes on by ten seconds with each look
    seen = io.StringIO()
    monkeypatch.setattr(
        command, "errors", Console(file=seen, force_terminal=True, width=160, color_system=None)
    )
    seconds = iter(range(0, 1_000, 10))
    monkeypatch.setattr("cli.post.time.monotonic", lambda: next(seconds))

    # when a third is done
    with command._shown(300) as show:
        show(Progress(120, {Outcome.ACKNOWLEDGED: 100, Outcome.LOST: 20}, {"USD": 123456}))
        show(Progress(120, {Outcome.ACKNOWLEDGED: 100, Outcome.LOST: 20}, {"USD": 123456}))

    # then
    assert "100/300" in seen.getvalue()
    assert "123,456 minor units of USD" in seen.getvalue()
    assert "calls/s" in seen.getvalue()


def test_a_pipe_sees_no_bar(monkeypatch):
    # given
    seen = io.StringIO()
    monkeypatch.setattr(command, "errors", Console(file=seen, force_terminal=False))

    # when
    with command._shown(300) as show:
        show(Progress(1, {Outcome.ACKNOWLEDGED: 1}, {"USD": 1}))

    # then
    assert seen.getvalue() == ""
