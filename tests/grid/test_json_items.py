"""Events and prices as plain JSON: what is understood, and what is refused by its place."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

import pytest

from grid.errors import FeedUnreadableError
from grid.json_items import Reader, items

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


def reader(**words) -> Reader:
    return Reader("lab", NOW, **words)


def body(kind: str, *said: object) -> bytes:
    return json.dumps({kind: said}).encode()


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
        "events[0].status: 'canceled'; expected one of active, cancelled, cancelled_with_randomization, completed, scheduled,",
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
    ("kind", "item", "complaint"),
    [
        *(("events", item, complaint) for item, complaint in BAD_EVENTS),
        *(("prices", item, complaint) for item, complaint in BAD_PRICES),
    ],
)
def test_an_item_that_cannot_be_understood_is_named_with_its_place(kind, item, complaint):
    one = reader()

    found = (one.events if kind == "events" else one.prices)(body(kind, item))

    assert found == []
    (refusal,) = one.refused
    assert str(refusal).startswith(complaint)


def test_one_bad_item_does_not_keep_the_others_out():
    one = reader()

    found = one.events(
        body(
            "events",
            EVENT,
            EVENT | {"event_id": "event-2", "status": "canceled"},
            EVENT | {"event_id": "event-3"},
        )
    )

    assert [event.event_id for event in found] == ["event-1", "event-3"]
    assert [refusal.where for refusal in one.refused] == ["events[1].status"]


def test_behind_every_event_and_price_stands_the_document_that_said_it():
    both = json.dumps({"events": [EVENT], "prices": [PRICE]}).encode()

    (event,) = reader().events(both)
    (stated,) = reader().prices(both)

    assert event.source == stated.price.digest == sha256(both).digest()
    assert json.loads(event.document) == EVENT
    assert (event.feed, stated.price.feed, event.received_at) == ("lab", "lab", NOW)


@pytest.mark.parametrize(
    ("said", "expected"),
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
def test_an_event_may_say_its_primacy_its_group_and_when_it_was_cancelled(said, expected):
    (event,) = reader().events(body("events", EVENT | said))

    assert (event.primacy, event.site_group, event.cancelled_at) == expected


def test_a_price_may_be_stated_per_megawatt_hour():
    said = {key: value for key, value in PRICE.items() if key != "price_per_kwh"}
    (stated,) = reader().prices(body("prices", said | {"price_per_mwh": "-12.345"}))

    assert stated.price.price_micros_per_kwh == -12_345


def test_a_price_in_both_units_is_refused():
    one = reader()

    assert one.prices(body("prices", PRICE | {"price_per_mwh": "420"})) == []
    assert "one price: per kWh or per MWh, not both" in str(one.refused[0])


def test_a_time_without_an_offset_is_of_the_zone_of_the_feed_and_refused_without_one():
    local = PRICE | {"started_at": "2026-07-01T12:00:00", "ended_at": "2026-07-01T12:30:00"}

    (stated,) = reader(zone=ZoneInfo("America/Chicago")).prices(body("prices", local))
    nowhere = reader()

    assert stated.price.started_at == datetime(2026, 7, 1, 17, tzinfo=UTC)
    assert nowhere.prices(body("prices", local)) == []
    assert "an RFC 3339 time with a zone" in str(nowhere.refused[0])


def test_an_item_without_a_program_is_of_the_program_of_the_feed():
    anonymous = {key: value for key, value in EVENT.items() if key != "program"}

    (event,) = reader(program="ours").events(body("events", anonymous))
    nobody = reader()

    assert event.program == "ours"
    assert nobody.events(body("events", anonymous)) == []
    assert str(nobody.refused[0]).startswith("events[0].program: nothing")


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
    with pytest.raises(
        FeedUnreadableError,
        match=r'^events: .*; expected a JSON object \{"events": \[\{…\}, …\]\}$',
    ):
        items(body, "events")


def test_one_of_two_lists_may_be_missing_and_not_both():
    prices_only = body("prices", PRICE)

    assert reader().events(prices_only, optional=True) == []
    with pytest.raises(FeedUnreadableError, match="dict without a list 'events'"):
        reader().events(b"{}", optional=True)
    with pytest.raises(FeedUnreadableError, match="dict without a list 'events'"):
        reader().events(prices_only)
