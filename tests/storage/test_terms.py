"""Terms are kept as versions: what is said anew counts from when it was known, and not before."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from threading import Barrier
from typing import Any

import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal

from settlement.periods import Period
from settlement.schemas import BASELINE, ORDER, SITE, TEMPERATURE, Frame
from storage.engine import Connection, Role, connect
from storage.temperatures import load_temperatures, put_temperatures
from storage.terms import (
    load_baselines,
    load_orders,
    load_sites,
    put_baselines,
    put_orders,
    put_sites,
)
from storage.versions import RepeatedKeyError
from tests.storage.made import NOON

HOUR = timedelta(hours=1)
TODAY = Period(NOON, NOON + 12 * HOUR)
FIRST, SECOND = NOON + 20 * HOUR, NOON + 30 * HOUR
"""When this system knew the first version, and the second."""


@dataclass(frozen=True)
class Input:
    """One kind of input: how it is kept and read, a row of it, and the same row saying another thing."""

    frame: Frame
    put: Callable[..., int]
    load: Callable[..., pl.DataFrame | None]
    row: tuple[Any, ...]
    changed: tuple[Any, ...]

    def rows(self, *rows: tuple[Any, ...]) -> pl.DataFrame:
        return pl.DataFrame(list(rows), schema=self.frame.schema, orient="row")


SITES = Input(
    SITE,
    put_sites,
    lambda conn, _, known_at: load_sites(conn, known_at=known_at),
    ("s", 52_520_008, 13_404_954, "north"),
    ("s", None, None, ""),
)
BASELINES = Input(
    BASELINE,
    put_baselines,
    load_baselines,
    ("car", NOON, NOON + HOUR, -7200),
    ("car", NOON, NOON + HOUR, 1500),
)
ORDERS = Input(
    ORDER,
    put_orders,
    load_orders,
    ("e", "car", NOON, NOON + HOUR, 5000),
    ("e", "car", NOON, NOON + HOUR, 0),
)
VERSIONED = [
    pytest.param(one, id=one.frame.name) for one in (SITES, BASELINES, ORDERS)
]  # fmt: skip


def put(dsn: str, what: Input, rows: pl.DataFrame, at: Any) -> int:
    with connect(dsn, Role.SETTLE) as conn:
        return what.put(conn, rows, now=at)


def load(dsn: str, what: Input, at: Any, period: Period = TODAY) -> pl.DataFrame | None:
    with connect(dsn, Role.READ) as conn:
        return what.load(conn, period, known_at=at)


@pytest.mark.parametrize("what", VERSIONED)
def test_what_was_said_is_read_as_it_was_known_at_a_time(database: str, what: Input) -> None:
    # given a row, and later the same one with other content
    said, corrected = what.rows(what.row), what.rows(what.changed)
    assert put(database, what, said, FIRST) == 1
    assert put(database, what, corrected, SECOND) == 1
    # when it is read as of four times, then each time shows what was known by then
    before = load(database, what, FIRST - timedelta(microseconds=1))
    assert before is None or before.is_empty()
    for at, expected in ((FIRST, said), (SECOND - HOUR, said), (SECOND, corrected)):
        found = load(database, what, at)
        assert found is not None
        assert_frame_equal(found, expected)


@pytest.mark.parametrize("what", VERSIONED)
def test_what_is_said_again_is_no_version_unless_it_had_changed(database: str, what: Input) -> None:
    # given the same thing said twice, then another, then the first one again
    there, back = what.rows(what.row), what.rows(what.changed)
    # when
    new = [put(database, what, said, FIRST) for said in (there, there, back, back, there)]
    # then only changes are versions, and the last word counts
    assert new == [1, 0, 1, 0, 1]
    found = load(database, what, FIRST)
    assert found is not None
    assert_frame_equal(found, there)


@pytest.mark.parametrize("what", VERSIONED)
def test_one_call_cannot_say_two_things_of_one_key(database: str, what: Input) -> None:
    # given two rows of one key, when they are to be kept
    with pytest.raises(RepeatedKeyError, match=f"{what.frame.name}.*Expected each key once"):
        put(database, what, what.rows(what.row, what.changed), FIRST)
    # then neither is
    found = load(database, what, SECOND)
    assert found is None or found.is_empty()


@pytest.mark.parametrize("what", [VERSIONED[0], VERSIONED[2]])
def test_of_two_who_say_different_things_at_once_none_is_lost(database: str, what: Input) -> None:
    # given two processes with different news of one key
    start = Barrier(2)

    def say(row: tuple[Any, ...]) -> int:
        with connect(database, Role.SETTLE) as conn:
            start.wait(30)
            return what.put(conn, what.rows(row), now=FIRST)

    # when they speak at once
    with ThreadPoolExecutor(2) as threads:
        new = list(threads.map(say, [what.row, what.changed]))
    # then both are kept
    assert new == [1, 1]
    with psycopg.connect(database, user="v2g") as conn:
        versions = conn.execute(f"select version from {what.frame.name}_version order by 1")
        assert versions.fetchall() == [(1,), (2,)]


@pytest.mark.parametrize("what", [VERSIONED[1], VERSIONED[2]])
def test_what_overlaps_a_period_is_read_and_nothing_else(database: str, what: Input) -> None:
    # given intervals before, across the start, inside, across the end and after
    edges = [(-2, 0), (-1, 1), (3, 4), (11, 13), (12, 14)]
    *head, _, _, _ = what.row
    rows = [(*head, NOON + s * HOUR, NOON + e * HOUR, 1000) for s, e in edges]
    put(database, what, what.rows(*rows), FIRST)
    # when
    found = load(database, what, FIRST)
    # then
    assert found is not None
    assert_frame_equal(found, what.rows(*rows[1:4]))


@pytest.mark.parametrize(
    ("what", "row"),
    [
        pytest.param(SITES, ("s", 90_000_001, 0, ""), id="north of the pole"),
        pytest.param(BASELINES, ("car", NOON, NOON, 1), id="a baseline without length"),
        pytest.param(BASELINES, ("car", NOON, NOON + HOUR, 10_000_001), id="beyond any charger"),
        pytest.param(ORDERS, ("e", "car", NOON, NOON + HOUR, -1), id="an order to draw"),
    ],
)
def test_what_is_out_of_range_is_not_kept(plain_database: str, what: Input, row: Any) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        put(plain_database, what, what.rows(row), FIRST)


def test_no_site_is_another_thing_than_no_site_known_yet(plain_database: str) -> None:
    # given a site declared at a time
    put(plain_database, SITES, SITES.rows(SITES.row), SECOND)
    # when and then
    assert load(plain_database, SITES, FIRST) is None
    assert load(plain_database, SITES, SECOND) is not None


def test_a_large_answer_comes_whole_and_in_order(plain_database: str, monkeypatch) -> None:
    # given more rows than are fetched at a time
    monkeypatch.setattr("storage.frames.ROWS_PER_PIECE", 7)
    rows = [(f"car-{number:02}", NOON, NOON + HOUR, number) for number in range(40)]
    put(plain_database, BASELINES, BASELINES.rows(*reversed(rows)), FIRST)
    # when
    found = load(plain_database, BASELINES, FIRST)
    # then
    assert found is not None
    assert_frame_equal(found, BASELINES.rows(*rows))


def temperatures(*rows: tuple[str, timedelta, int]) -> pl.DataFrame:
    return pl.DataFrame(
        [("A", vehicle, NOON + after, celsius, NOON + HOUR) for vehicle, after, celsius in rows],
        schema=TEMPERATURE.schema,
        orient="row",
    )


def measured(conn: Connection, known_at: Any = FIRST) -> pl.DataFrame:
    return load_temperatures(conn, TODAY, known_at=known_at)


def test_temperatures_are_read_as_they_were_known_at_a_time(database: str) -> None:
    # given a sample known first, and another one known later
    one, other = ("car", HOUR, 25_000), ("car", 2 * HOUR, -4_500)
    with connect(database, Role.SETTLE) as conn:
        assert put_temperatures(conn, temperatures(one), now=FIRST) == 1
        conn.commit()
        assert put_temperatures(conn, temperatures(other), now=SECOND) == 1
        # when
        then, later = measured(conn), measured(conn, SECOND)
    # then
    assert_frame_equal(then, temperatures(one))
    assert_frame_equal(later, temperatures(one, other))


def test_what_a_sensor_has_said_of_a_moment_stands(database: str) -> None:
    # given a sample
    with connect(database, Role.SETTLE) as conn:
        put_temperatures(conn, temperatures(("car", HOUR, 25_000)), now=FIRST)
        # when it is delivered again, and with another value
        again = [
            put_temperatures(conn, temperatures(("car", HOUR, celsius)), now=SECOND)
            for celsius in (25_000, 90_000)
        ]
        # then nothing is added
        assert again == [0, 0]
        assert_frame_equal(measured(conn, SECOND), temperatures(("car", HOUR, 25_000)))


def test_temperatures_of_a_half_open_period_are_read_by_vehicle_and_time(database: str) -> None:
    # given samples around the edges of a period, of two vehicles
    edge = TODAY.ended_at - TODAY.started_at
    tick = timedelta(microseconds=1)
    before, first, last, after = (
        ("car", -tick, 1),
        ("car", 0 * tick, 2),
        ("car", edge - tick, 3),
        ("car", edge, 4),
    )
    van = ("van", HOUR, 5)
    with connect(database, Role.SETTLE) as conn:
        put_temperatures(conn, temperatures(van, after, last, first, before), now=FIRST)
        # when
        found = measured(conn)
    # then
    assert_frame_equal(found, temperatures(first, last, van))


def test_temperatures_of_any_week_get_their_part(plain_database: str) -> None:
    # given samples of three weeks
    weeks = temperatures(*(("car", timedelta(weeks=n), 20_000) for n in (0, 1, 40)))
    # when
    with connect(plain_database, Role.SETTLE) as conn:
        assert put_temperatures(conn, weeks, now=FIRST) == 3
    # then none lies in the default partition
    with psycopg.connect(plain_database, user="v2g") as conn:
        parts = conn.execute(
            "select distinct tableoid::regclass::text from temperature order by 1"
        ).fetchall()
    assert [part for (part,) in parts] == [
        "temperature_20260629",
        "temperature_20260706",
        "temperature_20270405",
    ]


def test_a_temperature_beyond_the_sensor_is_not_kept(plain_database: str) -> None:
    with (
        connect(plain_database, Role.SETTLE) as conn,
        pytest.raises(psycopg.errors.CheckViolation),
    ):
        put_temperatures(conn, temperatures(("car", HOUR, 150_001)), now=FIRST)


def test_none_at_all_is_an_empty_frame(plain_database: str) -> None:
    with connect(plain_database, Role.SETTLE) as conn:
        assert put_temperatures(conn, TEMPERATURE.empty(), now=FIRST) == 0
        assert_frame_equal(measured(conn), TEMPERATURE.empty())
