"""What the shipped broker keeps for a daemon that is away, through stops and crashes, and what it refuses."""

import pytest

from embedded.processes import wait_until
from tasks.certificates import DAEMON
from tests.tls import Connection, TlsSite

A = "DE*V2G*E00001"
TOPIC = f"v2g/{A}/telemetry"
PACKET_CEILING_BYTES = 16 * 1024
"""What the daemon still keeps as evidence; the broker must let it through."""
DEFAULT_QUEUE = 1000
"""Mosquitto's own limit of messages per session, which would drop what was acknowledged."""


@pytest.fixture
def own(tmp_path):
    """A broker that only this test stops."""
    with TlsSite(tmp_path / "own") as running:
        yield running


def leave_a_session(site: TlsSite) -> None:
    with daemon(site) as one:
        assert one.answer == "Success"
        one.subscribe("v2g/+/telemetry")


def daemon(site: TlsSite) -> Connection:
    return site.connect(DAEMON, session_expiry_s=3600, clean_start=False)


def publish(site: TlsSite, packets: list[bytes]) -> None:
    """All of them, each acknowledged by the broker."""
    with site.connect(A, window=500) as charger:
        for packet in packets:
            charger.client.publish(TOPIC, packet, qos=1)
        for _ in packets:
            assert charger.published.get(timeout=20) == "Success"


def numbered(first: int, last: int) -> list[bytes]:
    return [b"packet-%06d-" % number + b"x" * 700 for number in range(first, last)]


def test_more_than_a_default_queue_waits_for_a_daemon_that_is_away(own):
    # given three times what mosquitto keeps unless told otherwise
    leave_a_session(own)
    packets = numbered(0, 3 * DEFAULT_QUEUE)
    publish(own, packets)

    # when the broker is stopped and started, and the daemon comes back
    own.broker.stop()
    own.broker.start()
    with daemon(own) as back:
        # then all of them come, in order
        assert back.session_present
        assert [back.next_message()[1] for _ in packets] == packets


def test_a_killed_broker_still_has_what_it_acknowledged_before_its_last_save(own):
    # given packets that the broker has saved, which it does by itself within seconds
    leave_a_session(own)
    saved = numbered(0, 200)
    publish(own, saved)
    state = own.broker.state
    wait_until(
        lambda: state.exists() and saved[-1] in state.read_bytes(),
        deadline_s=20,
        what="the broker to save its state",
    )
    # and packets that it has only acknowledged
    fresh = numbered(200, 250)
    publish(own, fresh)

    # when it is killed
    own.broker.kill()
    own.broker.start()

    # then the saved ones come back, in order; of the others some, or none
    with daemon(own) as back:
        assert [back.next_message()[1] for _ in saved] == saved
        publish(own, [b"the end"])
        rest = []
        while (one := back.next_message()[1]) != b"the end":
            rest.append(one)
        assert rest == fresh[: len(rest)]


@pytest.mark.parametrize("websockets", [False, True], ids=["mqtt", "websockets"])
def test_what_is_longer_than_the_daemon_keeps_is_not_delivered(site, websockets):
    with site.connect(DAEMON) as one:
        one.subscribe("v2g/+/telemetry")
        for excess in (1, 2048, 1_000_000):
            with site.connect(A, websockets=websockets) as gone_wrong:
                # given a charger that does not listen to what it was told
                gone_wrong.client.publish(TOPIC, b"x" * (PACKET_CEILING_BYTES + excess), qos=1)
                # then the broker ends the conversation
                assert gone_wrong.ended.get(timeout=20)
        with site.connect(A, websockets=websockets) as charger:
            assert charger.publish(TOPIC, b"y" * PACKET_CEILING_BYTES) == "Success"

        assert one.next_message()[1] == b"y" * PACKET_CEILING_BYTES


def test_a_client_is_told_how_long_a_packet_may_be(site):
    with site.connect(A) as charger:
        assert charger.told["MaximumPacketSize"] == PACKET_CEILING_BYTES + 1024
