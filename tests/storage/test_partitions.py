from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import psycopg
import pytest

from settlement import units
from storage import partitions
from storage.engine import Role, connect
from storage.landing import Fate, Lander
from tests.storage.made import NOON, arrival, packet

MONDAY = datetime(2026, 6, 29, tzinfo=UTC)


def partitions_of(dsn, series):
    with psycopg.connect(dsn, user="v2g") as conn:
        rows = conn.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = %s::regclass",
            [series],
        )
        return {name for (name,) in rows}


def ensure(dsn, role, series, *times):
    with connect(dsn, role) as conn:
        return partitions.ensure(conn, series, times)


@pytest.mark.parametrize("role", [Role.INGEST, Role.SETTLE])
@pytest.mark.parametrize("series", ["raw_packet", "reading"])
def test_the_weeks_of_the_times_are_created_once(plain_database, role, series):
    times = (NOON, NOON + timedelta(days=3), NOON + timedelta(days=21))

    created = (
        ensure(plain_database, role, series, *times),
        ensure(plain_database, role, series, *times),
    )

    assert created == (2, 0)
    assert partitions_of(plain_database, series) == {
        f"{series}_{name}" for name in ("default", "20260629", "20260720")
    }


def test_a_week_begins_on_monday_at_midnight_utc(plain_database):
    lander = Lander(plain_database)
    for number, time in enumerate((MONDAY - timedelta(microseconds=1), MONDAY), start=1):
        lander.land([arrival(packet("A", number, ended_at=time.isoformat()))])
    lander.close()

    with psycopg.connect(plain_database, user="v2g") as conn:
        rows = conn.execute(
            "select tableoid::regclass::text from raw_packet order by signed_at"
        ).fetchall()
    assert rows == [("raw_packet_20260622",), ("raw_packet_20260629",)]


def test_landing_leaves_nothing_in_the_default_partition(plain_database):
    lander = Lander(plain_database)
    times = [NOON - timedelta(days=days) for days in (0, 6, 70, 399)]

    landed = lander.land(
        [arrival(packet("A", n, ended_at=time.isoformat())) for n, time in enumerate(times)]
    )

    lander.close()
    assert {outcome.fate for outcome in landed.outcomes} == {Fate.NEW}
    with psycopg.connect(plain_database, user="v2g") as conn:
        assert conn.execute("select count(*) from raw_packet_default").fetchone() == (0,)


def test_two_at_once_create_each_week_once(plain_database):
    racers = 4
    start = Barrier(racers)
    times = [NOON + timedelta(weeks=week) for week in range(12)]

    def race(series):
        with connect(plain_database, Role.INGEST) as conn:
            start.wait(30)
            return partitions.ensure(conn, series, times)

    with ThreadPoolExecutor(racers) as pool:
        created = list(pool.map(race, ["raw_packet"] * racers))

    assert sorted(created) == [0, 0, 0, 12]


def test_a_new_week_does_not_wait_for_rows_that_go_into_another(plain_database):
    ensure(plain_database, Role.INGEST, "raw_packet", NOON)
    with connect(plain_database, Role.INGEST) as writer:
        writer.execute(
            "insert into raw_packet values ('A', %s, 'digest', 'packet', %s, 'mqtt', 1)",
            [NOON, NOON],
        )

        created = ensure(plain_database, Role.INGEST, "raw_packet", NOON + timedelta(weeks=1))

    assert created == 1


def test_rows_that_went_into_the_default_partition_stop_nobody(plain_database):
    with connect(plain_database, Role.INGEST) as careless:
        careless.execute(
            "insert into raw_packet values ('A', %s, 'digest', 'packet', %s, 'mqtt', 1)",
            [NOON, NOON],
        )

    created = ensure(plain_database, Role.INGEST, "raw_packet", NOON, NOON + timedelta(weeks=1))

    assert created == 1
    assert "raw_packet_20260706" in partitions_of(plain_database, "raw_packet")
    lander = Lander(plain_database)
    assert lander.land([arrival(packet("B", 1))]).outcomes[0].fate is Fate.NEW
    lander.close()


@pytest.mark.parametrize(
    ("series", "first", "last"),
    [
        pytest.param("posting", NOON, NOON, id="not a time series"),
        pytest.param("raw_packet; drop table posting", NOON, NOON, id="an injection"),
        pytest.param(None, NOON, NOON, id="no series"),
        pytest.param("raw_packet", NOON, NOON + timedelta(weeks=64), id="65 weeks"),
        pytest.param("raw_packet", NOON, NOON - timedelta(weeks=1), id="backwards"),
        pytest.param("raw_packet", datetime(2019, 12, 29, tzinfo=UTC), NOON, id="too early"),
        pytest.param("raw_packet", NOON, datetime(2100, 1, 4, tzinfo=UTC), id="too late"),
        pytest.param("raw_packet", None, NOON, id="no beginning"),
    ],
)
def test_the_function_creates_nothing_but_weeks_of_a_time_series(
    plain_database, series, first, last
):
    with (
        connect(plain_database, Role.INGEST) as conn,
        pytest.raises(psycopg.errors.InvalidParameterValue, match="ensure_partitions"),
    ):
        conn.execute("select public.ensure_partitions(%s, %s, %s)", [series, first, last])


def test_every_permitted_time_has_a_week(plain_database):
    ends = (units.EARLIEST, units.LATEST - timedelta(microseconds=1))

    assert ensure(plain_database, Role.INGEST, "reading", *ends) == 2


def test_more_weeks_than_one_call_may_create_take_several(plain_database):
    times = [NOON + timedelta(weeks=week) for week in range(70)]

    assert len(list(partitions.ranges(times))) == 2
    assert ensure(plain_database, Role.SETTLE, "reading", *times) == 70


def test_it_is_called_the_same_on_every_engine(database):
    assert ensure(database, Role.INGEST, "raw_packet", NOON) in (0, 1)


def test_nobody_else_may_call_it(database):
    for role in (Role.POSTER, Role.READ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            ensure(database, role, "raw_packet", NOON)
