"""What a run knew can be told again: nothing slips in below its time, whatever clocks and commits do."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier

import polars as pl
import psycopg
import pytest
from polars.testing import assert_frame_equal
from psycopg import IsolationLevel

from settlement.periods import Period
from settlement.verdicts import Policy
from settlement.verdicts import judge as verdicts_on
from storage import fence, judging
from storage.engine import Connection, Role, connect
from storage.fence import FenceError, WritersBusyError
from storage.keys import load_keys
from storage.readings import load_readings
from storage.registry import Contract, load_contracts, put_contracts
from tests.storage.judged import START, charger, judge, land, packets
from tests.storage.made import NOON

EVSE = "DE*V2G*E00001"
SECOND = timedelta(seconds=1)
MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
EVENING = Period(START, START + HOUR)
WAITING = "select count(*) from pg_locks where locktype = 'advisory' and not granted"


@contextmanager
def running(dsn: str) -> Iterator[Connection]:
    """A connection as a run has it."""
    with connect(dsn, Role.SETTLE) as conn:
        conn.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        yield conn


def wall_clock() -> datetime:
    return datetime.now(UTC)


def contract(number: int) -> Contract:
    return Contract(f"c-{number}", "car", "p", 850_000, "acc", NOON)


def put(dsn: str, number: int, at: datetime) -> None:
    with connect(dsn, Role.SETTLE) as conn:
        put_contracts(conn, [contract(number)], now=at)


def known(dsn: str, known_at: datetime) -> pl.DataFrame:
    with connect(dsn, Role.READ) as conn:
        return load_contracts(conn, known_at=known_at)


def until_somebody_waits(dsn: str) -> None:
    with psycopg.connect(dsn, user="v2g", autocommit=True) as conn:
        for _ in range(100_000):
            row = conn.execute(WAITING).fetchone()
            if row and row[0]:
                return
    raise AssertionError("nobody waits for a lock")


def test_a_run_waits_for_judging_under_way_and_its_replay_reads_the_same(database: str) -> None:
    key = charger(database, EVSE)
    land(database, packets(key, EVSE, range(20)), received_at=START + HOUR)

    def run() -> tuple[datetime, pl.DataFrame]:
        with running(database) as conn:
            known_at = fence.moment(conn, wall_clock)
            return known_at, load_readings(conn, database, EVENING, known_at=known_at)

    with connect(database, Role.SETTLE) as judge_conn, ThreadPoolExecutor(2) as threads:
        # given a judge that has stamped its readings and has not committed them
        [batch] = judging.next_batches(judge_conn, packets=100)
        landed = judging.fetch(judge_conn, [batch])
        verdicts = verdicts_on(landed, load_keys(judge_conn), Policy(), threads)
        judging.prepare(judge_conn, verdicts)
        judging.record(judge_conn, [batch], verdicts, now=wall_clock())
        # when a run fixes its time
        settling = threads.submit(run)
        until_somebody_waits(database)
        assert not settling.done()
        judge_conn.commit()
        known_at, seen = settling.result(30)
    # then it has waited, and has seen them
    assert seen.height == 20
    # and whatever comes later, a replay reads the same
    land(database, packets(key, EVSE, range(20, 40)), received_at=START + HOUR)
    land(database, packets(key, EVSE, [3], power_end_w="7300"), received_at=START + HOUR)
    assert judge(database, lambda: known_at - HOUR).packets == 21
    with running(database) as conn:
        replayed = load_readings(conn, database, EVENING, known_at=known_at)
        later = load_readings(conn, database, EVENING, known_at=wall_clock())
    order = ("evse_id", "sequence")
    assert_frame_equal(replayed.sort(order), seen.sort(order))
    assert later.height == 40
    assert later.filter("conflicted")["sequence"].to_list() == [3]


@pytest.mark.parametrize(
    "behind", [timedelta(0), MICROSECOND, HOUR], ids=["at the same time", "a µs behind", "slow"]
)
def test_what_is_written_after_a_run_is_stamped_after_it(database: str, behind: timedelta) -> None:
    # given a run that has fixed its time
    with running(database) as conn:
        known_at = fence.moment(conn, lambda: NOON)
    # when somebody whose clock is behind writes
    put(database, 1, NOON - behind)
    # then the run does not know it, and the next microsecond does
    assert known_at == NOON
    assert known(database, known_at).is_empty()
    assert known(database, known_at + MICROSECOND).height == 1


def test_a_stamp_is_the_writers_own_time_where_no_run_has_fixed_it(database: str) -> None:
    # given a run
    with running(database) as conn:
        fence.moment(conn, lambda: NOON)
    # when
    put(database, 1, NOON + SECOND)
    # then
    assert known(database, NOON + SECOND - MICROSECOND).is_empty()
    assert known(database, NOON + SECOND).height == 1


def test_a_run_whose_clock_is_behind_knows_what_an_earlier_one_made_wait(database: str) -> None:
    # given a run with a fast clock, and a contract that came after it
    with running(database) as conn:
        first = fence.moment(conn, lambda: NOON + HOUR)
    put(database, 1, NOON)
    # when a run with a slow clock follows
    with running(database) as conn:
        second = fence.moment(conn, lambda: NOON)
        seen = load_contracts(conn, known_at=second)
    # then time has gone on, and it knows the contract
    assert second > first
    assert seen.height == 1


def test_a_run_that_fails_does_not_turn_time_back(database: str) -> None:
    # given a run that is rolled back
    with running(database) as conn:
        known_at = fence.moment(conn, lambda: NOON)
        conn.rollback()
    # when
    put(database, 1, NOON)
    # then what it knew stands
    assert known(database, known_at).is_empty()


def test_a_run_sees_nothing_that_is_committed_after_its_moment(database: str) -> None:
    # given a run
    with running(database) as conn:
        known_at = fence.moment(conn, lambda: NOON)
        # when somebody writes while it is at work
        put(database, 1, NOON - HOUR)
        # then it does not see it, however late it looks
        assert load_contracts(conn, known_at=known_at + HOUR).is_empty()


def test_a_run_whose_clock_fails_keeps_nobody_waiting(database: str) -> None:
    # given a run that fails as it fixes its time
    def broken() -> datetime:
        raise OSError("no clock")

    with running(database) as conn:
        with pytest.raises(OSError, match="no clock"):
            fence.moment(conn, broken)
        # when somebody writes meanwhile, then they need not wait
        put(database, 1, NOON)
        # and the same connection can try again
        assert fence.moment(conn, lambda: NOON + SECOND) == NOON + SECOND


def test_writers_do_not_wait_for_each_other(database: str) -> None:
    # given a writer under way
    with connect(database, Role.SETTLE) as one, connect(database, Role.SETTLE) as other:
        fence.writing(one, NOON)
        # when another one begins, then it does not wait
        other.execute("set lock_timeout = '1ms'")
        assert fence.writing(other, NOON) == NOON


def test_a_run_gives_up_on_a_writer_that_does_not_end(database: str, monkeypatch) -> None:
    monkeypatch.setattr(fence, "WAIT_S", 0.05)
    with connect(database, Role.SETTLE) as writer, running(database) as conn:
        # given a writer that does not come to its end
        fence.writing(writer, NOON)
        # when a run would fix its time
        with pytest.raises(WritersBusyError, match="pg_stat_activity"):
            fence.moment(conn, lambda: NOON)
        # then it can when the writer has ended
        writer.rollback()
        assert fence.moment(conn, lambda: NOON) == NOON


def test_the_fence_is_refused_where_it_would_not_hold(database: str) -> None:
    with connect(database, Role.SETTLE) as conn, pytest.raises(FenceError, match="REPEATABLE READ"):
        fence.moment(conn, wall_clock)
    with running(database) as conn:
        conn.execute("select 1")
        with pytest.raises(FenceError, match="expected it IDLE"):
            fence.moment(conn, wall_clock)
    with connect(database, Role.SETTLE) as conn:
        conn.autocommit = True
        with pytest.raises(FenceError, match="autocommit"):
            fence.writing(conn, NOON)


def test_among_many_writers_every_run_can_be_replayed(database: str) -> None:
    # given writers whose clocks stand up to two seconds apart, and runs among them
    writers, each, runs = 3, 25, 15
    start = Barrier(writers + 1)

    def write(writer: int) -> None:
        start.wait(30)
        for number in range(each):
            put(database, writer * each + number, wall_clock() + (writer - 1) * SECOND)

    def run() -> list[tuple[datetime, pl.DataFrame]]:
        start.wait(30)
        seen = []
        for _ in range(runs):
            with running(database) as conn:
                known_at = fence.moment(conn, wall_clock)
                seen.append((known_at, load_contracts(conn, known_at=known_at)))
        return seen

    # when they work at the same time
    with ThreadPoolExecutor(writers + 1) as threads:
        writing = [threads.submit(write, writer) for writer in range(writers)]
        seen = threads.submit(run).result(60)
        for done in writing:
            done.result(60)
    # then each run can be told again, and time has risen from run to run
    for known_at, contracts in seen:
        assert_frame_equal(known(database, known_at), contracts)
    times = [known_at for known_at, _ in seen]
    assert times == sorted(set(times))
    assert known(database, wall_clock() + HOUR).height == writers * each
