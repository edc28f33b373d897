"""What is killed, and what must then be seen: nothing lost, nothing twice.

Faults F1, F2, F4 and F33: the daemon, the database and the broker end without warning, in the
middle of the flow, with publishers at QoS 2.
"""

import random
import time

import psycopg
import pytest

from embedded.processes import wait_until
from ingest_daemon.settings import PACKET_CEILING_BYTES
from tests.ingest_daemon.harness import (
    EVSES,
    Daemon,
    assert_each_stands_once,
    make_stream,
    rows,
    wait_count,
)
from tests.packets import make_packet

KILLS = 20
PER_KILL = 250
SEED = 20260701


@pytest.mark.slow
def test_a_daemon_killed_twenty_times_under_load_loses_and_doubles_nothing(
    plain_database, broker, publisher, key, tmp_path
):
    rng = random.Random(SEED)
    stream = make_stream(key, (KILLS + 2) * PER_KILL)
    # Small batches: many commits and acknowledgements for the kills to fall between.
    daemon = Daemon(tmp_path, plain_database, broker=broker, batch_rows=50, batch_age_ms=5)
    killed_in_mid_flow = 0

    with daemon, psycopg.connect(plain_database, user="v2g", autocommit=True) as conn:

        def landed() -> int:
            [(number,)] = conn.execute("select count(*) from raw_packet").fetchall()
            return int(number)

        # Only now: before its first subscription a broker has nobody to keep packets for.
        published = [publisher.publish(*one) for one in stream[: 2 * PER_KILL]]
        for kill in range(KILLS):
            if not daemon.process.running:
                daemon.start(ready=False)
            target = landed()
            published += [
                publisher.publish(*one)
                for one in stream[len(published) : len(published) + PER_KILL]
            ]
            # The moment: after so many more rows, and a few milliseconds more, wherever that falls.
            # Asked without pauses: what is left of a second's work is gone in a tenth of one.
            target += rng.randrange(1, PER_KILL)
            give_up_at = time.monotonic() + 30
            while landed() < target:
                assert time.monotonic() < give_up_at, f"{target} rows before kill {kill}"
            time.sleep(rng.uniform(0, 0.005))
            daemon.process.kill()
            killed_in_mid_flow += landed() < len(published)
        daemon.start()
        for info in published:
            info.wait_for_publish(30)
        wait_count(plain_database, len(stream))
        wait_until(
            lambda: daemon.figure("v2g_ingest_queue_packets") == 0,
            deadline_s=20,
            what="an empty queue",
        )

    assert all(info.is_published() for info in published)
    assert_each_stands_once(plain_database, stream)
    assert killed_in_mid_flow >= KILLS // 2, "the kills came too late to show anything"


@pytest.mark.slow
def test_a_database_killed_in_mid_flow_is_waited_for_and_nothing_is_lost(
    own_postgres, own_database, broker, publisher, key, tmp_path
):
    stream = make_stream(key, 3000)

    with Daemon(tmp_path, own_database, broker=broker, batch_rows=200, batch_age_ms=20) as daemon:
        for start in range(0, 3000, 1000):
            infos = [publisher.publish(*one) for one in stream[start : start + 1000]]
            wait_count(own_database, start + 100)
            own_postgres.kill()
            wait_until(lambda: daemon.readiness() == 503, deadline_s=30, what="readyz 503")
            assert daemon.process.running
            for info in infos:
                info.wait_for_publish(30)
            own_postgres.start()
            daemon.wait_ready()
        wait_count(own_database, 3000)

        assert_each_stands_once(own_database, stream)
        assert daemon.figure("v2g_ingest_landing_failures_total") >= 1


@pytest.mark.slow
def test_a_broker_that_ends_and_comes_back_is_found_again(
    plain_database, broker, publisher, key, tmp_path
):
    stream = make_stream(key, 2000)

    with Daemon(tmp_path, plain_database, broker=broker) as daemon:
        publisher.publish_all(stream[:1000])
        wait_count(plain_database, 1000)
        broker.stop()
        wait_until(
            lambda: daemon.readiness() == 503, deadline_s=30, what="readyz 503 without a broker"
        )
        broker.start()
        daemon.wait_ready(deadline_s=40)
        publisher.wait_connected()
        publisher.publish_all(stream[1000:])
        wait_count(plain_database, 2000)

        assert_each_stands_once(plain_database, stream)
        assert daemon.figure("v2g_ingest_mqtt_connects_total") == 2


@pytest.mark.slow
def test_a_broker_killed_in_mid_flow_costs_nothing_that_is_sent_again(
    plain_database, broker, publisher, key, tmp_path
):
    """The broker is not the record: what it forgot, its sender sends again; landing sorts it out."""
    stream = make_stream(key, 3000)

    with Daemon(tmp_path, plain_database, broker=broker, batch_rows=100) as daemon:
        infos = [publisher.publish(*one) for one in stream]
        wait_count(plain_database, 300)
        broker.kill()
        wait_until(
            lambda: daemon.readiness() == 503, deadline_s=30, what="readyz 503 without a broker"
        )
        broker.start()
        daemon.wait_ready(deadline_s=40)
        publisher.wait_connected()
        for info in infos:
            info.wait_for_publish(60)
        publisher.publish_all(stream)
        wait_count(plain_database, 3000)

        assert_each_stands_once(plain_database, stream)


@pytest.mark.slow
def test_broker_and_database_gone_together_come_back_without_loss_or_a_wrong_acknowledgement(
    own_postgres, own_database, broker, publisher, key, tmp_path
):
    """What the first connection brought is landed before there is a second one."""
    stream = make_stream(key, 800)
    with Daemon(tmp_path, own_database, broker=broker, batch_rows=100) as daemon:
        own_postgres.kill()
        publisher.publish_all(stream[:400])
        wait_until(
            lambda: daemon.figure("v2g_ingest_queue_packets") == 400,
            deadline_s=20,
            what="400 packets held",
        )
        broker.stop()
        broker.start()
        publisher.wait_connected()
        publisher.publish_all(stream[400:])
        wait_until(
            lambda: daemon.figure("v2g_ingest_mqtt_connected") == 0,
            deadline_s=10,
            what="the daemon to miss the broker",
        )
        connects, held = (
            daemon.figure("v2g_ingest_mqtt_connects_total"),
            daemon.figure("v2g_ingest_queue_packets"),
        )

        own_postgres.start()
        daemon.wait_ready(deadline_s=60)
        wait_count(own_database, 800)

        assert (connects, held) == (1, 400)
        assert_each_stands_once(own_database, stream)
        # Every packet of the second connection is acknowledged: the broker has none for a third.
        wait_until(
            lambda: daemon.figure("v2g_ingest_queue_packets") == 0,
            deadline_s=20,
            what="an empty queue",
        )
        daemon.process.stop()
        before = rows(own_database, "select sum(rows_duplicate) from landing_batch")
        daemon.start()
        publisher.publish_all(make_stream(key, 801)[800:])
        wait_count(own_database, 801)
        assert rows(own_database, "select sum(rows_duplicate) from landing_batch") == before


@pytest.mark.slow
def test_without_a_database_memory_stays_within_its_bound_and_the_broker_holds_the_rest(
    own_postgres, own_database, broker, publisher, key, tmp_path
):
    window = 1000
    stream = [
        (f"E{number % EVSES:02}", make_packet(key, evse_id=f"E{number % EVSES:02}", sequence=number // EVSES, padding="x" * 4000))
        for number in range(6000)
    ]  # fmt: skip
    with Daemon(
        tmp_path, own_database, broker=broker, buffer_packets=window, batch_rows=500, http_buffer_packets=1000, answer_within_s=0.2,
    ) as daemon:  # fmt: skip
        before = daemon.rss_bytes()
        own_postgres.kill()

        publisher.publish_all(stream)
        wait_until(
            lambda: daemon.figure("v2g_ingest_queue_packets") == window,
            deadline_s=30,
            what="a full window",
        )
        uploads = [
            daemon.post_batch(
                [make_packet(key, evse_id="H", sequence=100 * n + m) for m in range(100)]
            )
            for n in range(15)
        ]

        assert {upload.status_code for upload in uploads} == {503}
        assert all(upload.headers["retry-after"] for upload in uploads)
        assert "no room" in uploads[-1].json()["found"]
        assert daemon.figure("v2g_ingest_queue_packets") == window + 1000
        assert daemon.figure("v2g_ingest_lag_seconds") > 0
        assert daemon.figure("v2g_ingest_database_up") == 0
        # The window holds 1000 × 6 KiB, HTTP 1000 × 1 KiB; a third of what the broker was given.
        assert daemon.rss_bytes() - before < window * PACKET_CEILING_BYTES
        own_postgres.start()
        wait_count(own_database, 7000)
        assert sorted(
            (e, bytes(p))
            for e, p in rows(
                own_database, "select evse_id, packet from raw_packet where evse_id <> 'H'"
            )
        ) == sorted(stream)


def test_an_upload_that_met_no_database_is_known_when_it_comes_again(
    own_postgres, own_database, key, tmp_path
):
    packet = make_packet(key)
    with Daemon(tmp_path, own_database, answer_within_s=2) as daemon:
        own_postgres.kill()

        away = daemon.post(packet)

        own_postgres.start()
        daemon.wait_ready()
        wait_count(own_database, 1)
        assert (away.status_code, away.headers["retry-after"]) == (503, "2")
        assert daemon.post(packet).status_code == 208


def test_a_database_that_is_down_at_the_start_is_waited_for(
    own_postgres, own_database, broker, publisher, key, tmp_path
):
    own_postgres.stop()
    daemon = Daemon(tmp_path, own_database, broker=broker)
    try:
        daemon.start(ready=False)
        wait_until(lambda: daemon.readiness() == 503, deadline_s=20, what="readyz 503")
        assert daemon.get("/healthz").status_code == 200
        assert (
            daemon.figure("v2g_ingest_mqtt_connected") == 0
        )  # nothing is taken that could not be kept

        own_postgres.start()
        daemon.wait_ready()
        publisher.publish_all(make_stream(key, 10))

        wait_count(own_database, 10)
    finally:
        daemon.process.stop()


def test_a_database_that_can_lose_commits_is_refused(own_postgres, own_database, tmp_path):
    with psycopg.connect(own_database, user="v2g", autocommit=True) as conn:
        conn.execute("alter database v2g set synchronous_commit = off")
    daemon = Daemon(tmp_path, own_database)

    daemon.start(ready=False)
    status = daemon.process.wait(deadline_s=15)

    assert status == 3
    assert "synchronous_commit = off" in daemon.log
