"""One PostgreSQL server for one folder, started from the wheel's programs, without root's rights.

What it promises:

* Only this machine and only this user: no TCP, a unix socket in a folder of mode 0700; whoever
  gets there is trusted (any role, no password). The superuser is ``v2g``.
* Durable: fsync, full_page_writes and synchronous_commit stay at PostgreSQL's defaults, on.
* Equal everywhere: UTF-8, the builtin locale C.UTF-8, time zone UTC, messages in English; nothing
  is taken from the environment.
* No orphan: it shuts down when the process that started it ends, even by SIGKILL; and it starts
  again after SIGKILL of either, or of both. Start it from a thread that stays
  (``embedded.processes.Supervised``).

What lies in the folder: ``embedded.data_folder``. Started by root, the server runs as
``places.NOBODY``. The folders above the data may be closed to that user: PostgreSQL is started
inside the data and told to find them there (/proc/self/cwd).
"""

import shutil
import signal
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Final, LiteralString

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from embedded.data_folder import DataFolder
from embedded.engine import TimescaleFiles, programs
from embedded.errors import EmbeddedError
from embedded.places import server_user
from embedded.processes import Supervised
from embedded.running import Running

__all__ = ["SUPERUSER", "PostgresServer", "TimescaleFiles", "create_database", "run_statements"]

SUPERUSER: Final = "v2g"
START_DEADLINE_S: Final = 120.0
"""Long, because recovery after a crash may replay much."""
STOP_DEADLINE_S: Final = 60.0
"""Long, because a shutdown writes a checkpoint."""
_PORT: Final = 5432
"""Only part of the socket's name; said in every address, so that PGPORT does not matter."""
_INITDB_DEADLINE_S: Final = 120.0
_INITDB: Final = (
    f"--username={SUPERUSER}",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--locale=C",
)
_DEFAULTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "shared_buffers": "128MB",
        "max_connections": "60",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
        "log_line_prefix": "%m [%p] %q%u@%d %a ",
    }
)


class PostgresServer(Running):
    """A PostgreSQL server over ``data_dir``, which is made when it is not there.

    ``settings`` are server settings, by name ("work_mem": "64MB"); they cannot open TCP.
    ``timescale`` makes it a server with TimescaleDB preloaded; the data stay bound to that choice.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        timescale: TimescaleFiles | None = None,
        settings: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._timescale = timescale
        self._settings = dict(settings)
        self._user = server_user()
        self._folder = DataFolder(data_dir, user=self._user)
        self._sockets: Path | None = None
        self._remove_sockets: Callable[[], object] = lambda: None
        self._server: Supervised | None = None
        self._version = ""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        self._leave()

    @property
    def log(self) -> Path:
        """The server's log file."""
        return self._folder.log

    @property
    def running(self) -> bool:
        """Whether the server's main process runs."""
        return self._server is not None and self._server.running

    @property
    def pid(self) -> int | None:
        """The process id of the server's main process; None before the first start."""
        return None if self._server is None else self._server.pid

    @property
    def engine(self) -> str:
        """What runs: "PostgreSQL 18.6" or "PostgreSQL 18.6 + TimescaleDB 2.31.0".

        Raises:
            EmbeddedError: the server was never started.
        """
        if not self._version:
            raise EmbeddedError(f"{self._folder.path}: the server was not started; call start()")
        extension = f" + TimescaleDB {self._timescale.version}" if self._timescale else ""
        return f"PostgreSQL {self._version}{extension}"

    def dsn(self, dbname: str = "postgres") -> str:
        """A libpq connection string without a user; the same after every start.

        Raises:
            EmbeddedError: the server was never started.
        """
        if self._sockets is None:
            raise EmbeddedError(f"{self._folder.path}: the server was not started; call start()")
        return make_conninfo(host=str(self._sockets), port=_PORT, dbname=dbname)

    def start(self) -> None:
        """Start the server and wait until it answers; makes the data on first use. Idempotent.

        Raises:
            DataFolderInUseError: another process uses the folder.
            WrongMajorVersionError: another major version of PostgreSQL made the data.
            WrongEngineError: the data were made with another TimescaleDB, or without.
            ChildExitedError: the server ended; the error holds the end of its log.
            DeadlineExceededError: it did not answer within two minutes.
        """
        if self.running:
            return
        found = programs(self._timescale, user=self._user)
        self._folder.take()
        try:
            self._folder.make_data(
                lambda empty: self._initdb(found.initdb, empty),
                major=found.major,
                label=found.label,
            )
            self._run(found.postgres)
        except BaseException:
            self.stop()
            self._leave()
            raise

    def _leave(self) -> None:
        """Remove the socket's folder now: done later, by the collector of garbage, it could be the
        folder that the next server over the same data has taken over.
        """
        self._remove_sockets()

    def stop(self) -> None:
        """Shut down: open transactions are rolled back, a checkpoint is written. Idempotent."""
        if self._server is not None:
            self._server.stop()
        self._folder.release()

    def kill(self) -> None:
        """SIGKILL the main process and wait until every other one has gone: a crash, for tests."""
        if self._server is not None:
            self._server.kill()
            self._folder.wait_until_free()
        self._folder.release()

    def _initdb(self, command: tuple[str, ...], empty: Path) -> None:
        maker = Supervised(
            "initdb",
            [*command, "-D", self._as_seen_inside(empty), *_INITDB],
            log=self._folder.log,
            environment=_environment(),
            folder=empty,
            user=self._user,
        )
        with maker:
            if maker.wait(deadline_s=_INITDB_DEADLINE_S) != 0:
                raise maker.exited()

    def _run(self, postgres: tuple[str, ...]) -> None:
        sockets = self._folder.sockets()
        if sockets != self._sockets:
            self._sockets = sockets
            self._remove_sockets = weakref.finalize(
                self, shutil.rmtree, sockets, ignore_errors=True
            )
        self._folder.forget_recycled_pid()
        settings = {**_DEFAULTS, **self._settings, **self._fixed_settings(sockets)}
        self._server = Supervised(
            "postgres",
            [
                *postgres,
                *("-D", self._as_seen_inside(self._folder.data)),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            log=self._folder.log,
            environment=_environment(),
            folder=self._folder.data,
            user=self._user,
            # "Fast shutdown"; SIGTERM would wait for every client to leave (postgres(1)).
            stop_signal=signal.SIGINT,
            stop_deadline_s=STOP_DEADLINE_S,
        )
        self._server.start()
        self._server.wait_ready(self._answers, deadline_s=START_DEADLINE_S, what="PostgreSQL")

    def _fixed_settings(self, sockets: Path) -> dict[str, str]:
        fixed = {
            "listen_addresses": "",
            "port": str(_PORT),
            "unix_socket_directories": str(sockets),
            "unix_socket_permissions": "0700",
            "cluster_name": self._folder.cluster_name,
        }
        if self._timescale is not None:
            others = self._settings.get("shared_preload_libraries", "")
            fixed["shared_preload_libraries"] = ",".join(filter(None, ["timescaledb", others]))
            fixed["timescaledb.telemetry_level"] = "off"
        return fixed

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.dsn(), user=SUPERUSER, connect_timeout=5) as connection:
                row = connection.execute("SHOW server_version").fetchone()
        except psycopg.OperationalError:
            return False
        self._version = str(row[0]) if row else ""
        return True

    def _as_seen_inside(self, data: Path) -> str:
        """The data's path for a process that works in it; see the module's docstring."""
        return str(data) if self._user is None else "/proc/self/cwd"


def create_database(server: PostgresServer, name: str) -> str:
    """Create the database ``name`` when it is not there. Returns ``server.dsn(name)``."""
    with psycopg.connect(
        server.dsn(), user=SUPERUSER, connect_timeout=5, autocommit=True
    ) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if known.fetchone() is None:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
    return server.dsn(name)


def run_statements(
    server: PostgresServer, statements: Sequence[LiteralString], *, dbname: str = "postgres"
) -> None:
    """Run ``statements`` as the superuser, in one transaction.

    Raises:
        EmbeddedError: the server refused one.
    """
    try:
        with psycopg.connect(server.dsn(dbname), user=SUPERUSER, connect_timeout=5) as connection:
            for statement in statements:
                connection.execute(statement)
    except psycopg.Error as error:
        raise EmbeddedError(f"{server.engine}: {error}") from error


def _environment() -> dict[str, str]:
    """Nothing of ours: PGDATA, PGOPTIONS, LC_ALL or TZ would change what the server does."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": "/", "LC_ALL": "C", "TZ": "UTC"}
