"""How the daemon ends: what it holds is landed and acknowledged, or left with those who sent it."""

import signal
import threading
import time

import httpx

from embedded.processes import wait_until
from tests.ingest_daemon.harness import (
    Daemon,
    assert_each_stands_once,
    count,
    make_stream,
    rows,
    wait_count,
)
from tests.packets import make_packet


def test_sigterm_lands_what_is_held_acknowledges_it_and_ends_with_zero(
    plain_database, broker, publisher, key, tmp_path
):
    stream = make_stream(key, 500)
    # A batch that would wait ten seconds for more: only the signal can land it sooner.
    with Daemon(
        tmp_path, plain_database, broker=broker, batch_rows=8000, batch_age_ms=10_000
    ) as daemon:
        publisher.publish_all(stream)
        wait_until(
            lambda: daemon.figure("v2g_ingest_queue_packets") == 500,
            deadline_s=20,
            what="500 packets held",
        )
        assert count(plain_database) == 0
        started = time.monotonic()

        status = daemon.process.stop()

        assert status == 0
        assert time.monotonic() - started < 8
        assert_each_stands_once(plain_database, stream)
        # Acknowledged: the broker has nothing for the next daemon.
        daemon.start()
        publisher.publish_all(make_stream(key, 501)[500:])
        wait_until(
            lambda: daemon.figure("v2g_ingest_queue_packets") > 0,
            deadline_s=20,
            what="the new one held",
        )
        daemon.process.stop()
        assert "event=stopped drained=True" in daemon.log
        assert rows(
            plain_database, "select sum(rows_new), sum(rows_duplicate) from landing_batch"
        ) == [(501, 0)]


def test_an_upload_under_way_is_answered_before_the_daemon_ends(plain_database, key, tmp_path):
    with Daemon(tmp_path, plain_database, batch_age_ms=10_000, answer_within_s=20) as daemon:
        answers: list[httpx.Response] = []
        upload = threading.Thread(target=lambda: answers.append(daemon.post(make_packet(key))))
        upload.start()
        wait_until(
            lambda: daemon.figure("v2g_ingest_queue_packets") == 1,
            deadline_s=10,
            what="the packet held",
        )

        assert daemon.process.stop() == 0

        upload.join(10)
        assert [answer.status_code for answer in answers] == [200]


def test_without_a_database_the_daemon_gives_up_draining_after_its_time_and_loses_nothing(
    own_postgres, own_database, broker, publisher, key, tmp_path
):
    stream = make_stream(key, 50)
    with Daemon(tmp_path, own_database, broker=broker, drain_s=1) as daemon:
        own_postgres.kill()
        publisher.publish_all(stream)
        wait_until(
            lambda: daemon.figure("v2g_ingest_queue_packets") == 50,
            deadline_s=20,
            what="50 packets held",
        )

        status = daemon.process.stop()

        assert status == 0
        assert "event=not_drained packets=50" in daemon.log
        own_postgres.start()
        daemon.start()
        wait_count(own_database, 50)
        assert_each_stands_once(own_database, stream)


def test_a_second_signal_ends_the_daemon_at_once(
    own_postgres, own_database, broker, publisher, key, tmp_path
):
    with Daemon(tmp_path, own_database, broker=broker, drain_s=60) as daemon:
        own_postgres.kill()
        publisher.publish_all(make_stream(key, 5))
        wait_until(
            lambda: daemon.figure("v2g_ingest_queue_packets") == 5,
            deadline_s=20,
            what="5 packets held",
        )
        daemon.process.signal(signal.SIGTERM)
        wait_until(
            lambda: "event=draining" in daemon.log, deadline_s=10, what="the daemon to drain"
        )

        daemon.process.signal(signal.SIGINT)

        assert daemon.process.wait(deadline_s=5) == 1
