"""Prefect's server with UI on this machine's loopback: SQLite, a password, nothing sent elsewhere.

Its folder holds Prefect's home (database and profiles), the log, and the login with mode 0600.
The first start makes the database and takes some 15 s of CPU, later ones some 8 s, as do those over a
copy of an empty one (``spare``). Prefect behind PostgreSQL, for more than one machine, is not started
from here.
"""

import os
import secrets
import shutil
import sqlite3
import sys
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Final, Self

import httpx

from embedded.errors import ChildExitedError, EmbeddedError
from embedded.processes import Supervised, free_port
from embedded.running import Running

READY_DEADLINE_S: Final = 180.0
_ANSWER_DEADLINE_S: Final = 5.0
_PORTS_TRIED: Final = 5
_USER: Final = "v2g"
_LOOPBACK: Final = "127.0.0.1,localhost,::1"


class PrefectServer(Running):
    """A server over ``folder``. The port is chosen at the first start and stays.

    ``spare`` is a folder in which an empty database is kept for the next server that begins: one file for
    each version of Prefect. None keeps none.
    """

    def __init__(self, folder: Path, *, spare: Path | None = None) -> None:
        self.folder = folder.absolute()
        self._spare = spare and spare / f"prefect-{version('prefect')}.db"
        self._port: int | None = None
        self._server: Supervised | None = None

    def __enter__(self) -> Self:
        super().__enter__()
        self.wait_ready()
        return self

    @property
    def api_url(self) -> str:
        """The address of the API, as PREFECT_API_URL wants it."""
        return f"{self._url}/api"

    @property
    def ui_url(self) -> str:
        """The address of the UI; it asks for ``login``."""
        return f"{self._url}/v2/"

    @property
    def login(self) -> str:
        """What the UI asks for: "v2g:" and a password, made once for the folder."""
        file = self.folder / "login"
        if not file.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            unfinished = file.with_name(f"{file.name}.{os.getpid()}")
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as written:
                written.write(f"{_USER}:{secrets.token_urlsafe(24)}\n")
            unfinished.replace(file)
        return file.read_text(encoding="utf-8").strip()

    @property
    def environment(self) -> dict[str, str]:
        """What a child needs, beside its own variables, to work with this server and no other."""
        return {
            "PREFECT_HOME": str(self._home),
            # A worker keeps files under the temporary folder, under a name that all users share.
            "TMPDIR": str(self._temporary()),
            "PREFECT_API_URL": self.api_url,
            "PREFECT_API_AUTH_STRING": self.login,
            # Without an address Prefect would start a server of its own, and nobody would see it.
            "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "DO_NOT_TRACK": "1",
            # A proxy for the world outside must not be asked for this machine.
            "NO_PROXY": _LOOPBACK,
            "no_proxy": _LOOPBACK,
        }

    def _temporary(self) -> Path:
        folder = self._home / "tmp"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self.folder / "prefect.log"

    @property
    def running(self) -> bool:
        """Whether the server's process runs."""
        return self._server is not None and self._server.running

    def start(self) -> None:
        """Start the server; ``wait_ready`` waits until it is of use. Idempotent."""
        if self.running:
            return
        if self._port is None:
            self._port = free_port()
        self._home.mkdir(parents=True, exist_ok=True)
        if self._spare and self._spare.exists() and not self._database.exists():
            shutil.copyfile(self._spare, self._database)
        self._server = Supervised(
            "prefect server",
            [
                *(sys.executable, "-m", "prefect", "server", "start"),
                *("--host", "127.0.0.1", "--port", str(self._port)),
            ],
            log=self.log,
            environment=self._server_environment(),
            # Away from the checkout, whose prefect.toml speaks to its deployments.
            folder=self.folder,
        )
        self._server.start()

    def wait_ready(self, *, deadline_s: float = READY_DEADLINE_S) -> None:
        """Wait until the API says that it is healthy.

        Raises:
            EmbeddedError: the server was never started.
            ChildExitedError: it ended; the error holds the end of its log.
            DeadlineExceededError: it was not healthy after ``deadline_s`` seconds.
        """
        for attempt in range(1, _PORTS_TRIED + 1):
            if self._server is None:
                raise EmbeddedError(f"{self.folder}: the server was not started; call start()")
            try:
                self._server.wait_ready(
                    self._healthy, deadline_s=deadline_s, what="Prefect's server"
                )
            except ChildExitedError as error:
                # Between choosing the port and listening on it lie seconds of imports.
                if "already in use" not in error.tail or attempt == _PORTS_TRIED:
                    raise
                self._port = None
                self.start()
            else:
                self._keep_spare()
                return

    def _keep_spare(self) -> None:
        """Copy the database just made, in one piece; several processes may do so at once."""
        if self._spare is None or self._spare.exists():
            return
        unfinished = self._spare.with_name(f"{self._spare.name}.{os.getpid()}")
        self._spare.parent.mkdir(parents=True, exist_ok=True)
        with (
            closing(sqlite3.connect(self._database)) as made,
            closing(sqlite3.connect(unfinished)) as copy,
        ):
            made.backup(copy)
        unfinished.replace(self._spare)

    def stop(self) -> None:
        """Stop the server. Idempotent."""
        if self._server is not None:
            self._server.stop()

    @property
    def _home(self) -> Path:
        return self.folder / "home"

    @property
    def _database(self) -> Path:
        return self._home / "prefect.db"

    @property
    def _url(self) -> str:
        if self._port is None:
            raise EmbeddedError(f"{self.folder}: the server was not started; call start()")
        return f"http://127.0.0.1:{self._port}"

    def _server_environment(self) -> dict[str, str]:
        # Prefect reads PREFECT_* from everywhere; what this shell is set to is another server's.
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")
        }
        return {
            **inherited,
            **self.environment,
            "PREFECT_SERVER_API_AUTH_STRING": self.login,
            "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{self._database}",
        }

    def _healthy(self) -> bool:
        try:
            answer = httpx.get(
                f"{self.api_url}/health", timeout=_ANSWER_DEADLINE_S, trust_env=False
            )
        except httpx.TransportError:
            return False
        return answer.status_code == httpx.codes.OK
