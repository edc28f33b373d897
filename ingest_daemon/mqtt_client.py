"""The client library as the daemon needs it: paho-mqtt, with three of its inner doors widened.

paho does the protocol: connecting, TLS, keep-alive, subscribing, framing. Measured at QoS 1 with
750-byte packets it spends 45 µs on reading one (four system calls, and a table of all properties
built for each packet) and 8 µs on acknowledging it: more than everything else that happens to a
packet until it is stored. Hence:

* ``Link`` stands between paho and its socket, reads 64 KiB at a time and writes acknowledgements
  together. It is a socket to paho (its ``SocketLike``).
* ``split_publish`` takes a PUBLISH apart without its properties, of which we use none.

Together 12 µs. And where paho would keep every message that it publishes until the broker
acknowledges it, send it again after a reconnection and queue without a bound, ``Client.send`` writes a
PUBLISH and forgets it: what is sent are receipts, which may be lost but must not pile up.

The doors are private names of paho; a test holds them against the real broker, and pyproject.toml
holds paho's version.
"""

import contextlib
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.exception import MalformedPacket
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest_daemon.settings import PACKET_CEILING_BYTES, Settings

CONNECT_TIMEOUT_S: Final = 5.0
PART_TIMEOUT_S: Final = 1.0
_CHUNK_BYTES: Final = 64 * 1024
_WOULD_BLOCK: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_BYTE_MASK: Final = 0x7F
_MORE: Final = 0x80
_PROPERTIES_LENGTH_MAX_BYTES: Final = 4


class Publish(NamedTuple):
    """One message from the broker; ``mid`` is 0 at QoS 0, which nobody acknowledges."""

    topic: bytes
    mid: int
    payload: bytes

    @property
    def evse_id(self) -> str:
        """The EVSE of a topic ``v2g/<evse_id>/telemetry``; empty when it names none.

        >>> Publish(b"v2g/DE*ABC*E1/telemetry", 7, b"").evse_id
        'DE*ABC*E1'
        """
        parts = self.topic.decode("utf-8", "replace").split("/")
        return parts[1] if len(parts) == 3 else ""  # noqa: PLR2004 - as drawn above


def split_publish(first_byte: int, body: bytes | bytearray, *, version5: bool) -> Publish:
    r"""Take a PUBLISH apart (MQTT 5 §3.3; MQTT 3.1.1 §3.3 has no properties).

    Args:
        first_byte: of the fixed header; bits 1 and 2 are the QoS.
        body: variable header and payload.
        version5: whether properties stand between packet identifier and payload.

    Raises:
        MalformedPacket: too short, or at QoS 2, for which nobody has subscribed.

    >>> split_publish(0x32, b"\x00\x01t\x00\x07\x00payload", version5=True)
    Publish(topic=b't', mid=7, payload=b'payload')
    """
    qos = (first_byte >> 1) & 3
    if qos > 1:
        raise MalformedPacket(f"PUBLISH at QoS {qos}; subscribed at QoS 1")
    try:
        (topic_length,) = struct.unpack_from("!H", body)
        at = 2 + topic_length
        topic = bytes(body[2:at])
        mid = 0
        if qos:
            (mid,) = struct.unpack_from("!H", body, at)
            at += 2
        if version5:
            # A variable byte integer (§1.5.5); 0 in almost every message.
            length, shift = body[at] & _BYTE_MASK, 7
            while body[at] & _MORE:
                at += 1
                length |= (body[at] & _BYTE_MASK) << shift
                shift += 7
                if shift > 7 * _PROPERTIES_LENGTH_MAX_BYTES:
                    raise MalformedPacket("PUBLISH with an endless property length")
            at += 1 + length
    except (struct.error, IndexError) as error:
        raise MalformedPacket(f"PUBLISH of {len(body)} bytes: too short") from error
    if at > len(body):
        raise MalformedPacket(f"PUBLISH of {len(body)} bytes: too short")
    return Publish(topic, mid, bytes(body[at:]))


def join_publish(topic: str, mid: int, payload: bytes, *, version5: bool) -> bytes:
    """A PUBLISH at QoS 1, without properties: what ``split_publish`` takes apart.

    >>> packet = join_publish("t", 7, b"payload", version5=True)
    >>> split_publish(packet[0], packet[2:], version5=True)
    Publish(topic=b't', mid=7, payload=b'payload')
    """
    name = topic.encode()
    properties = b"\0" if version5 else b""
    body = struct.pack("!H", len(name)) + name + struct.pack("!H", mid) + properties + payload
    length, left = bytearray(), len(body)
    while left > _BYTE_MASK:
        length.append(left & _BYTE_MASK | _MORE)
        left >>= 7
    length.append(left)
    return b"\x32" + bytes(length) + body


class Link:
    """A socket that reads far and writes together; what paho believes to be its socket.

    ``send`` only collects: ``flush`` sends. What is collected is bounded by what is sent:
    acknowledgements, of which there are never more than the window, a few packets of control, and one
    window of receipts.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._chunk = b""
        self._at = 0
        self._out = bytearray()
        self.orderly = False
        """Whether ``close`` ends a conversation instead of a broken connection."""
        self.error: OSError | None = None
        """What broke it."""

    def recv(self, size: int) -> bytes:
        if self._at == len(self._chunk):
            try:
                self._chunk = self._sock.recv(_CHUNK_BYTES)
            except _WOULD_BLOCK:
                raise
            except OSError as error:
                self.error = error
                raise
            self._at = 0
        part = self._chunk[self._at : self._at + size]
        self._at += len(part)
        return part

    def pending(self) -> int:
        """Bytes that can be read without asking the network."""
        inner = self._sock.pending() if isinstance(self._sock, ssl.SSLSocket) else 0
        return len(self._chunk) - self._at + inner

    def send(self, part: bytes | bytearray) -> int:
        self._out += part
        return len(part)

    def flush(self) -> bool:
        """Send what is collected; False when the network does not take all of it now.

        A broken connection is reported by the next ``recv``, where paho looks for it.
        """
        try:
            while self._out:
                del self._out[: self._sock.send(self._out)]
        except _WOULD_BLOCK:
            return False
        except OSError as error:
            self.error = error
            self._out.clear()
        return True

    def close(self) -> None:
        """Send what is left, and close; at the orderly end after the broker has closed its side.

        Closing with bytes unread would reset the connection (RFC 9293 §3.10.4), and a reset may
        overtake the acknowledgements sent just before: the broker would send those packets again.
        """
        with contextlib.suppress(OSError):
            self._sock.settimeout(PART_TIMEOUT_S)
            if self._out:
                self._sock.sendall(self._out)
            if self.orderly:
                give_up_at = time.monotonic() + PART_TIMEOUT_S
                self._sock.shutdown(socket.SHUT_WR)
                while self._sock.recv(_CHUNK_BYTES) and time.monotonic() < give_up_at:
                    pass
        self._sock.close()

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - paho's SocketLike has it so
        self._sock.setblocking(flag)


class Client(paho.Client):
    """paho's client over a ``Link``; ``received`` gets every message, ``confirmed`` the packet
    identifier and the reason code (MQTT 5 §3.4.2.1) of each acknowledgement of ``send``.
    """

    def __init__(
        self,
        settings: Settings,
        received: Callable[[Publish], None],
        confirmed: Callable[[int, int], None] = lambda _mid, _reason: None,
    ) -> None:
        self._version5 = settings.mqtt_protocol == "5"
        self._received = received
        self._confirmed = confirmed
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=settings.mqtt_client_id,
            clean_session=None if self._version5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if self._version5 else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        self.connect_timeout = CONNECT_TIMEOUT_S
        properties: Properties | None = None
        if self._version5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = settings.mqtt_session_expiry_s
            properties.ReceiveMaximum = settings.buffer_packets
            properties.MaximumPacketSize = PACKET_CEILING_BYTES
        self.connect_async(
            settings.mqtt_host,
            settings.mqtt_port,
            keepalive=settings.mqtt_keepalive_s,
            clean_start=False if self._version5 else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
        )

    def link(self) -> Link | None:
        """The connection that stands now."""
        return cast(Link | None, self.socket())

    def _create_socket(self) -> Link:
        return Link(cast(socket.socket, super()._create_socket()))

    def _handle_publish(self) -> MQTTErrorCode:
        packet = self._in_packet
        self._received(split_publish(packet["command"], packet["packet"], version5=self._version5))
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def send(self, topic: str, mid: int, payload: bytes) -> None:
        """Publish at QoS 1, once; ``mid`` belongs to no message that is under way."""
        link = self.link()
        if link is not None:
            link.send(join_publish(topic, mid, payload, version5=self._version5))

    def _handle_pubackcomp(self, cmd: str) -> MQTTErrorCode:
        body = self._in_packet["packet"]
        if cmd != "PUBACK" or len(body) < 2:  # noqa: PLR2004 - a packet identifier (§3.4.2)
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._confirmed(int.from_bytes(body[:2]), body[2] if len(body) > 2 else 0)  # noqa: PLR2004
        return MQTTErrorCode.MQTT_ERR_SUCCESS
