"""Sending what is booked, against a real server and a real database."""

import json
import random
import socket
import threading
import time
import tracemalloc
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import psycopg
import pytest

from embedded.processes import wait_until
from settlement.posting import Backoff, Outcome, State
from simulators.clearinghouse import ClearingHouse, Misbehaviour
from storage import lanes, outbox
from storage.engine import Role, connect
from storage.errors import DatabaseUnavailableError
from tasks.posting.run import CannotSignError, Clearinghouse, PostSummary, Progress, post_pending
from tests.postings import NOON, clear, echo, empty, outbox_database, posting, postings
from tests.tasks.posting.scripted import Request, Script, ScriptedServer, answers, response, right

SOON = Backoff(first=timedelta(milliseconds=20), cap=timedelta(milliseconds=200))
FAULTY = Misbehaviour(
    slow=0.042, error=0.14, lost_ack=0.14, too_many=0.003, wrong_echo=0.08, html=0.045,
    truncated=0.08, drip=0.01, huge=0.01,
)  # fmt: skip
"""55 % of all answers."""


@pytest.fixture(scope="module")
def migrated(plain_postgres):
    with outbox_database(plain_postgres) as dsn:
        yield dsn


@pytest.fixture
def database(migrated):
    empty(migrated)
    return migrated


@pytest.fixture
def ask(database):
    with psycopg.connect(database, user="v2g", autocommit=True) as conn:
        yield lambda query, *values: conn.execute(query, values).fetchall()


@pytest.fixture
def book(database):
    def book(*given, at=NOON):
        with connect(database, Role.SETTLE) as conn:
            outbox.enqueue(conn, given, at)
        clear(database)

    return book


def now() -> datetime:
    return datetime.now(UTC)


def post(dsn: str, url: str, **options: Any) -> PostSummary:
    backoff = options.pop("backoff", SOON)
    call_s = options.pop("call_s", 2.0)
    asks_status = options.pop("asks_status", False)
    clearinghouse = Clearinghouse(
        url, "secret", deadline_s=call_s, backoff=backoff, asks_status=asks_status,
        signer=options.pop("signer", None),
    )  # fmt: skip
    given: dict[str, Any] = {"clock": now, "random": random.Random(7)} | options
    return post_pending(dsn, clearinghouse, **given)


def sent_per_posting(server: ScriptedServer) -> Counter[str]:
    return Counter(request.fields["posting_id"] for request in server.requests)


# --- one run ---------------------------------------------------------------------------------------


def test_everything_that_is_due_is_sent_once_and_acknowledged(database, book, ask):
    # given
    book(*postings(40))

    # when
    with ScriptedServer(answers(201)) as server:
        summary = post(database, server.url)

    # then
    assert {r.fields["posting_id"] for r in server.requests} == {p.posting_id for p in postings(40)}
    assert summary.done.outcomes == {Outcome.ACKNOWLEDGED: 40}
    assert summary.done.acknowledged_minor == {"USD": sum(p.amount_minor for p in postings(40))}
    assert (summary.open, summary.parked, summary.next_due_at) == (0, 0, None)
    assert ask("select state, attempts, count(*) from posting_state group by 1, 2") == [
        ("acknowledged", 1, 40)
    ]
    assert ask("select attempt, outcome, http_status, count(*) from receipt group by 1, 2, 3") == [
        (1, "acknowledged", 201, 40)
    ]


def test_a_run_with_nothing_to_do_sends_nothing(database):
    with ScriptedServer(answers(201)) as server:
        summary = post(database, server.url, until_empty=True)
    assert (server.requests, summary.done.attempts, summary.by_state) == ([], 0, {})


@pytest.mark.parametrize(
    ("script", "outcome", "state"),
    [
        (answers(208), "acknowledged", "acknowledged"),
        (answers(429, b""), "refused_temporarily", "queued"),
        (answers(503, b""), "refused_temporarily", "queued"),
        (answers(401, b""), "not_served", "queued"),
        (answers(500, b""), "server_failed", "unknown"),
        (lambda _, connection: connection.close(), "lost", "unknown"),
        (lambda *_: time.sleep(0.6), "no_answer", "unknown"),
        (answers(200, b"<html>"), "echo_differs", "disputed"),
        (answers(200, echo(posting(), amount_minor="1")), "echo_differs", "disputed"),
        (answers(409, b""), "conflict", "parked"),
        (answers(422, b""), "rejected", "rejected"),
    ],
    ids=["208", "429", "503", "401", "500", "cut", "slow", "html", "wrong amount", "409", "422"],
)
def test_every_outcome_is_on_disk_when_the_run_ends(database, book, ask, script, outcome, state):
    # given
    book(posting())

    # when
    with ScriptedServer(script) as server:
        summary = post(database, server.url, limit=1, call_s=0.3)

    # then
    assert summary.done.outcomes == {Outcome(outcome): 1}
    assert ask("select state, attempts, leased_until from posting_state") == [(state, 1, None)]
    assert ask("select outcome from receipt") == [(outcome,)]


def test_an_effect_whose_answer_was_lost_is_found_by_sending_the_same_again(database, book, ask):
    # given a clearinghouse that takes effect at once and answers only the second time
    book(posting())
    held: set[str] = set()

    def lose_first(request: Request, connection: socket.socket) -> None:
        key = request.headers["idempotency-key"]
        if key in held:
            connection.sendall(response(208, right(request)))
        held.add(key)

    # when
    with ScriptedServer(lose_first) as server:
        post(database, server.url, until_empty=True)

    # then
    assert [r.body for r in server.requests] == [posting().body] * 2
    assert held == {f'"{posting().posting_id}"'}
    assert ask("select attempt, outcome from receipt order by 1") == [
        (1, "lost"),
        (2, "acknowledged"),
    ]


def test_a_refusal_after_a_doubtful_attempt_waits_for_a_person(database, book, ask):
    # given
    book(posting())
    scripts = [lambda _, connection: connection.close(), answers(503, b""), answers(400, b"")]

    def in_turn(request: Request, connection: socket.socket) -> None:
        scripts[len(server.requests) - 1](request, connection)

    # when
    with ScriptedServer(in_turn) as server:
        summary = post(database, server.url, until_empty=True)

    # then it is neither taken for paid nor for unpaid
    assert summary.parked == 1
    assert ask("select outcome from receipt order by attempt") == [
        ("lost",),
        ("refused_temporarily",),
        ("rejected",),
    ]


def test_never_more_calls_are_out_than_agreed(database, book):
    # given
    book(*postings(60))

    def slowly(request: Request, connection: socket.socket) -> None:
        time.sleep(0.05)
        connection.sendall(response(201, right(request)))

    # when
    with ScriptedServer(slowly) as server:
        post(database, server.url, concurrency=5)

    # then
    assert server.most_at_once == 5
    assert len(server.requests) == 60


def test_a_run_makes_no_more_attempts_than_its_limit(database, book):
    # given
    book(*postings(30))

    # when
    with ScriptedServer(answers(201)) as server:
        summary = post(database, server.url, limit=11)

    # then
    assert len(server.requests) == 11
    assert (summary.done.attempts, summary.open) == (11, 19)


def test_a_run_until_empty_waits_for_what_is_due_later(database, book, ask):
    # given
    book(posting(1))
    book(posting(2), at=now() + timedelta(seconds=0.8))

    # when
    with ScriptedServer(answers(201)) as server:
        began = time.monotonic()
        summary = post(database, server.url, until_empty=True)
        took_s = time.monotonic() - began

    # then
    assert summary.done.outcomes == {Outcome.ACKNOWLEDGED: 2}
    assert took_s > 0.4


def test_a_run_until_empty_ends_at_its_deadline_all_the_same(database, book):
    # given
    book(*postings(3))

    # when
    with ScriptedServer(answers(500, b"")) as server:
        began = time.monotonic()
        summary = post(database, server.url, until_empty=True, deadline_s=1.0)
        took_s = time.monotonic() - began

    # then
    assert summary.by_state == {State.UNKNOWN: 3}
    assert summary.next_due_at is not None
    assert 1.0 <= took_s < 3.0


def test_progress_counts_what_is_recorded(database, book):
    # given
    book(*postings(20))
    told: list[Progress] = []

    # when
    with ScriptedServer(answers(201)) as server:
        post(database, server.url, progress=told.append)

    # then
    assert told[-1].attempts == 20
    assert all(a.attempts < b.attempts for a, b in pairwise(told))


# --- a partner that wants to be left alone -----------------------------------------------------------


def test_all_wait_when_one_is_asked_to(database, book):
    # given a clearinghouse that asks the first one to come again in a second
    book(*postings(12))
    asked_at: list[float] = []
    came_at: list[float] = []

    def busy_at_first(request: Request, connection: socket.socket) -> None:
        came_at.append(time.monotonic())
        if len(came_at) == 1:
            connection.sendall(response(429, headers={"retry-after": "1"}))
            asked_at.append(time.monotonic())
        else:
            connection.sendall(response(201, right(request)))

    # when
    with ScriptedServer(busy_at_first) as server:
        summary = post(database, server.url, until_empty=True, concurrency=1)

    # then the others wait as long, and the one itself is back within a second of its time
    assert summary.open == 0
    assert came_at[1] - asked_at[0] >= 0.98
    [again] = [
        at
        for at, r in zip(came_at, server.requests, strict=True)
        if r.body == server.requests[0].body
    ][1:]
    assert 0.98 <= again - asked_at[0] <= 2.5


@pytest.mark.parametrize("header", ["soon", "-5", "", "Thu, 01 Jan 1970 00:00:00 GMT", "0"])
def test_a_wait_without_sense_leaves_the_backoff_in_force(database, book, header):
    # given
    book(*postings(3))

    def busy_at_first(request: Request, connection: socket.socket) -> None:
        if sent_per_posting(server)[request.fields["posting_id"]] == 1:
            connection.sendall(response(429, headers={"retry-after": header}))
        else:
            connection.sendall(response(201, right(request)))

    # when
    with ScriptedServer(busy_at_first) as server:
        summary = post(database, server.url, until_empty=True, deadline_s=20)

    # then
    assert summary.done.outcomes == {Outcome.REFUSED_TEMPORARILY: 3, Outcome.ACKNOWLEDGED: 3}


def test_a_run_does_not_wait_out_a_long_rest(database, book, ask):
    # given
    book(*postings(50))

    # when
    with ScriptedServer(answers(429, b"", retry_after="999999")) as server:
        summary = post(database, server.url, concurrency=4)

    # then only what was out already was refused, and it waits an hour
    assert len(server.requests) <= 4
    assert summary.open == 50
    [(wait,)] = ask(
        "select min(next_attempt_at - changed_at) from posting_state where state = 'queued' and attempts > 0"
    )
    assert timedelta(hours=1) <= wait <= timedelta(hours=1, seconds=1)


@pytest.mark.parametrize(
    "script",
    [answers(401, b""), answers(307, b"", location="https://x.example/"), None],
    ids=["401", "307", "down"],
)
def test_a_partner_that_does_not_serve_us_is_not_hammered(database, book, script):
    # given a long queue
    book(*postings(2_000))

    # when
    with ScriptedServer(script or answers(200)) as server:
        url = server.url if script else f"http://127.0.0.1:{_closed_port()}"
        summary = post(database, url, concurrency=4, limit=2_000)

    # then a few calls find out, and the queue stays on disk
    assert summary.done.attempts <= 16
    assert summary.open == 2_000
    assert set(summary.by_state) <= {State.PENDING, State.QUEUED}


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_memory_holds_a_few_postings_however_long_the_queue(database, book):
    # given a queue of some 15 MB, and a clearinghouse that is of no use
    book(*postings(10_000))
    with ScriptedServer(answers(500, b"")) as server:
        tracemalloc.start()
        try:
            # when
            post(database, server.url, until_empty=True, deadline_s=8.0)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    # then
    assert len(server.requests) >= 8
    assert peak < 4 * 1024 * 1024


# --- several posters, broken databases ---------------------------------------------------------------


def test_two_posters_at_once_pay_each_posting_once(database, book, ask):
    # given a clearinghouse most of whose answers are bad
    booked = postings(100)
    book(*booked)
    summaries: list[PostSummary] = []

    def one(seed: int) -> None:
        summaries.append(
            post(database, house.url, until_empty=True, call_s=0.5, lease_s=2.0,
                 random=random.Random(seed), deadline_s=60)
        )  # fmt: skip

    # when
    with ClearingHouse(token="secret", seed=5, misbehaviour=FAULTY) as house:
        threads = [threading.Thread(target=one, args=(seed,)) for seed in (1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90)
        truth = house.truth()

    # then
    assert len(summaries) == 2
    assert truth.effects == {p.posting_id: 1 for p in booked}
    assert truth.totals_minor == {"USD": sum(p.amount_minor for p in booked)}
    assert ask("select state, count(*) from posting_state group by 1") == [("acknowledged", 100)]
    paid = sum(s.done.acknowledged_minor.get("USD", 0) for s in summaries)
    assert paid == truth.totals_minor["USD"]
    # and both did their share, without sending what the other held
    assert min(s.done.attempts for s in summaries) > 10
    assert sum(s.done.attempts for s in summaries) == sum(truth.attempts.values())


def test_a_database_that_breaks_off_between_sending_and_recording_costs_nothing(
    database, book, ask
):
    # given a database that ends the poster's connection while its call is out
    book(posting())

    def cut_database(request: Request, connection: socket.socket) -> None:
        if len(server.requests) == 1:
            ask(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'v2g_poster'"
            )
        connection.sendall(response(201, right(request)))

    with ScriptedServer(cut_database) as server:
        # when
        with pytest.raises(DatabaseUnavailableError):
            post(database, server.url, call_s=0.5, lease_s=1.0)
        left = ask("select state, attempts from posting_state")
        summary = post(database, server.url, call_s=0.5, lease_s=1.0, until_empty=True)

    # then the attempt is visible, and made again under the same id once its lease is over
    assert left == [("sent", 1)]
    assert summary.open == 0
    assert ask("select attempt, outcome from receipt") == [(2, "acknowledged")]
    assert len({r.headers["idempotency-key"] for r in server.requests}) == 1


def test_an_answer_that_comes_after_the_lease_is_not_counted_as_this_runs_money(
    database, book, ask
):
    # given another poster that claims while this one still waits for its answer
    book(posting())

    def overtake(request: Request, connection: socket.socket) -> None:
        ask("update posting_state set attempts = attempts + 1 returning 1")
        connection.sendall(response(201, right(request)))

    # when
    with ScriptedServer(overtake) as server:
        summary = post(database, server.url)

    # then the receipt is kept, and the state and the money are the other's
    assert ask("select attempt, outcome from receipt") == [(1, "acknowledged")]
    assert summary.by_state == {State.SENT: 1}
    assert summary.done.acknowledged_minor == {}


def test_a_clock_that_was_a_day_ahead_does_not_hold_up_the_queue(database, book):
    # given a posting booked by a clock that ran ahead
    book(posting(), at=now() + timedelta(days=1))

    # when
    with ScriptedServer(answers(201)) as server:
        summary = post(database, server.url)

    # then
    assert summary.done.outcomes == {Outcome.ACKNOWLEDGED: 1}


def test_an_interrupted_run_leaves_what_was_out_to_the_next(database, book, ask):
    # given
    book(*postings(5))

    def interrupt(request: Request, connection: socket.socket) -> None:
        connection.sendall(response(201, right(request)))

    def stop(_) -> None:
        raise KeyboardInterrupt

    # when
    with ScriptedServer(interrupt) as server:
        with pytest.raises(KeyboardInterrupt):
            post(database, server.url, progress=stop, call_s=0.5, lease_s=1.0, concurrency=1)
        summary = post(database, server.url, call_s=0.5, lease_s=1.0, until_empty=True)

    # then
    assert summary.open == 0
    assert json.loads(server.requests[0].body)["posting_id"] in {p.posting_id for p in postings(5)}
    assert ask("select count(*) from posting_state where state = 'acknowledged'") == [(5,)]


@pytest.mark.parametrize(
    "bad",
    [
        {"lease_s": 2.9},
        {"lease_s": 5.9, "asks_status": True},
        {"lease_s": 3601},
        {"concurrency": 0},
        {"limit": 0},
    ],
    ids=str,
)
def test_bounds_without_sense_are_refused(bad):
    with pytest.raises(ValueError, match="expected"):
        post("", "http://localhost", **bad)


# --- asking before sending again -----------------------------------------------------------------------


class House:
    """A clearinghouse that remembers what it was sent, answers as it is told, and can be asked."""

    def __init__(self, *posts: Script, asked: Script | None = None) -> None:
        self.posts = posts
        self.asked = asked
        self.held: dict[str, bytes] = {}
        self.calls: list[str] = []

    def __call__(self, request: Request, connection: socket.socket) -> None:
        method, path, _ = request.line.split()
        self.calls.append(method)
        if method == "GET":
            (self.asked or self.tell)(request, connection)
            return
        assert path == "/v1/postings"
        self.held.setdefault(request.fields["posting_id"], right(request))
        script = self.posts[min(self.calls.count("POST"), len(self.posts)) - 1]
        script(request, connection)

    def tell(self, request: Request, connection: socket.socket) -> None:
        held = self.held.get(request.line.split()[1].rsplit("/", 1)[1])
        connection.sendall(response(200, held) if held else response(404, b"{}"))


def cut(_: Request, connection: socket.socket) -> None:
    """Paid, and the answer lost."""
    connection.close()


def test_f11_what_stands_in_doubt_is_asked_for_and_not_sent_again(database, book, ask):
    # given an effect whose answer was lost
    book(posting())
    house = House(cut)

    # when
    with ScriptedServer(house) as server:
        summary = post(database, server.url, until_empty=True, asks_status=True)

    # then one question settles it
    assert house.calls == ["POST", "GET"]
    assert summary.done.acknowledged_minor == {"USD": 101}
    assert ask("select attempt, outcome, http_status, detail from receipt order by 1")[1] == (
        2, "acknowledged", 200, "status query: 200: the echo is ours",
    )  # fmt: skip


@pytest.mark.parametrize(
    "asked",
    [
        answers(404, b"{}"),
        answers(200, b"<html>"),
        answers(200, echo(posting(), amount_minor="1")),
        answers(500, b""),
        answers(302, b"", location="/elsewhere"),
        cut,
        lambda *_: time.sleep(0.6),
    ],
    ids=["404", "html", "wrong amount", "500", "redirect", "cut", "slow"],
)
def test_an_answer_that_says_nothing_is_followed_by_the_same_id_again(database, book, ask, asked):
    # given
    book(posting())
    house = House(cut, answers(208), asked=asked)

    # when
    with ScriptedServer(house) as server:
        post(database, server.url, until_empty=True, asks_status=True, call_s=0.3)

    # then
    assert house.calls == ["POST", "GET", "POST"]
    assert {r.body for r in server.requests if r.body} == {posting().body}
    [(detail,)] = ask("select detail from receipt where outcome = 'acknowledged'")
    assert detail.startswith("status query: ")
    assert detail.endswith("; sent again: 208: the echo is ours")


def test_a_partner_that_asks_us_to_wait_when_asked_is_not_sent_anything(database, book, ask):
    # given
    book(posting())
    house = House(cut, asked=answers(429, b"", retry_after="3000"))

    # when
    with ScriptedServer(house) as server:
        summary = post(database, server.url, until_empty=True, asks_status=True, deadline_s=1.0)

    # then the doubt stands, and the lane rests
    assert house.calls == ["POST", "GET"]
    assert summary.by_state == {State.UNKNOWN: 1}
    assert summary.rest is not None
    assert summary.rest.why.startswith("status query: 429")


def test_what_certainly_had_no_effect_is_not_asked_for(database, book):
    # given
    book(posting())
    house = House(answers(503, b""), answers(201))

    # when
    with ScriptedServer(house) as server:
        post(database, server.url, until_empty=True, asks_status=True)

    # then
    assert house.calls == ["POST", "POST"]


def test_f19_a_posting_that_a_killed_poster_left_is_asked_for_first(database, book):
    # given a claim that was sent, took effect, and of which nobody has recorded anything
    book(posting())
    house = House(answers(201))
    with ScriptedServer(house) as server:
        with connect(database, Role.POSTER) as conn:
            outbox.claim(
                conn, partner="clearinghouse", now=NOON, limit=1, lease=timedelta(seconds=1)
            )
        house.held[posting().posting_id] = echo(posting())

        # when
        summary = post(database, server.url, asks_status=True)

    # then
    assert house.calls == ["GET"]
    assert summary.done.outcomes == {Outcome.ACKNOWLEDGED: 1}


# --- screened first ------------------------------------------------------------------------------------


def test_what_is_not_screened_is_not_sent(database):
    # given
    with connect(database, Role.SETTLE) as conn:
        outbox.enqueue(conn, [posting()], NOON)

    # when
    with ScriptedServer(answers(201)) as server:
        summary = post(database, server.url, until_empty=True)

    # then it waits for its screening, and so does nobody else
    assert (server.requests, summary.open, summary.next_due_at) == ([], 1, None)


# --- a lane that all share -----------------------------------------------------------------------------


def test_f13_another_poster_and_a_restarted_one_wait_as_long_as_one_was_asked_to(
    database, book, ask
):
    # given a run that was asked to wait
    book(*postings(5))
    with ScriptedServer(answers(429, b"", retry_after="120")) as server:
        post(database, server.url, concurrency=1)
        assert len(server.requests) == 1
        [(rests_until, by)] = ask("select rests_until, by from partner_lane")
        assert by == "the partner"

        # when others run within that time
        again = post(database, server.url, concurrency=4)
        soon = post(
            database, server.url, clock=lambda: rests_until - timedelta(seconds=1), concurrency=4
        )
        assert len(server.requests) == 1
        assert again.rest is not None
        assert (again.rest.until, again.done.attempts) == (rests_until, 0)
        assert soon.done.attempts == 0

        # then they send once it is over
        server.script = answers(201)
        late = post(database, server.url, clock=lambda: rests_until + timedelta(seconds=2))
    assert late.done.outcomes == {Outcome.ACKNOWLEDGED: 5}
    assert late.rest is None


def test_a_partner_that_asks_for_the_same_again_and_again_is_written_down_once(database, book, ask):
    # given twelve calls at once, all of them refused
    book(*postings(12))
    ask("select pg_stat_reset_single_table_counters('partner_lane'::regclass)")

    # when
    with ScriptedServer(answers(429, b"", retry_after="60")) as server:
        post(database, server.url, concurrency=12)

    # then the row was written by one transaction or two, not by twelve
    assert len(server.requests) > 2
    [(written,)] = ask(
        "select n_tup_ins + n_tup_upd from pg_stat_user_tables where relname = 'partner_lane'"
    )
    assert written <= 2


def test_an_operators_pause_is_noticed_by_a_run_that_is_going_on_and_so_is_its_end(
    database, book, ask
):
    # given a run over a long queue, and an operator who pauses it in the middle
    book(*postings(60))
    paused = threading.Event()

    def decide(until: datetime) -> None:
        with connect(database, Role.OPERATOR) as conn:
            lanes.decide(conn, partner="clearinghouse", until=until, why="told so", by="anna",
                         now=now())  # fmt: skip

    def pause_at_the_tenth(request: Request, connection: socket.socket) -> None:
        if len(server.requests) == 10:
            decide(lanes.UNTIL_RESUMED)
            paused.set()
        connection.sendall(response(201, right(request)))

    def left() -> dict[str, int]:
        return dict(ask("select state, count(*) from posting_state group by 1"))

    done: list[PostSummary] = []
    with ScriptedServer(pause_at_the_tenth) as server:
        run = threading.Thread(
            target=lambda: done.append(post(database, server.url, until_empty=True, concurrency=2))
        )
        run.start()
        assert paused.wait(20)

        # when nothing goes out any more, and nothing is kept from others
        wait_until(lambda: "sent" not in left(), deadline_s=20, what="the run to pause")
        sent = len(server.requests)
        assert sent < 20
        decide(now())
        run.join(30)

    # then it goes on
    assert len(server.requests) == 60
    assert left() == {"acknowledged": 60}
    assert done[0].open == 0


# --- a key that does not sign --------------------------------------------------------------------------


class Key:
    """Signs so many requests; after them its token is away, or its certificate over."""

    def __init__(self, signs: int, *, checks: bool = True) -> None:
        self.left = signs
        self.checks = checks

    def check(self) -> None:
        if not self.checks:
            raise ValueError("ERR_AUTH_EXPIRED: it is over; v2g keys rotate")

    def sign(self, request: httpx.Request) -> None:
        if self.left <= 0:
            raise ValueError("ERR_AUTH_EXPIRED: the token is away; plug it in")
        self.left -= 1
        request.headers["signature"] = "sig=:aaaa:"


def test_a_run_ends_when_the_key_no_longer_signs_and_the_queue_stays(database, book, ask):
    # given a token that is taken away after three postings
    book(*postings(40))

    # when
    with ScriptedServer(answers(201)) as server, pytest.raises(CannotSignError) as told:
        post(database, server.url, signer=Key(3), concurrency=2)

    # then nothing went out unsigned, nothing is kept from others, and the partner is not blamed
    assert str(told.value) == "ERR_AUTH_EXPIRED: the token is away; plug it in"
    assert [r.headers["signature"] for r in server.requests] == ["sig=:aaaa:"] * 3
    states = dict(ask("select state, count(*) from posting_state group by 1"))
    assert states["acknowledged"] == 3
    assert set(states) <= {"acknowledged", "pending", "queued"}
    assert ask("select distinct outcome from receipt order by 1") == [
        ("acknowledged",),
        ("not_sent",),
    ]
    assert ask("table partner_lane") == []


def test_with_a_certificate_that_is_over_nothing_is_claimed(database, book, ask):
    # given
    book(*postings(3))

    # when
    with (
        ScriptedServer(answers(201)) as server,
        pytest.raises(CannotSignError, match="keys rotate"),
    ):
        post(database, server.url, signer=Key(9, checks=False))

    # then
    assert server.requests == []
    assert ask("select state, attempts, count(*) from posting_state group by 1, 2") == [
        ("pending", 0, 3)
    ]


# --- pressure --------------------------------------------------------------------------------------------


def test_f12_while_first_attempts_wait_retries_are_a_share_of_the_calls(database, book):
    # given a queue half of which fails at first, again and again
    book(*postings(150))
    backoff = Backoff(first=timedelta(milliseconds=1), cap=timedelta(milliseconds=1))
    tries: Counter[str] = Counter()
    shares: list[float] = []

    def half(request: Request, connection: socket.socket) -> None:
        one = request.fields["posting_id"]
        tries[one] += 1
        if len(tries) < 150:
            shares.append(1 - len(tries) / tries.total())
        ok = tries[one] > 5 or int(one[:2], 16) % 2
        connection.sendall(response(201, right(request)) if ok else response(500))

    # when
    with ScriptedServer(half) as server:
        summary = post(database, server.url, until_empty=True, backoff=backoff, deadline_s=60)

    # then nobody waits for retries, who have had a fifth of the calls, and one a second
    assert summary.open == 0
    assert shares[-1] < 0.3
    assert tries.total() > 350


@pytest.mark.slow
def test_a_partner_that_is_down_for_seven_days_costs_a_few_calls_a_day_and_no_memory(
    database, book, ask
):
    # given a queue, and a clock that goes on by four hours with every run
    book(*postings(2_000), at=NOON)
    url = f"http://127.0.0.1:{_closed_port()}"
    peaks: list[int] = []
    calls: Counter[int] = Counter()
    tracemalloc.start()
    try:
        # when a run is tried every four hours of seven days
        for hour in range(0, 7 * 24, 4):
            at = NOON + timedelta(hours=hour)
            tracemalloc.reset_peak()
            summary = post(
                database, url, clock=lambda at=at: at, backoff=Backoff(), random=random.Random(hour)
            )
            peaks.append(tracemalloc.get_traced_memory()[1])
            calls[hour // 24] += summary.done.attempts
    finally:
        tracemalloc.stop()

    # then a run finds out with a few calls, each posting is tried a few times, and all is on disk
    assert max(calls.values()) <= 6 * 24
    [(most,)] = ask("select max(attempts) from posting_state")
    assert most < 7 * 6
    assert sum(n for _, n in ask("select state, count(*) from posting_state group by 1")) == 2_000
    assert max(peaks[-6:]) - max(peaks[:6]) < 128 * 1024

    # and once it is up again all goes out
    with ScriptedServer(answers(201)) as server:
        for hour in range(6):  # a machine that does much else may let a call pass its deadline
            week = NOON + timedelta(days=7, hours=hour)
            summary = post(database, server.url, limit=5_000, clock=lambda at=week: at)
            if not summary.open:
                break
    assert (summary.open, len({one.fields["posting_id"] for one in server.requests})) == (0, 2_000)
