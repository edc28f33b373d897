"""Prices from a VTN of OpenADR 3.1, over a real socket."""

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.config import OpenAdrConfig
from grid.errors import FeedRefusedError, FeedUnavailableError, FeedUnreadableError
from grid.feeds import FeedReading, open_feed
from grid.openadr_prices import Told, event_prices, without_outranked
from grid.prices import StatedPrice
from grid.records import PriceSaid
from simulators.openadr import Vtn, VtnFaults, price_event, price_program
from storage import secrets

NOW = datetime(2026, 7, 1, 16, tzinfo=UTC)
START = datetime(2026, 7, 1, 17, tzinfo=UTC)
HALF = timedelta(minutes=30)
SECRET = "not-so-secret"
GOOD = price_event(1, start=START, prices=[Decimal("0.42"), Decimal("-0.015000")])


PROGRAM = price_program()


@contextmanager
def vtn(*events, programs=(PROGRAM,), faults=None):
    with Vtn(programs, events, client_id="v2g", client_secret=SECRET, faults=faults) as server:
        yield server


def read(folder, server: Vtn, **words) -> FeedReading:
    file = folder / "secret"
    file.write_text(words.pop("secret", SECRET))
    file.chmod(0o600)
    said = {"match": {"name": "RTP"}, "program": "ours"} | words
    config = OpenAdrConfig(
        name="rtp",
        kind="openadr3",
        url=server.url,
        token_url=f"{server.url}/auth/token",
        client_id="v2g",
        client_secret_file=file,
        programs=[said],
    )
    return open_feed(config, secrets).read(lambda: NOW)


def shown(found: FeedReading) -> list[tuple[str, str, int, str]]:
    return [
        (f"{one.started_at:%H:%M}", f"{one.ended_at:%H:%M}", one.price_micros_per_kwh, one.currency)
        for one in found.prices
    ]


def test_an_event_prices_one_interval_after_the_other(tmp_path):
    with vtn(GOOD) as server:
        found = read(tmp_path, server)

    assert shown(found) == [("17:00", "17:30", 420_000, "USD"), ("17:30", "18:00", -15_000, "USD")]
    assert {(one.program, one.feed, one.received_at) for one in found.prices} == {
        ("ours", "rtp", NOW)
    }
    assert found.refused == []
    # the document behind each price is the very page that stated it
    page = found.documents[-1]
    assert {one.digest for one in found.prices} == {sha256(page.body).digest()}
    assert "/events?programID=p-1&skip=0&limit=50" in page.href


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"payloadDescriptors": [{"payloadType": "EXPORT_PRICE", "units": "MWH", "currency": "EUR"}],
             "intervals": [{"payloads": [{"type": "EXPORT_PRICE", "values": [Decimal("42.5")]}]}]},
            [("17:00", "17:30", 42_500, "EUR")],
        ),
        (
            {"intervals": [{"payloads": [{"type": "EXPORT_PRICE", "values": [1]}],
                            "intervalPeriod": {"start": "2026-07-01T12:00:00-07:00", "duration": "PT1H"}},
                           {"payloads": [{"type": "EXPORT_PRICE", "values": [2]}]}]},
            [("19:00", "20:00", 1_000_000, "USD"), ("20:00", "20:30", 2_000_000, "USD")],
        ),
        (
            {"intervals": [{"payloads": [{"type": "PRICE", "values": [9]}]},
                           {"payloads": [{"type": "PRICE", "values": [9]},
                                         {"type": "EXPORT_PRICE", "values": [Decimal("0.1")]}]}]},
            [("17:30", "18:00", 100_000, "USD")],
        ),
        ({"intervals": []}, []),
    ],
    ids=["per MWh, in the event's own words", "its own period", "another payload beside it", "none"],
)  # fmt: skip
def test_what_an_event_may_say(tmp_path, change, expected):
    with vtn(GOOD | change) as server:
        found = read(tmp_path, server)

    assert [str(one) for one in found.refused] == []
    assert shown(found) == expected


PERIOD = {"start": START.isoformat(), "duration": "PT30M"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"payloadDescriptors": [{"payloadType": "EXPORT_PRICE", "currency": "USD"}]},
            "units of EXPORT_PRICE: nothing; expected KWH or MWH",
        ),
        (
            {
                "payloadDescriptors": [
                    {"payloadType": "EXPORT_PRICE", "units": "KWH", "currency": "cents"}
                ]
            },
            "an ISO 4217 code",
        ),
        (
            {"intervalPeriod": PERIOD | {"start": "0001-01-01"}},
            "events[0].intervalPeriod.start: '0001-01-01'",
        ),
        ({"intervalPeriod": PERIOD | {"start": "2026-07-01T17:00:00"}}, "a time with its offset"),
        ({"intervalPeriod": PERIOD | {"duration": "P9999Y"}}, "such as PT5M"),
        ({"intervalPeriod": PERIOD | {"duration": "PT0S"}}, "such as PT5M"),
        (
            {"intervalPeriod": PERIOD | {"randomizeStart": "PT5M"}},
            "a price holds from one moment on",
        ),
        ({"intervalPeriod": None}, "a start and a duration"),
        ({"intervals": {}}, "events[0].intervals"),
        ({"priority": -1}, "events[0].priority: -1"),
        ({"programID": "other"}, "'p-1', as asked"),
        ({"intervals": [{"payloads": [{"type": "EXPORT_PRICE", "values": ["0.1"]}]}]}, "a number"),
        ({"intervals": [{"payloads": [{"type": "EXPORT_PRICE", "values": [True]}]}]}, "a number"),
        (
            {"intervals": [{"payloads": [{"type": "EXPORT_PRICE", "values": [1, 2]}]}]},
            "one value, once",
        ),
        (
            {
                "intervals": [
                    {"payloads": [{"type": "EXPORT_PRICE", "values": [Decimal("0.1234567")]}]}
                ]
            },
            "at most 6 places",
        ),
        (
            {"intervals": [{"payloads": [{"type": "EXPORT_PRICE", "values": [101]}]}]},
            "at most 100 per kWh",
        ),
    ],
)
def test_what_cannot_be_understood_is_named_and_the_other_event_counts(tmp_path, change, said):
    later = price_event(2, start=START + timedelta(hours=2), prices=[Decimal("0.3")])
    with vtn(GOOD | change, later, faults=VtnFaults(ignores_program=True)) as server:
        found = read(tmp_path, server)

    assert said in str(found.refused[0])
    assert shown(found) == [("19:00", "19:30", 300_000, "USD")]


def test_a_bad_interval_keeps_its_place_and_the_next_one_counts(tmp_path):
    event = price_event(1, start=START, prices=[Decimal(200), Decimal("0.2")])
    with vtn(event) as server:
        found = read(tmp_path, server)

    assert shown(found) == [("17:30", "18:00", 200_000, "USD")]
    assert len(found.refused) == 1


def test_many_events_come_page_by_page_each_once(tmp_path):
    events = [
        price_event(n, start=START + n * HALF, prices=[Decimal(n) / 1000]) for n in range(120)
    ]
    with vtn(*events) as server:
        found = read(tmp_path, server)

    assert [one.price_micros_per_kwh for one in found.prices] == [n * 1000 for n in range(120)]
    assert [path for path in server.asked if path.startswith("/events")] == [
        f"/events?programID=p-1&skip={skip}&limit=50" for skip in (0, 50, 100)
    ]


def test_a_vtn_that_shows_its_first_page_for_ever_is_left_and_named(tmp_path):
    events = [price_event(n, start=START + n * HALF, prices=[Decimal(1)]) for n in range(50)]
    with vtn(*events, faults=VtnFaults(repeats=True)) as server:
        found = read(tmp_path, server)

    assert len(found.prices) == 50
    assert "what was shown before" in str(found.refused[0])
    assert len(server.asked) == 3


def test_a_revision_is_what_was_made_last_and_a_tie_is_refused(tmp_path):
    made: dict[str, Any] = {"modificationDateTime": "2026-07-01T10:00:00Z"}
    second = price_event(2, start=START, prices=[Decimal("0.5")], **made)
    third = price_event(3, start=START, prices=[Decimal("0.6")], **made)
    with vtn(GOOD, second) as server:
        revised = read(tmp_path, server)
        server.show([GOOD, second, third])
        tied = read(tmp_path, server)

    assert shown(revised)[0] == ("17:00", "17:30", 500_000, "USD")
    assert [one[0] for one in shown(tied)] == ["17:30"]
    assert len(tied.refused) == 3


def test_the_better_priority_stands_where_events_overlap(tmp_path):
    better = price_event(2, start=START + HALF / 2, prices=[Decimal("0.9")], priority=0)
    worse = GOOD | {"priority": 1}
    with vtn(worse, better) as server:
        found = read(tmp_path, server)

    assert shown(found) == [("17:15", "17:45", 900_000, "USD")]
    assert ["priority 1" in str(one) for one in found.notes] == [True, True]


@pytest.mark.parametrize(
    ("programs", "said"),
    [((), "0 programs that fit"), ((price_program(), price_program("p-2")), "2 programs that fit")],
)
def test_a_program_that_is_not_just_one_is_named(tmp_path, programs, said):
    with vtn(GOOD, programs=programs) as server:
        found = read(tmp_path, server)

    assert found.prices == []
    assert said in str(found.refused[0])


@pytest.mark.parametrize(
    ("faults", "error", "said"),
    [
        (VtnFaults(errors_first=1), FeedUnavailableError, "HTTP 503"),
        (VtnFaults(forgets_tokens=True), FeedRefusedError, "client_secret_file"),
        (VtnFaults(html=True), FeedUnreadableError, "no JSON"),
    ],
)
def test_a_vtn_in_trouble_is_an_error_that_says_what_to_do(tmp_path, faults, error, said):
    with vtn(GOOD, faults=faults) as server, pytest.raises(error, match=said):
        read(tmp_path, server)


def test_a_wrong_secret_is_refused_and_not_shown(tmp_path):
    with vtn(GOOD) as server, pytest.raises(FeedRefusedError) as caught:
        read(tmp_path, server, secret="something-else")

    assert "HTTP 401" in str(caught.value)
    assert "something-else" not in str(caught.value)


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 40), st.integers(1, 12), st.integers(-9, 9)),
        max_size=25,
    )
)
def test_at_every_moment_only_the_best_priority_is_left(drawn):
    told = []
    for number, (priority, first, length, micros) in enumerate(drawn):
        start = START + first * timedelta(minutes=5)
        price = PriceSaid(
            "p", start, start + length * timedelta(minutes=5), micros, "USD", b"", NOW
        )
        told.append(Told(priority, StatedPrice(str(number), price)))

    kept, refused = without_outranked(told)

    assert len(kept) + len(refused) == len(told)
    left = [one for one in told if one.price in kept]
    best = min((one.priority for one in told), default=None)
    assert [one for one in told if one.priority == best] == [
        one for one in left if one.priority == best
    ]
    for one in left:
        for other in left:
            a, b = one.price.price, other.price.price
            overlap = a.started_at < b.ended_at and b.started_at < a.ended_at
            assert not overlap or one.priority == other.priority
    # and what was refused overlaps something better that is left
    for place in refused:
        gone = told[int(place.where)]
        assert any(
            one.priority < gone.priority
            and one.price.price.started_at < gone.price.price.ended_at
            and gone.price.price.started_at < one.price.price.ended_at
            for one in left
        )


def test_no_value_goes_through_a_float():
    event = GOOD | {"intervals": [{"payloads": [{"type": "EXPORT_PRICE", "values": [0.1]}]}]}
    words: dict[str, Any] = {
        "where": "e",
        "program": "p",
        "payload": "EXPORT_PRICE",
        "said": ("f", b"", NOW),
    }
    descriptors = PROGRAM["payloadDescriptors"]

    (refused,) = event_prices(event, descriptors=descriptors, **words)

    assert "a number" in str(refused)
