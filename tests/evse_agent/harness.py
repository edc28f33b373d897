"""A charger for tests: the agent as its own process, a controller on its socket, and the other side."""

import json
import os
import re
import select
import shutil
import socket
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from embedded.processes import Supervised, wait_until
from evse_agent import key
from settlement import packets
from tests.ingest_daemon.harness import secret_file

ROOT = Path(__file__).parents[2]
EVSE_ID = "DE*V2G*E00001"
BEGINS = datetime(2026, 7, 1, 17, tzinfo=UTC)
EVERY_S = 15
EXPORT_WH = 30


def sample(number: int, **changes: Any) -> dict[str, Any]:
    """The number-th sample of a session, 15 seconds and 30 Wh after the one before; None leaves out."""
    fields: dict[str, Any] = {
        "at": (BEGINS + timedelta(seconds=EVERY_S * number)).isoformat(),
        "vehicle_id": "VEHICLE-1",
        "session_id": "SESSION-1",
        "export_wh": f"{1_000_000 + EXPORT_WH * number}.000",
        "import_wh": "250000.000",
        "power_w": "7200",
        "soc_pct": "79.5",
        "latitude_deg": "52.520008",
        "longitude_deg": "13.404954",
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


class Controller:
    """The charge controller's end of the socket."""

    def __init__(self, path: Path) -> None:
        self.told: list[dict[str, Any]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(20)
        self._socket.connect(str(path))
        self._buffer = b""

    def line(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            chunk = self._socket.recv(65536)
            if not chunk:
                raise ConnectionError("the agent has hung up")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        content: dict[str, Any] = json.loads(line)
        return content

    def send(self, content: dict[str, Any] | bytes) -> None:
        line = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._socket.sendall(line + b"\n")

    def say(self, content: dict[str, Any] | bytes) -> dict[str, Any]:
        """Say something; the answer. What is told unasked meanwhile is kept in ``told``."""
        self.send(content)
        while "accepted" not in (answer := self.line()):
            self.told.append(answer)
        return answer

    def heard(self, deadline_s: float = 10) -> dict[str, Any]:
        """The next thing that is told unasked."""
        if not self.told:
            if b"\n" not in self._buffer:
                assert select.select([self._socket], [], [], deadline_s)[0], "nothing was told"
            self.told.append(self.line())
        return self.told.pop(0)

    def close(self) -> None:
        self._socket.close()


class Charger:
    """An agent in a folder of its own; ``changes`` are keys of its configuration, None leaves out."""

    def __init__(self, folder: Path, broker: Any, **changes: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.broker = broker
        key_file = folder / "signing.pem"
        if not key_file.exists():
            key.generate(key_file)
        self.key = key.load_file(key_file)
        # A socket's path is short (unix(7)); pytest's folders are not.
        self.socket_file = Path(tempfile.mkdtemp(prefix="v2g-agent-")) / "controller.sock"
        self.config_file = folder / "evse_agent.json"
        self.store_file = folder / "store.db"
        self.content: dict[str, Any] = {
            "BidirectionalEnabled": True,
            "SettlementInterval": EVERY_S,
            "EvseId": EVSE_ID,
            "KeyFile": str(key_file),
            "Broker": {"Host": "127.0.0.1", "Port": 1},
            "StoreFile": str(self.store_file),
            "SocketFile": str(self.socket_file),
            "ClockSource": "stated",
            "ClockOffset": "0.5",
            "ReceiptTimeout": 5,
            "UploadSpread": 0,
            "UploadPause": 0,
            "LogLevel": "DEBUG",
        }
        if broker is not None:
            username, password = broker.credentials("fleet")
            self.content["Broker"] = {
                "Host": broker.host,
                "Port": broker.port,
                "Username": username,
                "PasswordFile": str(secret_file(folder / "password", password)),
            }
        inner = changes.pop("Broker", {})
        self.content |= changes
        self.content["Broker"] |= inner
        self.write()
        self.process = Supervised(
            "agent",
            [sys.executable, "-m", "evse_agent", "run", "--config", str(self.config_file)],
            log=folder / "agent.log",
            environment={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
            folder=ROOT,
        )

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stop()
        shutil.rmtree(self.socket_file.parent)

    def write(self) -> None:
        content = {name: value for name, value in self.content.items() if value is not None}
        self.config_file.write_text(json.dumps(content, indent=2))

    def start(self, *, up: bool = False) -> None:
        before = self.log.count("event=started")
        self.process.start()
        self.process.wait_ready(
            lambda: self.log.count("event=started") > before and self.socket_file.exists(),
            deadline_s=20,
            what="the agent to start",
        )
        if up:
            self.wait_up()

    def wait_up(self) -> None:
        wait_until(
            lambda: self.log.rpartition("event=started")[2].count("event=mqtt_up") > 0,
            deadline_s=20,
            what="the agent's connection to the broker",
        )

    @property
    def log(self) -> str:
        path = self.process.log
        return path.read_text() if path.exists() else ""

    def controller(self) -> Controller:
        return Controller(self.socket_file)

    def status(self) -> dict[str, Any]:
        from evse_agent import config
        from evse_agent.status import status

        return status(config.load(self.config_file), now=datetime.now(UTC))

    def wait_waiting(self, expected: int, *, deadline_s: float = 30) -> None:
        wait_until(
            lambda: self.status()["waiting"] == expected,
            deadline_s=deadline_s,
            what=f"{expected} packets in the store, not {self.status()['waiting']}",
        )

    def rss_bytes(self) -> int:
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        [kib] = re.findall(r"VmRSS:\s+(\d+) kB", text)
        return int(kib) * 1024

    def cpu_s(self) -> float:
        parts = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")


def deliver(charger: Charger, samples: list[dict[str, Any]], *, deadline_s: float = 60) -> None:
    """As a good controller does: a line without an answer is said again, on a new connection."""
    give_up_at = time.monotonic() + deadline_s
    controller: Controller | None = None
    for one in samples:
        while True:
            assert time.monotonic() < give_up_at, f"not accepted in time: {one}"
            try:
                if controller is None:
                    controller = charger.controller()
                answer = controller.say(one)
            except OSError:
                if controller is not None:
                    controller.close()
                controller = None
                time.sleep(0.01)
                continue
            assert answer == {"accepted": True}, answer
            break
    if controller is not None:
        controller.close()


class Receiver:
    """The other side, without a database: takes packets, and sends receipts while ``receipts`` is on."""

    def __init__(
        self, broker: Any, *, receipts: bool = True, client_id: str = "test-daemon"
    ) -> None:
        self.receipts = receipts
        self.packets: list[bytes] = []
        self.statuses: list[dict[str, Any]] = []
        self._ready = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.username_pw_set(*broker.credentials("daemon"))
        self._client.on_message = self._on_message
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.reconnect_delay_set(0.1, 0.2)  # type: ignore[arg-type]
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        assert self._ready.wait(10)

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, *_: object) -> None:
        self._client.subscribe([("v2g/+/telemetry", 1), ("v2g/+/status", 1)])

    def _on_message(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        _, client, what = message.topic.split("/")
        if what == "status":
            self.statuses.append(json.loads(message.payload))
            return
        packet = bytes(message.payload)
        known = packet in self.packets
        self.packets.append(packet)
        if self.receipts:
            self.receipt([packet], client=client, state="already_landed" if known else "landed")

    def receipt(
        self,
        held: list[bytes],
        *,
        client: str = EVSE_ID,
        state: str = "landed",
        missing: list[dict[str, Any]] | None = None,
    ) -> None:
        received = [{"digest": sha256(one).hexdigest(), "state": state} for one in held]
        content: dict[str, Any] = {"version": 1, "received": received}
        if missing:
            content["missing"] = missing
        self.publish(client, "receipt", content)

    def command(self, client: str = EVSE_ID, **fields: Any) -> None:
        self.publish(client, "command", {"version": 1, **fields})

    def publish(self, client: str, what: str, content: dict[str, Any] | bytes) -> None:
        payload = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._client.publish(f"v2g/{client}/{what}", payload, qos=1)

    def wait_packets(self, count: int, *, deadline_s: float = 30) -> list[bytes]:
        """Until so many different packets have come; in the order of their first coming."""
        wait_until(
            lambda: len(set(self.packets)) >= count,
            deadline_s=deadline_s,
            what=f"{count} packets, not {len(set(self.packets))}",
        )
        return list(dict.fromkeys(self.packets))

    def wait_status(self, check: Any, *, deadline_s: float = 15) -> dict[str, Any]:
        wait_until(
            lambda: any(check(one) for one in self.statuses),
            deadline_s=deadline_s,
            what=f"a status, not {self.statuses}",
        )
        return next(one for one in self.statuses if check(one))


def fields_of(packet: bytes) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(packets.split(packet).payload)
    return content


def identities(held: list[bytes]) -> list[tuple[int, int]]:
    found = [packets.identify(packets.split(one)) for one in held]
    return [(one.stream_epoch, one.sequence) for one in found]


def assert_covers(held: list[bytes], first: int, last: int) -> None:
    """The packets cover the time and the registers from one sample to another, without gap or overlap."""
    ordered = sorted((fields_of(one) for one in held), key=lambda one: one["started_at"])
    start, end = sample(first), sample(last)
    assert datetime.fromisoformat(ordered[0]["started_at"]) == datetime.fromisoformat(start["at"])
    assert datetime.fromisoformat(ordered[-1]["ended_at"]) == datetime.fromisoformat(end["at"])
    assert (ordered[0]["export_start_wh"], ordered[-1]["export_end_wh"]) == (
        start["export_wh"],
        end["export_wh"],
    )
    for one, other in pairwise(ordered):
        assert one["ended_at"] == other["started_at"]
        assert one["export_end_wh"] == other["export_start_wh"]
    numbers = identities(held)
    assert len(numbers) == len(set(numbers)), "a sequence was used twice"


def assert_covers_hours(held: list[bytes], hours: int) -> None:
    """One packet per hour from the beginning, of one stream, each once."""
    started = sorted(fields_of(one)["started_at"] for one in held)
    assert started == [
        (BEGINS + timedelta(hours=n)).isoformat().replace("+00:00", "Z") for n in range(hours)
    ]
    numbers = identities(held)
    assert len({epoch for epoch, _ in numbers}) == 1
    assert sorted(sequence for _, sequence in numbers) == list(range(hours))
