"""Real servers and fresh databases for every test that wants them.

``database``        a migrated database of its own; the test runs on each engine that can be had
``plain_database``  the same, on plain PostgreSQL only, for tests to which the engine is all the same
``postgres``        the server behind ``database``
``plain_postgres``  the server behind ``plain_database``
``tls_broker``      the shipped broker over TLS, with a certificate per client (tests.tls)

Servers start once per test process, when first wanted. A fresh database is a copy of a migrated
one. Connect with ``storage.engine.connect(database, role)``, or as the administrator with
``psycopg.connect(database, user="v2g")``.
"""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from psycopg import sql

from embedded.postgres import SUPERUSER, PostgresServer, create_database
from storage import migrate
from tests.tls import TlsSite

CACHE = Path(__file__).parents[1] / ".cache"
ENGINES = ("plain", "timescale")
TEMPLATE = "migrated"

Servers = Callable[[str], PostgresServer]


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The server of an engine, started and given its template when first asked for."""
    with ExitStack() as stack:
        running: dict[str, PostgresServer] = {}

        def server(engine: str) -> PostgresServer:
            if engine not in running:
                files = _timescale_files() if engine == "timescale" else None
                # Not under pytest's own folder: that keeps the data of the last three runs.
                folder = Path(stack.enter_context(TemporaryDirectory(prefix=f"v2g-{engine}-")))
                running[engine] = stack.enter_context(
                    PostgresServer(folder / "data", timescale=files)
                )
                _make_template(running[engine])
            return running[engine]

        yield server


def _timescale_files():
    from embedded import timescale

    files = timescale.find(CACHE)
    if files is None:
        pytest.skip(
            f"no TimescaleDB under {CACHE}: `make timescale` fetches it where the machine can"
        )
    return files


def _make_template(server: PostgresServer) -> None:
    migrate.migrate(create_database(server, TEMPLATE))
    with _administrator(server) as conn:
        # Copying needs a template that nobody is connected to; TimescaleDB's scheduler would be.
        conn.execute(
            sql.SQL("alter database {} allow_connections false").format(sql.Identifier(TEMPLATE))
        )
        conn.execute(
            "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = %s",
            [TEMPLATE],
        )


def _administrator(server: PostgresServer) -> psycopg.Connection:
    return psycopg.connect(server.dsn(), user=SUPERUSER, autocommit=True, connect_timeout=5)


@contextmanager
def _fresh_database(server: PostgresServer) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    with _administrator(server) as conn:
        conn.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(name), sql.Identifier(TEMPLATE)
            )
        )
    # Rights on the database itself are not copied.
    migrate.prepare(server.dsn(name))
    yield server.dsn(name)
    with _administrator(server) as conn:
        conn.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
        )


@pytest.fixture(scope="session", params=ENGINES)
def postgres(request, servers: Servers) -> PostgresServer:
    return servers(request.param)


@pytest.fixture(scope="session")
def plain_postgres(servers: Servers) -> PostgresServer:
    return servers("plain")


@pytest.fixture
def database(postgres) -> Iterator[str]:
    with _fresh_database(postgres) as dsn:
        yield dsn


@pytest.fixture
def plain_database(plain_postgres) -> Iterator[str]:
    with _fresh_database(plain_postgres) as dsn:
        yield dsn


@pytest.fixture
def tls_broker(tmp_path) -> Iterator[TlsSite]:
    """The shipped broker: TLS, a certificate per client, the shipped access list. tests.tls tells more."""
    with TlsSite(tmp_path / "tls") as site:
        yield site
