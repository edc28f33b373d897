"""Gaps in signed sequences: named once, as ranges, and open until something in them has landed."""

import random
import threading
from datetime import timedelta
from itertools import pairwise
from time import monotonic

import psycopg
import pytest

from settlement.units import SEQUENCE_MAX
from storage import streams
from storage.engine import Role, connect
from storage.landing import Lander
from storage.streams import ISLANDS_MAX, Gap, Watch
from tests.storage.made import NOON, STEP, arrival, packet

AT_ONCE = timedelta(0)


@pytest.fixture
def conn(database):
    with connect(database, Role.INGEST) as conn:
        conn.autocommit = True
        yield conn


@pytest.fixture
def land(database):
    lander = Lander(database)

    def land(*sequences, evse="E1", epoch=1, **fields):
        return lander.land(
            [
                arrival(packet(evse, n, stream_epoch=epoch, **fields), topic_evse_id=evse)
                for n in sequences
            ]
        )

    yield land
    lander.close()


@pytest.fixture
def look(conn):
    watch = Watch(conn)

    def look():
        """Named gaps as (EVSE, epoch, first, last), of everything that was not looked at yet."""
        found = []
        while (one := watch.look(grace=AT_ONCE)).batches:
            found += [(gap.evse_id, gap.stream_epoch, gap.first, gap.last) for gap in one.gaps]
        return sorted(found)

    return look


@pytest.fixture
def open_ones(conn):
    def open_ones(**asked):
        return [
            (one.gap.first, one.gap.last)
            for one in sorted(
                streams.listed(conn, most=1000, **asked), key=lambda one: one.gap.first
            )
            if one.open
        ]

    return open_ones


def test_a_stream_that_begins_anywhere_and_goes_on_has_no_gap(land, look):
    land(17, 18, 19)
    land(20)

    assert look() == []


def test_what_is_missing_between_two_packets_is_named_as_a_range(land, look):
    land(1, 2, 3)
    land(7, 8, 12)

    assert look() == [("E1", 1, 4, 6), ("E1", 1, 9, 11)]


def test_streams_have_nothing_to_do_with_each_other(land, look):
    land(1, 2)
    land(5, 6, epoch=2)
    land(9, evse="E2")

    assert look() == []


def test_a_gap_is_named_once_however_often_it_is_looked_for(land, look):
    land(1, 5)

    assert look() == [("E1", 1, 2, 4)]
    assert look() == []
    land(6)
    assert look() == []


def test_a_gap_that_is_filled_is_closed_and_its_row_stays_as_it_was(
    land, look, open_ones, database
):
    land(1, 5)
    look()
    before = open_ones()

    land(2, 3, 4)

    assert look() == []
    assert (before, open_ones()) == ([(2, 4)], [])
    with psycopg.connect(database, user="v2g") as conn:
        assert conn.execute(
            "select first_sequence, last_sequence from sequence_gap"
        ).fetchall() == [(2, 4)]


def test_what_remains_on_both_sides_of_a_packet_inside_a_gap_is_named_anew(land, look, open_ones):
    land(1, 20)
    look()

    land(10, 11)

    assert look() == [("E1", 1, 2, 9), ("E1", 1, 12, 19)]
    assert open_ones() == [(2, 9), (12, 19)]
    land(12, 13)
    assert look() == [("E1", 1, 14, 19)]
    assert open_ones() == [(2, 9), (14, 19)]


def test_a_packet_before_the_first_one_opens_a_gap_between_them(land, look):
    land(10)
    assert look() == []

    land(3)

    assert look() == [("E1", 1, 4, 9)]


@pytest.mark.parametrize("seed", range(4))
def test_gaps_are_what_is_missing_whichever_order_and_batches_the_packets_come_in(
    land, look, open_ones, seed
):
    rng = random.Random(seed)
    landed = rng.sample(range(1, 31), 20)
    order = list(landed)
    while order:
        size = rng.randrange(1, 5)
        land(*order[:size])
        del order[:size]
        if rng.random() < 0.7 or not order:
            look()

    assert open_ones() == holes(landed)


def holes(landed):
    """The ranges between packets, worked out by hand."""
    ordered = sorted(landed)
    return [(a + 1, b - 1) for a, b in pairwise(ordered) if b - a > 1]


def test_a_gap_between_packets_that_are_months_apart_is_found(land, look):
    land(1)
    land(5, ended_at=(NOON - timedelta(days=200)).isoformat())
    land(6)

    # 5 is signed long before 1 and 6: a clock was wrong, the sequence was not.
    assert look() == [("E1", 1, 2, 4)]


def test_a_jump_to_the_end_of_all_numbers_is_one_row_and_no_work(land, look, open_ones):
    land(0, SEQUENCE_MAX, ended_at=NOON.isoformat())
    began = monotonic()

    assert look() == [("E1", 1, 1, SEQUENCE_MAX - 1)]
    assert open_ones() == [(1, SEQUENCE_MAX - 1)]
    assert monotonic() - began < 2


def test_a_stream_in_pieces_costs_no_more_than_so_many_searches(land, conn, look, database):
    land(*range(1, 2 * ISLANDS_MAX + 200, 2), ended_at=NOON.isoformat())
    land(1, 3, evse="E2")

    found = Watch(conn).look(grace=AT_ONCE)

    assert found.left_out == 1
    assert len(found.gaps) <= 2 * ISLANDS_MAX
    assert [gap.first for gap in found.gaps if gap.evse_id == "E2"] == [2]


def test_what_has_just_landed_may_still_be_overtaken(land, conn):
    land(1, 3)

    assert Watch(conn).look(grace=timedelta(minutes=1)).batches == 0
    land(2)
    assert Watch(conn).look(grace=AT_ONCE).gaps == []


def test_a_batch_that_commits_after_later_ones_is_looked_at_all_the_same(land, look, database):
    land(1, evse="another")  # so that the week is there
    with psycopg.connect(database, user="v2g") as slow:
        # The number is taken, the row is not there yet: a landing that takes its time.
        ((number,),) = slow.execute("select nextval('landing_batch_id')").fetchall()
        slow.execute(
            "insert into raw_packet (evse_id, signed_at, digest, packet, received_at, source, batch_id,"
            " stream_epoch, sequence, sequence_step) values ('E1', %s, 'd', 'p', %s, 'mqtt', %s, 1, 9, 1)",
            [NOON, NOON, number],
        )
        slow.execute(
            "insert into landing_batch values (%s, now(), 1, 0, 0, %s, %s)", [number, NOON, NOON]
        )
        land(1, 2)
        assert look() == []
        assert look() == []
        slow.commit()

    assert look() == [("E1", 1, 3, 8)]


def test_processes_that_watch_together_name_each_gap_once(land, database):
    for n in range(0, 400, 4):
        land(n, n + 1, ended_at=(NOON + n * STEP).isoformat())
    named: list[Gap] = []

    def watch():
        with connect(database, Role.INGEST) as conn:
            conn.autocommit = True
            watcher = Watch(conn)
            for _ in range(200):
                named.extend(watcher.look(grace=AT_ONCE).gaps)

    threads = [threading.Thread(target=watch) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert sorted(gap.first for gap in named) == [n + 2 for n in range(0, 396, 4)]


def test_packets_from_before_streams_were_watched_open_no_gap(land, look, database):
    land(9, evse="another")  # so that the week is there
    with psycopg.connect(database, user="v2g") as conn:
        conn.execute(
            "insert into raw_packet (evse_id, signed_at, digest, packet, received_at, source, batch_id)"
            " values ('E1', %(at)s, 'd', 'p', %(at)s, 'mqtt', 900)",
            {"at": NOON},
        )
        conn.execute(
            "insert into landing_batch values (900, now(), 1, 0, 0, %(at)s, %(at)s)", {"at": NOON}
        )
    land(5, 7)

    assert look() == [("E1", 1, 6, 6)]


def test_only_one_process_tells_devices_until_its_connection_ends(database):
    with connect(database, Role.INGEST) as first, connect(database, Role.INGEST) as second:
        first.autocommit = second.autocommit = True
        assert streams.become_reporter(first)
        assert not streams.become_reporter(second)
        first.close()

        for _ in range(200):
            if streams.become_reporter(second):
                break
        else:
            pytest.fail("the lock outlived its connection")


def test_who_brings_an_evses_packets_is_told_by_its_keys(database, conn):
    with psycopg.connect(database, user="v2g") as owner:
        owner.execute("alter table device_key drop constraint device_key_key_claim_fkey")
        owner.cursor().executemany(
            "insert into device_key (key_id, evse_id, algorithm, public_key, valid_from, enrolled_at,"
            " meter_id, client_id) values (%s, %s, 'ES256', %s, now(), now(), '', %s)",
            [("a", "E1", b"a", "station-1"), ("b", "E1", b"b", "station-1"), ("c", "E2", b"c", "")],
        )

    assert streams.brought_by(conn, ["E1", "E2", "E3", "meter:1"]) == {
        "E1": {"station-1"},
        "E2": {"E2"},
        "E3": {"E3"},
        "meter:1": set(),
    }


def test_people_see_between_which_times_packets_are_missing(land, look, database):
    land(1, 5)
    look()

    with connect(database, Role.READ) as conn:
        [one] = streams.listed(conn, most=10)
        assert streams.listed(conn, most=10, evse_id="other") == []
        land(3)
        assert streams.listed(conn, most=10) == []
        [filled] = streams.listed(conn, most=10, closed=True)

    assert (one.gap.first, one.gap.last, one.gap.packets, one.open) == (2, 4, 3, True)
    assert (one.after, one.before) == (NOON + STEP, NOON + 5 * STEP)
    assert not filled.open
