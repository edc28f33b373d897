"""ComEd's public prices: cents as text, newest first, and whatever else a public page may answer."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from grid.config import ComedConfig
from grid.errors import FeedUnreadableError
from grid.feeds import open_feed
from simulators.serving import LoopbackServer
from storage import secrets

NOW = datetime(2026, 7, 1, 16, tzinfo=UTC)
START = datetime(2026, 7, 1, 15, tzinfo=UTC)


def item(minutes: int, price: str) -> dict[str, str]:
    millis = int((START + timedelta(minutes=minutes)).timestamp()) * 1000
    return {"millisUTC": str(millis), "price": price}


def read(body: bytes):
    async def answer(request):
        assert request.url.query == "type=5minutefeed"
        return Response(body, media_type="application/json")

    with LoopbackServer(Starlette(routes=[Route("/api", answer)])) as server:
        config = ComedConfig(name="comed", kind="comed", program="p", url=f"{server.url}/api")
        return open_feed(config, secrets).read(lambda: NOW)


def test_cents_become_millionths_of_a_dollar_and_five_minutes():
    found = read(json.dumps([item(5, "-1.35"), item(0, "2.0")]).encode())

    assert [
        (one.started_at, one.ended_at - one.started_at, one.price_micros_per_kwh, one.currency)
        for one in found.prices
    ] == [
        (START + timedelta(minutes=5), timedelta(minutes=5), -13_500, "USD"),
        (START, timedelta(minutes=5), 20_000, "USD"),
    ]
    assert found.refused == []


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"millisUTC": 1434686700000, "price": "2.0"}, "as text"),
        (item(0, "2.0") | {"millisUTC": "1434686700001"}, "a whole five minutes"),
        (item(0, "2.0") | {"millisUTC": "0"}, "millisUTC: from"),
        (item(0, "2,0"), "US cents"),
        (item(0, "NaN"), "US cents"),
        (item(0, "1.23456"), "at most 4 places"),
        (item(0, "10001"), "at most 10000 cents"),
        ({"price": 2.5}, "as text"),
        ("2.0", "as text"),
    ],
)
def test_a_bad_item_never_stops_the_good_ones(bad, said):
    found = read(json.dumps([bad, item(10, "3.1")]).encode())

    assert [one.price_micros_per_kwh for one in found.prices] == [31_000]
    assert said in str(found.refused[0])


def test_one_moment_with_two_prices_is_refused_and_said_twice_alike_counts_once():
    twice = read(json.dumps([item(0, "2.0"), item(0, "2.00"), item(5, "1"), item(5, "2")]).encode())

    assert [one.price_micros_per_kwh for one in twice.prices] == [20_000]
    assert len(twice.refused) == 2


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"{}", b"", b"[NaN]"])
def test_an_answer_that_is_no_list_is_no_feed(body):
    with pytest.raises(FeedUnreadableError, match="5minutefeed"):
        read(body)
