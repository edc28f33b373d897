"""What the grid's side said: every version kept, and read as it was known at a time."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import psycopg
import pytest
import yaml

from grid.records import EventSaid, PriceSaid
from settlement.periods import Period
from settlement.timeline import Price, Window
from storage import fence, registry
from storage.engine import Role, connect
from storage.grid import load_prices, put_events, put_prices
from storage.windows import ended_events, event_versions, load_windows
from tests.storage.made import NOON

PROGRAM = Path(__file__).parents[2] / "programs" / "example-energy.yaml"
HOUR = timedelta(hours=1)
TODAY = Period(NOON, NOON + 12 * HOUR)
FIRST, SECOND = NOON + 20 * HOUR, NOON + 30 * HOUR


def event(received_at: datetime = FIRST, **facts: Any) -> EventSaid:
    said: dict[str, Any] = {
        "event_id": "e",
        "program": "p",
        "started_at": NOON + HOUR,
        "ended_at": NOON + 2 * HOUR,
        "created_at": NOON - HOUR,
        "status": "scheduled",
    } | facts
    return EventSaid(**said, document=repr(said).encode(), received_at=received_at)


def price(received_at: datetime = FIRST, micros: int = 420_000, **facts: Any) -> PriceSaid:
    said: dict[str, Any] = {
        "program": "p",
        "started_at": NOON,
        "ended_at": NOON + HOUR,
        "currency": "USD",
    } | facts
    return PriceSaid(**said, price_micros_per_kwh=micros, digest=b"digest", received_at=received_at)


def say(dsn: str, *events: EventSaid) -> int:
    with connect(dsn, Role.SETTLE) as conn:
        return put_events(conn, events).new


def windows(dsn: str, known_at: datetime = FIRST, period: Period = TODAY) -> list[Window]:
    with connect(dsn, Role.READ) as conn:
        return load_windows(conn, period, known_at=known_at)


def test_an_event_is_read_as_it_was_known(database: str) -> None:
    # given an event that is moved, regrouped and cancelled before it ends
    cut = NOON + HOUR + HOUR / 2
    first, second = NOON - HOUR, cut
    say(database, event(first))
    say(
        database,
        event(second, ended_at=NOON + 3 * HOUR, primacy=7, site_group="north", cancelled_at=cut),
    )
    # when it is read as of three times
    before, then, now = (windows(database, at) for at in (first - HOUR, first, second))
    # then
    start, created = NOON + HOUR, NOON - HOUR
    assert before == []
    assert then == [Window("e", "p", start, NOON + 2 * HOUR, created)]
    assert now == [Window("e", "p", start, NOON + 3 * HOUR, created, 7, "north", cut)]
    with connect(database, Role.READ) as conn:
        versions = [
            event_versions(conn, ["e", "other"], known_at=at)
            for at in (first - HOUR, first, second)
        ]
    assert versions == [{}, {"e": 1}, {"e": 2}]


def test_all_that_an_event_says_is_read(plain_database: str) -> None:
    # given
    said = event(
        modes=("opModFixedW", "opModMaxLimW"),
        randomize_start_s=60,
        randomize_duration_s=-30,
        resumes=False,
        status="cancelled_with_randomization",
        cancelled_at=NOON + HOUR + HOUR / 2,
    )
    say(plain_database, said)
    # when
    [found] = windows(plain_database)
    # then
    assert (found.modes, found.resumes, found.cancelled_randomly) == (said.modes, False, True)
    assert (found.randomize_start_s, found.randomize_duration_s) == (60, -30)


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
    # given an event that is cancelled as it runs: what it was paid must be looked at again
    first, second = NOON - HOUR, NOON + HOUR + HOUR / 2
    say(plain_database, event(first))
    say(plain_database, event(second, status="cancelled", cancelled_at=second))
    # when
    with connect(plain_database, Role.READ) as conn:
        found = [ended_events(conn, TODAY, known_at=at) for at in (first - HOUR, first, second)]
    # then
    period = Period(NOON + HOUR, NOON + 2 * HOUR)
    assert found == [{}, {"e": period}, {"e": period}]


def test_a_price_is_read_as_it_was_known(database: str) -> None:
    # given a price that is revised later
    with connect(database, Role.SETTLE) as conn:
        assert [put_prices(conn, [one]).new for one in (price(), price(), price(SECOND, -5))] == [
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
            return put_events(conn, [event(NOON, primacy=primacy)]).new

    # when both hear of an event at once
    with ThreadPoolExecutor(2) as threads:
        new = list(threads.map(hear, [1, 1 if same else 2]))
    # then none is lost and none is kept twice
    assert sum(new) == (1 if same else 2)
    with connect(database, Role.READ) as conn:
        assert event_versions(conn, ["e"], known_at=FIRST) == {"e": 1 if same else 2}


def test_a_price_in_a_currency_that_its_program_never_had_is_passed_over(
    plain_database: str,
) -> None:
    # given prices in two currencies, and then a program with one of them
    stated = {"program": "p", "version": 1, "currency": "USD", "price": {"source": "rtp"}}
    program = yaml.safe_load(PROGRAM.read_text()) | stated
    with connect(plain_database, Role.SETTLE) as conn:
        put_prices(conn, [price(micros=1), price(micros=2, currency="EUR")])
        before = load_prices(conn, TODAY, known_at=FIRST)
        registry.put_program(conn, program, valid_from=NOON, source="made here", now=SECOND)
        # when
        after = load_prices(conn, TODAY, known_at=SECOND)
        again = load_prices(conn, TODAY, known_at=FIRST)
    # then the last price in its currency counts, and what was known before stays as it was
    assert [one.price_micros_per_kwh for one in before] == [2]
    assert [one.price_micros_per_kwh for one in after] == [1]
    assert again == before
