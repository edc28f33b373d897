"""What the grid's side said: every version kept, and read as it was known at a time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from threading import Barrier
from typing import Any

import psycopg
import pytest

from settlement.periods import Period
from settlement.timeline import Price, Window
from storage import fence
from storage.engine import Role, connect
from storage.grid import (
    EventRow,
    PriceRow,
    ended_events,
    event_versions,
    load_prices,
    load_windows,
    put_events,
    put_prices,
)
from tests.storage.made import NOON

HOUR = timedelta(hours=1)
TODAY = Period(NOON, NOON + 12 * HOUR)
FIRST, SECOND = NOON + 20 * HOUR, NOON + 30 * HOUR


def event(received_at: datetime = FIRST, **facts: Any) -> EventRow:
    said: dict[str, Any] = {
        "event_id": "e",
        "program": "p",
        "started_at": NOON + HOUR,
        "ended_at": NOON + 2 * HOUR,
        "created_at": NOON - HOUR,
        "status": "scheduled",
    } | facts
    return EventRow(**said, document=repr(said).encode(), received_at=received_at)


def price(received_at: datetime = FIRST, micros: int = 420_000, **facts: Any) -> PriceRow:
    said: dict[str, Any] = {
        "program": "p",
        "started_at": NOON,
        "ended_at": NOON + HOUR,
        "currency": "USD",
    } | facts
    return PriceRow(**said, price_micros_per_kwh=micros, digest=b"digest", received_at=received_at)


def say(dsn: str, *events: EventRow) -> int:
    with connect(dsn, Role.SETTLE) as conn:
        return put_events(conn, events)


def windows(dsn: str, known_at: datetime = FIRST, period: Period = TODAY) -> list[Window]:
    with connect(dsn, Role.READ) as conn:
        return load_windows(conn, period, known_at=known_at)


def test_an_event_is_read_as_it_was_known(database: str) -> None:
    # given an event that is moved, regrouped and cancelled later
    cut = NOON + HOUR + HOUR / 2
    say(database, event())
    say(
        database,
        event(SECOND, ended_at=NOON + 3 * HOUR, primacy=7, site_group="north", cancelled_at=cut),
    )
    # when it is read as of three times
    before, then, now = (windows(database, at) for at in (FIRST - HOUR, FIRST, SECOND))
    # then
    start, created = NOON + HOUR, NOON - HOUR
    assert before == []
    assert then == [Window("e", "p", start, NOON + 2 * HOUR, created)]
    assert now == [Window("e", "p", start, NOON + 3 * HOUR, created, 7, "north", cut)]
    with connect(database, Role.READ) as conn:
        versions = [
            event_versions(conn, ["e", "other"], known_at=at)
            for at in (FIRST - HOUR, FIRST, SECOND)
        ]
    assert versions == [{}, {"e": 1}, {"e": 2}]


@pytest.mark.parametrize(
    ("status", "cancelled_at", "expected"),
    [
        ("scheduled", None, None),
        ("cancelled", None, NOON + HOUR),
        ("cancelled", NOON + HOUR + HOUR / 2, NOON + HOUR + HOUR / 2),
        ("completed", NOON + HOUR + HOUR / 2, NOON + HOUR + HOUR / 2),
        ("superseded", None, None),
    ],
)
def test_an_event_is_out_of_force_from_its_cancellation_or_if_it_has_no_time_altogether(
    plain_database: str, status: str, cancelled_at: datetime | None, expected: datetime | None
) -> None:
    # given
    say(plain_database, event(status=status, cancelled_at=cancelled_at))
    # when
    [window] = windows(plain_database)
    # then
    assert window.cancelled_at == expected


def test_events_that_touch_a_period_are_read_in_the_order_of_their_names(
    plain_database: str,
) -> None:
    # given events before, across the edges, inside and after
    edges = [(-2, 0), (-1, 1), (3, 4), (11, 13), (12, 14)]
    names = ["a", "z", "c", "b", "e"]
    for name, (start, end) in zip(names, edges, strict=True):
        say(
            plain_database,
            event(event_id=name, started_at=NOON + start * HOUR, ended_at=NOON + end * HOUR),
        )
    # when
    found = windows(plain_database)
    # then
    assert [window.event_id for window in found] == ["b", "c", "z"]


def test_an_event_that_has_been_cancelled_still_ends_in_its_period(plain_database: str) -> None:
    # given an event that is cancelled later: what it was paid must be looked at again
    say(plain_database, event())
    say(plain_database, event(SECOND, status="cancelled"))
    # when
    with connect(plain_database, Role.READ) as conn:
        found = [ended_events(conn, TODAY, known_at=at) for at in (FIRST - HOUR, FIRST, SECOND)]
    # then
    period = Period(NOON + HOUR, NOON + 2 * HOUR)
    assert found == [{}, {"e": period}, {"e": period}]


def test_a_price_is_read_as_it_was_known(database: str) -> None:
    # given a price that is revised later
    with connect(database, Role.SETTLE) as conn:
        assert [put_prices(conn, [one]) for one in (price(), price(), price(SECOND, -5))] == [
            1,
            0,
            1,
        ]
        # when
        before, then, now = (
            load_prices(conn, TODAY, known_at=at) for at in (FIRST - HOUR, FIRST, SECOND)
        )
    # then
    assert before == []
    assert then == [Price("p", NOON, NOON + HOUR, 420_000, FIRST)]
    assert now == [Price("p", NOON, NOON + HOUR, -5, SECOND)]


def test_news_that_a_run_cannot_have_seen_counts_as_received_after_it(database: str) -> None:
    # given a run that fixes its time after the news was received, but before it is stored
    with connect(database, Role.SETTLE) as conn:
        conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        known_at = fence.moment(conn, lambda: SECOND)
    # when it is stored
    say(database, event(FIRST))
    with connect(database, Role.SETTLE) as conn:
        put_prices(conn, [price(FIRST)])
    # then the run did not know it
    tick = timedelta(microseconds=1)
    assert windows(database, known_at) == []
    assert len(windows(database, known_at + tick)) == 1
    with connect(database, Role.READ) as conn:
        assert load_prices(conn, TODAY, known_at=known_at) == []
        [known] = load_prices(conn, TODAY, known_at=known_at + tick)
    assert known.received_at == known_at + tick


@pytest.mark.parametrize("same", [True, False], ids=["the same news", "different news"])
def test_two_who_hear_news_at_once_keep_each_version_once(database: str, same: bool) -> None:
    # given two processes
    start = Barrier(2)

    def hear(primacy: int) -> int:
        with connect(database, Role.SETTLE) as conn:
            start.wait(30)
            return put_events(conn, [event(primacy=primacy)])

    # when both hear of an event at once
    with ThreadPoolExecutor(2) as threads:
        new = list(threads.map(hear, [1, 1 if same else 2]))
    # then none is lost and none is kept twice
    assert sum(new) == (1 if same else 2)
    with connect(database, Role.READ) as conn:
        assert event_versions(conn, ["e"], known_at=FIRST) == {"e": 1 if same else 2}
