"""A device as the broker knows it: publishes packets and collects what it is told of them."""

import json
import threading
from hashlib import sha256
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from embedded.processes import wait_until


class Device:
    """One client with a topic of its own; ``told`` is every message on its receipt topic, in order."""

    def __init__(self, broker, client: str, *, tls=None, port: int | None = None) -> None:
        self.client = client
        self.told: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        ready = threading.Event()
        protocol = (
            MQTTProtocolVersion.MQTTv5 if broker.supports_mqtt5 else MQTTProtocolVersion.MQTTv311
        )
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"device-{client}", protocol=protocol
        )
        self._client.username_pw_set(*broker.credentials("fleet"))
        self._client.max_queued_messages_set(0)
        self._receipts = f"v2g/{client}/receipt"
        self._client.on_connect = self._listen
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.on_message = self._hear
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert ready.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _listen(self, *_: Any) -> None:
        self._client.subscribe(self._receipts, qos=1)

    def _hear(self, _client, _data, message) -> None:
        content = json.loads(message.payload)
        assert content["version"] == 1
        assert len(content.get("received", ())) + len(content.get("missing", ())) <= 100
        with self._lock:
            self.told.append(content)

    def publish(self, *packets: bytes) -> None:
        for packet in packets:
            self._client.publish(f"v2g/{self.client}/telemetry", packet, qos=2)

    def states(self) -> dict[bytes, list[str]]:
        """Digest of a packet → every state it was told of, in order."""
        found: dict[bytes, list[str]] = {}
        with self._lock:
            for content in self.told:
                for entry in content.get("received", ()):
                    found.setdefault(bytes.fromhex(entry["digest"]), []).append(entry["state"])
        return found

    def details(self) -> list[str]:
        with self._lock:
            return [
                entry["detail"]
                for content in self.told
                for entry in content.get("received", ())
                if "detail" in entry
            ]

    def missing(self) -> list[tuple[str, int, int, int]]:
        """Every gap it was told of, in order."""
        with self._lock:
            return [
                (gap["evse_id"], gap["stream_epoch"], gap["first"], gap["last"])
                for content in self.told
                for gap in content.get("missing", ())
            ]

    def wait_states(self, packets, *, deadline_s: float = 20) -> list[list[str]]:
        """The states of these packets, once each has one."""
        digests = [sha256(packet).digest() for packet in packets]
        wait_until(
            lambda: set(digests) <= self.states().keys(),
            deadline_s=deadline_s,
            what=f"receipts for {len(digests)} packets",
        )
        found = self.states()
        return [found[digest] for digest in digests]
