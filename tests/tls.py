"""The shipped broker with certificates from `v2g certs`, for tests: TLS, one certificate per client.

The fixture ``tls_broker`` of tests/conftest.py is a ``TlsSite``. With it a test has

* ``host``, ``port``, ``websockets_port`` and ``ca``, the authority's certificate;
* ``client("DE*ABC*E1")``: files with certificate and key, made when first asked for;
* ``connect("DE*ABC*E1")``: a client that keeps what happened, a ``Connection``;
* ``daemon_settings()``: for ``tests.ingest_daemon.harness.Daemon(folder, database, **settings)``;
* ``broker.kill()`` and ``broker.start()``: a crash, and back on the same ports.
"""

import queue
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as mqtt
from paho.mqtt.client import WebsocketConnectionError
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from embedded.errors import BrokerUnavailableError
from embedded.tls_broker import TlsBroker
from tasks import certificate_folder, certificates

ROOT = Path(__file__).parents[1]
CACHE = ROOT / ".cache"
DEADLINE_S = 20


@dataclass(frozen=True)
class ClientFiles:
    """A client's certificate and private key, as files."""

    certificate: Path
    key: Path


class Connection:
    """A client on a network thread of its own, which keeps what happened in queues.

    ``answer`` is the broker's word on the connection ("Success"), or the error that prevented one.
    """

    def __init__(
        self,
        host: str,
        port: int,
        context: ssl.SSLContext | None,
        *,
        client_id: str = "",
        websockets: bool = False,
        session_expiry_s: int = 0,
        clean_start: bool = True,
        version5: bool = True,
        will: tuple[str, bytes] | None = None,
        account: tuple[str, str] | None = None,
        window: int = 20,
    ) -> None:
        self.messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.published: queue.Queue[str] = queue.Queue()
        self.subscribed: queue.Queue[list[str]] = queue.Queue()
        self.ended: queue.Queue[str] = queue.Queue()
        answers: queue.Queue[str] = queue.Queue()
        self.session_present = False
        self.told: dict[str, Any] = {}
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            protocol=mqtt.MQTTv5 if version5 else mqtt.MQTTv311,
            transport="websockets" if websockets else "tcp",
            reconnect_on_failure=False,
        )
        if context is not None:
            self.client.tls_set_context(context)
        if will is not None:
            self.client.will_set(*will, qos=1)
        if account is not None:
            self.client.username_pw_set(*account)
        self.client.max_inflight_messages_set(window)

        def connected(_client, _user, flags, reason, properties) -> None:
            self.session_present = flags.session_present
            self.told = dict(vars(properties))
            answers.put(str(reason))

        self.client.on_connect = connected
        self.client.on_message = lambda _c, _u, one: self.messages.put(
            (one.topic, bytes(one.payload))
        )
        self.client.on_publish = lambda _c, _u, _m, reason, _p: self.published.put(str(reason))
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.subscribed.put(
            [str(reason) for reason in reasons]
        )

        def disconnected(_client, _user, _flags, reason, _properties) -> None:
            self.ended.put(str(reason))
            answers.put(f"ended: {reason}")  # a refusal by TLS 1.3 comes after the handshake

        self.client.on_disconnect = disconnected
        more: dict[str, Any] = {}
        if version5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = session_expiry_s
            more = {"clean_start": clean_start, "properties": properties}
        try:
            self.client.connect(host, port, **more)
        except (OSError, WebsocketConnectionError) as error:
            self.answer = f"{type(error).__name__}: {error}"
            return
        self.client.loop_start()
        self.answer = answers.get(timeout=DEADLINE_S)

    def __enter__(self):
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def cut(self) -> None:
        """End the connection without a word, as a power cut would."""
        sock = self.client.socket()
        assert sock is not None
        sock.close()

    def subscribe(self, topic: str, *, qos: int = 1) -> list[str]:
        self.client.subscribe(topic, qos=qos)
        return self.subscribed.get(timeout=DEADLINE_S)

    def publish(self, topic: str, payload: bytes, *, qos: int = 1) -> str:
        """The broker's word on it. (At QoS 2 paho keeps a refusal to itself.)"""
        self.client.publish(topic, payload, qos=qos)
        return self.published.get(timeout=DEADLINE_S)

    def next_message(self) -> tuple[str, bytes]:
        return self.messages.get(timeout=DEADLINE_S)


class TlsSite:
    """An authority in a folder, and the shipped broker with its certificates."""

    def __init__(self, folder: Path, *, replaced: Mapping[str, str] | None = None) -> None:
        self.folder = folder / "certificates"
        certificate_folder.init(self.folder, ["127.0.0.1", "localhost"], now=datetime.now(UTC))
        broker = certificate_folder.place(self.folder, certificate_folder.BROKER)
        assert broker.key
        self.broker = TlsBroker(
            folder / "broker",
            cache=CACHE,
            configuration=ROOT / "infra" / "mosquitto.conf",
            files={
                "acl_file": ROOT / "infra" / "v2g.acl",
                "cafile": self.ca,
                "certfile": broker.certificate,
                "keyfile": broker.key,
            },
            replaced=replaced,
        )

    def __enter__(self):
        try:
            self.broker.start()
        except BrokerUnavailableError as error:
            pytest.skip(f"the shipped configuration needs mosquitto: {error}")
        return self

    def __exit__(self, *_) -> None:
        self.broker.stop()

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def host(self) -> str:
        return self.broker.host

    @property
    def port(self) -> int:
        return self.broker.port

    @property
    def websockets_port(self) -> int:
        return self.broker.ports[1]

    def client(self, name: str) -> ClientFiles:
        """Certificate and key of a charger, or of a daemon by its name; the same every time."""
        pair = certificate_folder.place(self.folder, name)
        if not pair.certificate.exists():
            daemon = name.startswith(certificates.RESERVED)
            certificate_folder.issue(self.folder, [name], now=datetime.now(UTC), daemon=daemon)
        assert pair.key
        return ClientFiles(pair.certificate, pair.key)

    def daemon_settings(self, name: str = certificates.DAEMON) -> dict[str, object]:
        """What the ingest daemon must be told; names as in its settings."""
        files = self.client(name)
        return {
            "mqtt_host": self.host,
            "mqtt_port": self.port,
            "mqtt_tls_ca_file": self.ca,
            "mqtt_tls_cert_file": files.certificate,
            "mqtt_tls_key_file": files.key,
        }

    @staticmethod
    def trusting(ca: Path, files: ClientFiles | None) -> ssl.SSLContext:
        """What a client trusts and shows; None shows nothing."""
        context = ssl.create_default_context(cafile=str(ca))
        if files is not None:
            context.load_cert_chain(files.certificate, files.key)
        return context

    def context(self, name: str | None, *, files: ClientFiles | None = None) -> ssl.SSLContext:
        """The same for a client of that name."""
        return self.trusting(self.ca, files if name is None else self.client(name))

    def connect(
        self,
        name: str | None,
        *,
        files: ClientFiles | None = None,
        websockets: bool = False,
        **more: Any,
    ) -> Connection:
        port = self.websockets_port if websockets else self.port
        return Connection(
            self.host, port, self.context(name, files=files), websockets=websockets, **more
        )
