"""Charger, shipped broker and ingest daemon over TLS, each with its own certificate."""

import json
from datetime import timedelta

import pytest

from embedded.processes import wait_until
from tasks import certificate_folder
from tasks.certificates import DAEMON
from tests.infra.conftest import written
from tests.ingest_daemon.harness import Daemon, rows, wait_count
from tests.packets import make_key, make_packet
from tests.tls import TlsSite

A = "DE*V2G*E00001"


@pytest.fixture(scope="module")
def key():
    return make_key()


@pytest.mark.parametrize("websockets", [False, True], ids=["mqtt", "websockets"])
def test_a_chargers_packet_is_landed_and_receipted(site, plain_database, tmp_path, key, websockets):
    with (
        Daemon(tmp_path, plain_database, **site.daemon_settings()),
        site.connect(A, websockets=websockets) as charger,
    ):
        # given a charger that listens for its receipts
        charger.subscribe(f"v2g/{A}/receipt")
        packet = make_packet(key, evse_id=A, sequence=1)

        # when it publishes once
        assert charger.publish(f"v2g/{A}/telemetry", packet) == "Success"

        # then the packet is landed as it was sent, and the receipt says so
        wait_count(plain_database, 1)
        assert rows(plain_database, "select evse_id, packet from raw_packet") == [(A, packet)]
        topic, receipt = charger.next_message()
        assert topic == f"v2g/{A}/receipt"
        assert [one["state"] for one in json.loads(receipt)["received"]] == ["landed"]


def test_packets_that_waited_through_a_crash_of_the_broker_are_landed_once(
    tls_broker: TlsSite, plain_database, tmp_path, key
):
    # given a daemon that has gone, and packets that wait for it
    daemon = Daemon(tmp_path, plain_database, **tls_broker.daemon_settings())
    with daemon:
        pass
    packets = [make_packet(key, evse_id=A, sequence=number) for number in range(30)]
    with tls_broker.connect(A) as charger:
        for packet in packets:
            charger.publish(f"v2g/{A}/telemetry", packet)
    state = tls_broker.broker.state
    wait_until(
        lambda: state.exists() and packets[-1] in state.read_bytes(), deadline_s=20, what="a save"
    )

    # when the broker crashes, comes back, and the daemon too, and the charger sends all of it again
    tls_broker.broker.kill()
    tls_broker.broker.start()
    with Daemon(tmp_path, plain_database, **tls_broker.daemon_settings()):
        wait_count(plain_database, len(packets))
        with tls_broker.connect(A) as charger:
            charger.subscribe(f"v2g/{A}/receipt")
            for packet in packets:
                charger.publish(f"v2g/{A}/telemetry", packet)
            answered: list[str] = []
            while len(answered) < len(packets):
                received = json.loads(charger.next_message()[1])["received"]
                answered += [one["state"] for one in received]

    # then each stands once, and the charger knows
    landed = [bytes(one) for (one,) in rows(plain_database, "select packet from raw_packet")]
    assert sorted(landed) == sorted(packets)
    assert set(answered) == {"already_landed"}


def test_two_daemons_share_the_work_and_nothing_is_landed_twice(
    tls_broker: TlsSite, plain_database, tmp_path, key
):
    # given two daemons in one group, each with a certificate of its own
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    daemons = [
        Daemon(folder, plain_database, mqtt_share="ingest", **tls_broker.daemon_settings(name))
        for folder, name in zip(folders, [DAEMON, f"{DAEMON}-2"], strict=True)
    ]
    with daemons[0] as one, daemons[1] as two, tls_broker.connect(A, window=200) as charger:
        # when packets come
        packets = [make_packet(key, evse_id=A, sequence=number) for number in range(200)]
        for packet in packets:
            charger.client.publish(f"v2g/{A}/telemetry", packet, qos=1)

        # then all are landed, once, and both daemons had some
        def took() -> list[float]:
            return [daemon.figure("v2g_ingest_landed_packets_total") for daemon in (one, two)]

        wait_until(lambda: sum(took()) >= len(packets), deadline_s=30, what="every packet")
        assert all(took())
        assert sum(took()) == len(packets)


def test_an_expired_certificate_of_the_daemon_is_told_as_such(site, plain_database, tmp_path):
    # given a daemon whose certificate ended yesterday
    signer = certificate_folder._signer(site.folder, None)
    over = written(tmp_path, signer, DAEMON, ago=timedelta(days=2))
    settings = site.daemon_settings() | {
        "mqtt_tls_cert_file": over.certificate,
        "mqtt_tls_key_file": over.key,
    }
    daemon = Daemon(tmp_path, plain_database, **settings)

    # when it starts
    daemon.process.start()
    try:
        wait_until(
            lambda: "ERR_AUTH_EXPIRED" in daemon.log or not daemon.process.running,
            deadline_s=30,
            what="the daemon to say so",
        )
    finally:
        daemon.process.stop()

    # then it says what it is and which file
    assert "ERR_AUTH_EXPIRED" in daemon.log
    assert "expired" in daemon.log
