"""The connection to the broker: MQTT 5, packets out at QoS 2, receipts and commands in at QoS 1.

    v2g/<client>/telemetry   packets
    v2g/<client>/status      presence, retained, and the broker's last will; acknowledged commands, not
    v2g/<client>/receipt     what the daemon holds, and what it misses
    v2g/<client>/command     limits

The session outlives the connection, so a command that comes while the agent is away is delivered when
it is back. What the broker confirms is worth nothing to the store: only a receipt is. So the client
library's memory may be lost at any moment, and it never holds more than Broker.Window packets.
"""

import contextlib
import json
import logging
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from evse_agent import tls
from evse_agent.backoff import Backoff
from evse_agent.config import Config
from evse_agent.errors import AuthExpiredError
from evse_agent.log import say
from evse_agent.secret import read_word

logger = logging.getLogger(__name__)

CONNECT_TIMEOUT_S: Final = 10.0
RETRY_FIRST_S: Final = 0.5
RETRY_LONGEST_S: Final = 60.0
STABLE_S: Final = 10.0
"""A connection that ends sooner has not shown that the trouble is over: waits go on growing."""
INCOMING_MAX_BYTES: Final = 128 * 1024
LAST_WORDS_S: Final = 2.0
_FOR_STATUS: Final = 4
"""Messages at once that are left to presence and acknowledgements."""
OFFLINE: Final = {"version": 1, "state": "offline"}
_REFUSED: Final = {
    "Bad user name or password": "it refuses Broker.Username or the password",
    "Not authorized": "it does not let this client in: look at the certificate's common name,"
    " Broker.Username and ClientId, and at the broker's access list",
    "Client identifier not valid": "it does not accept ClientId, which must be the certificate's"
    " common name",
    "Unsupported protocol version": "it does not speak MQTT 5, which the agent needs",
}


class _Client(paho.Client):
    """paho's client, which says why it cannot connect, and reads renewed certificates."""

    before: Callable[[], None] = staticmethod(lambda: None)
    failed: Callable[[Exception], None] = staticmethod(lambda _error: None)
    broke: Callable[[], None] = staticmethod(lambda: None)

    def loop_forever(
        self,
        timeout: float = 1.0,
        retry_first_connection: bool = False,  # noqa: FBT001, FBT002 - paho has it so
    ) -> MQTTErrorCode:
        try:
            return super().loop_forever(timeout, retry_first_connection)
        except Exception:
            # An answer that the library cannot read, or an error of ours: it would end in silence.
            logger.exception("the connection to the broker broke off")
            self.broke()
            return MQTTErrorCode.MQTT_ERR_UNKNOWN

    def reconnect(self) -> MQTTErrorCode:
        try:
            self.before()
            return super().reconnect()
        except (OSError, UnicodeError, AuthExpiredError) as error:
            self.failed(error)
            # The only kind that paho's loop waits out.
            raise ConnectionError(str(error)) from error


class Link:
    """The connection, kept up from ``start`` to ``stop``.

    Args:
        config: broker, names, certificates.
        backoff: between two attempts.
        received: called with "receipt" or "command", and the payload; in the connection's thread.
        changed: called when the connection stands or is gone, with why.
        presence: what is said, retained, when it stands.
    """

    def __init__(
        self,
        config: Config,
        *,
        backoff: Backoff,
        received: Callable[[str, bytes], None],
        changed: Callable[[bool, str], None],
        presence: Callable[[], dict[str, object]],
    ) -> None:
        self._config = config
        self._backoff = backoff
        self._received = received
        self._changed = changed
        self._presence = presence
        self._unconfirmed: list[paho.MQTTMessageInfo] = []
        self._unconfirmed_max = config.broker.window
        self._broken = False
        self._connected = False
        self._parting = False
        self._up_since = 0.0
        self._why = ""
        self._tls: ssl.SSLContext | None = None
        self._client = self._made()

    def _made(self) -> _Client:
        config, broker = self._config, self._config.broker
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=config.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        client.before = self._before
        client.failed = self._failed
        client.broke = self._broke
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(broker.window)
        client.max_queued_messages_set(0)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.will_set(self._topic("status"), _json(OFFLINE), qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = broker.session_expiry
        properties.MaximumPacketSize = INCOMING_MAX_BYTES
        client.connect_async(
            broker.host,
            broker.port,
            keepalive=broker.keep_alive,
            clean_start=False,
            properties=properties,
        )
        return client

    def _topic(self, what: str) -> str:
        return f"v2g/{self._config.client_id}/{what}"

    # --- called by other threads -------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether packets can be published now."""
        return self._connected

    def start(self) -> None:
        self._wait_next()
        self._client.loop_start()

    def mend(self) -> None:
        """Begin anew with a new client after a broken one; called now and then."""
        if not self._broken or self._parting:
            return
        self._broken = False
        for_nobody = self._client
        for_nobody.on_disconnect = None
        with contextlib.suppress(OSError, ValueError):
            for_nobody.disconnect()
        self._unconfirmed = []
        self._client = self._made()
        self.start()

    def stop(self) -> None:
        """Say that we go, and part; the broker keeps the session."""
        self._parting = True
        if self._connected:
            with contextlib.suppress(ValueError, RuntimeError):
                said = self._client.publish(
                    self._topic("status"), _json(OFFLINE), qos=1, retain=True
                )
                said.wait_for_publish(LAST_WORDS_S)
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, packet: bytes) -> bool:
        """Hand a packet to the client library; False when it has enough, or is not connected.

        Called by one thread at a time.
        """
        self._unconfirmed = [one for one in self._unconfirmed if not one.is_published()]
        if not self._connected or len(self._unconfirmed) >= self._unconfirmed_max:
            return False
        info = self._client.publish(self._topic("telemetry"), packet, qos=2)
        if info.rc == MQTTErrorCode.MQTT_ERR_NO_CONN:
            # Gone a moment ago: the library keeps it and sends it on the next connection.
            info.rc = MQTTErrorCode.MQTT_ERR_AGAIN
        self._unconfirmed.append(info)
        return True

    def say_status(self, status: dict[str, object], *, retain: bool) -> None:
        """Presence (retained): without a connection nothing, the next one is said anew. Else the
        acknowledgement of a command, which the client library keeps until the broker has it: a
        command can come before the connection stands in full.
        """
        if self._connected or not retain:
            self._client.publish(self._topic("status"), _json(status), qos=1, retain=retain)

    # --- in the connection's thread ------------------------------------------------------------------

    def _before(self) -> None:
        broker = self._config.broker
        if broker.username is not None and broker.password_file is not None:
            word = read_word("Broker.PasswordFile", broker.password_file)
            self._client.username_pw_set(broker.username, word)
        if self._tls is None and broker.ca_file is not None:
            self._tls = tls.context(broker.ca_file, where="Broker.CaFile")
            self._client.tls_set_context(self._tls)
        if self._tls is not None and broker.cert_file is not None and broker.key_file is not None:
            tls.load_own(self._tls, broker.cert_file, broker.key_file, now=datetime.now(UTC))

    def _broke(self) -> None:
        self._broken = True
        self._down("the connection broke off by an error, which the log shows")

    def _failed(self, error: Exception) -> None:
        broker = self._config.broker
        if isinstance(error, AuthExpiredError):
            why = str(error)
        else:
            why = tls.trouble(
                error,
                who="the broker",
                host=f"{broker.host}:{broker.port}",
                ca="Broker.CaFile",
                cert="Broker.CertFile",
            )
        self._down(why)
        self._wait_next()

    def _wait_next(self) -> None:
        wait_s = self._backoff.next_s()
        # paho's own waits double without chance in them; given one value, they are ours.
        self._client.reconnect_delay_set(wait_s, wait_s)  # type: ignore[arg-type]

    def _on_connect(
        self, client: paho.Client, _data: object, _flags: object, reason: Any, properties: Any
    ) -> None:
        if reason.is_failure:
            words = _REFUSED.get(str(reason), "it refuses the connection")
            self._why = f"the broker says {reason}: {words}"
            return
        # What the broker takes at once (MQTT 5 §3.2.2.3.3); more would end the connection.
        at_once = getattr(properties, "ReceiveMaximum", 0)
        if 0 < at_once < self._config.broker.window:
            self._unconfirmed_max = max(1, at_once - _FOR_STATUS)
        # A packet that is written at once does not wait for the answer to the one before (RFC 896).
        plain = client.socket()
        if isinstance(plain, socket.socket):
            with contextlib.suppress(OSError):
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.subscribe([(self._topic(what), SubscribeOptions(qos=1)) for what in _INCOMING])

    def _on_subscribe(
        self,
        _client: object,
        _data: object,
        _mid: int,
        reasons: list[Any],
        _properties: object,
    ) -> None:
        refused = [
            what for what, reason in zip(_INCOMING, reasons, strict=False) if reason.is_failure
        ]
        if refused:
            say(logger, logging.ERROR, "mqtt_not_subscribed",
                topics=" ".join(self._topic(what) for what in refused),
                consequence="packets are kept and sent again for ever",
                do="give this client the right in the broker's access list")  # fmt: skip
        self._up_since = time.monotonic()
        self._connected = True
        self._why = ""
        # First of all: a packet stored from now on is a new one, not backlog.
        self._changed(True, "")
        say(logger, logging.INFO, "mqtt_up", broker=self._config.broker.host)
        self.say_status(self._presence(), retain=True)

    def _on_disconnect(
        self, _client: object, _data: object, flags: Any, reason: Any, _properties: object
    ) -> None:
        if not self._why and flags.is_disconnect_packet_from_server:
            self._why = f"the broker ended it: {reason}"
        if self._connected and time.monotonic() - self._up_since >= STABLE_S:
            self._backoff.reset()
        self._down(self._why or "the broker closed the connection")
        self._why = ""
        self._wait_next()

    def _on_publish(
        self, _client: object, _data: object, _mid: int, reason: Any, _properties: object
    ) -> None:
        # The library passes over a refusal in PUBREC and asks for its end; then the broker knows of none.
        if reason.is_failure:
            say(logger, logging.WARNING, "mqtt_not_taken", reason=str(reason),
                consequence="the packet is kept",
                do="if it goes on: give this client the right to write its telemetry topic")  # fmt: skip

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        what = message.topic.rpartition("/")[2]
        try:
            if what in _INCOMING:
                self._received(what, bytes(message.payload))
        except Exception:
            # It is acknowledged all the same: sent again it would fail again. Packets stay stored.
            logger.exception("a message on %s could not be used", message.topic)

    def _down(self, why: str) -> None:
        self._connected = False
        if not self._parting:
            self._changed(False, why)


_INCOMING: Final = ("receipt", "command")


def _json(content: dict[str, object]) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
