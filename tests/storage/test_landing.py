import threading
from datetime import timedelta

import psycopg
import pytest

from settlement.packets import identify, split
from storage.engine import Role, connect
from storage.landing import DatabaseUnavailableError, Fate, Lander
from tests.ocmf import METER_ID, make_meter, make_record, point
from tests.packets import evening
from tests.storage.cut_wire import CutWire
from tests.storage.made import NOON, arrival, arrivals, packet


@pytest.fixture
def lander(database):
    lander = Lander(database)
    yield lander
    lander.close()


@pytest.fixture
def ask(database):
    conn = psycopg.connect(database, user="v2g", autocommit=True)

    def ask(query, *parameters):
        return conn.execute(query, parameters).fetchall()

    yield ask
    conn.close()


def fates(landed):
    return [outcome.fate for outcome in landed.outcomes]


def test_a_packet_lands_with_its_bytes_untouched(lander, ask):
    sent = packet("EVSE-1", 7)

    landed = lander.land([arrival(sent, source="http")])

    [(evse_id, signed_at, digest, stored, received_at, source, batch_id, *place)] = ask(
        "table raw_packet"
    )
    assert stored == sent
    assert (evse_id, signed_at) == ("EVSE-1", NOON + timedelta(seconds=105))
    assert digest == split(sent).digest == landed.outcomes[0].digest
    assert (received_at, source, batch_id) == (NOON + timedelta(hours=2), "http", landed.batch_id)
    assert place == [1, 7, 1]
    assert landed.outcomes[0].identity == identify(split(sent))
    assert fates(landed) == [Fate.NEW]


def test_the_manifest_counts_every_arrival_and_spans_the_new_rows(lander, ask):
    batch = [
        arrival(packet("A", 1)),
        arrival(packet("A", 3)),
        arrival(packet("A", 1)),
        arrival(b"noise"),
    ]

    landed = lander.land(batch)

    assert fates(landed) == [Fate.NEW, Fate.NEW, Fate.DUPLICATE, Fate.ASIDE]
    assert ask(
        "select batch_id, rows_new, rows_duplicate, rows_aside, first_signed_at, last_signed_at from landing_batch"
    ) == [(landed.batch_id, 2, 1, 1, NOON + timedelta(seconds=15), NOON + timedelta(seconds=45))]


def test_a_batch_of_nothing_but_duplicates_leaves_a_manifest(lander, ask):
    batch = arrivals(3, 3)
    lander.land(batch)

    again = lander.land(list(reversed(batch)))

    assert set(fates(again)) == {Fate.DUPLICATE}
    assert ask(
        "select rows_new, rows_duplicate, rows_aside, first_signed_at from landing_batch where batch_id = %s",
        again.batch_id,
    ) == [(0, 9, 0, None)]
    assert ask("select count(*) from raw_packet") == [(9,)]


def test_new_packets_beside_known_ones_all_land(lander, ask):
    lander.land(arrivals(2, 5))

    landed = lander.land(arrivals(3, 6))

    assert fates(landed).count(Fate.NEW) == 3 * 6 - 2 * 5
    assert ask("select count(*), count(distinct (evse_id, signed_at)) from raw_packet") == [
        (18, 18)
    ]
    assert ask("select count(*) from raw_packet where batch_id = %s", landed.batch_id) == [(8,)]


def test_no_arrivals_are_no_batch(lander, ask):
    landed = lander.land([])

    assert (landed.batch_id, landed.outcomes) == (None, [])
    assert ask("select count(*) from landing_batch") == [(0,)]


class TestOtherSignature:
    """One reading can carry two valid ECDSA signatures: the first counts, the other is evidence."""

    first = packet("A", 1, signature=b"\1" * 64)
    second = packet("A", 1, signature=b"\2" * 64)

    def test_in_a_later_batch_is_set_aside(self, lander, ask):
        lander.land([arrival(self.first)])

        landed = lander.land([arrival(self.second), arrival(packet("A", 2))])

        assert fates(landed) == [Fate.ASIDE, Fate.NEW]
        assert landed.outcomes[0].detail.startswith("other_signature: ")
        assert ask("select why, packet, evse_id from packet_aside") == [
            ("other_signature", self.second, "A")
        ]
        assert ask("select packet from raw_packet order by signed_at") == [
            (self.first,),
            (packet("A", 2),),
        ]

    def test_in_the_same_batch_is_set_aside(self, lander, ask):
        landed = lander.land([arrival(self.first), arrival(self.second), arrival(self.first)])

        assert fates(landed) == [Fate.NEW, Fate.ASIDE, Fate.DUPLICATE]
        assert ask("select packet from raw_packet") == [(self.first,)]

    def test_does_not_push_the_first_one_out_when_it_leads_a_batch(self, lander, ask):
        lander.land([arrival(self.first)])

        landed = lander.land([arrival(self.second), arrival(self.first)])

        assert fates(landed) == [Fate.ASIDE, Fate.DUPLICATE]
        assert ask("select packet from packet_aside") == [(self.second,)]

    def test_is_a_duplicate_the_second_time(self, lander, ask):
        lander.land([arrival(self.first), arrival(self.second)])

        landed = lander.land([arrival(self.second)])

        assert fates(landed) == [Fate.DUPLICATE]
        assert ask("select count(*) from packet_aside") == [(1,)]


@pytest.mark.parametrize(
    ("offset", "fate"),
    [
        pytest.param(timedelta(days=-400), Fate.NEW, id="400 days old"),
        pytest.param(timedelta(days=-400, microseconds=-1), Fate.ASIDE, id="older"),
        pytest.param(timedelta(days=1), Fate.NEW, id="a day ahead"),
        pytest.param(timedelta(days=1, microseconds=1), Fate.ASIDE, id="further ahead"),
        pytest.param(timedelta(days=365 * 60), Fate.ASIDE, id="a lifetime ahead"),
        pytest.param(timedelta(days=-365 * 56), Fate.ASIDE, id="a clock at zero"),
    ],
)
def test_a_packet_of_an_odd_time_opens_no_partition(lander, ask, offset, fate):
    sent = arrival(packet("A", 1, ended_at=(NOON + offset).isoformat()), received_at=NOON)

    landed = lander.land([sent])

    assert fates(landed) == [fate]
    assert ask("select why from packet_aside") == ([("odd_time",)] if fate is Fate.ASIDE else [])


@pytest.mark.parametrize(
    "received_at", ["0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59.999999+00:00"]
)
def test_the_ends_of_the_calendar_are_odd_times_too(lander, received_at):
    sent = arrival(packet("A", 1, ended_at=received_at), received_at=NOON)

    landed = lander.land([sent])

    assert fates(landed) == [Fate.ASIDE]
    assert landed.outcomes[0].detail.startswith("odd_time: ")


def test_the_wrong_topic_does_not_keep_the_true_one_from_landing(lander, ask):
    sent = packet("A", 1)

    wrong = lander.land([arrival(sent, topic_evse_id="B")])
    true = lander.land([arrival(sent, topic_evse_id="A")])

    assert (fates(wrong), fates(true)) == ([Fate.ASIDE], [Fate.NEW])
    assert ask("select why, evse_id, topic_evse_id from packet_aside") == [
        ("wrong_topic", "A", "B")
    ]


def test_a_client_that_is_enrolled_to_bring_an_evses_packets_may_and_nobody_else(
    database, lander, ask
):
    with psycopg.connect(database, user="v2g") as owner:
        owner.execute("alter table device_key drop constraint device_key_key_claim_fkey")
        owner.execute(
            "insert into device_key (key_id, evse_id, algorithm, public_key, valid_from, enrolled_at,"
            " meter_id, client_id) values ('k', 'A', 'ES256', 'p', now(), now(), '', 'station')"
        )

    landed = lander.land(
        [
            arrival(packet("A", 1), topic_evse_id="station"),
            arrival(packet("A", 2), topic_evse_id="A"),
            arrival(packet("A", 3), topic_evse_id="other"),
            arrival(packet("B", 4), topic_evse_id="station"),
            arrival(packet("A", 5), topic_evse_id="\0\ud800"),
        ]
    )

    # What comes on the EVSE's own topic although a client is named, is for the judge.
    assert fates(landed) == [Fate.NEW, Fate.NEW, Fate.ASIDE, Fate.ASIDE, Fate.ASIDE]
    assert ask("select evse_id, sequence from raw_packet order by sequence") == [("A", 1), ("A", 2)]


class TestMetersRecords:
    """A record that names no EVSE stands under who brought it, so that nobody can take its place."""

    record = make_record(make_meter(), [point(0), point(15)], number=4)
    now = evening() + timedelta(hours=1)

    def test_on_a_topic_is_filed_under_the_topic(self, lander, ask):
        landed = lander.land([arrival(self.record, topic_evse_id="E1", received_at=self.now)])

        assert fates(landed) == [Fate.NEW]
        assert landed.outcomes[0].identity.evse_id == "E1"
        assert ask("select evse_id, sequence, sequence_step, packet from raw_packet") == [
            ("E1", 4 * 64, 64, self.record)
        ]
        assert ask("select count(*) from packet_aside") == [(0,)]

    @pytest.mark.parametrize("topic", [None, ""])
    def test_without_a_topic_is_filed_under_its_meter(self, lander, ask, topic):
        lander.land([arrival(self.record, topic_evse_id=topic, received_at=self.now)])

        assert ask("select evse_id from raw_packet") == [(f"meter:{METER_ID}",)]

    def test_brought_by_a_stranger_first_does_not_keep_the_true_one_out(self, lander, ask):
        strange = arrival(self.record, topic_evse_id="stranger", received_at=self.now)
        true = arrival(self.record, topic_evse_id="E1", received_at=self.now)

        assert fates(lander.land([strange])) == [Fate.NEW]
        assert fates(lander.land([true])) == [Fate.NEW]
        assert ask("select evse_id from raw_packet order by 1") == [("E1",), ("stranger",)]

    def test_that_names_its_evse_must_come_on_its_topic(self, lander, ask):
        named = make_record(make_meter(), [point(0), point(15)], CT="EVSEID", CI="E1")

        landed = lander.land(
            [
                arrival(named, topic_evse_id="E2", received_at=self.now),
                arrival(named, topic_evse_id="E1", received_at=self.now),
            ]
        )

        assert fates(landed) == [Fate.ASIDE, Fate.NEW]
        assert ask("select why, evse_id from packet_aside") == [("wrong_topic", "E1")]

    def test_with_a_hostile_topic_lands_all_the_same(self, lander, ask):
        lander.land([arrival(self.record, topic_evse_id="B\0\ud800" * 1000, received_at=self.now)])

        [(evse_id,)] = ask("select evse_id from raw_packet")
        assert len(evse_id) <= 200


@pytest.mark.parametrize(
    "hostile",
    [
        pytest.param(arrival(b""), id="nothing"),
        pytest.param(arrival(b"\0\xff" * 100), id="binary"),
        pytest.param(arrival(b"x" * 9000), id="too large"),
        pytest.param(arrival(packet("A\0B", 1)), id="a NUL in the id"),
        pytest.param(arrival(packet("A\ud800", 1)), id="half a surrogate pair in the id"),
        pytest.param(
            arrival(packet("A", 1), topic_evse_id="B\0\ud800" * 1000), id="a hostile topic"
        ),
        pytest.param(arrival(packet("A", 1, version="\0\ud800" * 100)), id="a hostile field"),
        pytest.param(arrival(packet("A", 1, stream_epoch=2**63)), id="an epoch beyond bigint"),
    ],
)
def test_a_hostile_packet_is_kept_and_the_others_land(lander, ask, hostile):
    landed = lander.land([arrival(packet("A", 5)), hostile, arrival(packet("A", 6))])

    assert fates(landed) == [Fate.NEW, Fate.ASIDE, Fate.NEW]
    [(kept, detail)] = ask("select packet, detail from packet_aside")
    assert kept == hostile.packet
    assert 0 < len(detail) <= 500


def test_rows_that_the_database_refuses_are_set_aside_and_the_others_land(database, lander, ask):
    with psycopg.connect(database, user="v2g") as owner:
        owner.execute("alter table raw_packet add constraint thirteen check (evse_id <> 'EVSE-13')")

    landed = lander.land(arrivals(20, 3))

    aside = [index for index, fate in enumerate(fates(landed)) if fate is Fate.ASIDE]
    assert {landed.outcomes[index].identity.evse_id for index in aside} == {"EVSE-13"}
    assert ask("select count(*), count(*) filter (where evse_id = 'EVSE-13') from raw_packet") == [
        (57, 0)
    ]
    assert ask("select distinct why from packet_aside") == [("unreadable",)]
    assert "thirteen" in landed.outcomes[aside[0]].detail


class TestConflicts:
    def test_an_identity_judged_with_other_content_is_a_conflict(self, database, lander):
        known, other, unknown = packet("A", 1), packet("A", 1, power_end_w="7201"), packet("A", 2)
        with connect(database, Role.SETTLE) as settle:
            settle.execute(
                "insert into packet_identity values ('A', 1, 1, %s, %s)",
                (split(known).digest, NOON),
            )

        landed = lander.land([arrival(known), arrival(b"noise"), arrival(other), arrival(unknown)])

        assert lander.conflicts(landed.outcomes) == {2}

    def test_nothing_that_can_be_asked_is_no_conflict(self, lander):
        landed = lander.land([arrival(b"noise")])

        assert lander.conflicts(landed.outcomes) == set()


class TestDatabaseTrouble:
    def test_a_server_that_is_not_there_is_said_so(self, tmp_path):
        lander = Lander(f"host={tmp_path} dbname=none")

        with pytest.raises(DatabaseUnavailableError, match="try again"):
            lander.land(arrivals(1, 1))

    def test_a_broken_connection_is_replaced_by_the_next_call(self, lander, ask):
        lander.land(arrivals(1, 1))
        ask(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'v2g_ingest' and datname = current_database()"
        )

        with pytest.raises(DatabaseUnavailableError):
            lander.land(arrivals(1, 2))
        landed = lander.land(arrivals(1, 2))

        assert fates(landed) == [Fate.DUPLICATE, Fate.NEW]

    def test_a_commit_whose_answer_was_lost_lands_once(self, database, ask):
        with CutWire(database) as wire:
            lander = Lander(wire.dsn)
            lander.land(arrivals(2, 2))
            wire.armed.set()

            with pytest.raises(DatabaseUnavailableError):
                lander.land(arrivals(2, 3))
            landed = lander.land(arrivals(2, 3))

            assert wire.cuts == 1
            assert set(fates(landed)) == {Fate.DUPLICATE}
            assert ask("select rows_new, rows_duplicate from landing_batch order by batch_id") == [
                (4, 0),
                (2, 4),
                (0, 6),
            ]
            lander.close()

    def test_a_missing_table_keeps_the_batch_with_the_caller(self, database, lander, ask):
        with psycopg.connect(database, user="v2g") as owner:
            owner.execute("alter table landing_batch rename to gone")

        with pytest.raises(DatabaseUnavailableError, match="landing_batch") as caught:
            lander.land(arrivals(1, 1))

        assert caught.value.sqlstate == "42P01"
        assert ask("select count(*) from raw_packet") == [(0,)]

    def test_another_transaction_that_blocks_for_ever_is_not_waited_for_for_ever(
        self, database, lander, ask
    ):
        landing = threading.Thread(target=lander.land, args=(arrivals(1, 3),), daemon=True)
        with psycopg.connect(database, user="v2g") as blocker:
            blocker.execute("lock table raw_packet in access exclusive mode")
            landing.start()
            landing.join(0.3)
            assert landing.is_alive()
        landing.join(10)

        assert ask("select count(*) from raw_packet") == [(3,)]


def test_a_time_without_zone_is_the_callers_mistake(lander):
    with pytest.raises(ValueError, match="time zone"):
        lander.land([arrival(packet(), received_at=NOON.replace(tzinfo=None))])
