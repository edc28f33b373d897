"""The connection to the broker: MQTT 5; commands out, presence and answers in.

    v2g/<client>/command   limits, QoS 1
    v2g/<client>/status    presence, retained, and the answers to commands

Nothing depends on what the broker remembers of this client: presence is retained, and what was not
answered is sent again. So the session ends with the connection.
"""

import contextlib
import json
import logging
import random
import ssl
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from ingest_daemon import mqtt_trouble
from ingest_daemon.backoff import Backoff
from ingest_daemon.log import say
from thermal_guard.settings import Settings

logger = logging.getLogger(__name__)

TOPIC: Final = "v2g/+/status"
CONNECT_TIMEOUT_S: Final = 5.0
RECONNECT_FIRST_S: Final = 0.5
RECONNECT_LONGEST_S: Final = 15.0
STABLE_S: Final = 10.0
"""A connection that ends sooner has not shown that the trouble is over: waits go on growing."""
INCOMING_MAX_BYTES: Final = 16 * 1024
HEARD_MAX: Final = 100_000
"""Messages that wait for the guard; the oldest goes, and what was not answered is sent again."""
UNTAKEN_MAX: Final = 10_000
"""Commands of which the broker has not said that it took them."""
_TOPIC_PARTS: Final = 3


@dataclass(frozen=True, slots=True)
class Heard:
    """A message of a charger's agent: whose, and what. ``fields`` is empty for what is no JSON object."""

    client: str
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class NotTaken:
    """The broker did not take a command."""

    client: str
    command_id: str
    why: str


class _Client(paho.Client):
    """paho's client, which says why it cannot connect."""

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
        except (OSError, UnicodeError) as error:
            self.failed(error)
            # The only kind that paho's loop waits out.
            raise ConnectionError(str(error)) from error


class Link:
    """The connection, kept up from ``start`` to ``stop``.

    Args:
        settings: broker, names, certificate.
        password: of the account, where there is one.
        tls: as ``mqtt_trouble.tls_context`` makes it.
        rng: so that guards do not come back in step.
        wake: called when something was heard, in the connection's thread.
        changed: called when the connection stands or is gone, with why.
        may_connect: whether this guard is the one that speaks; asked before each attempt.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        password: str | None,
        tls: ssl.SSLContext | None,
        rng: random.Random,
        wake: Callable[[], None],
        changed: Callable[[bool, str], None],
        may_connect: Callable[[], bool] = lambda: True,
    ) -> None:
        self._wake = wake
        self._changed = changed
        self._may_connect = may_connect
        self._broker = f"{settings.mqtt_host}:{settings.mqtt_port}"
        self._backoff = Backoff(first_s=RECONNECT_FIRST_S, longest_s=RECONNECT_LONGEST_S, rng=rng)
        self._heard: deque[Heard] = deque(maxlen=HEARD_MAX)
        self._taken: deque[tuple[int, str]] = deque(maxlen=HEARD_MAX)
        # The guard's thread only: the library calls back while it holds locks that publishing needs.
        self._untaken: dict[int, tuple[str, str]] = {}
        self._connected = False
        self._parting = False
        self._up_since = 0.0
        self._why = ""
        self._settings = settings
        self._password = password
        self._tls = tls
        self._started = False
        self._anew_at: float | None = None
        self._client = self._made()

    def _made(self) -> _Client:
        settings = self._settings
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
        )
        client.before = self._before
        client.failed = self._failed
        client.broke = self._broke
        client.connect_timeout = CONNECT_TIMEOUT_S
        if settings.username:
            client.username_pw_set(settings.username, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 0
        properties.MaximumPacketSize = INCOMING_MAX_BYTES
        client.connect_async(
            settings.mqtt_host,
            settings.mqtt_port,
            keepalive=settings.keepalive_s,
            clean_start=True,
            properties=properties,
        )
        return client

    # --- called by the guard -----------------------------------------------------------------------

    @property
    def connected(self) -> bool:
        """Whether commands can be sent, and answers heard, now."""
        return self._connected

    def start(self) -> None:
        """Connect, and stay connected; again does nothing, but begin anew where the client broke."""
        if self._anew_at is not None and time.monotonic() >= self._anew_at:
            self._anew_at, self._started = None, False
            # The next client counts its messages from 1 again; what nobody answers is sent anew.
            self._untaken.clear()
            self._taken.clear()
            self._client.on_disconnect = None
            with contextlib.suppress(OSError, ValueError):
                self._client.disconnect()
            self._client = self._made()
        if not self._started:
            self._started = True
            self._wait_next()
            self._client.loop_start()

    def stop(self) -> None:
        self._parting = True
        if self._started:
            self._client.disconnect()
            self._client.loop_stop()

    def command(self, client: str, content: dict[str, object]) -> bool:
        """Send a command; False when it cannot be sent now."""
        if not self._connected or len(self._untaken) >= UNTAKEN_MAX:
            return False
        payload = json.dumps(content, separators=(",", ":")).encode()
        info = self._client.publish(f"v2g/{client}/command", payload, qos=1)
        self._untaken[info.mid] = (client, str(content["command_id"]))
        return True

    def heard(self) -> list[Heard | NotTaken]:
        """What came since the last call, in its order."""
        found: list[Heard | NotTaken] = []
        while self._taken:
            mid, why = self._taken.popleft()
            whose = self._untaken.pop(mid, None)
            if whose is not None and why:
                found.append(NotTaken(*whose, why))
        while self._heard:
            found.append(self._heard.popleft())
        return found

    # --- in the connection's thread ------------------------------------------------------------------

    def _before(self) -> None:
        if not self._may_connect():
            raise ConnectionError("another guard is at work, or the database cannot be asked")

    def _broke(self) -> None:
        self._down("the connection broke off by an error, which the log shows")
        self._anew_at = time.monotonic() + self._backoff.next_s()

    def _failed(self, error: Exception) -> None:
        quiet = isinstance(error, ConnectionError) and not self._may_connect()
        self._down(str(error) if quiet else mqtt_trouble.unreachable(error))
        self._wait_next()

    def _wait_next(self) -> None:
        wait_s = self._backoff.next_s()
        # paho's own waits double without chance in them; given one value, they are ours.
        self._client.reconnect_delay_set(wait_s, wait_s)  # type: ignore[arg-type]

    def _on_connect(
        self, client: paho.Client, _data: object, _flags: object, reason: Any, _properties: object
    ) -> None:
        if reason.is_failure:
            self._why = mqtt_trouble.refused(str(reason))
            return
        client.subscribe(TOPIC, qos=1)

    def _on_subscribe(
        self,
        client: paho.Client,
        _data: object,
        _mid: int,
        reasons: list[Any],
        _properties: object,
    ) -> None:
        if not reasons or reasons[0].is_failure:
            self._why = mqtt_trouble.not_subscribed(str(reasons[0]) if reasons else "", TOPIC)
            client.disconnect()
            return
        self._up_since = time.monotonic()
        self._why = ""
        self._connected = True
        say(logger, logging.INFO, "mqtt_up", broker=self._broker, topic=TOPIC)
        self._changed(True, "")
        self._wake()

    def _on_disconnect(
        self, _client: object, _data: object, flags: Any, reason: Any, _properties: object
    ) -> None:
        if not self._why and flags.is_disconnect_packet_from_server:
            self._why = mqtt_trouble.ended(str(reason))
        if self._connected and time.monotonic() - self._up_since >= STABLE_S:
            self._backoff.reset()
        self._down(self._why or "the broker closed the connection")
        self._why = ""
        self._wait_next()

    def _on_publish(
        self, _client: object, _data: object, mid: int, reason: Any, _properties: object
    ) -> None:
        why = f"the broker does not take it: {reason}" if reason.is_failure else ""
        self._taken.append((mid, why))
        if why:
            self._wake()

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        parts = message.topic.split("/")
        if len(parts) != _TOPIC_PARTS:
            return
        try:
            fields = json.loads(message.payload)
        except (ValueError, RecursionError):
            fields = None
        self._heard.append(Heard(parts[1], fields if isinstance(fields, dict) else {}))
        self._wake()

    def _down(self, why: str) -> None:
        self._connected = False
        if not self._parting:
            self._changed(False, why)
