"""The daemon as its own process, and what its tests ask of broker and database."""

import ctypes
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import httpx
import psycopg
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from prometheus_client.parser import text_string_to_metric_families

from embedded.processes import Supervised, wait_until
from tests.packets import make_packet

TOKEN = "test-intake-token-0123456789"
METRICS_TOKEN = "test-metrics-token-0123456789"
ROOT = Path(__file__).parents[2]


def secret_file(path: Path, content: str) -> Path:
    path.write_text(content)
    path.chmod(0o600)
    return path


def _run_daemon(environment: dict[str, str], log: str) -> None:
    """In the new process: what ``python -m ingest_daemon`` does after its imports."""
    os.setsid()
    ctypes.CDLL(None).prctl(
        1, int(signal.SIGKILL)
    )  # PR_SET_PDEATHSIG: no orphan, whatever happens to us
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.environ.clear()
    os.environ.update(environment)
    from ingest_daemon.__main__ import main

    sys.exit(main([]))


class Forked:
    """The daemon's process, forked from one that has done the imports.

    Half a second instead of five, twenty times over. Everything after the imports is the same; one
    test starts it the long way.
    """

    _context = multiprocessing.get_context("forkserver")
    _context.set_forkserver_preload(["ingest_daemon.__main__"])

    def __init__(self, log: Path, environment: dict[str, str]) -> None:
        self.log = log
        self._environment = environment
        self._process: Any = None

    def start(self) -> None:
        self._process = self._context.Process(
            target=_run_daemon, args=(self._environment, str(self.log))
        )
        self._process.start()

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def running(self) -> bool:
        return self._process is not None and self.exit_status is None

    @property
    def exit_status(self) -> int | None:
        status: int | None = None if self._process is None else self._process.exitcode
        return status

    def stop(self) -> int | None:
        if self.running:
            self._process.terminate()
            self._process.join(20)
        return self.exit_status if self.exit_status is not None else self.kill()

    def kill(self) -> int | None:
        if self.running:
            self._process.kill()
            self._process.join(10)
        return self.exit_status

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, *, deadline_s: float) -> int | None:
        self._process.join(deadline_s)
        return self.exit_status

    def wait_ready(self, check, *, deadline_s: float, what: str) -> None:
        def ready() -> bool:
            assert self.running, f"the daemon ended with {self.exit_status}: {self.log_tail()}"
            return bool(check())

        wait_until(ready, deadline_s=deadline_s, what=what)

    def log_tail(self) -> str:
        return self.log.read_text()[-4000:] if self.log.exists() else ""


class Daemon:
    """The daemon with its settings; start, ask, stop, kill."""

    def __init__(
        self, folder: Path, database: str, *, broker=None, the_long_way=False, **settings: object
    ) -> None:
        self.folder = folder
        token = secret_file(folder / "token", TOKEN)
        metrics_token = secret_file(folder / "metrics_token", METRICS_TOKEN)
        chosen: dict[str, object] = {
            "database_url": database,
            "intake_token_file": token,
            "metrics_token_file": metrics_token,
            "http_port": 0,
            "log_level": "DEBUG",
            "mqtt_host": "",
        }
        if broker is not None:
            username, password = broker.credentials("daemon")
            chosen |= {
                "mqtt_host": broker.host,
                "mqtt_port": broker.port,
                "mqtt_protocol": "5" if broker.supports_mqtt5 else "311",
                "mqtt_username": username,
                "mqtt_password_file": secret_file(folder / "password", password),
            }
        chosen |= settings
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("V2G_")
        }
        environment |= {f"V2G_{name.upper()}": str(value) for name, value in chosen.items()}
        log = folder / "daemon.log"
        self.process = Forked(log, environment) if not the_long_way else Supervised(
            "ingest daemon", [sys.executable, "-m", "ingest_daemon"], log=log, environment=environment, folder=ROOT, stop_deadline_s=20,
        )  # fmt: skip
        self._client = httpx.Client(timeout=30, trust_env=False)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self._client.close()
        self.process.stop()

    def start(self, *, ready: bool = True) -> None:
        before = len(self._starts())
        self.process.start()
        self.process.wait_ready(
            lambda: len(self._starts()) > before,
            deadline_s=20,
            what="the daemon to say its address",
        )
        if ready:
            self.wait_ready()

    def wait_ready(self, *, deadline_s: float = 30) -> None:
        self.process.wait_ready(
            lambda: self.readiness() == 200, deadline_s=deadline_s, what="readyz 200"
        )

    def readiness(self) -> int:
        try:
            return self.get("/readyz").status_code
        except httpx.TransportError:
            return 0

    @property
    def log(self) -> str:
        return self.process.log.read_text() if self.process.log.exists() else ""

    def _starts(self) -> list[str]:
        return re.findall(r"event=started .*http=(\S+)", self.log)

    @property
    def url(self) -> str:
        return self._starts()[-1]

    def get(self, path: str, *, token: str | None = METRICS_TOKEN) -> httpx.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return self._client.get(self.url + path, headers=headers)

    def post(
        self,
        packet: bytes,
        *,
        path="/v1/packets",
        media="application/jose",
        token: str | None = TOKEN,
        **headers: str,
    ) -> httpx.Response:
        sent = {"Content-Type": media, **headers} | (
            {} if token is None else {"Authorization": f"Bearer {token}"}
        )
        return self._client.post(self.url + path, content=packet, headers=sent)

    def post_batch(self, packets: Iterable[bytes], **more) -> httpx.Response:
        return self.post(
            b"\n".join(packets) + b"\n",
            path="/v1/packets/batch",
            media="application/x-ndjson",
            **more,
        )

    def figure(self, name: str, **labels: str) -> float:
        for family in text_string_to_metric_families(self.get("/metrics").text):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        raise KeyError(name)

    def rss_bytes(self) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        [kib] = re.findall(r"VmRSS:\s+(\d+) kB", status)
        return int(kib) * 1024


def rows(database: str, query: str, *parameters: object) -> list[tuple[Any, ...]]:
    with psycopg.connect(database, user="v2g", connect_timeout=5) as conn:
        return conn.execute(query, parameters).fetchall()


def count(database: str, table: str = "raw_packet") -> int:
    [(number,)] = rows(database, f"select count(*) from {table}")
    return int(number)


def wait_count(
    database: str, expected: int, *, table: str = "raw_packet", deadline_s: float = 60
) -> None:
    wait_until(
        lambda: count(database, table) >= expected,
        deadline_s=deadline_s,
        what=f"{expected} rows in {table}",
    )


class Publisher:
    """A charger's side of the broker: publishes at QoS 2 and knows what the broker has confirmed."""

    def __init__(self, broker, client_id: str, *, qos: int = 2, inflight: int = 200) -> None:
        self.qos = qos
        protocol = (
            MQTTProtocolVersion.MQTTv5 if broker.supports_mqtt5 else MQTTProtocolVersion.MQTTv311
        )
        session: Any = {} if broker.supports_mqtt5 else {"clean_session": False}
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=protocol, **session
        )
        self._client.username_pw_set(*broker.credentials("fleet"))
        self._client.max_inflight_messages_set(inflight)
        self._client.max_queued_messages_set(0)
        self._client.reconnect_delay_set(1, 1)
        started = threading.Event()
        self._client.on_connect = lambda *_: started.set()
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert started.wait(10)

    def wait_connected(self) -> None:
        wait_until(
            self._client.is_connected, deadline_s=20, what="the publisher to be connected again"
        )

    def publish(self, evse_id: str, packet: bytes):
        return self._client.publish(f"v2g/{evse_id}/telemetry", packet, qos=self.qos)

    def publish_all(self, packets: Sequence[tuple[str, bytes]], *, deadline_s: float = 60) -> None:
        """Publish and wait until the broker has confirmed every one."""
        infos = [self.publish(evse_id, packet) for evse_id, packet in packets]
        give_up_at = time.monotonic() + deadline_s
        for info in infos:
            info.wait_for_publish(max(0.0, give_up_at - time.monotonic()))
            assert info.is_published(), "the broker has not confirmed every packet"

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


EVSES = 25


def make_stream(key, total: int) -> list[tuple[str, bytes]]:
    """``total`` packets of 25 EVSE, all different, as (EVSE, packet)."""
    return [
        (
            f"E{number % EVSES:02}",
            make_packet(key, evse_id=f"E{number % EVSES:02}", sequence=number // EVSES),
        )
        for number in range(total)
    ]


def assert_each_stands_once(database: str, stream: list[tuple[str, bytes]]) -> None:
    landed = [
        (evse_id, bytes(packet))
        for evse_id, packet in rows(database, "select evse_id, packet from raw_packet")
    ]
    assert len(landed) == len(set(landed)), "a packet stands twice"
    assert sorted(landed) == sorted(stream), "a packet is lost, or changed"
    assert count(database, "packet_aside") == 0
