"""Servers that want to harm: what they send neither leaks a secret, nor fills memory, nor shifts a price."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic

import pytest

from grid.config import JsonConfig, OpenAdrConfig
from grid.errors import FeedRefusedError, FeedUnavailableError, FeedUnreadableError
from grid.fetching import client, get
from grid.json_feed import JsonFeed
from grid.openadr import OpenAdrFeed
from grid.openadr_prices import Told, event_prices
from grid.prices import StatedPrice, once_each
from grid.records import PriceSaid
from grid.strict_json import Digits
from simulators.sep2 import Authority

NOW = datetime(2026, 7, 1, 16, tzinfo=UTC)
CANARY = "CANARY-0d1f"


@contextmanager
def answering(*bodies: bytes) -> Iterator[str]:
    """A server that gives one body after the other, whatever is asked."""
    left = list(bodies)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            body = left.pop(0)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def vtn(url: str, secret: str = CANARY) -> OpenAdrFeed:
    config = OpenAdrConfig.model_validate(
        {
            "name": "rtp",
            "kind": "openadr3",
            "url": url,
            "token_url": f"{url}/token",
            "client_id": "v2g",
            "client_secret_file": "unused",
            "programs": [{"match": {"name": "RTP"}, "program": "ours"}],
        }
    )
    return OpenAdrFeed(config, secret)


@pytest.mark.parametrize("ending", [" ", "\\n", "\\u00e9", "\\u0000"])
def test_a_token_that_no_header_can_hold_is_told_of_without_being_shown(ending):
    with (
        answering(b'{"access_token": "%s"}' % f"{CANARY}{ending}".encode(), b"[]") as url,
        pytest.raises(FeedUnreadableError, match="no access_token") as raised,
    ):
        vtn(url).read(lambda: NOW)
    assert CANARY not in str(raised.value)


def test_a_header_that_cannot_be_sent_is_not_repeated():
    with (
        answering() as url,
        client(headers={"Authorization": f"Bearer {CANARY}\n"}, seconds=5) as http,
        pytest.raises(FeedRefusedError, match="cannot be sent") as raised,
    ):
        get(http, url, deadline=monotonic() + 5, repair="look")
    assert CANARY not in str(raised.value)


def test_no_feed_shows_its_secret_where_it_is_printed():
    config = JsonConfig(name="lab", kind="json", url="http://127.0.0.1:1")
    assert CANARY not in repr([JsonFeed(config, CANARY), vtn("http://127.0.0.1:1", CANARY)])


def test_all_pages_of_a_vtn_together_have_a_bound(monkeypatch):
    monkeypatch.setattr("grid.openadr.ALL_MAX_BYTES", 1000)
    with (
        answering(b'{"access_token": "t"}', b'[{"id": "%s"}]' % (b"x" * 1000)) as url,
        pytest.raises(FeedUnreadableError, match="at most 1000"),
    ):
        vtn(url).read(lambda: NOW)


def test_a_server_that_drips_its_headers_keeps_no_thread_beyond_the_deadline(tmp_path):
    authority = Authority(tmp_path)
    pair = authority.server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    stop = threading.Event()

    def drip() -> None:
        with listener.accept()[0] as raw, context.wrap_socket(raw, server_side=True) as line:
            line.sendall(b"HTTP/1.1 200 OK\r\n")
            while not stop.wait(0.05):
                line.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip)
        thread.start()
        feed = JsonFeed(
            JsonConfig(
                name="lab",
                kind="json",
                url=f"https://127.0.0.1:{listener.getsockname()[1]}",
                ca=authority.certificate,
                deadline_s=1,
            ),
            "",
        )
        began = monotonic()
        try:
            with pytest.raises(FeedUnavailableError):
                feed.read(lambda: NOW)
        finally:
            stop.set()
            thread.join()
    assert monotonic() - began < 3


def interval(price: str, **more: object) -> dict[str, object]:
    return {"payloads": [{"type": "PRICE", "values": [Digits(price)]}], **more}


def priced(*intervals: object, duration: str = "PT30M") -> tuple[list[tuple[str, int]], list[str]]:
    """Start and micros of each price, and what was refused."""
    found = list(
        event_prices(
            {
                "intervalPeriod": {"start": "2026-07-01T17:00:00Z", "duration": duration},
                "intervals": list(intervals),
            },
            where="events[0]",
            program="ours",
            payload="PRICE",
            descriptors=[{"payloadType": "PRICE", "units": "KWH", "currency": "USD"}],
            said=("rtp", b"", NOW),
        )
    )
    prices = [one.price.price for one in found if isinstance(one, Told)]
    refused = [str(one) for one in found if not isinstance(one, Told)]
    return [(f"{one.started_at:%H:%M}", one.price_micros_per_kwh) for one in prices], refused


def test_what_follows_an_interval_without_a_place_is_not_moved_into_its_place():
    own = {"start": "2026-07-01T19:00:00Z", "duration": "PT30M"}
    prices, refused = priced(
        interval("0.1"),
        interval("0.2", intervalPeriod={"start": "soon", "duration": "PT30M"}),
        interval("0.3"),
        interval("0.4", intervalPeriod=own),
        interval("0.5"),
    )
    assert prices == [("17:00", 100_000), ("19:00", 400_000), ("19:30", 500_000)]
    assert [one.partition(".intervalPeriod")[0] for one in refused] == [
        "events[0].intervals[1]",
        "events[0].intervals[2]",
    ]


def test_a_price_that_has_no_sense_keeps_its_place_and_the_next_one_too():
    assert priced(interval("free"), interval("0.3"))[0] == [("17:30", 300_000)]


def test_intervals_beyond_every_calendar_are_refused_one_by_one():
    prices, refused = priced(*[interval("0.1")] * 400, duration="P9999D")
    assert [micros for _, micros in prices] == [100_000] * 2
    assert len(refused) == 398


def test_a_thousand_contradictions_name_each_other_in_few_words():
    said = PriceSaid("ours", NOW, NOW + timedelta(hours=1), 0, "USD", b"", NOW)
    stated = [
        StatedPrice(
            f"prices.csv:{n}",
            PriceSaid(said.program, said.started_at, said.ended_at, n, "USD", b"", NOW),
        )
        for n in range(1000)
    ]
    kept, refused = once_each(stated)
    assert (kept, len(refused)) == ([], 1000)
    assert "prices.csv:1, prices.csv:2, prices.csv:3 and 996 more" in refused[0].found
    assert max(len(str(one)) for one in refused) < 400


def test_a_port_that_is_none_is_refused_with_the_file():
    with pytest.raises(ValueError, match="expected a port from 0 to 65535"):
        JsonConfig(name="lab", kind="json", url="https://host:99999/")
