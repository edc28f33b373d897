"""Fetching from a real utility over a real socket into a real database."""

import http.server
import itertools
import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from simulators.utility import Utility, UtilityFaults
from storage.secrets import InsecureSecretError
from tasks import grid
from tasks.grid import FeedRefusedError, FeedUnavailableError, FeedUnreadableError

TOKEN = "token-of-the-test"
NOW = datetime(2026, 7, 1, 16, tzinfo=UTC)
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


@pytest.fixture
def client(tmp_path):
    token_file = tmp_path / "token"
    token_file.touch(mode=0o600)
    token_file.write_text(f"{TOKEN}\n")
    with grid.utility_client(token_file) as one:
        yield one


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, user="v2g") as conn:
        return conn.execute(query).fetchall()


def test_events_and_prices_are_kept_with_the_document_that_stated_them(plain_database, client):
    with Utility({"events": [EVENT], "prices": [PRICE]}, token=TOKEN) as utility:
        summary = grid.sync_grid(plain_database, utility.url, client=client, now=NOW)

    assert (summary.events, summary.events_new, summary.prices, summary.prices_new) == (1, 1, 1, 1)
    assert (summary.refused_count, summary.refused) == (0, [])
    ((event_id, started_at, created_at, document, received_at),) = rows(
        plain_database,
        "select event_id, started_at, created_at, document, received_at from event_version",
    )
    assert (event_id, received_at) == ("event-1", NOW)
    assert started_at == datetime(2026, 7, 1, 17, tzinfo=UTC)
    assert created_at == datetime(2026, 6, 30, 10, 0, 0, 500_000, tzinfo=UTC)
    assert json.loads(document) == EVENT
    assert rows(
        plain_database, "select price_micros_per_kwh, currency, length(digest) from price_version"
    ) == [(420_000, "USD", 32)]


def test_fetching_the_same_again_adds_nothing(plain_database, client):
    with Utility({"events": [EVENT], "prices": [PRICE]}, token=TOKEN) as utility:
        for hour in range(2):
            now = NOW + timedelta(hours=hour)
            summary = grid.sync_grid(plain_database, utility.url, client=client, now=now)

    assert (summary.events, summary.events_new, summary.prices, summary.prices_new) == (1, 0, 1, 0)
    assert rows(plain_database, "select received_at from event_version") == [(NOW,)]


def test_every_version_of_an_event_and_of_a_price_is_kept(plain_database, client):
    # given a utility that cancels its event and revises its price
    with Utility({"events": [EVENT], "prices": [PRICE]}, token=TOKEN) as utility:
        grid.sync_grid(plain_database, utility.url, client=client, now=NOW)
        utility.revise_event("event-1", status="cancelled")
        utility.revise_price(PRICE["started_at"], "0.5")

        # when it is asked again
        later = NOW + timedelta(hours=1)
        summary = grid.sync_grid(plain_database, utility.url, client=client, now=later)

    # then both versions stand side by side
    assert (summary.events_new, summary.prices_new) == (1, 1)
    assert rows(
        plain_database, "select status, received_at from event_version order by received_at"
    ) == [
        ("scheduled", NOW),
        ("cancelled", later),
    ]
    assert rows(
        plain_database, "select price_micros_per_kwh from price_version order by received_at"
    ) == [
        (420_000,),
        (500_000,),
    ]


def test_what_returns_to_an_earlier_version_is_news_again(plain_database, client):
    # given a utility that cancels and reinstates its event, and moves its price there and back
    turns = [("cancelled", "0.5"), ("scheduled", "0.42000")]
    with Utility({"events": [EVENT], "prices": [PRICE]}, token=TOKEN) as utility:
        grid.sync_grid(plain_database, utility.url, client=client, now=NOW)
        for hour, (status, price) in enumerate(turns, start=1):
            utility.revise_event("event-1", status=status)
            utility.revise_price(PRICE["started_at"], price)

            # when it is asked after each turn
            now = NOW + timedelta(hours=hour)
            summary = grid.sync_grid(plain_database, utility.url, client=client, now=now)

            # then each turn is news, and the last word counts
            assert (summary.events_new, summary.prices_new) == (1, 1)
    (last_event,) = rows(
        plain_database, "select status from event_version order by received_at desc limit 1"
    )
    (last_price,) = rows(
        plain_database,
        "select price_micros_per_kwh from price_version order by received_at desc limit 1",
    )
    assert (last_event, last_price) == (("scheduled",), (420_000,))


def test_a_price_is_exact_to_its_last_digit(plain_database, client):
    # given one price per hour, in digits that no float holds
    exact = {
        "0.42000": 420_000,
        "-0.000001": -1,
        "100": 100_000_000,
        "0.1": 100_000,
        "29.99": 29_990_000,
    }
    hours = [f"2026-07-01T{hour:02}:00:00Z" for hour in range(len(exact) + 1)]
    prices = [
        PRICE | {"started_at": start, "ended_at": end, "price_per_kwh": digits}
        for start, end, digits in zip(hours, hours[1:], exact, strict=False)
    ]

    # when they are fetched
    with Utility(NOTHING | {"prices": prices}, token=TOKEN) as utility:
        grid.sync_grid(plain_database, utility.url, client=client, now=NOW)

    # then each is the same integer as on paper
    found = rows(
        plain_database, "select price_micros_per_kwh from price_version order by started_at"
    )
    assert [micros for (micros,) in found] == list(exact.values())


BAD_EVENTS = [
    (
        EVENT | {"ended_at": EVENT["started_at"]},
        "events[0].ended_at: '2026-07-01T17:00:00Z'; expected a time after started_at",
    ),
    (
        EVENT | {"started_at": "2026-07-01T17:00:00"},
        "events[0].started_at: '2026-07-01T17:00:00'; expected an RFC 3339 time with a zone, 2020 to 2100",
    ),
    (
        EVENT | {"started_at": "2026-02-30T17:00:00Z"},
        "events[0].started_at: '2026-02-30T17:00:00Z'; expected an RFC 3339 time",
    ),
    (
        EVENT | {"started_at": "1999-07-01T17:00:00Z"},
        "events[0].started_at: '1999-07-01T17:00:00Z'; expected an RFC 3339 time",
    ),
    (
        EVENT | {"started_at": 1_782_925_200},
        "events[0].started_at: 1782925200; expected an RFC 3339 time",
    ),
    (
        EVENT | {"status": "canceled"},
        "events[0].status: 'canceled'; expected one of active, cancelled, completed, scheduled, superseded",
    ),
    (
        EVENT | {"event_id": ""},
        "events[0].event_id: ''; expected text of 1 to 64 printable characters",
    ),
    (EVENT | {"event_id": "e\0"}, "events[0].event_id: 'e\\x00'; expected text"),
    (
        {k: v for k, v in EVENT.items() if k != "created_at"},
        "events[0].created_at: nothing; expected an RFC 3339 time",
    ),
    (
        EVENT | {"area": {"zone": "J"}},
        "events[0].area: {'zone': 'J'}; expected text, a whole number, true, false or null",
    ),
    ("event-1", "events[0].started_at: nothing; expected an RFC 3339 time"),
    (
        EVENT | {"primacy": -1},
        "events[0].primacy: -1; expected a whole number from 0 to 2147483647",
    ),
    (EVENT | {"primacy": 2**31}, "events[0].primacy: 2147483648; expected a whole number"),
    (EVENT | {"primacy": True}, "events[0].primacy: True; expected a whole number"),
    (EVENT | {"primacy": "1"}, "events[0].primacy: '1'; expected a whole number"),
    (EVENT | {"group": 5}, "events[0].group: 5; expected text of 1 to 64 printable characters"),
    (EVENT | {"group": "n" * 65}, f"events[0].group: '{'n' * 65}'; expected text"),
    (
        EVENT | {"cancelled_at": "soon"},
        "events[0].cancelled_at: 'soon'; expected an RFC 3339 time",
    ),
    (EVENT | {"cancelled_at": ""}, "events[0].cancelled_at: ''; expected an RFC 3339 time"),
]
BAD_PRICES = [
    (
        PRICE | {"price_per_kwh": 0.42},
        "prices[0].price_per_kwh: '0.42'; expected a decimal as text",
    ),
    (
        PRICE | {"price_per_kwh": "0,42"},
        "prices[0].price_per_kwh: '0,42'; expected a decimal as text",
    ),
    (
        PRICE | {"price_per_kwh": "1e-1"},
        "prices[0].price_per_kwh: '1e-1'; expected a decimal as text",
    ),
    (
        PRICE | {"price_per_kwh": "0.4200001"},
        "prices[0].price_per_kwh: '0.4200001'; expected a decimal as text",
    ),
    (
        PRICE | {"price_per_kwh": "100.000001"},
        "prices[0].price_per_kwh: '100.000001'; expected at most 100 per kWh, either sign",
    ),
    (
        PRICE | {"currency": "usd"},
        "prices[0].currency: 'usd'; expected an ISO 4217 code, such as USD",
    ),
    (PRICE | {"note": 0.5}, "prices[0].note: '0.5'; expected text, a whole number"),
]


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ({}, (0, "", None)),
        ({"primacy": None, "group": None, "cancelled_at": None}, (0, "", None)),
        ({"primacy": 0, "group": ""}, (0, "", None)),
        (
            {"primacy": 3, "group": "north", "cancelled_at": "2026-07-01T17:20:00Z"},
            (3, "north", datetime(2026, 7, 1, 17, 20, tzinfo=UTC)),
        ),
    ],
    ids=["nothing", "null", "the default", "all"],
)
def test_an_event_may_say_its_primacy_its_group_and_when_it_was_cancelled(
    plain_database, client, said, stored
):
    with Utility({"events": [EVENT | said], "prices": []}, token=TOKEN) as utility:
        summary = grid.sync_grid(plain_database, utility.url, client=client, now=NOW)

    assert (summary.events_new, summary.refused) == (1, [])
    assert rows(plain_database, "select primacy, site_group, cancelled_at from event_version") == [
        stored
    ]


@pytest.mark.parametrize(
    ("kind", "item", "complaint"),
    [
        *(("events", item, complaint) for item, complaint in BAD_EVENTS),
        *(("prices", item, complaint) for item, complaint in BAD_PRICES),
    ],
)
def test_an_item_that_cannot_be_understood_is_named_with_its_place(kind, item, complaint):
    from tasks.grid_items import event_row, items, price_row

    (one,) = items(json.dumps({kind: [item]}).encode(), kind)

    with pytest.raises(FeedUnreadableError) as caught:
        (event_row if kind == "events" else price_row)(one, NOW)

    assert str(caught.value).startswith(complaint)


def test_one_bad_item_does_not_keep_the_others_out(plain_database, client, caplog):
    # given a feed with a bad event and a bad price among good ones
    feed = {
        "events": [
            EVENT,
            EVENT | {"event_id": "event-2", "status": "canceled"},
            EVENT | {"event_id": "event-3"},
        ],
        "prices": [PRICE | {"price_per_kwh": "free"}, PRICE],
    }

    # when it is fetched
    with Utility(feed, token=TOKEN) as utility:
        summary = grid.sync_grid(plain_database, utility.url, client=client, now=NOW)

    # then the good ones are kept, and the bad ones counted, told and logged
    assert (summary.events_new, summary.prices_new, summary.refused_count) == (2, 1, 2)
    assert [told.split(":")[0] for told in summary.refused] == [
        "events[1].status",
        "prices[0].price_per_kwh",
    ]
    assert "events[1].status" in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"[]",
        b'{"prices": []}',
        b'{"events": {}}',
        b'{"events": [{"a": 1, "a": 2}]}',
        b'{"events": [{"a": NaN}]}',
        b'{"events": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
        b'{"events": [' + b"9" * 10_000 + b"]}",
    ],
    ids=[
        "empty",
        "no UTF-8",
        "a list",
        "another name",
        "no list",
        "a name twice",
        "NaN",
        "too deep",
        "too many digits",
    ],
)
def test_an_answer_that_is_no_feed_is_refused_as_a_whole(body):
    from tasks.grid_items import items

    with pytest.raises(
        FeedUnreadableError,
        match=r'^events: .*; expected a JSON object \{"events": \[\{…\}, …\]\}$',
    ):
        items(body, "events")


def test_a_wrong_token_will_not_be_tried_again(plain_database):
    with (
        Utility(NOTHING, token=TOKEN) as utility,
        grid.utility_client(None) as client,
        pytest.raises(FeedRefusedError) as caught,
    ):
        grid.sync_grid(plain_database, utility.url, client=client, now=NOW)

    assert (caught.value.path, caught.value.status) == ("/v1/events", 401)
    assert "V2G_UTILITY_TOKEN_FILE" in str(caught.value)


def test_a_server_error_may_be_tried_again_and_stores_nothing(plain_database, client):
    # given a utility that fails once, after it has answered for its events
    with Utility(
        {"events": [EVENT], "prices": [PRICE]}, token=TOKEN, faults=UtilityFaults(errors_first=1)
    ) as utility:
        # when it is asked twice
        with pytest.raises(FeedUnavailableError, match="HTTP 500"):
            grid.sync_grid(plain_database, utility.url, client=client, now=NOW)
        nothing = rows(plain_database, "select 1 from event_version")
        summary = grid.sync_grid(plain_database, utility.url, client=client, now=NOW)

    # then only the whole answer is stored
    assert nothing == []
    assert summary.events_new == 1


def test_a_utility_that_is_not_there_may_be_tried_again(plain_database, client):
    with pytest.raises(FeedUnavailableError, match="ConnectError"):
        grid.sync_grid(plain_database, "http://127.0.0.1:1", client=client, now=NOW)


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


def test_a_body_without_end_is_read_no_further_than_its_limit(plain_database, client):
    with (
        answering(chunks=itertools.repeat(b" " * 65536)) as url,
        pytest.raises(FeedUnreadableError, match="expected at most 4194304 bytes"),
    ):
        grid.sync_grid(plain_database, url, client=client, now=NOW)


def test_a_body_that_drips_ends_at_the_deadline_of_the_whole_answer(plain_database, client):
    ticks = itertools.count(step=grid.ANSWER_DEADLINE_S)
    with (
        answering(chunks=itertools.repeat(b" ")) as url,
        pytest.raises(FeedUnavailableError, match="no whole body within 30 s"),
    ):
        grid.sync_grid(plain_database, url, client=client, now=NOW, clock=lambda: next(ticks))


def test_a_compressed_body_is_refused_before_it_unfolds(plain_database, client):
    with (
        answering(headers=[("Content-Encoding", "gzip")]) as url,
        pytest.raises(FeedUnreadableError, match="Content-Encoding 'gzip'; expected identity"),
    ):
        grid.sync_grid(plain_database, url, client=client, now=NOW)


@pytest.mark.parametrize(
    ("status", "error"),
    [(429, FeedUnavailableError), (302, FeedRefusedError), (204, FeedRefusedError)],
)
def test_only_what_may_pass_is_called_unavailable(plain_database, client, status, error):
    with (
        answering(status, headers=[("Location", "http://127.0.0.1:1/")]) as url,
        pytest.raises(error),
    ):
        grid.sync_grid(plain_database, url, client=client, now=NOW)


def test_a_token_that_others_can_read_is_not_used(tmp_path):
    token_file = tmp_path / "token"
    token_file.write_text(TOKEN)
    token_file.chmod(0o644)

    with pytest.raises(InsecureSecretError):
        grid.utility_client(token_file)


def test_the_client_ignores_proxies_of_the_environment(monkeypatch, plain_database, client):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with Utility(NOTHING, token=TOKEN) as utility, grid.utility_client(None) as fresh:
        fresh.headers = client.headers
        summary = grid.sync_grid(plain_database, utility.url, client=fresh, now=NOW)

    assert summary.events == 0
    assert isinstance(fresh, httpx.Client)
