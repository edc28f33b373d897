"""What is missing is named within an interval, and told to who has it until it has come."""

import os
import random
import signal
import time
from datetime import UTC, datetime

import psycopg
import pytest

from embedded.processes import wait_until
from ingest_daemon.buffer import Buffer
from ingest_daemon.gaps import GapWatch
from ingest_daemon.metrics import Metrics
from storage.engine import Role, connect
from tests.ingest_daemon.devices import Device
from tests.ingest_daemon.harness import (
    Daemon,
    Publisher,
    assert_each_stands_once,
    count,
    make_stream,
    rows,
    wait_count,
)
from tests.ocmf import make_meter, make_record
from tests.packets import make_packet

EVERY_S = 1.5


@pytest.fixture
def daemon(plain_database, broker, tmp_path):
    with Daemon(tmp_path, plain_database, broker=broker, gap_every_s=EVERY_S) as running:
        yield running


@pytest.fixture
def device(broker):
    with Device(broker, "E1") as one:
        yield one


def make(key, *sequences: int, evse="E1", **fields) -> list[bytes]:
    return [make_packet(key, evse_id=evse, sequence=n, **fields) for n in sequences]


def wait_told(device: Device, gap, *, times: int = 1) -> None:
    wait_until(
        lambda: device.missing().count(gap) >= times, deadline_s=20, what=f"{gap} to be told"
    )


def wait_open(daemon: Daemon, gaps: int) -> None:
    wait_until(
        lambda: daemon.figure("v2g_ingest_open_gaps") == gaps,
        deadline_s=20,
        what=f"{gaps} open gaps",
    )


def test_a_gap_is_named_told_at_once_told_again_and_closed_when_it_is_filled(
    daemon, device, plain_database, key
):
    device.publish(*make(key, 1, 2, 6))
    wait_told(device, ("E1", 1, 3, 5))
    assert rows(plain_database, "select first_sequence, last_sequence from sequence_gap") == [
        (3, 5)
    ]
    wait_open(daemon, 1)
    wait_told(device, ("E1", 1, 3, 5), times=2)

    device.publish(*make(key, 4))
    wait_told(device, ("E1", 1, 3, 3))
    wait_told(device, ("E1", 1, 5, 5))
    wait_open(daemon, 2)
    device.publish(*make(key, 3, 5))
    wait_open(daemon, 0)

    assert count(plain_database, "sequence_gap") == 3
    assert daemon.figure("v2g_ingest_gaps_total") == 3
    told = len(device.missing())
    # Nothing is open: many looks later nobody was told anything more.
    looks = time.monotonic() + 2 * EVERY_S
    wait_until(lambda: time.monotonic() > looks, deadline_s=20, what="further looks")
    assert len(device.missing()) == told


@pytest.mark.slow
def test_a_gap_is_named_within_one_settlement_interval_by_default(
    plain_database, broker, device, key, tmp_path
):
    with Daemon(tmp_path, plain_database, broker=broker):
        sent = make(key, 1, 3)
        device.publish(*sent)
        device.wait_states(sent)
        landed_at = time.monotonic()

        wait_told(device, ("E1", 1, 2, 2))

        assert time.monotonic() - landed_at < 15


def test_a_missing_record_of_a_meter_is_one_number(daemon, device, plain_database):
    meter = make_meter()
    device.publish(*(make_record(meter, number=number) for number in (7, 8, 11)))

    wait_until(device.missing, deadline_s=20, what="a gap to be told")

    [(evse, _, first, last), *_] = device.missing()
    assert (evse, first, last) == ("E1", 9 * 64, 10 * 64)


def test_what_was_landed_while_nobody_watched_is_looked_at_after_a_restart(
    plain_database, broker, device, key, tmp_path
):
    sent = make(key, 1, 9)
    with Daemon(tmp_path, plain_database, broker=broker, gap_every_s=3600) as daemon:
        device.publish(*sent)
        device.wait_states(sent)
        assert count(plain_database, "sequence_gap") == 0
    with Daemon(tmp_path, plain_database, broker=broker, gap_every_s=EVERY_S) as daemon:
        wait_told(device, ("E1", 1, 2, 8))
    with Daemon(tmp_path, plain_database, broker=broker, gap_every_s=EVERY_S) as daemon:
        # Named before, open still: the new process tells of it too.
        wait_told(device, ("E1", 1, 2, 8), times=2)
        wait_open(daemon, 1)
        assert daemon.figure("v2g_ingest_gaps_total") == 0


def test_who_brings_packets_for_others_is_told_for_them(daemon, broker, plain_database, key):
    with psycopg.connect(plain_database, user="v2g") as owner:
        owner.execute("alter table device_key drop constraint device_key_key_claim_fkey")
        owner.execute(
            "insert into device_key (key_id, evse_id, algorithm, public_key, valid_from, enrolled_at,"
            " meter_id, client_id) values ('k', 'E7', 'ES256', 'p', now(), now(), '', 'station')"
        )
    with Device(broker, "station") as station:
        answer = daemon.post_batch(make(key, 1, 3, evse="E7"))
        assert {item["status"] for item in answer.json()["items"]} == {200}

        wait_told(station, ("E7", 1, 2, 2))


def test_of_two_daemons_one_tells_and_the_other_takes_over(
    plain_database, broker, device, key, tmp_path
):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    shared = {"mqtt_share": "ingest", "gap_every_s": EVERY_S}
    first, second = (
        Daemon(tmp_path / name, plain_database, broker=broker, mqtt_client_id=name, **shared)
        for name in ("first", "second")
    )
    with first:
        device.publish(*make(key, 1, 2, 5, 6))
        wait_told(device, ("E1", 1, 3, 4))
        with second:
            wait_open(second, 1)
            assert second.figure("v2g_ingest_receipts_total") == 0

            # Whoever told is gone; the other tells what it knew all the time.
            first.process.kill()

            wait_until(
                lambda: second.figure("v2g_ingest_receipts_total") > 0,
                deadline_s=20,
                what="the second one to tell",
            )


@pytest.mark.slow
def test_two_daemons_share_packets_and_one_that_is_killed_loses_none(
    plain_database, broker, key, tmp_path
):
    """SIGKILL in mid-flow: what it held unacknowledged goes to the other, or to it when it is back."""
    rng = random.Random(20260702)
    stream = make_stream(key, 3000)
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    shared = {"mqtt_share": "ingest", "batch_rows": 50, "batch_age_ms": 5, "gap_every_s": EVERY_S}
    with (
        Daemon(tmp_path / "first", plain_database, broker=broker, mqtt_client_id="first", **shared) as first,
        Daemon(tmp_path / "second", plain_database, broker=broker, mqtt_client_id="second", **shared) as second,
    ):  # fmt: skip
        publisher = Publisher(broker, "test-charger")
        infos = [publisher.publish(*one) for one in stream]
        for target in sorted(rng.sample(range(200, 2500), 3)):
            wait_count(plain_database, target)
            os.kill(first.process.pid, signal.SIGKILL)
            first.process.wait(deadline_s=10)
            first.start(ready=False)
        for info in infos:
            info.wait_for_publish(30)
        wait_count(plain_database, len(stream))
        assert second.figure("v2g_ingest_landed_packets_total") > 0
        publisher.close()
        # Order was not kept, and nothing is missing: what was named meanwhile is closed again.
        wait_open(second, 0)

    assert_each_stands_once(plain_database, stream)


def test_a_look_that_fails_is_taken_again_and_the_daemon_goes_on(
    daemon, device, plain_database, key
):
    with psycopg.connect(plain_database, user="v2g", autocommit=True) as owner:
        owner.execute("alter table watched_batch rename to gone")
        wait_until(
            lambda: "event=gaps_not_looked_for" in daemon.log, deadline_s=20, what="the trouble"
        )
        sent = make(key, 1, 4)
        device.publish(*sent)
        assert device.wait_states(sent) == [["landed"]] * 2
        assert daemon.readiness() == 200
        owner.execute("alter table gone rename to watched_batch")

    wait_told(device, ("E1", 1, 2, 3))


def test_what_is_told_is_bounded_and_goes_on_where_it_stopped(plain_database, monkeypatch):
    """A watch of its own, with somebody to tell who takes a few at a time."""
    monkeypatch.setattr("ingest_daemon.gaps.TOLD_MAX", 10)
    with psycopg.connect(plain_database, user="v2g") as owner:
        owner.execute(
            "insert into sequence_gap select 'E1', 1, 10 * n, 10 * n + 5, 1, now()"
            " from generate_series(1, 45) n"
        )
    told: list[int] = []
    calls: list[int] = []

    class Teller:
        def report(self, client, gaps):
            assert client == "E1"
            calls.append(len(gaps))
            if len(calls) == 2:
                return False  # no connection, just now
            told.extend(gap.first for gap in gaps)
            return True

    def now() -> datetime:
        return datetime.now(UTC)

    metrics = Metrics(Buffer(), now=now)
    watch = GapWatch(
        plain_database,
        teller=Teller(),
        can_tell=lambda: True,
        every_s=3600,
        metrics=metrics,
        now=now,
    )
    with connect(plain_database, Role.INGEST) as conn:
        conn.autocommit = True
        watch._learn(conn)
        for _ in range(10):
            watch._tell(conn)

    assert calls == [10, 10, 10, 10, 10, 5]
    assert sorted(told) == [10 * n for n in range(1, 46)]
