"""What we add to the client library, held against the library itself."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt._packet import decode_publish
from paho.mqtt.enums import MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest_daemon.mqtt_client import Link, Publish, split_publish


def properties(expiry: int | None, words: str) -> bytes:
    made = Properties(PacketTypes.PUBLISH)
    if expiry is not None:
        made.MessageExpiryInterval = expiry
    if words:
        made.UserProperty = ("words", words)
    return bytes(made.pack())


def body(topic: bytes, mid: int | None, props: bytes, payload: bytes) -> bytes:
    identifier = b"" if mid is None else mid.to_bytes(2, "big")
    return len(topic).to_bytes(2, "big") + topic + identifier + props + payload


@given(
    topic=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40),
    mid=st.none() | st.integers(1, 65535),
    expiry=st.none() | st.integers(0, 2**32 - 1),
    words=st.text(st.characters(codec="ascii", min_codepoint=32), max_size=300),
    payload=st.binary(max_size=300),
    version5=st.booleans(),
)
def test_a_publish_is_taken_apart_as_the_library_would(
    topic, mid, expiry, words, payload, version5
):
    first_byte = 0x30 if mid is None else 0x32
    packet = body(topic.encode(), mid, properties(expiry, words) if version5 else b"", payload)

    ours = split_publish(first_byte, packet, version5=version5)

    theirs = decode_publish(
        first_byte, packet, MQTTProtocolVersion.MQTTv5 if version5 else MQTTProtocolVersion.MQTTv311
    )
    assert ours == (theirs.topic, theirs.mid, theirs.payload)


@given(st.binary(max_size=60), st.sampled_from([0x30, 0x32, 0x3A]), st.booleans())
def test_any_bytes_are_a_publish_or_malformed_and_nothing_else(packet, first_byte, version5):
    try:
        publish = split_publish(first_byte, packet, version5=version5)
    except MalformedPacket:
        return
    assert len(publish.topic) + len(publish.payload) < len(packet)


def test_a_publish_at_qos_2_for_which_nobody_asked_is_malformed():
    with pytest.raises(MalformedPacket, match="QoS 2"):
        split_publish(0x34, body(b"t", 1, b"\0", b""), version5=True)


@pytest.mark.parametrize(
    ("topic", "evse_id"),
    [
        (b"v2g/E1/telemetry", "E1"),
        (b"v2g//telemetry", ""),
        (b"v2g/a/b/telemetry", ""),
        (b"v2g", ""),
        (b"v2g/\xff/telemetry", "\ufffd"),
    ],
)
def test_a_topic_names_its_evse(topic, evse_id):
    assert Publish(topic, 1, b"").evse_id == evse_id


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    yield Link(ours), theirs
    ours.close()
    theirs.close()


def test_a_link_gives_what_came_in_pieces_of_any_size(pair):
    link, broker = pair
    broker.sendall(b"abcdefgh")

    assert [link.recv(1), link.recv(3), link.pending(), link.recv(100)] == [
        b"a",
        b"bcd",
        4,
        b"efgh",
    ]
    with pytest.raises(BlockingIOError):
        link.recv(1)
    broker.close()
    assert link.recv(1) == b""


def test_a_link_sends_together_what_was_given_in_pieces_and_what_the_network_takes(pair):
    link, broker = pair
    for _ in range(100_000):
        link.send(b"0123456789")

    assert not link.flush()
    got = 0
    while got < 1_000_000:
        got += len(broker.recv(65536))
        link.flush()

    assert link.flush()


def test_an_orderly_end_waits_until_the_other_side_has_closed_so_that_nothing_is_reset(pair):
    link, broker = pair
    broker.sendall(b"unread" * 1000)
    link.send(b"last words")
    link.orderly = True
    link._sock.settimeout(None)
    broker.shutdown(socket.SHUT_WR)

    link.close()

    assert broker.recv(100) == b"last words"
    assert broker.recv(100) == b""


def test_a_broken_link_keeps_the_reason(pair):
    link, broker = pair
    broker.close()
    link.send(b"x" * 10)

    link.flush()

    assert isinstance(link.error, OSError)
