"""Everything but the readings that a run knows, in one reading and as of one time."""

from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import psycopg
import pytest

from grid.records import EventSaid, PriceSaid
from settlement.facts import Facts
from settlement.periods import Period
from settlement.schemas import BASELINE, ORDER, SETTLEMENT, SITE, TEMPERATURE
from storage.engine import Role, connect
from storage.facts import load_facts
from storage.grid import put_events, put_prices
from storage.registry import Contract, put_contracts, put_program
from storage.temperatures import put_temperatures
from storage.terms import put_baselines, put_orders, put_sites

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EVENING = datetime(2026, 7, 15, 17, tzinfo=UTC)
REACH = Period(EVENING, EVENING + HOUR)
KNOWN = datetime(2026, 11, 1, tzinfo=UTC)
LATER = KNOWN + DAY
PLAIN: dict[str, Any] = {"program": "p", "version": 1, "currency": "USD", "product": "energy"}
SUMMER: dict[str, Any] = {"season": {"months": [5, 6, 7, 8, 9]}}
CAPACITY: dict[str, Any] = {
    "product": "capacity",
    "capacity": {"per_avg_kw": "225.00", "average_over": "event_hours", "absent": "zero"},
} | SUMMER
THERMAL = {"time_constant_min": 0, "curve_c": [["20", "1"], ["55", "0"]], "fresh_min": 5}


class World:
    """A database and what is said to it, in few words."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def program(self, at: datetime = KNOWN, **changes: Any) -> None:
        with connect(self.dsn, Role.SETTLE) as conn:
            put_program(conn, PLAIN | changes, source="test", now=at)

    def event(
        self, name: str, start: datetime = EVENING, at: datetime = KNOWN, **facts: Any
    ) -> None:
        row = EventSaid(
            event_id=name, program=facts.pop("program", "p"), started_at=start, ended_at=start + HOUR,
            created_at=start - DAY, status="scheduled", document=name.encode(), received_at=at,
        )  # fmt: skip
        with connect(self.dsn, Role.SETTLE) as conn:
            put_events(conn, [row])

    def temperatures(self, *times: datetime, at: datetime = KNOWN) -> None:
        rows = [("A", "car", time, 25_000, time) for time in times]
        with connect(self.dsn, Role.SETTLE) as conn:
            frame = pl.DataFrame(rows, schema=TEMPERATURE.schema, orient="row")
            put_temperatures(conn, frame, now=at)

    def settled(self, event: str, energy: int, revision: int = 1, **facts: Any) -> None:
        row = {
            "settlement_id": f"{event}-{revision}", "program": "p", "program_version": 1,
            "event_id": event, "vehicle_id": "car", "contract_id": "c", "currency": "USD",
            "energy_milliwh": energy, "lines_micros": 0, "amount_minor": 0,
            "rounding_difference_micros": 0, "state": "booked", "reason": "", "revision": revision,
            "run_id": "r", "adjustment_minor": 0, "known_at": KNOWN,
            "allocations": "[]",
        } | facts  # fmt: skip
        assert set(SETTLEMENT.schema.names()) <= row.keys()
        with psycopg.connect(self.dsn, user="v2g") as conn:
            needed = conn.execute(
                "select column_name from information_schema.columns where table_name = 'settlement'"
                " and is_nullable = 'NO' and is_identity = 'NO'"
            ).fetchall()
            assert {name for (name,) in needed} <= row.keys()
            conn.execute(
                f"insert into settlement ({', '.join(row)}) values ({', '.join(['%s'] * len(row))})",
                list(row.values()),
            )

    def facts(self, at: datetime = KNOWN, reach: Period = REACH, **how: Any) -> Facts:
        with connect(self.dsn, Role.SETTLE) as conn:
            conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
            return load_facts(conn, reach, known_at=at, **how)


@pytest.fixture
def world(plain_database: str) -> World:
    return World(plain_database)


def names(facts: Facts) -> list[str]:
    return [window.event_id for window in facts.windows]


def test_everything_is_read_as_it_was_known(database: str) -> None:
    # given one of each kind, known at one time, and another one of each known later
    world = World(database)

    def tell(name: str, version: int, at: datetime) -> None:
        world.program(at, version=version, thermal=THERMAL)
        world.event(name, at=at)
        world.temperatures(EVENING + version * HOUR / 10, at=at)
        end = EVENING + HOUR
        with connect(database, Role.SETTLE) as conn:
            put_prices(conn, [PriceSaid("p", EVENING, end, version, "USD", b"", at)])
            put_contracts(conn, [Contract(name, "car", "p", 850_000, "acc", EVENING)], now=at)
            for put, schema, row in (
                (put_sites, SITE.schema, (name, None, None, "")),
                (put_baselines, BASELINE.schema, (name, EVENING, end, 1)),
                (put_orders, ORDER.schema, (name, "car", EVENING, end, 1)),
            ):
                put(conn, pl.DataFrame([row], schema=schema, orient="row"), now=at)

    tell("one", 1, KNOWN)
    tell("two", 2, LATER)

    def count(facts: Facts) -> list[int]:
        sites = 0 if facts.sites is None else facts.sites.height
        return [
            len(facts.programs.get("p", ())), len(facts.windows), facts.contracts.height, sites,
            facts.temperatures.height, facts.baselines.height, facts.orders.height,
            sum(price.price_micros_per_kwh for price in facts.prices),
        ]  # fmt: skip

    # when it is read as of three times
    counts = [count(world.facts(at)) for at in (KNOWN - HOUR, KNOWN, LATER)]
    # then
    assert counts == [[0] * 8, [1] * 8, [2] * 8]


def test_a_replay_reads_the_same_facts_whatever_has_been_said_since(database: str) -> None:
    # given facts
    world = World(database)
    world.program(thermal=THERMAL)
    world.event("one")
    world.temperatures(EVENING)
    before = world.facts()
    # when other things are said
    world.program(LATER, version=2)
    world.event("one", EVENING - HOUR / 2, at=LATER)
    world.temperatures(EVENING + HOUR / 2, at=LATER)
    # then
    after = world.facts()
    assert repr(after) == repr(before)
    assert repr(world.facts(LATER)) != repr(before)
    assert [astuple(one) for one in after.windows] == [astuple(one) for one in before.windows]


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        pytest.param({}, ["today"], id="nothing is counted over a season"),
        pytest.param(SUMMER | {"caps": {"season_hours": 60}}, ["may", "today"], id="capped hours"),
        pytest.param(CAPACITY, ["may", "today"], id="capacity"),
        pytest.param({"caps": {"season_hours": 60}}, ["february", "may", "today"], id="a year"),
    ],
)
def test_events_are_read_from_the_start_of_the_season_over_which_something_is_counted(
    world: World, terms: dict[str, Any], expected: list[str]
) -> None:
    # given events of last year, of winter, of the season, of today, and of next week
    world.program(**terms)
    for name, start in {
        "last year": EVENING - 365 * DAY,
        "february": datetime(2026, 2, 1, tzinfo=UTC),
        "may": datetime(2026, 5, 1, tzinfo=UTC),
        "today": EVENING,
        "next week": EVENING + 7 * DAY,
    }.items():
        world.event(name, start)
    # when
    found = world.facts()
    # then
    assert sorted(names(found)) == sorted(expected)


def test_the_season_of_a_capacity_program_is_read_by_the_run_in_which_it_ends(
    world: World,
) -> None:
    # given a season whose last event was long before its end
    world.program(**CAPACITY)
    world.event("may", datetime(2026, 5, 1, tzinfo=UTC))
    # when the last day is read, and one after it
    end = datetime(2026, 10, 1, tzinfo=UTC)
    last = world.facts(reach=Period(end - DAY, end))
    # then
    assert names(last) == ["may"]


def test_one_programs_season_reaches_back_no_further_for_another_ones_event(world: World) -> None:
    # given a program that counts over its season, without an event today
    world.program(**SUMMER, caps={"season_hours": 60})
    world.program(program="other")
    world.event("may", datetime(2026, 5, 1, tzinfo=UTC))
    world.event("today", program="other")
    # when and then
    assert names(world.facts()) == ["today"]


@pytest.mark.parametrize(
    ("terms", "back"),
    [
        pytest.param({}, DAY, id="no filter: a day"),
        pytest.param({"time_constant_min": 240}, 32 * HOUR, id="eight time constants"),
        pytest.param({"fresh_min": 24 * 60}, DAY, id="as long as a sample can be fresh"),
    ],
)
def test_temperatures_are_read_from_early_enough_for_the_filter_to_have_settled(
    world: World, terms: dict[str, Any], back: timedelta
) -> None:
    # given samples around the earliest that counts, and around the end of the reach
    tick = timedelta(microseconds=1)
    first, end = REACH.started_at - back, REACH.ended_at
    world.program(thermal=THERMAL | terms)
    world.temperatures(first - tick, first, end - tick, end)
    # when
    found = world.facts().temperatures
    # then
    assert found["measured_at"].to_list() == [first, end - tick]


def test_temperatures_are_not_read_where_no_program_asks_for_them(world: World) -> None:
    world.program()
    world.temperatures(EVENING)
    assert world.facts().temperatures.height == 0


def test_energy_paid_before_in_the_season_comes_from_the_books(world: World) -> None:
    # given a program that caps a vehicle's energy per season, and what has been booked
    world.program(**SUMMER, caps={"season_kwh": "100"})
    for name, days in {"last year": -365, "june": -30, "july": -1, "today": 0, "later": 1}.items():
        world.event(name, EVENING + days * DAY)
        world.settled(name, 1000)
    world.settled("june", 7000, revision=2)
    world.settled("july", 900, revision=2, state="held", reason="PRICE_MISSING")
    world.settled("july", 50, revision=3, known_at=LATER)
    # when
    used = world.facts(period=REACH).season_used
    later = world.facts(LATER, period=REACH).season_used
    # then of each settlement the last booked revision known by then counts, before the period
    assert used.rows() == [("p", "car", 2026, 7000 + 1000)]
    assert later.rows() == [("p", "car", 2026, 7000 + 50)]


def test_energy_paid_before_is_not_looked_up_where_nothing_caps_it(world: World) -> None:
    world.program()
    world.event("june", EVENING - 30 * DAY)
    world.settled("june", 1000)
    assert world.facts().season_used.height == 0
