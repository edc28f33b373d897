"""A guard for tests: in this process with a clock that is set, or as a process that can be killed.

What it reads and writes is real: a database, the shipped broker over TLS, agents as processes, PLCs on
sockets. Only the clock of what is measured and decided is ours.
"""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import yaml
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from embedded.processes import wait_until
from settlement.signatures import DeviceKey
from storage.engine import Role, connect
from storage.keys import enrol_keys
from storage.registry import Contract, put_contracts, put_program
from storage.thermal_samples import Sample, put_samples
from tests.evse_agent.harness import EVSE_ID, Charger
from tests.packets import make_key
from tests.tls import TlsSite
from thermal_guard.guard import Guard
from thermal_guard.settings import Settings, variable

ROOT = Path(__file__).parents[2]

CAR = "car-1"
DEVICE = "plc-1"
PROGRAM = ROOT / "programs" / "v2g-tiered-thermal.yaml"
QUICK = {
    "look_every_s": 0.05,
    "retry_first_s": 0.05,
    "retry_longest_s": 0.2,
    "answer_within_s": 0.5,
    "log_level": "DEBUG",
}
"""So that nobody waits; everything else is as shipped."""


@dataclass
class World:
    """A database, and a clock by which batteries are measured in it."""

    dsn: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC).replace(microsecond=0))

    def now(self) -> datetime:
        return self.at

    def measure(
        self,
        celsius: float | None,
        *,
        after_s: float = 5,
        evse: str = EVSE_ID,
        device: str = DEVICE,
        vehicle: str = "",
        quality: str = "",
        measured_at: datetime | None = None,
    ) -> None:
        """Time passes, and a battery is measured; None: the sensor did not answer."""
        self.at += timedelta(seconds=after_s)
        value = None if celsius is None else round(Decimal(str(celsius)) * 1000)
        sample = Sample(
            device_id=device,
            sensor="803.ModTmpMax",
            evse_id=evse,
            vehicle_id=vehicle,
            measured_at=measured_at or self.at,
            registers=b"",
            value_millicelsius=value,
            quality=quality or ("no_answer" if celsius is None else "good"),
        )
        with connect(self.dsn, Role.INGEST) as conn:
            put_samples(conn, [sample], now=self.at)

    def enrol(self, evse: str, client: str) -> None:
        """A key of an EVSE, brought by a client."""
        key = make_key()
        record = DeviceKey(
            key.key_id, evse, key.public_key, self.at - timedelta(days=1), client_id=client
        )
        with connect(self.dsn, Role.REGISTRY) as conn:
            enrol_keys(conn, [record], now=self.at)

    def contract(self, evse: str = EVSE_ID, vehicle: str = CAR, **thermal: object) -> None:
        """A vehicle at an EVSE, in a program with these thermal terms."""
        body = yaml.safe_load(PROGRAM.read_text())
        if thermal:
            body["thermal"] = {**body["thermal"], **thermal}
        with connect(self.dsn, Role.SETTLE) as conn:
            put_program(conn, body, source=PROGRAM.name, now=self.at)
            contract = Contract(
                f"contract-{vehicle}-{evse}",
                vehicle,
                body["program"],
                1_000_000,
                "owner",
                self.at - timedelta(days=30),
                evse_id=evse,
            )
            put_contracts(conn, [contract], now=self.at)

    def rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with connect(self.dsn, Role.READ) as conn, conn.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query, values).fetchall()

    def commands(self, evse: str = EVSE_ID) -> list[dict[str, Any]]:
        return self.rows("select * from throttle_command where evse_id = %s order by number", evse)

    def said(self, evse: str = EVSE_ID) -> list[tuple[int | None, str]]:
        """Limit and reason of each command."""
        return [(one["limit_w"], one["reason"]) for one in self.commands(evse)]

    def outcomes(self, command: dict[str, Any]) -> list[str]:
        rows = self.rows(
            "select state from throttle_outcome where command_id = %s order by number",
            command["command_id"],
        )
        return [one["state"] for one in rows]

    def obeyed(self, evse: str = EVSE_ID) -> bool:
        """Whether the last word on the last command is that it was obeyed."""
        commands = self.commands(evse)
        return bool(commands) and self.outcomes(commands[-1])[-1:] == ["obeyed"]


def settings(world: World, site: TlsSite | None, **changes: object) -> dict[str, object]:
    """The guard's settings by their variables."""
    chosen: dict[str, object] = {variable(k): v for k, v in (QUICK | changes).items()}
    chosen["V2G_DATABASE_URL"] = world.dsn
    chosen["V2G_MQTT_PORT"] = 1
    if site is not None:
        files = site.client("v2g-thermal")
        chosen |= {
            "V2G_MQTT_HOST": site.host,
            "V2G_MQTT_PORT": site.port,
            "V2G_MQTT_TLS_CA_FILE": site.ca,
            "V2G_THERMAL_TLS_CERT_FILE": files.certificate,
            "V2G_THERMAL_TLS_KEY_FILE": files.key,
        }
    return chosen


@contextmanager
def guarding(
    world: World, site: TlsSite | None, monkeypatch: Any, **changes: object
) -> Iterator[Guard]:
    """A guard in this process: whoever waits steps it (``until``)."""
    with monkeypatch.context() as patch:
        for name, value in settings(world, site, **changes).items():
            patch.setenv(name, str(value))
        guard = Guard(Settings(), now=world.now)
    try:
        yield guard
    finally:
        guard._registers.stop()
        guard._link.stop()
        guard._holding.close()


def until(guard: Guard, check: Callable[[], bool], what: str, *, deadline_s: float = 20) -> None:
    """Step a guard until something is so."""

    def stepped() -> bool:
        guard.step()
        return check()

    wait_until(stepped, deadline_s=deadline_s, what=what)


def look(guard: Guard) -> None:
    """One whole look, now."""
    guard._look_at_s = 0.0
    guard.step()


def charger(folder: Path, site: TlsSite, evse: str = EVSE_ID, **changes: Any) -> Charger:
    """An agent that speaks with the shipped broker."""
    files = site.client(evse)
    made = {
        "EvseId": evse,
        "Broker": {
            "Host": site.host,
            "Port": site.port,
            "CaFile": str(site.ca),
            "CertFile": str(files.certificate),
            "KeyFile": str(files.key),
        },
    }
    return Charger(folder, None, **(made | changes))


def limit_of(agent: Charger) -> object:
    """The limit that an agent keeps; "none yet" where it was never commanded."""
    command = agent.status()["command"]
    return command["limit_w"] if isinstance(command, dict) else "none yet"


def _run(environment: dict[str, str], log: str) -> None:
    """In the new process: what ``python -m thermal_guard`` does after its imports."""
    os.setsid()
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.environ.clear()
    os.environ.update(environment)
    from thermal_guard.__main__ import main

    sys.exit(main([]))


class GuardProcess:
    """A guard that can be killed. Its clock is the machine's."""

    _context = multiprocessing.get_context("forkserver")
    _context.set_forkserver_preload(["thermal_guard.__main__"])

    def __init__(self, folder: Path, world: World, site: TlsSite, **changes: object) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.log_file = folder / "guard.log"
        chosen = settings(world, site, **changes)
        self._environment = {"PATH": os.environ["PATH"]} | {k: str(v) for k, v in chosen.items()}
        self._process: Any = None

    def start(self) -> None:
        self._process = self._context.Process(
            target=_run, args=(self._environment, str(self.log_file))
        )
        self._process.start()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join(10)
        if self._process.exitcode is None:
            self.kill()

    def kill(self) -> None:
        self._process.kill()
        self._process.join(10)

    def stop(self) -> int:
        self._process.terminate()
        self._process.join(15)
        return int(self._process.exitcode)

    @property
    def log(self) -> str:
        return self.log_file.read_text() if self.log_file.exists() else ""

    def wait(self, check: Callable[[], bool], what: str, *, deadline_s: float = 30) -> None:
        def alive() -> bool:
            assert self._process.exitcode is None, f"the guard ended: {self.log[-3000:]}"
            return check()

        wait_until(alive, deadline_s=deadline_s, what=what)


def presence(site: TlsSite, evse: str = EVSE_ID) -> dict[str, Any]:
    """What the broker keeps of a charger's presence, as the guard would hear it."""
    with site.connect("v2g-thermal") as reader:
        reader.subscribe(f"v2g/{evse}/status")
        found: dict[str, Any] = json.loads(reader.next_message()[1])
        return found


@contextmanager
def stopped_database(dsn: str) -> Iterator[None]:
    """A database that ends every connection and takes none, as one that restarts would."""
    name = conninfo_to_dict(dsn)["dbname"]

    def let(connections: bool) -> None:
        with psycopg.connect(
            make_conninfo(dsn, dbname="postgres"), user="v2g", autocommit=True
        ) as conn:
            conn.execute(f'alter database "{name}" allow_connections {connections}'.encode())
            if not connections:
                conn.execute(
                    "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = %s",
                    [name],
                )

    let(False)
    try:
        yield
    finally:
        let(True)
