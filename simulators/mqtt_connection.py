"""One MQTT connection of the fleet: QoS 2, a bounded window, resumed when the broker comes back.

FleetError
├── BrokerRefusedError       the first connection failed, or the credentials were refused
└── NotAcknowledgedError     the deadline passed, or the run was stopped, with packets open
"""

import ssl
import threading
from dataclasses import dataclass, field
from typing import Final

from paho.mqtt.client import Client, ConnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from simulators.labels import Delivery

WINDOW_MAX: Final = 20
"""Publications of one connection that await their PUBCOMP; mosquitto's own default limit."""
CONNECT_DEADLINE_S: Final = 10.0
KEEPALIVE_S: Final = 30
SESSION_EXPIRY_S: Final = 3_600
POLL_S: Final = 0.1


class FleetError(RuntimeError):
    """The fleet could not publish."""


class BrokerRefusedError(FleetError):
    """No connection: which broker, why."""

    def __init__(self, broker: "BrokerAddress", why: str) -> None:
        super().__init__(f"{broker.host}:{broker.port}: {why}; check address and credentials")
        self.why = why


class NotAcknowledgedError(FleetError):
    """Packets were not all acknowledged: how many were, of how many."""

    def __init__(self, done: int, total: int, deadline_s: float) -> None:
        super().__init__(f"{done} of {total} packets acknowledged within {deadline_s} s")
        self.done = done
        self.total = total


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where the broker is, and who the fleet is to it."""

    host: str
    port: int
    username: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None
    mqtt5: bool = True


class Connection:
    """One connection with a bounded window of open publications."""

    def __init__(self, broker: BrokerAddress, client_id: str, window: int) -> None:
        self._broker = broker
        self._window = window
        self._free = threading.Condition()
        self._open = 0
        self._refusal = ""
        self._up = False
        self.done = 0
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if broker.mqtt5 else False,
            protocol=MQTTProtocolVersion.MQTTv5 if broker.mqtt5 else MQTTProtocolVersion.MQTTv311,
        )
        self._client.max_inflight_messages_set(WINDOW_MAX)
        self._client.reconnect_delay_set(min_delay=1, max_delay=2)
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password)
        if broker.tls:
            self._client.tls_set_context(broker.tls)
        self._client.on_connect = self._on_connect
        self._client.on_publish = self._on_publish

    def open(self) -> None:
        """Connect. Raises BrokerRefusedError."""
        properties = None
        if self._broker.mqtt5:
            # The broker keeps what is half acknowledged over a reconnection: nothing twice.
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = SESSION_EXPIRY_S
        try:
            self._client.connect(
                self._broker.host, self._broker.port, KEEPALIVE_S, properties=properties
            )
        except OSError as error:
            raise BrokerRefusedError(self._broker, str(error)) from error
        self._client.loop_start()
        with self._free:
            self._free.wait_for(lambda: self._up or self._refusal, timeout=CONNECT_DEADLINE_S)
            if not self._up:
                why = self._refusal or f"no answer within {CONNECT_DEADLINE_S} s"
                raise BrokerRefusedError(self._broker, why)

    def publish(self, delivery: Delivery, *, stop: threading.Event) -> None:
        """Publish, once the window has room. Gives up when stopped."""
        with self._free:
            while self._open >= self._window:
                if stop.is_set():
                    return
                self._free.wait(timeout=POLL_S)
            self._open += 1
        self._client.publish(f"v2g/{delivery.topic_evse_id}/telemetry", delivery.packet, qos=2)

    def settle(self, *, stop: threading.Event) -> None:
        """Wait until everything is acknowledged, or stopped."""
        with self._free:
            while self._open and not stop.is_set():
                self._free.wait(timeout=POLL_S)

    def close(self) -> None:
        """Disconnect, and end the session."""
        properties = None
        if self._broker.mqtt5:
            properties = Properties(PacketTypes.DISCONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = 0
        self._client.disconnect(properties=properties)
        self._client.loop_stop()

    def _on_connect(
        self,
        _: Client,
        __: object,
        ___: ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        with self._free:
            if reason.is_failure:
                self._refusal = str(reason)
            else:
                self._up = True
                limit = getattr(properties, "ReceiveMaximum", WINDOW_MAX)
                self._window = min(self._window, limit)
            self._free.notify_all()

    def _on_publish(
        self, _: Client, __: object, ___: int, ____: ReasonCode, _____: Properties
    ) -> None:
        with self._free:
            self._open -= 1
            self.done += 1
            self._free.notify_all()
