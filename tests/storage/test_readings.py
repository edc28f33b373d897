"""Readings and claims, as they were known at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal

from settlement.periods import Period
from settlement.schemas import READING
from storage import readings
from storage.engine import Connection, Role, connect
from storage.readings import load_claims, load_readings, open_readings
from tests.packets import EVSE_ID, PERIOD, make_key, rfc3339
from tests.storage.judged import START, charger, judge, land, packets

HOUR = timedelta(hours=1)
FIRST, SECOND = START + 2 * HOUR, START + 3 * HOUR
"""When this system knew the first packets, and the second."""
ORDER = ("evse_id", "started_at", "sequence")


@contextmanager
def snapshot(dsn: str) -> Iterator[Connection]:
    with connect(dsn, Role.SETTLE) as conn:
        conn.set_isolation_level(psycopg.IsolationLevel.REPEATABLE_READ)
        yield conn


def evening(minutes: float, until: float) -> Period:
    return Period(START + timedelta(minutes=minutes), START + timedelta(minutes=until))


def known(dsn: str, at: datetime, period: Period | None = None) -> pl.DataFrame:
    with snapshot(dsn) as conn:
        frame = load_readings(conn, dsn, period or evening(0, 60), known_at=at)
    return frame.sort(ORDER)


@pytest.fixture
def told(database: str) -> str:
    """Ten readings known first; ten more, and another content of one of the first, known second."""
    key = charger(database, EVSE_ID)
    land(database, packets(key, EVSE_ID, range(10)), received_at=START + HOUR)
    judge(database, lambda: FIRST)
    land(database, packets(key, EVSE_ID, range(10, 20)), received_at=START + HOUR)
    land(database, packets(key, EVSE_ID, [4], power_end_w="7300"), received_at=START + HOUR)
    judge(database, lambda: SECOND)
    return database


def test_readings_are_read_as_they_were_known(told: str) -> None:
    # when they are read as of three times
    before, then, now = (
        known(told, at) for at in (FIRST - timedelta(microseconds=1), FIRST, SECOND)
    )
    # then a reading counts from when it was judged, not from when it was received
    assert before.height == 0
    assert then["sequence"].to_list() == list(range(10))
    assert now["sequence"].to_list() == list(range(20))
    # and so does a conflict
    assert not then["conflicted"].any()
    assert now.filter("conflicted")["sequence"].to_list() == [4]
    # and the columns are those of the frame
    assert then.schema == pl.Schema({**READING.schema, "conflicted": pl.Boolean()})


def test_readings_that_overlap_a_period_are_read_and_no_others(told: str) -> None:
    # given a period from inside the third reading to the start of the sixth
    period = Period(START + 2 * PERIOD + PERIOD / 2, START + 5 * PERIOD)
    # when
    found = known(told, SECOND, period)
    # then
    assert found["sequence"].to_list() == [2, 3, 4]


def test_a_long_reading_is_found_wherever_it_overlaps(database: str) -> None:
    # given a reading of a whole hour
    key = charger(database, EVSE_ID)
    long = packets(key, EVSE_ID, [0], ended_at=rfc3339(START + HOUR), export_end_wh="1007200.000")
    land(database, long, received_at=START + 2 * HOUR)
    judge(database, lambda: SECOND)
    # when and then
    assert known(database, SECOND, evening(59, 60)).height == 1
    assert known(database, SECOND, evening(60, 61)).height == 0


def test_with_a_stretch_comes_the_reading_by_which_its_registers_must_continue(told: str) -> None:
    # given another charger that is silent in the stretch
    key = charger(told, "DE*V2G*E00002")
    land(told, packets(key, "DE*V2G*E00002", range(5)), received_at=START + HOUR)
    judge(told, lambda: SECOND)
    # when the stretch from the seventh reading on is read
    with snapshot(told) as conn, open_readings(conn, told, known_at=SECOND) as read:
        found = read(Period(START + timedelta(seconds=6 * 15), START + HOUR))
    # then the sixth comes with it, and nothing of the other charger
    assert found.filter(pl.col("evse_id") == EVSE_ID)["sequence"].sort().to_list() == list(
        range(5, 20)
    )
    assert found["evse_id"].unique().to_list() == [EVSE_ID]


def test_one_opening_gives_many_stretches_of_one_snapshot(told: str) -> None:
    # given an opening
    with snapshot(told) as conn, open_readings(conn, told, known_at=SECOND + HOUR) as read:
        first = read(evening(0, 60))
        # when more is judged meanwhile
        key = charger(told, "DE*V2G*E00002")
        land(told, packets(key, "DE*V2G*E00002", range(5)), received_at=START + HOUR)
        assert judge(told, lambda: SECOND).readings == 5
        # then it goes on seeing what it saw
        assert_frame_equal(read(evening(0, 60)).sort(ORDER), first.sort(ORDER))
        assert read(evening(30, 60)).height == 0


def test_claims_are_read_as_they_were_known(told: str) -> None:
    # given packets under a key that nobody knows, known later than the conflict
    stranger = make_key()
    land(told, packets(stranger, EVSE_ID, [100, 900]), received_at=START + HOUR)
    judge(told, lambda: SECOND + HOUR)
    # when they are read as of three times, over the time that they claim
    with connect(told, Role.READ) as conn:
        then, conflict, now = (
            load_claims(conn, evening(0, 60), known_at=at)["reason"].to_list()
            for at in (FIRST, SECOND, SECOND + HOUR)
        )
    # then
    assert then == []
    assert conflict == ["CONFLICTING_CONTENT"]
    assert sorted(now) == ["CONFLICTING_CONTENT", "UNKNOWN_KEY"]


@pytest.mark.parametrize(
    ("claim", "found"),
    [
        pytest.param((0, 1), False, id="ends as the period starts"),
        pytest.param((0, 1.5), True, id="across the start"),
        pytest.param((1.2, 1.5), True, id="inside"),
        pytest.param((0, 9), True, id="around"),
        pytest.param((2, 3), False, id="starts as the period ends"),
        pytest.param((None, None), True, id="no time: by its receipt"),
        pytest.param((1.5, None), True, id="no end"),
        pytest.param((None, 9), True, id="no start"),
        pytest.param((1.9, 1.1), True, id="backwards"),
    ],
)
def test_a_claim_belongs_to_the_time_that_it_claims(
    plain_database: str, claim: tuple[Any, Any], found: bool
) -> None:
    # given a claim that was received in the middle of the second hour
    times = [None if hours is None else START + hours * HOUR for hours in claim]
    with connect(plain_database, Role.SETTLE) as conn:
        conn.execute("insert into judged_batch values (1, %s, 0, 1)", [FIRST])
        conn.execute(
            "insert into quarantine values"
            " ('d', 'UNREADABLE', '', null, null, %s, %s, 5, null, %s, 1)",
            [*times, START + 1.5 * HOUR],
        )
        # when the second hour is asked for
        claims = load_claims(conn, evening(60, 120), known_at=FIRST)
    # then
    assert claims["energy_milliwh"].to_list() == ([5] if found else [])


def test_claims_of_a_period_are_found_by_an_index(plain_database: str, monkeypatch) -> None:
    # given many claims
    plans: list[str] = []
    with psycopg.connect(plain_database, user="v2g") as conn:
        conn.execute("insert into judged_batch values (1, %s, 0, 1)", [FIRST])
        conn.execute(
            "insert into quarantine select sha256(n::text::bytea), 'UNREADABLE', '', null, null,"
            " %s + n * interval '1 minute', %s + (n + 1) * interval '1 minute', 5, null, %s, 1"
            " from generate_series(1, 20000) n",
            [START, START, START],
        )
        conn.execute("analyze quarantine")
        execute = conn.execute

        def explain(query: Any, *args: Any) -> Any:
            plans.extend(row[0] for row in execute("explain " + query, *args).fetchall())
            return execute(query, *args)

        # when a period is read
        monkeypatch.setattr(conn, "execute", explain)
        claims = readings.load_claims(conn, evening(600, 660), known_at=FIRST)
    # then
    assert claims.height == 60
    assert any("quarantine_span_idx" in line for line in plans)
