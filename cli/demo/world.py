"""The parts of the demonstration: started in order, stopped in reverse, whatever happens."""

import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import httpx

from cli.demo import clearing, fetch, utility
from cli.demo.clearing import Clearing
from cli.demo.folder import DemoFolder
from cli.demo.steps import Steps
from cli.demo.utility import Utility
from embedded import timescale
from embedded.broker import Broker
from embedded.errors import TimescaleUnavailableError
from embedded.postgres import PostgresServer, create_database
from embedded.prefect_server import PrefectServer
from embedded.processes import Supervised, free_port
from simulators.evening import Evening, write
from storage.engine import Role, connect, describe
from storage.migrate import migrate

T = TypeVar("T")

FETCH_DEADLINE_S: Final = 240.0
READY_DEADLINE_S: Final = 60.0


class World:
    """Everything that runs beside the demonstration itself. A context manager.

    Attributes:
        folder: all data of the demonstration.
        cache: downloaded parts, shared between runs.
    """

    def __init__(self, folder: Path, cache: Path, steps: Steps, evening: Evening) -> None:
        self.folder = folder
        self._own = DemoFolder(folder)
        self.cache = cache
        self._steps = steps
        self._evening = evening
        self._stack = ExitStack()
        self.dsn = ""
        self.engine = ""
        self.http_url = ""
        self._parts: list[Supervised] = []
        self._fetching: dict[str, Supervised] = {}

    def __enter__(self) -> Self:
        try:
            self._stack.enter_context(self._own)
            self.cache.mkdir(exist_ok=True)
            self.intake_token = self._own.secret("intake")
            self.clearing = Clearing(self._own, seed=self._evening.seed)
            self._fetch()
            self._start_prefect()
            self._drive()
            self._start_database()
            self._start_broker()
            self._start_simulators()
            self._start_daemon()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._steps.step("stop everything that was started"):
            self._stack.close()

    def _fetch(self) -> None:
        """What this machine lacks comes over the network while the fleet drives."""
        for part in fetch.PARTS:
            process = self.child(f"fetch-{part}", ("-m", "cli.demo.fetch", part, str(self.cache)))
            self._stack.enter_context(process)
            self._fetching[part] = process

    def _fetched(self, part: str) -> None:
        self._fetching[part].wait(deadline_s=FETCH_DEADLINE_S)

    def _start_prefect(self) -> None:
        """Start it first and wait for it last: it takes longest to come up."""
        self.prefect = PrefectServer(self.folder / "prefect", spare=self.cache)
        self.prefect.start()
        self._stack.callback(self.prefect.stop)

    def _drive(self) -> None:
        with self._steps.step("let the fleet drive, and sign its packets") as step:
            kinds = self._evening.truth.deliveries
            step.outcome = (
                f"{sum(kinds.values())} packets, {len(kinds)} kinds, most of them trouble"
            )

    def _start_database(self) -> None:
        files = timescale.find(self.cache)
        if files is None:
            with self._steps.step(
                "fetch TimescaleDB from the machine's own package source"
            ) as step:
                self._fetched(fetch.TIMESCALE)
                files = timescale.find(self.cache)
                step.outcome = "kept for the next time"
                if files is None:
                    step.outcome = (
                        f"not to be had here, plain PostgreSQL will do: {self._why_not()}"
                    )
        with self._steps.step("start PostgreSQL") as step:
            server = self._stack.enter_context(
                PostgresServer(self.folder / "postgres", timescale=files)
            )
            self.dsn = create_database(server, "v2g")
            migrate(self.dsn)
            with connect(self.dsn, Role.READ) as conn:
                found = describe(conn)
            extension = (
                f" with TimescaleDB {found.timescale}"
                if found.timescale
                else ", without TimescaleDB"
            )
            self.engine = step.outcome = f"PostgreSQL {found.postgres}{extension}"

    def _why_not(self) -> str:
        """Why there is no TimescaleDB; a failed fetch is remembered, and not tried again at once."""
        try:
            timescale.fetch(
                self.cache, deadline_s=fetch.TIMESCALE_DEADLINE_S, report=lambda _: None
            )
        except TimescaleUnavailableError as error:
            return str(error)
        return "it has come too late"

    def _start_broker(self) -> None:
        with self._steps.step("start the MQTT broker") as step:
            self._fetched(fetch.BROKER)
            self.broker = self._stack.enter_context(
                Broker(self.folder / "broker", cache=self.cache)
            )
            step.outcome = self.broker.kind

    def _start_simulators(self) -> None:
        with self._steps.step("start the utility and the clearinghouse") as step:
            write(self._evening, self.folder)
            self.utility = self._stack.enter_context(Utility(self._own, self._evening))
            self._start_clearinghouse()
            step.outcome = (
                "the one speaks IEEE 2030.5 over mutual TLS; the other takes only what our key has"
                " signed, is slow, fails and loses acknowledgements at times"
            )

    def _start_clearinghouse(self) -> None:
        house = self.start(clearing.NAME, self.clearing.arguments)
        house.wait_ready(self.clearing.answers, deadline_s=READY_DEADLINE_S)

    def _start_daemon(self) -> None:
        with self._steps.step("start the ingest daemon") as step:
            user, password = self.broker.credentials("daemon")
            port = free_port()
            self.http_url = f"http://127.0.0.1:{port}"
            daemon = self.start(
                "ingest_daemon",
                ("-m", "ingest_daemon"),
                {
                    "V2G_MQTT_HOST": self.broker.host,
                    "V2G_MQTT_PORT": str(self.broker.port),
                    "V2G_MQTT_PROTOCOL": "5" if self.broker.supports_mqtt5 else "311",
                    "V2G_MQTT_USERNAME": user,
                    "V2G_MQTT_PASSWORD_FILE": str(self._own.secret("mqtt", password)),
                    "V2G_HTTP_PORT": str(port),
                    "V2G_INTAKE_TOKEN_FILE": str(self.intake_token),
                },
            )
            daemon.wait_ready(
                lambda: _answers(f"{self.http_url}/readyz", exactly=200),
                deadline_s=READY_DEADLINE_S,
            )
            step.outcome = f"as a process of its own, HTTP at {self.http_url}"

    @property
    def settings(self) -> dict[str, str]:
        """The environment of every process that judges, settles or posts."""
        return {
            "V2G_DATABASE_URL": self.dsn,
            # So small a fleet can afford a second opinion on every vehicle.
            "V2G_ORACLE_SHARE_PPM": "1000000",
            "V2G_GRID_FILE": str(self.folder / utility.FILE),
            **self.clearing.settings,
        }

    def start(
        self, name: str, arguments: Sequence[str], environment: dict[str, str] | None = None
    ) -> Supervised:
        """Start a Python process of this project that is stopped with the world."""
        process = self.child(name, arguments, environment)
        self._stack.enter_context(process)
        self._parts.append(process)
        return process

    def beside(self, part: AbstractContextManager[T]) -> T:
        """Enter a part that runs in this process, and leave it with the world."""
        return self._stack.enter_context(part)

    def private(self, name: str, text: str) -> Path:
        """A file in the data folder that only its owner reads."""
        return self._own.private(name, text)

    def ended(self) -> list[str]:
        """Parts that should run and do not."""
        return [part.name for part in self._parts if not part.running]

    def child(
        self, name: str, arguments: Sequence[str], environment: dict[str, str] | None = None
    ) -> Supervised:
        """A Python process of this project, with the world's settings; the caller starts it."""
        return Supervised(
            name,
            (sys.executable, *arguments),
            log=self.folder / "logs" / f"{name}.log",
            # Nothing of the caller's own settings: they are for another system than this one.
            environment={
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("V2G_", "PREFECT_"))
            }
            | self.settings
            | (environment or {}),
        )


def _answers(url: str, *, exactly: int | None = None) -> bool:
    try:
        status = httpx.get(url, timeout=2.0, trust_env=False).status_code
    except httpx.HTTPError:
        return False
    return exactly is None or status == exactly
