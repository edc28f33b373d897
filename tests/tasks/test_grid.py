"""Reading real feeds over real sockets into a real database."""

import http.server
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from grid.config import FeedConfig, GridConfig, JsonConfig
from grid.config_file import read_config
from grid.errors import ClockOffError, FeedRefusedError, FeedUnavailableError, FeedUnreadableError
from grid.feeds import Feed, FeedReading, ResponseDue, ResponseSent, open_feed
from grid.records import ClockReading, EventSaid, PriceSaid, Refusal
from simulators.utility import Utility, UtilityFaults
from storage import feeds, registry, secrets
from storage.engine import Role, connect
from storage.feeds import TRIES_MAX, FeedState
from storage.grid import document
from tasks import words
from tasks.grid import GridSummary, NoSuchFeedError, sync_grid

TOKEN = "token-of-the-test"
NOW = datetime(2026, 7, 1, 16, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
EVENT = {
    "event_id": "event-1",
    "program": "example-energy",
    "started_at": "2026-07-01T17:00:00Z",
    "ended_at": "2026-07-01T18:00:00+00:00",
    "created_at": "2026-06-30T10:00:00.5Z",
    "status": "scheduled",
}
PRICE = {
    "program": "example-energy",
    "started_at": "2026-07-01T17:00:00Z",
    "ended_at": "2026-07-01T17:30:00Z",
    "price_per_kwh": "0.42000",
    "currency": "USD",
}
NOTHING: dict[str, list[dict[str, str]]] = {"events": [], "prices": []}
PROGRAMS = Path(__file__).parents[2] / "programs"


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, user="v2g") as conn:
        return conn.execute(query).fetchall()


def lab(url: str, **words: object) -> JsonConfig:
    return JsonConfig.model_validate({"name": "lab", "kind": "json", "url": url} | words)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(f"{TOKEN}\n")
    return path


def sync(dsn: str, *configs: FeedConfig, now: datetime = NOW, **words: Any) -> GridSummary:
    return sync_grid(dsn, GridConfig(feeds=configs), secrets=secrets, clock=lambda: now, **words)


def states(dsn: str) -> dict[str, FeedState]:
    with connect(dsn, Role.READ) as conn:
        return feeds.feed_states(conn)


@dataclass
class Said:
    """A feed that says what the test gives it; of kind json, so that it is configured like one."""

    config: FeedConfig
    readings: list[FeedReading | Exception]
    take: Callable[[ResponseDue], ResponseSent] = lambda one: ResponseSent(one, "posted", "201")
    asked_with: list[object] = field(default_factory=list)
    sent: list[ResponseDue] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def kind(self) -> str:
        return self.config.kind

    def read(self, now: Callable[[], datetime], answered: object = ()) -> FeedReading:
        self.asked_with.append(answered)
        one = self.readings.pop(0) if len(self.readings) > 1 else self.readings[0]
        if isinstance(one, Exception):
            raise one
        return one

    def respond(
        self, due: Sequence[ResponseDue], now: Callable[[], datetime]
    ) -> Sequence[ResponseSent]:
        self.sent.extend(due)
        return [self.take(one) for one in due]


CONFIG = lab("http://127.0.0.1:1")


def saying(*readings: FeedReading | Exception, **more: Any) -> tuple[Said, dict[str, Any]]:
    feed = Said(CONFIG, list(readings), **more)
    opener: Callable[..., Feed] = lambda config, secrets: feed  # noqa: E731 - one line is all it is
    return feed, {"opener": opener, "due_only": False}


def event(name: str = "event-1", **changes: Any) -> EventSaid:
    said: dict[str, Any] = {
        "event_id": name,
        "program": "example-energy",
        "started_at": NOW + timedelta(hours=1),
        "ended_at": NOW + timedelta(hours=2),
        "created_at": NOW - timedelta(hours=1),
        "status": "scheduled",
        "document": b"{}",
        "received_at": NOW,
        "feed": "lab",
    }
    return EventSaid(**(said | changes))


def price(micros: int = 420_000, **changes: Any) -> PriceSaid:
    said: dict[str, Any] = {
        "program": "example-energy",
        "started_at": NOW,
        "ended_at": NOW + timedelta(hours=1),
        "price_micros_per_kwh": micros,
        "currency": "USD",
        "digest": b"d" * 32,
        "received_at": NOW,
        "feed": "lab",
    }
    return PriceSaid(**(said | changes))


def test_events_and_prices_are_kept_with_the_documents_that_stated_them(plain_database, token_file):
    with Utility({"events": [EVENT], "prices": [PRICE]}, token=TOKEN) as utility:
        summary = sync(plain_database, lab(utility.url, token_file=token_file))

    (one,) = summary.feeds
    assert (one.events, one.events_new, one.prices, one.prices_new) == (1, 1, 1, 1)
    assert (one.error, one.refused_count, one.refused) == ("", 0, ())
    assert one.unknown == ("example-energy",)
    ((event_id, started_at, created_at, said, received_at, feed, source),) = rows(
        plain_database,
        "select event_id, started_at, created_at, document, received_at, feed, source"
        " from event_version",
    )
    assert (event_id, received_at, feed) == ("event-1", NOW, "lab")
    assert started_at == datetime(2026, 7, 1, 17, tzinfo=UTC)
    assert created_at == datetime(2026, 6, 30, 10, 0, 0, 500_000, tzinfo=UTC)
    assert json.loads(said) == EVENT
    ((micros, currency, digest, feed),) = rows(
        plain_database, "select price_micros_per_kwh, currency, digest, feed from price_version"
    )
    assert (micros, currency, feed) == (420_000, "USD", "lab")
    with connect(plain_database, Role.READ) as conn:
        pages = [document(conn, source), document(conn, digest)]
    assert [json.loads(page or b"{}") for page in pages] == [
        {"events": [EVENT]},
        {"prices": [PRICE]},
    ]
    assert rows(plain_database, "select distinct received_at, feed from grid_document") == [
        (NOW, "lab")
    ]


def test_reading_the_same_again_adds_nothing(plain_database, token_file):
    with Utility({"events": [EVENT], "prices": [PRICE]}, token=TOKEN) as utility:
        for hour in range(2):
            now = NOW + timedelta(hours=hour)
            summary = sync(plain_database, lab(utility.url, token_file=token_file), now=now)

    assert (summary.news, summary.feeds[0].events) == (0, 1)
    assert rows(plain_database, "select received_at from event_version") == [(NOW,)]
    assert rows(plain_database, "select count(*) from grid_document") == [(2,)]


def test_every_version_is_kept_and_what_returns_to_an_earlier_one_is_news(
    plain_database, token_file
):
    # given a utility that cancels its event and revises its price, and takes both back
    with Utility({"events": [EVENT], "prices": [PRICE]}, token=TOKEN) as utility:
        for hour, (status, digits) in enumerate(
            [("scheduled", "0.42000"), ("cancelled", "0.5"), ("scheduled", "0.42000")]
        ):
            utility.revise_event("event-1", status=status)
            utility.revise_price(PRICE["started_at"], digits)

            # when it is asked after each turn
            now = NOW + timedelta(hours=hour)
            summary = sync(plain_database, lab(utility.url, token_file=token_file), now=now)

            # then each turn is news
            assert (summary.feeds[0].events_new, summary.feeds[0].prices_new) == (1, 1)
    assert rows(
        plain_database, "select status, received_at from event_version order by version"
    ) == [
        ("scheduled", NOW),
        ("cancelled", NOW + timedelta(hours=1)),
        ("scheduled", NOW + timedelta(hours=2)),
    ]
    assert rows(
        plain_database, "select price_micros_per_kwh from price_version order by version"
    ) == [(420_000,), (500_000,), (420_000,)]
    # and a document that says something again is kept once
    assert rows(plain_database, "select count(*) from grid_document") == [(4,)]


def test_what_changes_around_an_event_is_a_version_of_it(plain_database):
    feed, words_ = saying(
        FeedReading(events=[event()]),
        FeedReading(events=[event(primacy=3)]),
        FeedReading(events=[event(primacy=3, source=b"elsewhere")]),
        FeedReading(events=[event(primacy=3, program="other")]),
    )

    new = [sync(plain_database, CONFIG, now=NOW + n * MINUTE, **words_).news for n in range(4)]

    assert new == [1, 1, 0, 1]
    assert len(feed.asked_with) == 4


# --- one feed's trouble is no other one's ----------------------------------------------------------


@contextmanager
def listening(answer: Callable[[socket.socket], None]):
    """A server that accepts every connection and does with it what the test wants."""
    with socket.create_server(("127.0.0.1", 0)) as server, ExitStack() as accepted:
        server.settimeout(0.05)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    conn, _ = server.accept()
                except TimeoutError:
                    continue
                accepted.enter_context(conn)
                answer(conn)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            stop.set()
            thread.join(10)


def stall(conn: socket.socket) -> None:
    del conn


def stall_in_the_middle(conn: socket.socket) -> None:
    conn.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"events": [')


def hang_up(conn: socket.socket) -> None:
    conn.recv(1)
    conn.close()


def talk_nonsense(conn: socket.socket) -> None:
    conn.sendall(b"220 mail.example ESMTP\r\n\r\n")


def test_four_feeds_in_fault_do_not_keep_the_fifth_waiting_beyond_their_deadline(
    plain_database, token_file
):
    # given four feeds that stall, break off and talk nonsense, and a good one
    faults = [stall, stall_in_the_middle, hang_up, talk_nonsense]
    with ExitStack() as stack:
        bad = [
            lab(
                stack.enter_context(listening(fault)),
                name=f"bad-{n}",
                deadline_s=1,
                programs=[f"program-{n}"],
            )
            for n, fault in enumerate(faults)
        ]
        feed = {"events": [EVENT], "prices": [PRICE]}
        utility = stack.enter_context(Utility(feed, token=TOKEN))
        good = lab(utility.url, name="good", token_file=token_file)

        # when all are read
        started = time.monotonic()
        summary = sync(plain_database, *bad, good)
        took = time.monotonic() - started

    # then the good one is stored, and the others are told of by name within their deadline
    assert [bool(one.error) for one in summary.feeds] == [True] * 4 + [False]
    assert [one.feed for one in summary.failed] == [one.name for one in bad]
    assert summary.news == 2
    assert took < 20
    stalled, broken, hung_up, nonsense = summary.failed
    for one in (stalled, broken):
        assert "within 1 s (deadline_s)" in one.error or "ReadTimeout" in one.error
    assert "RemoteProtocolError" in nonsense.error
    assert "GET http://127.0.0.1:" in hung_up.error
    kept = states(plain_database)
    assert kept["bad-0"].read_at is None
    assert kept["bad-0"].error == stalled.error
    assert (kept["good"].read_at, kept["good"].error) == (NOW, "")


def test_a_feed_whose_clock_is_off_puts_nothing_in_force_and_the_others_go_on(plain_database):
    clock = ClockReading(offset_us=70_000, uncertainty_us=10_000)
    off = ClockOffError("GET /tm", clock, 50_000)
    _, words_ = saying(off)
    other = CONFIG.model_copy(update={"name": "other", "programs": ("p",)})
    good = Said(other, [FeedReading(events=[event("e2", program="p", feed="other")])])

    def opener(config: FeedConfig, secrets: object) -> Feed:
        return good if config.name == "other" else words_["opener"](config, secrets)

    summary = sync(plain_database, CONFIG, other, opener=opener)

    assert [one.feed for one in summary.failed] == ["lab"]
    assert "its clock is 70.0 ms ± 10.0 ms ahead of ours; expected at most 50 ms" in (
        summary.failed[0].error
    )
    assert rows(plain_database, "select event_id from event_version") == [("e2",)]
    kept = states(plain_database)["lab"]
    assert (kept.clock_offset_us, kept.clock_uncertainty_us) == (70_000, 10_000)


def test_a_fault_of_this_program_in_one_feed_is_told_and_stops_no_other(plain_database, caplog):
    _, words_ = saying(ZeroDivisionError("oops"))

    summary = sync(plain_database, CONFIG, **words_)

    assert summary.failed[0].error.startswith("ZeroDivisionError: oops; a fault of this program")
    assert "Traceback" in caplog.text


def test_what_the_database_refuses_of_one_feed_takes_back_all_of_it_and_nothing_else(
    plain_database,
):
    # given a feed whose second event breaks a rule of the table
    bad = event("event-2", randomize_start_s=9_999)
    _, words_ = saying(FeedReading(events=[event(), bad], prices=[price()]))

    summary = sync(plain_database, CONFIG, **words_)

    assert "event_version_randomize_start_s_range_check" in summary.failed[0].error
    assert rows(plain_database, "select 1 from event_version") == []
    assert rows(plain_database, "select 1 from price_version") == []
    assert states(plain_database)["lab"].read_at is None


def test_a_secret_that_others_can_read_is_not_used(plain_database, token_file):
    token_file.chmod(0o644)
    with Utility(NOTHING, token=TOKEN) as utility:
        summary = sync(plain_database, lab(utility.url, token_file=token_file))

    assert f"run: chmod 600 '{token_file}'" in summary.failed[0].error
    assert utility.requests == 0


# --- when a feed is read ----------------------------------------------------------------------------


def test_a_feed_is_read_when_it_wants_to_be_and_at_any_time_on_request(plain_database, token_file):
    with Utility(NOTHING, token=TOKEN) as utility:
        config = lab(utility.url, token_file=token_file, every_s=300)

        def synced(minutes: int, **words: Any) -> tuple[int, tuple[str, ...]]:
            done = sync(plain_database, config, now=NOW + minutes * MINUTE, **words)
            return len(done.feeds), done.not_due

        assert synced(0) == (1, ())
        assert synced(1) == (0, ("lab",))
        assert synced(1, due_only=False) == (1, ())
        assert synced(2, only="lab") == (1, ())
        # a schedule is not punctual: some seconds early is on time
        nearly = NOW + 7 * MINUTE - timedelta(seconds=3)
        assert len(sync(plain_database, config, now=nearly).feeds) == 1
        with pytest.raises(NoSuchFeedError, match="no feed is called 'other'; configured: lab"):
            synced(0, only="other")


def test_a_feed_that_fails_is_tried_again_ever_later_and_at_once_after_it_was_well(plain_database):
    down = FeedUnavailableError("GET /", "HTTP 503")
    _, words_ = saying(*[down] * 6, FeedReading(next_in=MINUTE), down)
    waits, now = [], NOW

    for _ in range(8):
        sync(plain_database, CONFIG, now=now, **words_)
        due_at = states(plain_database)["lab"].next_at
        assert due_at is not None
        waits.append((due_at - now) // MINUTE)
        now = due_at

    assert waits == [1, 2, 4, 8, 15, 15, 1, 1]


def test_what_the_last_whole_reading_came_to_stays_when_a_later_one_fails(plain_database):
    clock = ClockReading(1_000, 25_000)
    _, words_ = saying(
        FeedReading(events=[event()], clock=clock), FeedUnavailableError("GET /", "HTTP 503")
    )

    sync(plain_database, CONFIG, **words_)
    sync(plain_database, CONFIG, now=NOW + MINUTE, **words_)

    kept = states(plain_database)["lab"]
    assert (kept.tried_at, kept.read_at, kept.events) == (NOW + MINUTE, NOW, 1)
    assert (kept.clock_offset_us, kept.error[:15]) == (1_000, "GET /: HTTP 503")


def test_a_reading_that_was_overtaken_by_another_one_is_left_out(plain_database):
    _, later = saying(FeedReading(events=[event(status="cancelled")]))
    _, earlier = saying(FeedReading(events=[event()]))

    sync(plain_database, CONFIG, now=NOW + MINUTE, **later)
    summary = sync(plain_database, CONFIG, **earlier)

    assert summary.news == 0
    assert rows(plain_database, "select status from event_version") == [("cancelled",)]


def test_a_feed_that_is_no_longer_configured_is_no_longer_told_of(plain_database):
    _, words_ = saying(FeedReading(events=[event()]))
    sync(plain_database, CONFIG, **words_)

    sync(plain_database)

    assert states(plain_database) == {}
    assert rows(plain_database, "select feed from event_version") == [("lab",)]


# --- what a feed may say ----------------------------------------------------------------------------


def test_an_event_belongs_to_the_feed_that_announced_it(plain_database):
    # given an event that one feed announced
    _, first = saying(FeedReading(events=[event()]))
    sync(plain_database, CONFIG, **first)

    # when another one cancels it
    other = CONFIG.model_copy(update={"name": "other", "programs": ("example-energy",)})
    cancelled = FeedReading(events=[event(status="cancelled", feed="other")])
    both = {"opener": lambda config, _: Said(config, [cancelled]), "only": "other"}
    summary = sync(plain_database, CONFIG, other, now=NOW + MINUTE, **both)

    # then it is refused by name; and taken once the first one is not configured any more
    assert summary.feeds[0].refused == (
        "event event-1: said by feed other; expected feed lab, which announced it, to say it",
    )
    assert sync(plain_database, other, now=NOW + 2 * MINUTE, **both).news == 1


def test_an_event_that_is_said_twice_and_not_alike_is_refused(plain_database):
    twice = [event(), event(primacy=1), event("event-2"), event("event-2", source=b"page 2")]
    _, words_ = saying(FeedReading(events=twice))

    summary = sync(plain_database, CONFIG, **words_)

    assert rows(plain_database, "select event_id from event_version") == [("event-2",)]
    assert summary.feeds[0].refused == (
        "event event-1: 2 times in one reading, and not alike; expected each event once",
    )


def test_prices_of_two_documents_of_one_reading_do_not_take_turns(plain_database):
    _, words_ = saying(FeedReading(prices=[price(1), price(2), price(3, program="other")]))

    summary = sync(plain_database, CONFIG, **words_)

    assert rows(plain_database, "select program from price_version") == [("other",)]
    assert summary.refused_count == 2


def test_a_price_comes_from_the_feed_that_is_named_for_its_program(plain_database):
    other = lab("http://127.0.0.1:1", name="other", programs=["example-energy"])
    said = FeedReading(prices=[price(), price(program="free")])

    summary = sync(
        plain_database, CONFIG, other, only="lab", opener=lambda config, _: Said(config, [said])
    )
    wrong = sync(
        plain_database, CONFIG, other, only="other", opener=lambda config, _: Said(config, [said])
    )

    assert rows(plain_database, "select program from price_version order by program") == [
        ("example-energy",),
        ("free",),
    ]
    assert summary.feeds[0].prices_new == wrong.feeds[0].prices_new == 1
    assert (
        "said by feed lab; expected the feed that is named for its prices"
        in (summary.feeds[0].refused[0])
    )
    assert "of program 'free'; expected one of programs: of feed other" in wrong.feeds[0].refused[0]


def test_a_price_in_another_currency_than_its_program_is_refused(plain_database):
    stated = yaml.safe_load((PROGRAMS / "example-energy.yaml").read_text())
    with connect(plain_database, Role.SETTLE) as conn:
        registry.put_program(conn, stated, valid_from=NOW, source="example-energy.yaml", now=NOW)
    later = price(2, started_at=NOW + timedelta(hours=1), ended_at=NOW + timedelta(hours=2))
    _, words_ = saying(FeedReading(prices=[price(currency="EUR"), later]))

    summary = sync(plain_database, CONFIG, **words_)

    assert rows(plain_database, "select currency from price_version") == [("USD",)]
    assert summary.feeds[0].refused == (
        (
            "price of example-energy from 2026-07-01T16:00:00+00:00: in EUR; expected USD, the"
            " currency of the program"
        ),
    )
    assert summary.feeds[0].unknown == ()


# --- answers ------------------------------------------------------------------------------------------


def response(status: int = 1, **changes: Any) -> ResponseDue:
    said: dict[str, Any] = {
        "feed": "lab",
        "mrid": "ab",
        "lfdi": "CD",
        "reply_to": "/rsp",
        "due_at": NOW,
    }
    return ResponseDue(**(said | {"status": status} | changes))


def test_an_answer_is_posted_once_and_the_feed_hears_what_was_answered(plain_database):
    feed, words_ = saying(FeedReading(responses=[response(1), response(2)]))

    first = sync(plain_database, CONFIG, **words_)
    again = sync(plain_database, CONFIG, now=NOW + MINUTE, **words_)

    assert [(one.posted, one.not_posted) for one in (*first.feeds, *again.feeds)] == [
        (2, 0),
        (0, 0),
    ]
    assert [one.status for one in feed.sent] == [1, 2]
    assert feed.asked_with == [set(), {("ab", "CD", 1), ("ab", "CD", 2)}]
    assert rows(plain_database, "select status, state, tries, detail from grid_response") == [
        (1, "posted", 1, "201"),
        (2, "posted", 1, "201"),
    ]


def test_two_syncs_at_once_post_an_answer_once(plain_database):
    def take(one: ResponseDue) -> ResponseSent:
        # while this is on its way somebody else syncs, and finds the answer still due
        if len(feed.sent) == 1:
            sync(plain_database, CONFIG, now=NOW + MINUTE, **words_)
        return ResponseSent(one, "posted", "201")

    feed, words_ = saying(FeedReading(responses=[response()]), take=take)
    sync(plain_database, CONFIG, **words_)

    assert len(feed.sent) == 1
    assert rows(plain_database, "select state, tries from grid_response") == [("posted", 1)]


def test_an_answer_that_is_not_taken_is_tried_again_up_to_a_bound(plain_database):
    def busy(one: ResponseDue) -> ResponseSent:
        return ResponseSent(one, "due", "HTTP 503")

    feed, words_ = saying(FeedReading(responses=[response()]), take=busy)

    for n in range(TRIES_MAX + 2):
        sync(plain_database, CONFIG, now=NOW + n * MINUTE, **words_)

    assert len(feed.sent) == TRIES_MAX
    assert {one.created_at for one in feed.sent} == {NOW}
    assert rows(plain_database, "select state, tries, detail from grid_response") == [
        ("refused", TRIES_MAX, "given up: HTTP 503")
    ]


def test_answers_of_which_nobody_knows_whether_they_arrived_stay_due(plain_database):
    def break_off(one: ResponseDue) -> ResponseSent:
        raise FeedUnavailableError("POST /rsp", "no answer")

    _, words_ = saying(FeedReading(responses=[response()]), take=break_off)
    done = sync(plain_database, CONFIG, **words_)

    assert (done.feeds[0].posted, done.feeds[0].not_posted) == (0, 1)
    assert rows(plain_database, "select state, tries from grid_response") == [("due", 1)]


def test_an_answer_of_which_the_feed_says_nothing_and_one_to_come_stay_due(plain_database):
    def another(one: ResponseDue) -> ResponseSent:
        return ResponseSent(response(9), "posted", "201")

    to_come = response(2, due_at=NOW + timedelta(hours=1))
    feed, words_ = saying(FeedReading(responses=[response(), to_come]), take=another)
    sync(plain_database, CONFIG, **words_)

    assert [one.status for one in feed.sent] == [1]
    assert rows(plain_database, "select state, tries from grid_response order by status") == [
        ("due", 0),
        ("due", 0),
    ]


# --- what is told of a reading ------------------------------------------------------------------------


def test_refusals_notes_and_what_could_not_be_had_are_kept_until_the_next_reading(plain_database):
    said = FeedReading(
        refused=[Refusal(f"/list {n}", "rubbish", "sense") for n in range(30)],
        notes=["DERProgram 'Other': left out"],
        whole=False,
    )
    _, words_ = saying(said, FeedReading())
    summary = sync(plain_database, CONFIG, **words_)
    state = states(plain_database)["lab"]

    assert (state.refused, len(state.refusals), state.whole) == (30, feeds.TEXTS_MAX, False)
    assert state.refusals[0] == "/list 0: rubbish; expected sense"
    assert state.notes == ["DERProgram 'Other': left out"]
    assert "not all of which could be had" in words.synced(summary)

    sync(plain_database, CONFIG, now=NOW + MINUTE, **words_)
    state = states(plain_database)["lab"]
    assert (state.refusals, state.notes, state.whole) == ([], [], True)


def test_a_note_is_no_refusal_and_is_logged_once(plain_database, caplog):
    _, words_ = saying(FeedReading(notes=["DERProgram 'Other': left out"]))
    caplog.set_level("INFO", logger="tasks.grid_storing")
    for turn in range(3):
        summary = sync(plain_database, CONFIG, now=NOW + turn * MINUTE, **words_)
        assert summary.refused_count == 0
    assert caplog.text.count("'Other'") == 1


def test_what_a_server_writes_makes_no_line_of_its_own_in_log_or_status(plain_database, caplog):
    forged = "/x\n2026-07-01 INFO all is well \x9b31m"
    _, words_ = saying(
        FeedReading(refused=[Refusal(forged, "it", "else")], notes=[forged]),
        FeedUnavailableError(forged, "HTTP 503"),
    )
    for turn in range(2):
        sync(plain_database, CONFIG, now=NOW + turn * MINUTE, **words_)
        state = states(plain_database)["lab"]
        assert all(t.isprintable() for t in [state.error, *state.refusals, *state.notes])
    assert all(record.getMessage().isprintable() for record in caplog.records)


def test_a_clock_of_ours_that_was_ahead_keeps_no_feed_from_being_read_afterwards(plain_database):
    _, words_ = saying(FeedReading(), FeedUnavailableError("GET /", "HTTP 503"), FeedReading())
    words_ = words_ | {"due_only": True}
    sync(plain_database, CONFIG, now=NOW + timedelta(days=1), **words_)
    assert sync(plain_database, CONFIG, now=NOW, **words_).failed
    assert states(plain_database)["lab"].error
    later = NOW + timedelta(minutes=5)
    assert not sync(plain_database, CONFIG, now=later, **words_).failed
    assert states(plain_database)["lab"].read_at == later


# --- plain JSON over HTTP -----------------------------------------------------------------------------


def reading(config: JsonConfig) -> FeedReading:
    return open_feed(config, secrets).read(lambda: NOW)


def test_a_wrong_token_will_not_help_when_tried_again():
    with (
        Utility(NOTHING, token=TOKEN) as utility,
        pytest.raises(
            FeedRefusedError, match="HTTP 401; expected 200; look at url: and token_file:"
        ),
    ):
        reading(lab(utility.url))


def test_a_server_error_stores_nothing_and_passes(plain_database, token_file):
    # given a utility that fails once, after it has answered for its events
    with Utility(
        {"events": [EVENT], "prices": [PRICE]}, token=TOKEN, faults=UtilityFaults(errors_first=1)
    ) as utility:
        config = lab(utility.url, token_file=token_file)
        # when it is asked twice
        first = sync(plain_database, config)
        nothing = rows(plain_database, "select 1 from event_version")
        second = sync(plain_database, config, now=NOW + MINUTE)

    # then only the whole answer is stored
    assert "HTTP 500; nothing of it is stored, it is asked again" in first.failed[0].error
    assert nothing == []
    assert second.news == 2


def test_a_server_that_is_not_there_may_be_tried_again():
    with pytest.raises(FeedUnavailableError, match="ConnectError"):
        reading(lab("http://127.0.0.1:1"))


@contextmanager
def answering(status: int = 200, *, headers=(), chunks=()):
    """A server that gives the same answer to everything, chunk by chunk."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            try:
                for chunk in chunks:
                    self.wfile.write(chunk)
            except OSError:
                pass  # the client has had enough

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def test_a_body_without_end_is_read_no_further_than_its_limit():
    with (
        answering(chunks=itertools.repeat(b" " * 65536)) as url,
        pytest.raises(FeedUnreadableError, match="expected at most 4194304 bytes"),
    ):
        reading(lab(url))


def test_a_body_that_drips_ends_at_the_deadline_of_the_whole_reading():
    from grid.json_feed import JsonFeed

    ticks = itertools.count(step=30)
    with (
        answering(chunks=itertools.repeat(b" ")) as url,
        pytest.raises(FeedUnavailableError, match="no whole body before the deadline"),
    ):
        JsonFeed(lab(url), "", clock=lambda: next(ticks)).read(lambda: NOW)


def test_a_compressed_body_is_refused_before_it_unfolds():
    with (
        answering(headers=[("Content-Encoding", "gzip")]) as url,
        pytest.raises(FeedUnreadableError, match="Content-Encoding 'gzip'; expected identity"),
    ):
        reading(lab(url))


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, FeedUnavailableError), (302, FeedRefusedError), (204, FeedRefusedError)],
)
def test_only_what_may_pass_is_called_unavailable(status, error):
    with (
        answering(status, headers=[("Location", "http://127.0.0.1:1/")]) as url,
        pytest.raises(error),
    ):
        reading(lab(url))


def test_proxies_of_the_environment_are_ignored(monkeypatch, token_file):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Utility(NOTHING, token=TOKEN) as utility:
        found = reading(lab(utility.url, token_file=token_file))

    assert found.events == []


# --- in words -----------------------------------------------------------------------------------------


def test_what_it_came_to_is_told_feed_by_feed(plain_database, tmp_path):
    (tmp_path / "prices.csv").write_text(
        "started_at,ended_at,price_per_kwh,currency\n"
        "2026-07-01T17:00:00Z,2026-07-01T17:30:00Z,0.42,USD\n"
        "2026-07-01T17:30:00Z,2026-07-01T18:00:00Z,free,USD\n"
    )
    grid_file = tmp_path / "grid.yaml"
    day = {"name": "day", "kind": "file", "path": "prices.csv", "program": "p"}
    down = {"name": "down", "kind": "json", "url": "http://127.0.0.1:1"}
    grid_file.write_text(yaml.safe_dump({"feeds": [day, down]}))

    told = words.synced(sync(plain_database, *read_config(grid_file).feeds))

    day_told, down_told = told.split("; down ")
    assert day_told == (
        "day: 0 events, 0 of them new or changed, 1 prices, 1 of them new or changed, not enrolled: p,"
        " 1 items refused, such as prices.csv:3.price_per_kwh: 'free'; expected a decimal as text,"
        ' such as "0.42000", with at most 6 places'
    )
    assert down_told.startswith("failed: GET http://127.0.0.1:1/v1/events: ConnectError")
    assert words.synced(GridSummary()) == "no feeds: V2G_GRID_FILE names none (docs/grid.md)"
    assert words.synced(GridSummary(not_due=("a", "b"))) == "2 feeds want to be read later"


def test_a_document_is_kept_by_its_digest(plain_database, tmp_path):
    body = "started_at,ended_at,price_per_kwh,currency\n2026-07-01T17:00:00Z,2026-07-01T18:00:00Z,1,USD\n"
    (tmp_path / "p.csv").write_text(body)
    config = {"name": "day", "kind": "file", "path": "p.csv", "program": "p"}
    grid_file = tmp_path / "grid.yaml"
    grid_file.write_text(yaml.safe_dump({"feeds": [config]}))

    sync(plain_database, *read_config(grid_file).feeds)

    assert rows(plain_database, "select digest, media_type from grid_document") == [
        (sha256(body.encode()).digest(), "text/csv")
    ]
