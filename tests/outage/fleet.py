"""The process that hosts the agents, from outside: configured, started, told, killed."""

import json
import os
import queue
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from embedded.broker import Broker
from evse_agent import key
from settlement.signatures import DeviceKey
from tests.ingest_daemon.harness import ROOT, TOKEN, secret_file
from tests.outage.plan import Plan

START_S: Final = 120
END_S: Final = 20


class HostEndedError(RuntimeError):
    """The process ended by itself; the end of its log says why."""


class Fleet:
    """The agents' folders, and the process that has them open."""

    def __init__(
        self, folder: Path, plan: Plan, broker: Broker, *, url: str, **settings: Any
    ) -> None:
        folder.mkdir()
        self.folder = folder
        self.plan = plan
        self.kills = 0
        self.progress = 0
        self._lines: queue.Queue[str] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        # A socket's path is short (unix(7)); others' folders are not.
        self._sockets = Path(tempfile.mkdtemp(prefix="v2g-outage-"))
        self.keys: list[DeviceKey] = []
        plan.save(folder / "plan.json")
        for number, evse_id in enumerate(plan.evses):
            self._configure(number, evse_id, broker, url, settings)

    def _configure(
        self, number: int, evse_id: str, broker: Broker, url: str, settings: dict[str, Any]
    ) -> None:
        own = self.folder / str(number)
        own.mkdir()
        signer = key.generate(own / "signing.pem")
        public = signer.public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        valid_from = self.plan.began_at
        self.keys.append(DeviceKey(key.thumbprint(signer.public), evse_id, public, valid_from))
        username, password = broker.credentials("fleet")
        content = {
            "BidirectionalEnabled": True,
            "SettlementInterval": self.plan.interval,
            "EvseId": evse_id,
            "KeyFile": str(own / "signing.pem"),
            "Broker": {
                "Host": broker.host,
                "Port": broker.port,
                "Username": username,
                "PasswordFile": str(secret_file(own / "password", password)),
            },
            "StoreFile": str(own / "store.db"),
            "SocketFile": str(self._sockets / str(number)),
            "UploadUrl": url,
            "UploadTokenFile": str(secret_file(own / "token", TOKEN)),
            "ClockSource": "stated",
            "ClockOffset": "0.5",
        } | settings
        (own / "config.json").write_text(json.dumps(content))

    def close(self) -> None:
        self._end()
        shutil.rmtree(self._sockets)

    # --- the process ---------------------------------------------------------------------------------

    def start(self) -> None:
        self._lines = queue.Queue()
        with (self.folder / "host.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.outage.host", str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
                cwd=ROOT,
                text=True,
                bufsize=1,
            )
        # It ends with its input, so it cannot outlive us.
        threading.Thread(target=self._read, args=(self._process, self._lines), daemon=True).start()
        self.hear("ready", deadline_s=START_S)

    @staticmethod
    def _read(process: "subprocess.Popen[str]", lines: "queue.Queue[str]") -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line.strip())
        lines.put("")

    def kill(self) -> None:
        """SIGKILL, whatever it does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(END_S)
        self.kills += 1

    def _end(self) -> None:
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_S)

    def tell(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")

    def hear(self, word: str, *, deadline_s: float) -> str:
        """The next line that begins with a word; ``progress`` is noted on the way."""
        give_up_at = time.monotonic() + deadline_s
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, give_up_at - time.monotonic()))
            except queue.Empty:
                raise TimeoutError(f"no {word!r} after {deadline_s:g} s: {self.log()}") from None
            if not line:
                raise HostEndedError(self.log())
            if line.startswith("progress "):
                self.progress = int(line.partition(" ")[2])
            if line.startswith(word):
                return line

    # --- what it is told -------------------------------------------------------------------------------

    def feed(self, last: int, *, deadline_s: float) -> None:
        self.tell(f"feed {last}")
        self.hear("fed", deadline_s=deadline_s)

    def feed_until_killed(self, last: int, *, after: int, deadline_s: float) -> None:
        """Begin to feed, and kill it once so many samples are taken, in the middle of the next ones."""
        self.tell(f"feed {last}")
        self.progress = 0
        while self.progress < after:
            self.hear("progress", deadline_s=deadline_s)
        self.kill()

    def turn(self, a_second: float) -> None:
        self.tell(f"turn {a_second:g}")
        self.hear("turned", deadline_s=END_S + 2 * self.plan.chargers / a_second)

    def live(self, a_second: float) -> None:
        self.tell(f"live {a_second:g}")
        self.hear("live", deadline_s=END_S)

    def halt(self) -> None:
        self.tell("halt")
        self.hear("halted", deadline_s=END_S)

    # --- what it left behind -----------------------------------------------------------------------------

    def log(self) -> str:
        path = self.folder / "host.log"
        return path.read_text()[-4000:] if path.exists() else ""

    def stored(self, number: int) -> list[tuple[int, int, bytes]]:
        """Epoch, sequence and bytes of what stands in a charger's store, read beside the agent."""
        path = self.folder / str(number) / "store.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            return db.execute("SELECT epoch, sequence, bytes FROM packet ORDER BY 1, 2").fetchall()

    def waiting(self) -> int:
        """Packets in all stores."""
        total = 0
        for number in range(self.plan.chargers):
            path = self.folder / str(number) / "store.db"
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
                total += db.execute("SELECT count(*) FROM packet").fetchone()[0]
        return total

    def told(self) -> list[dict[str, Any]]:
        """The record of live packets."""
        path = self.folder / "live.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]
