"""The parts of the demonstration: started in order, stopped in reverse, whatever happens."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from cli.demo.folder import DemoFolder
from cli.demo.steps import Steps
from embedded import timescale
from embedded.broker import Broker
from embedded.errors import TimescaleUnavailableError
from embedded.postgres import PostgresServer, create_database
from embedded.prefect_server import PrefectServer
from embedded.processes import Supervised, free_port
from simulators.evening import Evening, write
from storage.engine import Role, connect, describe
from storage.migrate import migrate

TIMESCALE_DEADLINE_S: Final = 90.0
READY_DEADLINE_S: Final = 60.0

CLEARINGHOUSE_FAULTS: Final = (
    "--slow",
    "0.05",
    "--error",
    "0.10",
    "--lost-ack",
    "0.08",
    "--too-many",
    "0.02",
)
"""Shares of calls that are slow beyond the deadline, answer 500, lose the acknowledgement, or 429."""


@dataclass(frozen=True)
class Tokens:
    """Files with secrets, mode 0600, made anew for each demonstration."""

    utility: Path
    clearinghouse: Path
    intake: Path


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
        self.clearinghouse_url = ""
        self.utility_url = ""
        self._parts: list[Supervised] = []

    def __enter__(self) -> Self:
        try:
            self._stack.enter_context(self._own)
            self.cache.mkdir(exist_ok=True)
            self.tokens = Tokens(
                *(self._own.secret(name) for name in ("utility", "clearinghouse", "intake"))
            )
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

    def _start_prefect(self) -> None:
        """Start it first and wait for it last: it takes longest to come up."""
        self.prefect = PrefectServer(self.folder / "prefect")
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
                try:
                    files = timescale.fetch(
                        self.cache, deadline_s=TIMESCALE_DEADLINE_S, report=lambda _: None
                    )
                    step.outcome = "kept for the next time"
                except TimescaleUnavailableError as error:
                    step.outcome = f"not to be had here, plain PostgreSQL will do: {error}"
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

    def _start_broker(self) -> None:
        with self._steps.step("start the MQTT broker") as step:
            self.broker = self._stack.enter_context(
                Broker(self.folder / "broker", cache=self.cache)
            )
            step.outcome = self.broker.kind

    def _start_simulators(self) -> None:
        with self._steps.step("start the utility and the clearinghouse") as step:
            write(self._evening, self.folder)
            feed = ("--feed", str(self.folder / "feed.json"))
            self.utility_url = self._serve("utility", self.tokens.utility, feed)
            seed = ("--seed", str(self._evening.seed))
            self.clearinghouse_url = self._serve(
                "clearinghouse", self.tokens.clearinghouse, (*seed, *CLEARINGHOUSE_FAULTS)
            )
            step.outcome = "the clearinghouse is slow, fails and loses acknowledgements at times"

    def _serve(self, name: str, token: Path, arguments: Sequence[str]) -> str:
        port = free_port()
        process = self.start(
            name,
            (
                "-m",
                f"simulators.{name}",
                "--token-file",
                str(token),
                "--port",
                str(port),
                *arguments,
            ),
        )
        url = f"http://127.0.0.1:{port}"
        process.wait_ready(lambda: _answers(url), deadline_s=READY_DEADLINE_S)
        return url

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
                    "V2G_INTAKE_TOKEN_FILE": str(self.tokens.intake),
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
            "V2G_UTILITY_URL": self.utility_url,
            "V2G_UTILITY_TOKEN_FILE": str(self.tokens.utility),
            "V2G_CLEARINGHOUSE_URL": self.clearinghouse_url,
            "V2G_CLEARINGHOUSE_TOKEN_FILE": str(self.tokens.clearinghouse),
        }

    def start(
        self, name: str, arguments: Sequence[str], environment: dict[str, str] | None = None
    ) -> Supervised:
        """Start a Python process of this project that is stopped with the world."""
        process = self.child(name, arguments, environment)
        self._stack.enter_context(process)
        self._parts.append(process)
        return process

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
