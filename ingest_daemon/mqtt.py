"""Packets from the broker: MQTT 5, QoS 1, acknowledged by hand, and only after COMMIT.

Why QoS 1 and not 2: the client library keeps the state of QoS 2 in memory. Between PUBREC and the
delivery the broker has let go and nothing is stored, so a killed subscriber loses packets; at QoS 1
with the acknowledgement after COMMIT it loses none. Publishers may use QoS 2 (exactly once into the
broker); what the broker delivers twice, landing stores once.

One thread owns the connection: it alone reads, acknowledges, sends receipts and reconnects. The
landing thread hands it what is committed and wakes it.

Why an acknowledgement never crosses a reconnect: a packet identifier means something only within
the connection on which it came. After a reconnect the broker sends everything unacknowledged
again, under identifiers of its choice; acknowledging an old one could release another packet that
is not stored. So every token carries the number of its connection, and the thread reconnects only
when all that came over the last one is committed. That also bounds memory: never more than one
window of packets, however often the connection breaks while the database is away.

A broker keeps packets only for a session that exists: let the daemon subscribe once before the first
charger publishes. From then on it may be away for as long as the session lives.
"""

import contextlib
import logging
import os
import select
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final

from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode

from ingest_daemon import mqtt_trouble
from ingest_daemon.backoff import Backoff
from ingest_daemon.buffer import Answered, Buffer, Held, Room
from ingest_daemon.health import Health
from ingest_daemon.log import say
from ingest_daemon.metrics import Metrics
from ingest_daemon.mqtt_client import Client, Link, Publish
from ingest_daemon.receipts import Receipts
from ingest_daemon.settings import PACKET_CEILING_BYTES, Settings
from storage.arrivals import Arrival
from storage.streams import Gap

logger = logging.getLogger(__name__)

TOPIC: Final = "v2g/+/telemetry"
RECONNECT_LONGEST_S: Final = 30.0
STABLE_S: Final = 10.0
"""A connection that ends sooner has not shown that the trouble is over: waits go on growing."""

_BURST_MAX: Final = 512
"""Packets handed over at once, so that landing and acknowledging do not wait for a full window."""
_TICK_S: Final = 1.0
"""Longest sleep of the thread: it looks at keep-alive and at its orders this often."""
_MID_BITS: Final = 16


class Subscriber:
    """The connection to the broker, kept up for as long as the daemon runs."""

    asks_conflicts = False

    def __init__(
        self,
        settings: Settings,
        buffer: Buffer,
        *,
        password: str | None,
        tls: ssl.SSLContext | None,
        health: Health,
        metrics: Metrics,
        backoff: Backoff,
        now: Callable[[], datetime],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._buffer = buffer
        self._health = health
        self._metrics = metrics
        self._backoff = backoff
        self._now = now
        self._failed = failed
        self._broker = f"{settings.mqtt_host}:{settings.mqtt_port}"
        self._topic = f"$share/{settings.mqtt_share}/{TOPIC}" if settings.mqtt_share else TOPIC
        # Room for the window, and for two bursts at QoS 0, which no window bounds.
        self._window = settings.buffer_packets
        packets_max = settings.buffer_packets + 2 * _BURST_MAX
        self._room = Room(
            "mqtt", packets_max=packets_max, bytes_max=packets_max * PACKET_CEILING_BYTES
        )

        self._client = Client(settings, self._receive, self._confirmed)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_disconnect = self._on_disconnect
        if settings.mqtt_username:
            self._client.username_pw_set(settings.mqtt_username, password)
        if tls is not None:
            self._client.tls_set_context(tls)

        self._connection = 0
        self._trouble = ""
        self._subscribed = False
        self._ever_subscribed = False
        self._session_present = False
        self._may_send = 0
        self._burst: list[Publish] = []
        self._committed: deque[int] = deque()
        self.receipts = Receipts(
            wanted=settings.receipts,
            # What is held for devices that are slow to be told is bounded, and holds nobody up.
            entries_max=2 * settings.buffer_packets,
            dropped=metrics.receipts_dropped.inc,
        )
        self._taking = True
        self._leave = threading.Event()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)

    # --- called by other threads ---------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def landed(self, batch: Sequence[Held]) -> None:
        """These packets are committed: acknowledge them. Called by the landing thread, in order."""
        self._committed.extend(held.token for held in batch)
        os.eventfd_write(self._wake, 1)

    def answer(self, answers: Sequence[Answered]) -> None:
        """What became of them: their devices are told."""
        if self.receipts.offer(answers):
            os.eventfd_write(self._wake, 1)

    def report(self, client: str, gaps: Sequence[Gap]) -> bool:
        """Tell a device what is missing of its streams; False when it cannot be told now."""
        told = self.receipts.offer_missing(client, gaps)
        os.eventfd_write(self._wake, 1)
        return told

    def stop_taking(self) -> None:
        """Read nothing more; what is held is still acknowledged when it has landed."""
        self._taking = False
        os.eventfd_write(self._wake, 1)

    def finish(self, *, timeout_s: float) -> None:
        """Send the last acknowledgements and part from the broker, which keeps the session."""
        self._leave.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join(timeout_s)

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._taking and not self._leave.is_set():
                # See above: nothing of the last connection may be under way.
                if not self._buffer.wait_empty(self._room, timeout_s=_TICK_S):
                    continue
                self._connect()
                if self._taking:
                    self._leave.wait(self._backoff.next_s())
        except BaseException as error:  # noqa: BLE001 - handed to the main thread, which ends the process
            self._failed(error)
        finally:
            with contextlib.suppress(OSError):
                self._client.disconnect()

    def _connect(self) -> None:
        """One connection, from its first byte to its last."""
        began = time.monotonic()
        self._connection += 1
        self._trouble = ""
        self._subscribed = False
        try:
            self._client.reconnect()
        except (OSError, UnicodeError) as error:
            self._down(mqtt_trouble.unreachable(error))
            return
        link = self._client.link()
        if link is not None:
            self._serve(link)
            if self._leave.is_set():
                return
            if not self._trouble and link.error is not None:
                self._trouble = mqtt_trouble.unreachable(link.error)
        self._client.disconnect()
        stood = self._subscribed and time.monotonic() - began >= STABLE_S
        if stood:
            self._backoff.reset()
        elif self._subscribed and not self._trouble:
            self._trouble = mqtt_trouble.CUT_SHORT
        self._down(self._trouble or "the broker closed the connection")

    def _serve(self, link: Link) -> None:
        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.register(link, 0)
        while self._client.link() is link and not self._trouble:
            self._acknowledge()
            self._tell()
            if self._client.want_write():
                self._client.loop_write()
            flushed = link.flush()
            if self._leave.is_set() and not self._committed:
                link.orderly = True
                self._client.disconnect()
                return
            # Only QoS 0, or a broker that ignores the window, can fill the room: then TCP holds it.
            reading = self._taking and self._room.packets <= self._window + _BURST_MAX
            poll.modify(
                link, (select.POLLIN if reading else 0) | (0 if flushed else select.POLLOUT)
            )
            ready = dict(poll.poll(0 if reading and link.pending() else 1000 * _TICK_S))
            if self._wake in ready:
                os.eventfd_read(self._wake)
            if reading:
                if link.pending() or link.fileno() in ready:
                    self._read(link)
                self._client.loop_misc()
            elif ready.get(link.fileno(), 0) & (select.POLLHUP | select.POLLERR):
                return

    def _read(self, link: Link) -> None:
        rc = self._client.loop_read()
        while (
            rc == MQTTErrorCode.MQTT_ERR_SUCCESS
            and link.pending()
            and self._client.link() is link
            and len(self._burst) < _BURST_MAX
        ):
            rc = self._client.loop_read()
        if self._burst:
            self._hand_over()

    def _receive(self, publish: Publish) -> None:
        self._burst.append(publish)

    def _hand_over(self) -> None:
        received_at = self._now()
        room, number = self._room, self._connection << _MID_BITS
        held = [
            Held(
                Arrival(
                    # MQTT 3.1.1 cannot ask the broker for a limit: what is longer than any packet
                    # is kept up to here, as evidence, and cannot fill the memory.
                    packet=publish.payload[:PACKET_CEILING_BYTES],
                    received_at=received_at,
                    source="mqtt",
                    topic_evse_id=publish.evse_id,
                ),
                self,
                number | publish.mid,
                room,
            )
            for publish in self._burst
        ]
        self._burst.clear()
        if not self._buffer.offer(held, room):
            # Closed: the daemon is stopping. Unacknowledged, so the broker keeps them for us.
            self._taking = False

    def _acknowledge(self) -> None:
        while self._committed:
            token = self._committed.popleft()
            mid = token & ((1 << _MID_BITS) - 1)
            if token >> _MID_BITS == self._connection and mid:
                self._client.ack(mid, qos=1)

    def _tell(self) -> None:
        for message in self.receipts.messages():
            self._client.send(message.topic, message.mid, message.payload)
            self._metrics.receipts.inc(message.entries)

    # --- callbacks of paho, in the same thread ---------------------------------------------------

    def _on_connect(
        self, client: Any, _data: object, flags: Any, reason: ReasonCode, properties: object
    ) -> None:
        if reason.is_failure:
            self._trouble = mqtt_trouble.refused(str(reason))
            return
        # What the broker does not say is 65,535 (MQTT 5 §3.2.2.3.3).
        self._may_send = getattr(properties, "ReceiveMaximum", 0xFFFF)
        self._session_present = flags.session_present
        if self._topic != TOPIC:
            # A session from before the share was set would still bring every packet to this daemon.
            client.unsubscribe(TOPIC)
        client.subscribe(self._topic, qos=1)

    def _on_subscribe(
        self,
        _client: object,
        _data: object,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: object,
    ) -> None:
        if not reasons or reasons[0].is_failure or reasons[0].value < 1:
            self._trouble = mqtt_trouble.not_subscribed(
                str(reasons[0]) if reasons else "no answer", self._topic
            )
            return
        self._subscribed = True
        self.receipts.connected(receive_maximum=self._may_send)
        self._metrics.mqtt_connected.set(1)
        self._metrics.mqtt_connects.inc()
        if self._ever_subscribed and not self._session_present:
            self._metrics.mqtt_sessions_lost.inc()
            say(logger, logging.WARNING, "mqtt_session_lost", broker=self._broker,
                consequence="what the broker held is gone; chargers must send it again")  # fmt: skip
        self._ever_subscribed = True
        self._health.set("mqtt", up=True, detail="subscribed")
        say(
            logger,
            logging.INFO,
            "mqtt_up",
            broker=self._broker,
            topic=self._topic,
            session_present=self._session_present,
        )

    def _confirmed(self, mid: int, reason: int) -> None:
        if self.receipts.confirmed(mid, reason):
            say(logger, logging.WARNING, "receipts_refused", broker=self._broker, reason=hex(reason),
                consequence=mqtt_trouble.NO_RECEIPTS)  # fmt: skip

    def _on_disconnect(
        self, _client: object, _data: object, flags: Any, reason: ReasonCode, _properties: object
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._trouble = mqtt_trouble.ended(str(reason))

    def _down(self, why: str) -> None:
        self.receipts.lost()
        self._metrics.mqtt_connected.set(0)
        changed = self._health.set("mqtt", up=False, detail=why)
        if changed:
            say(
                logger,
                logging.WARNING,
                "mqtt_down",
                broker=self._broker,
                why=why,
                consequence="tries again",
            )
