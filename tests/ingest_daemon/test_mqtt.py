"""Packets through a real broker into a real database."""

import pytest

from embedded.processes import wait_until
from tests.ingest_daemon.harness import (
    Daemon,
    Publisher,
    assert_each_stands_once,
    count,
    make_stream,
    rows,
    wait_count,
)
from tests.packets import make_packet


@pytest.fixture
def daemon(plain_database, broker, tmp_path):
    with Daemon(tmp_path, plain_database, broker=broker) as running:
        yield running


def test_packets_land_untouched_and_in_one_table_once(daemon, publisher, plain_database, key):
    packets = {
        f"E{number:02}": make_packet(key, evse_id=f"E{number:02}", sequence=number)
        for number in range(20)
    }

    publisher.publish_all([*packets.items(), *packets.items()])
    wait_until(
        lambda: daemon.figure("v2g_ingest_duplicate_packets_total") == 20,
        deadline_s=20,
        what="the second round",
    )

    landed = {
        evse_id: bytes(packet)
        for evse_id, packet in rows(plain_database, "select evse_id, packet from raw_packet")
    }
    assert landed == packets
    assert {
        source for (source,) in rows(plain_database, "select distinct source from raw_packet")
    } == {"mqtt"}


def test_what_cannot_land_is_set_aside_and_stops_nobody(daemon, publisher, plain_database, key):
    good = [make_packet(key, evse_id="E1", sequence=sequence) for sequence in range(5)]
    stranger = make_packet(key, evse_id="E2", sequence=1)
    overlong = make_packet(key, evse_id="E1", sequence=99, padding="x" * 9000)

    publisher.publish_all(
        [
            ("E1", good[0]), ("E1", b"rubbish"), ("E1", good[1]), ("E1", stranger), ("E1", b""), ("", good[2]),
            ("E1", good[2]), ("E1", overlong), ("E1", good[3]), ("E1", b"\x00\xff" * 100), ("E1", good[4]),
        ]
    )  # fmt: skip
    wait_count(plain_database, 5)
    wait_count(plain_database, 6, table="packet_aside")

    why = sorted(rows(plain_database, "select why, topic_evse_id from packet_aside"))
    assert why == [("unreadable", "E1")] * 4 + [("wrong_topic", ""), ("wrong_topic", "E1")]
    assert daemon.figure("v2g_ingest_aside_packets_total", reason="wrong_topic") == 2


def test_packets_published_while_the_daemon_is_away_are_landed_when_it_is_back(
    daemon, publisher, plain_database, key
):
    publisher.publish_all([("E1", make_packet(key, evse_id="E1", sequence=0))])
    wait_count(plain_database, 1)
    assert daemon.process.stop() == 0
    publisher.publish_all(
        [("E1", make_packet(key, evse_id="E1", sequence=sequence)) for sequence in range(1, 300)]
    )

    daemon.start()
    wait_count(plain_database, 300)

    assert count(plain_database) == 300


def test_two_daemons_share_the_stream_and_land_each_packet_once(
    plain_database, broker, publisher, key, tmp_path
):
    stream = make_stream(key, 600)
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    first, second = (
        Daemon(
            folder, plain_database, broker=broker, mqtt_share="ingest", mqtt_client_id=folder.name
        )
        for folder in folders
    )

    with first, second:
        publisher.publish_all(stream)
        wait_count(plain_database, 600)

        shares = [one.figure("v2g_ingest_landed_packets_total") for one in (first, second)]
        assert_each_stands_once(plain_database, stream)
        assert sum(shares) == 600
        assert min(shares) > 100


def test_a_daemon_that_begins_to_share_no_longer_gets_everything(
    plain_database, broker, publisher, key, tmp_path
):
    # given a daemon whose session has known the time when it was alone
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    known = {"broker": broker, "mqtt_client_id": f"share-{tmp_path.name}"}
    with Daemon(folders[0], plain_database, **known):
        pass
    stream = make_stream(key, 200)

    # when it shares from now on
    with Daemon(folders[1], plain_database, mqtt_share="later", **known) as sharing:
        publisher.publish_all(stream)
        wait_count(plain_database, 200)

        # then each packet comes to it once
        figures = ("v2g_ingest_landed_packets_total", "v2g_ingest_duplicate_packets_total")
        wait_until(lambda: sharing.figure(figures[0]) == 200, deadline_s=10, what="its own figures")
        assert sharing.figure(figures[1]) == 0


def test_a_broker_without_mqtt_5_serves_as_well(plain_database, python_broker, key, tmp_path):
    stream = make_stream(key, 200)
    assert not python_broker.supports_mqtt5

    with Daemon(tmp_path, plain_database, broker=python_broker):
        charger = Publisher(python_broker, "test-charger", inflight=20)
        charger.publish_all(stream)
        # amqtt forgets what it has confirmed and not yet passed on when its sender leaves.
        wait_count(plain_database, 200)
        charger.close()

    assert_each_stands_once(plain_database, stream)
