"""End to end: what a device is told of its packets, by a real daemon through a real broker."""

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import psycopg
import pytest

from embedded.processes import wait_until
from settlement import packets
from tests.ingest_daemon.devices import Device
from tests.ingest_daemon.harness import (
    Daemon,
    assert_each_stands_once,
    count,
    make_stream,
    rows,
    wait_count,
)
from tests.ocmf import make_meter, make_record, point
from tests.packets import make_packet, rfc3339


@pytest.fixture
def daemon(plain_database, broker, tmp_path):
    with Daemon(tmp_path, plain_database, broker=broker) as running:
        yield running


@pytest.fixture
def device(broker):
    with Device(broker, "E1") as one:
        yield one


def make(key, *sequences: int, evse="E1", **fields) -> list[bytes]:
    return [make_packet(key, evse_id=evse, sequence=n, **fields) for n in sequences]


def test_a_device_is_told_of_each_packet_by_the_digest_of_its_bytes(
    daemon, device, plain_database, key
):
    sent = make(key, 1, 2, 3)
    device.publish(*sent)

    assert device.wait_states(sent) == [["landed"]] * 3
    assert count(plain_database) == 3
    assert daemon.figure("v2g_ingest_receipts_total") == 3


def test_a_receipt_comes_after_the_commit_and_never_before(
    own_postgres, own_database, broker, key, tmp_path
):
    sent = make(key, 1, 2)
    with (
        Daemon(tmp_path, own_database, broker=broker) as daemon,
        Device(broker, "E1") as device,
    ):
        own_postgres.kill()
        device.publish(*sent)
        wait_until(
            lambda: daemon.figure("v2g_ingest_landing_failures_total") >= 2,
            deadline_s=20,
            what="landing to fail twice",
        )
        assert device.told == []
        assert daemon.figure("v2g_ingest_queue_packets") == 2

        own_postgres.start()

        assert device.wait_states(sent, deadline_s=40) == [["landed"]] * 2


def test_what_is_sent_again_is_told_that_it_had_landed(daemon, device, key):
    [sent] = make(key, 1)
    device.publish(sent)
    device.wait_states([sent])

    device.publish(sent)

    wait_until(
        lambda: device.wait_states([sent]) == [["landed", "already_landed"]],
        deadline_s=20,
        what="the second receipt",
    )


def test_what_cannot_land_is_receipted_too_with_the_reason(daemon, device, key):
    late = (datetime.now(UTC) - timedelta(days=500)).replace(microsecond=0)
    odd = make_packet(
        key, evse_id="E1", started_at=rfc3339(late), ended_at=rfc3339(late + timedelta(seconds=15))
    )
    stranger = make_packet(key, evse_id="E2")

    device.publish(b"rubbish", odd, stranger)

    assert device.wait_states([b"rubbish", odd, stranger]) == [["aside"]] * 3
    kinds = [detail.partition(":")[0] for detail in device.details()]
    assert sorted(kinds) == ["odd_time", "unreadable", "wrong_topic"]


def test_another_content_for_a_verified_identity_is_told_as_a_conflict(
    daemon, device, plain_database, key
):
    [first] = make(key, 1)
    [second] = make(key, 1, power_end_w="7201")
    envelope = packets.split(first)
    with psycopg.connect(plain_database, user="v2g") as conn:
        conn.execute(
            "insert into packet_identity values ('E1', 1, 1, %s, now())", [envelope.digest]
        )

    device.publish(first, second)

    assert device.wait_states([first, second]) == [["landed"], ["conflict"]]


def test_each_device_hears_of_its_own_packets_only(daemon, device, broker, key):
    mine, other = make(key, *range(150)), make(key, *range(150), evse="E2")
    with Device(broker, "E2") as neighbour:
        for one, two in zip(mine, other, strict=True):
            device.publish(one)
            neighbour.publish(two)
        device.wait_states(mine)
        neighbour.wait_states(other)

        assert not device.states().keys() & neighbour.states().keys()


def test_a_meters_record_is_filed_under_who_brings_it_and_receipted(daemon, device, plain_database):
    meter = make_meter()
    record = make_record(meter, [point(0), point(15, export_kwh="1000.030")], number=3)
    wrapped = json.dumps(
        {
            "signedMeterData": record.decode(),
            "encodingMethod": "OCMF",
            "publicKey": "",
            "signingMethod": "",
        }
    ).encode()

    device.publish(record)

    assert device.wait_states([record]) == [["landed"]]
    assert rows(
        plain_database, "select evse_id, sequence, sequence_step, packet from raw_packet"
    ) == [("E1", 3 * 64, 64, record)]
    assert count(plain_database, "packet_aside") == 0
    device.publish(wrapped)
    # Other bytes around the same signed bytes: they have landed.
    assert device.wait_states([wrapped])[0][0] == "already_landed"
    assert count(plain_database) == 1


def test_without_the_setting_nobody_is_told_anything(plain_database, broker, device, key, tmp_path):
    sent = make(key, 1, 5)
    with Daemon(tmp_path, plain_database, broker=broker, receipts=False, gap_every_s=1) as daemon:
        device.publish(*sent)
        wait_count(plain_database, 2)
        wait_count(plain_database, 1, table="sequence_gap")

        assert device.told == []
        assert daemon.figure("v2g_ingest_receipts_dropped_total") == 0


def test_a_broker_that_refuses_receipts_costs_a_warning_and_no_packet(
    plain_database, broker, publisher, key, tmp_path
):
    rules = broker.folder / "broker" / "acl"
    rules.write_text(rules.read_text().replace("topic write v2g/+/receipt\n", ""))
    os.kill(broker._server.pid, signal.SIGHUP)  # mosquitto(8): reads its access list again
    stream = make_stream(key, 50)

    with Daemon(tmp_path, plain_database, broker=broker) as daemon:
        publisher.publish_all(stream)
        wait_count(plain_database, 50)
        wait_until(
            lambda: "event=receipts_refused" in daemon.log, deadline_s=20, what="the warning"
        )

        assert_each_stands_once(plain_database, stream)
        assert daemon.log.count("event=receipts_refused") == 1
        assert "write v2g/+/receipt" in daemon.log
        # Some versions of mosquitto also close the connection, once; then the daemon is silent.
        daemon.wait_ready()
        more = make_stream(key, 100)[50:]
        publisher.publish_all(more)
        wait_count(plain_database, 100)
        assert daemon.readiness() == 200
        assert_each_stands_once(plain_database, [*stream, *more])
        assert daemon.figure("v2g_ingest_mqtt_connects_total") <= 2


@pytest.mark.slow
def test_devices_that_never_read_their_receipts_hold_nobody_up(
    plain_database, broker, publisher, key, tmp_path
):
    """A hundred topics that nobody reads, at 40 packets each: everything lands, memory stays small."""
    stream = [
        (f"D{n % 100:03}", make_packet(key, evse_id=f"D{n % 100:03}", sequence=n // 100))
        for n in range(4000)
    ]
    with Daemon(tmp_path, plain_database, broker=broker, batch_rows=100, batch_age_ms=5) as daemon:
        publisher.publish_all(stream)
        wait_count(plain_database, 4000)

        wait_until(
            lambda: (
                daemon.figure("v2g_ingest_receipts_total")
                + daemon.figure("v2g_ingest_receipts_dropped_total")
                >= 4000
            ),
            deadline_s=20,
            what="every packet to be told of or given up",
        )
        assert daemon.figure("v2g_ingest_receipts_dropped_total") == 0
        assert_each_stands_once(plain_database, stream)


@pytest.mark.slow
def test_a_device_that_keeps_its_packets_until_the_receipt_loses_none_to_a_broker_that_forgets(
    plain_database, broker, key, tmp_path
):
    """The broker is killed with packets that it had acknowledged; the device has them all."""
    sent = make(key, *range(400))
    with (
        Daemon(tmp_path, plain_database, broker=broker, batch_rows=50) as daemon,
        Device(broker, "E1") as device,
    ):
        daemon.process.kill()
        device.publish(*sent)
        broker.kill()
        broker.start()
        daemon.start(ready=False)
        daemon.wait_ready(deadline_s=40)

        give_up_at = time.monotonic() + 40
        while left := [one for one in sent if sha256(one).digest() not in device.states()]:
            assert time.monotonic() < give_up_at, f"{len(left)} packets without a receipt"
            before = len(device.told)
            device.publish(*left)
            wait_until(lambda: len(device.told) > before, deadline_s=20, what="a receipt")  # noqa: B023

    assert_each_stands_once(plain_database, [("E1", one) for one in sent])
