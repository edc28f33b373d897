"""The fleet against a real broker."""

import subprocess
import sys
import threading
from collections import defaultdict
from dataclasses import replace

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from embedded.broker import Broker
from embedded.processes import free_port, wait_until
from simulators.fleet import publish
from simulators.labels import Phase
from simulators.mqtt_connection import BrokerAddress, BrokerRefusedError, NotAcknowledgedError
from simulators.roster import read_roster
from tests.conftest import CACHE
from tests.simulators.evenings import fresh, tiny


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with Broker(tmp_path_factory.mktemp("broker"), cache=CACHE) as running:
        yield running


def address_of(broker, **changes):
    username, password = broker.credentials("fleet")
    return BrokerAddress(
        broker.host, broker.port, username, password, **({"mqtt5": broker.supports_mqtt5} | changes)
    )


class Listener:
    """Hears everything that reaches the broker, as the daemon would."""

    def __init__(self, broker):
        self.heard: list[tuple[str, bytes]] = []
        self._subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id="listener", protocol=MQTTProtocolVersion.MQTTv311
        )
        self._client.username_pw_set(*broker.credentials("daemon"))
        self._client.on_message = lambda _, __, message: self.heard.append(
            (message.topic, bytes(message.payload))
        )
        self._client.on_connect = lambda client, *_: client.subscribe("v2g/+/telemetry", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect(broker.host, broker.port)

    def __enter__(self):
        self._client.loop_start()
        assert self._subscribed.wait(10)
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()


def by_topic(messages):
    topics = defaultdict(list)
    for topic, packet in messages:
        topics[topic].append(packet)
    return topics


def test_every_delivery_arrives_on_its_topic_in_order_and_phase_by_phase(broker):
    # given an evening and somebody who listens
    deliveries = tiny().deliveries
    progress = []

    # when the fleet publishes it
    with Listener(broker) as listener:
        sent = publish(
            deliveries, address_of(broker), connections=4, progress=lambda *p: progress.append(p)
        )
        wait_until(
            lambda: len(listener.heard) >= len(deliveries), deadline_s=30, what="all to arrive"
        )

    # then everything arrived, once, in order on each topic
    meant = [(f"v2g/{d.topic_evse_id}/telemetry", d.packet) for d in deliveries]
    assert by_topic(listener.heard) == by_topic(meant)
    assert sent.total == len(deliveries)
    assert sent.by_label == dict(tiny().truth.deliveries)
    assert progress[-1] == (len(deliveries), len(deliveries))

    # and nothing of a later phase came before everything of an earlier one
    live = sum(d.phase is Phase.LIVE for d in deliveries)
    assert sorted(listener.heard[:live]) == sorted(meant[:live])


def test_wrong_credentials_are_refused_at_once_and_say_where(broker):
    wrong = replace(address_of(broker), password="wrong")
    with pytest.raises(BrokerRefusedError, match=f":{broker.port}: .*credentials"):
        publish(tiny().deliveries[:10], wrong)


def test_no_broker_is_refused_at_once():
    nobody = BrokerAddress("127.0.0.1", free_port())
    with pytest.raises(BrokerRefusedError, match="refused"):
        publish(tiny().deliveries[:10], nobody)


def test_the_password_is_not_shown_where_the_address_is():
    assert "secret" not in repr(BrokerAddress("h", 1, "u", "secret"))


def test_it_speaks_mqtt_3_1_1_too(broker):
    sent = publish(tiny().deliveries[:200], address_of(broker, mqtt5=False), client_prefix="old")
    assert sent.total == 200


def test_a_broker_that_is_killed_and_comes_back_gets_everything(tmp_path):
    with Broker(tmp_path / "broker", cache=CACHE) as broker:
        if not broker.keeps_sessions:
            pytest.skip(f"{broker.kind} forgets what is half acknowledged: {broker.limitation}")
        # given a broker that is killed once a quarter of it has gone out
        deliveries = tiny().deliveries
        killed: list[int] = []

        def interrupt(done, total):
            if not killed and done > total // 4:
                killed.append(done)
                broker.kill()
                broker.start()

        # when the fleet publishes through that
        sent = publish(
            deliveries, address_of(broker), progress=interrupt, deadline_s=90, packets_per_s=500
        )

    # then it was killed in the midst, and everything was acknowledged in the end
    assert killed[0] < len(deliveries)
    assert sent.total == len(deliveries)


def test_stopped_it_says_how_far_it_came(broker):
    # given a fleet told to stop once something has gone out
    stop = threading.Event()

    # when it publishes
    with pytest.raises(NotAcknowledgedError) as raised:
        publish(tiny().deliveries, address_of(broker), stop=stop, packets_per_s=200,
                progress=lambda done, _: stop.set() if done else None)  # fmt: skip

    # then it ended early
    assert 0 < raised.value.done < raised.value.total == len(tiny().deliveries)


def test_the_deadline_ends_it_too(broker):
    with pytest.raises(NotAcknowledgedError, match=r"within 0\.5 s"):
        publish(tiny().deliveries, address_of(broker), deadline_s=0.5, packets_per_s=100)


def test_it_keeps_to_the_pace_it_is_given(broker):
    sent = publish(tiny().deliveries[:100], address_of(broker), packets_per_s=50)
    assert sent.seconds > 1.5


@pytest.mark.parametrize(
    ("name", "value"), [("connections", 0), ("connections", 51), ("window", 0), ("window", 21)]
)
def test_bounds_are_kept(name, value):
    with pytest.raises(ValueError, match="expected 1 to 50, 1 to 20"):
        publish([], BrokerAddress("127.0.0.1", 1), **{name: value})


def test_by_hand_it_publishes_and_writes_what_belongs_to_it(broker, tmp_path):
    # given a password in a file
    username, password = broker.credentials("fleet")
    (tmp_path / "password").write_text(password)
    options = {
        "--port": broker.port, "--username": username, "--password-file": tmp_path / "password",
        "--date": "2026-07-01", "--evses": 10, "--step-s": 60, "--received-by": "2026-07-02T00:00:00Z",
        "--out": tmp_path / "evening",
    }  # fmt: skip
    words = [str(word) for pair in options.items() for word in pair]
    words += [] if broker.supports_mqtt5 else ["--mqtt311"]

    # when it is run
    with Listener(broker) as listener:
        run = subprocess.run(
            [sys.executable, "-m", "simulators.fleet", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        wait_until(
            lambda: len(listener.heard) >= len(tiny().deliveries),
            deadline_s=30,
            what="all to arrive",
        )

    # then the same evening went out as one made here, and its files are beside it
    assert run.returncode == 0, run.stderr
    assert f"{len(tiny().deliveries)} packets acknowledged" in run.stdout
    assert {packet for _, packet in listener.heard} == {d.packet for d in tiny().deliveries}
    assert read_roster(tmp_path / "evening" / "roster.csv") == fresh(evses=10, step_s=60).roster()
    assert {file.name for file in (tmp_path / "evening").iterdir()} == {
        "roster.csv",
        "feed.json",
        "truth.json",
    }


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--date", "2026-07-01", "--evses", "1"], 2, "evses: 1; expected 10 to 5000"),
        (
            ["--date", "2026-07-01", "--evses", "12", "--step-s", "30", "--port", "1"],
            1,
            "127.0.0.1:1",
        ),
    ],
)
def test_by_hand_it_says_what_is_wrong(words, status, said):
    run = subprocess.run(
        [sys.executable, "-m", "simulators.fleet", *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == status
    assert said in run.stderr
