import os
import queue
import socket
from pathlib import Path

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from embedded import packaged, places
from embedded.broker import Broker
from embedded.errors import ChildExitedError, EmbeddedError, PackageFetchError
from embedded.processes import wait_until

CACHE = Path(__file__).parents[2] / ".cache"
DEADLINE_S = 20


class Client:
    """A client on a network thread of its own, which keeps what happened in queues."""

    def __init__(
        self,
        broker: Broker,
        account: tuple[str, str] | None,
        *,
        client_id: str = "",
        keep: bool = False,
    ):
        self.messages: queue.Queue[tuple[str, bytes | bytearray]] = queue.Queue()
        self.answers: queue.Queue[str] = queue.Queue()
        self.published: queue.Queue[str] = queue.Queue()
        self.subscribed: queue.Queue[list[str]] = queue.Queue()
        self.version5 = broker.supports_mqtt5
        protocol = mqtt.MQTTv5 if self.version5 else mqtt.MQTTv311
        if self.version5:
            self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id, protocol=protocol)
        else:
            self.client = mqtt.Client(
                CallbackAPIVersion.VERSION2, client_id, protocol=protocol, clean_session=not keep
            )
        if account is not None:
            self.client.username_pw_set(*account)
        self.client.on_connect = lambda _c, _u, _f, reason, _p: self.answers.put(str(reason))
        self.client.on_message = lambda _c, _u, message: self.messages.put(
            (message.topic, message.payload)
        )
        self.client.on_publish = lambda _c, _u, _mid, reason, _p: self.published.put(str(reason))
        self.client.on_subscribe = lambda _c, _u, _mid, reasons, _p: self.subscribed.put(
            [str(reason) for reason in reasons]
        )
        if self.version5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = 3600 if keep else 0
            self.client.connect(
                broker.host, broker.port, clean_start=not keep, properties=properties
            )
        else:
            self.client.connect(broker.host, broker.port)
        self.client.loop_start()
        self.answer = self.answers.get(timeout=DEADLINE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def subscribe(self, topic: str) -> list[str]:
        self.client.subscribe(topic, qos=1)
        return self.subscribed.get(timeout=DEADLINE_S)

    def publish(self, topic: str, payload: bytes, *, qos: int = 2) -> str:
        self.client.publish(topic, payload, qos=qos)
        return self.published.get(timeout=DEADLINE_S)

    def next_message(self) -> tuple[str, bytes | bytearray]:
        return self.messages.get(timeout=DEADLINE_S)


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with Broker(tmp_path_factory.mktemp("broker"), cache=CACHE) as running:
        yield running


@pytest.fixture
def own_mosquitto(tmp_path):
    with Broker(tmp_path / "broker", cache=CACHE) as running:
        if not running.keeps_sessions:
            pytest.skip(f"needs mosquitto: {running.limitation}")
        yield running


def test_a_packet_of_the_fleet_reaches_the_daemon(broker):
    with (
        Client(broker, broker.credentials("daemon")) as daemon,
        Client(broker, broker.credentials("fleet")) as fleet,
    ):
        daemon.subscribe("v2g/+/telemetry")

        fleet.publish("v2g/evse-1/telemetry", b"packet")

        assert daemon.next_message() == ("v2g/evse-1/telemetry", b"packet")


def test_a_receipt_of_the_daemon_reaches_the_fleet(broker):
    with (
        Client(broker, broker.credentials("daemon")) as daemon,
        Client(broker, broker.credentials("fleet")) as fleet,
    ):
        fleet.subscribe("v2g/evse-1/receipt")

        daemon.publish("v2g/evse-1/receipt", b"landed", qos=1)

        assert fleet.next_message() == ("v2g/evse-1/receipt", b"landed")


def test_a_shared_subscription_serves_the_daemon(broker):
    if not broker.supports_mqtt5:
        pytest.skip(f"needs mosquitto: {broker.limitation}")
    with (
        Client(broker, broker.credentials("daemon")) as daemon,
        Client(broker, broker.credentials("fleet")) as fleet,
    ):
        daemon.subscribe("$share/ingest/v2g/+/telemetry")

        fleet.publish("v2g/evse-1/telemetry", b"shared")

        assert daemon.next_message() == ("v2g/evse-1/telemetry", b"shared")


@pytest.mark.parametrize(
    "account",
    [None, ("fleet", "wrong"), ("somebody", "wrong")],
    ids=["none", "wrong password", "unknown name"],
)
def test_nobody_enters_without_an_account(broker, account):
    with Client(broker, account) as client:
        assert client.answer in {"Not authorized", "Bad user name or password"}


@pytest.mark.parametrize(
    ("role", "topic"),
    [
        ("fleet", "v2g/evse-1/receipt"),
        ("fleet", "v2g/evse-1/command"),
        ("daemon", "v2g/evse-1/telemetry"),
    ],
)
def test_nobody_writes_what_is_not_his(broker, role, topic):
    if not broker.supports_mqtt5:
        pytest.skip("MQTT 3.1.1 answers a denied publish with success")
    with Client(broker, broker.credentials(role)) as client:
        # QoS 1: paho keeps an error in the answer to QoS 2 (PUBREC) to itself.
        assert client.publish(topic, b"forged", qos=1) == "Not authorized"


def test_the_fleet_does_not_read_what_the_daemon_reads(broker):
    with (
        Client(broker, broker.credentials("fleet")) as spy,
        Client(broker, broker.credentials("daemon")) as daemon,
    ):
        spy.subscribe("v2g/+/telemetry")
        spy.subscribe("v2g/+/receipt")
        with Client(broker, broker.credentials("fleet")) as charger:
            charger.publish("v2g/evse-1/telemetry", b"private")
        daemon.publish("v2g/evse-1/receipt", b"for the fleet")

        assert spy.next_message() == ("v2g/evse-1/receipt", b"for the fleet")


def test_only_loopback_is_listened_on(broker):
    listening = "0A"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    addresses = {
        row[1]
        for row in rows
        if row[3] == listening and int(row[1].split(":")[1], 16) == broker.port
    }

    assert addresses == {f"0100007F:{broker.port:04X}"}


def test_passwords_are_made_once_and_kept_from_others(tmp_path):
    first = Broker(tmp_path / "broker", cache=CACHE).credentials("daemon")

    second = Broker(tmp_path / "broker", cache=CACHE).credentials("daemon")

    assert first == second
    assert first[1] != Broker(tmp_path / "other", cache=CACHE).credentials("daemon")[1]
    assert (tmp_path / "broker" / "credentials.json").stat().st_mode & 0o077 == 0


def test_a_broker_that_was_never_started_has_no_port(tmp_path):
    with pytest.raises(EmbeddedError, match=r"call start\(\)"):
        _ = Broker(tmp_path / "broker", cache=CACHE).port


def test_acknowledged_packets_survive_a_killed_broker(own_mosquitto, tmp_path):
    packets = [b"packet-%d" % number for number in range(50)]
    with Client(
        own_mosquitto, own_mosquitto.credentials("daemon"), client_id="daemon-1", keep=True
    ) as daemon:
        daemon.subscribe("v2g/+/telemetry")
    with Client(own_mosquitto, own_mosquitto.credentials("fleet")) as fleet:
        for packet in packets:
            assert fleet.publish("v2g/evse-1/telemetry", packet) == "Success"
    stored = tmp_path / "broker" / "broker" / "state" / "mosquitto.db"
    wait_until(
        lambda: stored.exists() and packets[-1] in stored.read_bytes(),
        deadline_s=DEADLINE_S,
        what="the autosave",
    )
    port = own_mosquitto.port

    own_mosquitto.kill()
    assert not own_mosquitto.running
    own_mosquitto.start()

    assert own_mosquitto.port == port
    with Client(
        own_mosquitto, own_mosquitto.credentials("daemon"), client_id="daemon-1", keep=True
    ) as daemon:
        assert [daemon.next_message()[1] for _ in packets] == packets


def test_a_message_longer_than_a_packet_may_be_is_not_delivered(own_mosquitto):
    account = own_mosquitto.credentials
    with (
        Client(own_mosquitto, account("daemon")) as daemon,
        Client(own_mosquitto, account("fleet")) as fleet,
    ):
        daemon.subscribe("v2g/+/telemetry")

        fleet.client.publish("v2g/evse-1/telemetry", b"x" * 65_537, qos=0)
        fleet.publish("v2g/evse-1/telemetry", b"x" * 65_536, qos=1)

        assert len(daemon.next_message()[1]) == 65_536


def test_a_port_that_was_taken_in_the_meantime_is_told(own_mosquitto):
    own_mosquitto.stop()
    with (
        socket.create_server(("127.0.0.1", own_mosquitto.port)),
        pytest.raises(ChildExitedError, match="already in use"),
    ):
        own_mosquitto.start()

    own_mosquitto.start()
    assert own_mosquitto.running


@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user's broker runs as that user")
def test_under_root_mosquitto_is_nobody(own_mosquitto):
    process = own_mosquitto._server.pid

    assert Path(f"/proc/{process}").stat().st_uid == places.NOBODY


def test_where_mosquitto_cannot_be_had_amqtt_serves_and_says_so(tmp_path, monkeypatch):
    def unavailable(*_, **__):
        raise PackageFetchError("mosquitto is not installed, and there is no network")

    monkeypatch.setattr(packaged, "find", unavailable)
    with Broker(tmp_path / "broker", cache=CACHE) as broker:
        account = broker.credentials
        assert broker.kind.startswith("amqtt ")
        assert (broker.supports_mqtt5, broker.keeps_sessions) == (False, False)
        assert "no network" in broker.limitation
        with Client(broker, ("fleet", "wrong")) as stranger:
            assert stranger.answer == "Not authorized"
        with Client(broker, account("daemon")) as daemon, Client(broker, account("fleet")) as fleet:
            daemon.subscribe("v2g/+/telemetry")
            assert fleet.subscribe("v2g/+/telemetry") == ["Unspecified error"]
            daemon.publish("v2g/evse-1/telemetry", b"forged", qos=1)
            fleet.publish("v2g/evse-1/telemetry", b"packet", qos=1)

            assert daemon.next_message() == ("v2g/evse-1/telemetry", b"packet")


def test_a_failed_fetch_is_not_repeated_at_once(tmp_path):
    failed = tmp_path / "mosquitto" / "debian.failed"
    failed.parent.mkdir()
    failed.write_text("mosquitto is not installed, and there is no network")

    with pytest.raises(PackageFetchError, match="no network"):
        packaged._fetch("mosquitto", tmp_path / "mosquitto" / "debian")
