"""Connections: one role per kind of work, bounded waits, and no database that can lose a commit."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from storage.errors import (
    DatabaseUnavailableError,
    StorageError,
    UnsafeDatabaseError,
    UnusableAddressError,
)

if TYPE_CHECKING:
    from adbc_driver_postgresql import dbapi

__all__ = [
    "LOGIN_ROLES",
    "WRITERS",
    "DatabaseUnavailableError",
    "Engine",
    "Role",
    "StorageError",
    "UnsafeDatabaseError",
    "adbc_connect",
    "check_durability",
    "connect",
    "conninfo",
    "describe",
]

Connection = psycopg.Connection[TupleRow]

CONNECT_TIMEOUT_S: Final = 5
STATEMENT_TIMEOUT_S: Final = 300
IDLE_TRANSACTION_TIMEOUT_S: Final = 600


class Role(StrEnum):
    """Who connects. What each may do is written in ``storage.migrations``."""

    OWNER = "v2g_owner"
    """Owns everything and cannot log in; an administrator becomes it to migrate."""
    INGEST = "v2g_ingest"
    """Lands packets."""
    SETTLE = "v2g_settle"
    """Judges, settles and books; reads everything."""
    POSTER = "v2g_poster"
    """Sends postings and stores receipts."""
    REGISTRY = "v2g_registry"
    """Invites, enrols, rotates and revokes keys; nothing else."""
    GUARD = "v2g_guard"
    """Commands limits because of batteries' temperatures, and records what became of them."""
    OPERATOR = "v2g_operator"
    """Decides about payouts: limits, approvals, holds, disputes, where notices go. Pays nothing."""
    READ = "v2g_read"
    """Reads everything, writes nothing."""


WRITERS: Final = frozenset(
    {Role.INGEST, Role.SETTLE, Role.POSTER, Role.REGISTRY, Role.GUARD, Role.OPERATOR}
)
LOGIN_ROLES: Final = (
    Role.INGEST,
    Role.SETTLE,
    Role.POSTER,
    Role.REGISTRY,
    Role.GUARD,
    Role.OPERATOR,
    Role.READ,
)


@dataclass(frozen=True, slots=True)
class Engine:
    """What runs behind a connection.

    Attributes:
        postgres: version of PostgreSQL, such as "18.6".
        timescale: version of the TimescaleDB extension in this database, or None.
        columnstore: whether TimescaleDB's columnstore may be used. Only its community licence
            has it; distributions ship the Apache licence.
    """

    postgres: str
    timescale: str | None
    columnstore: bool


def address(dsn: str) -> dict[str, Any]:
    """The parts of a libpq connection string. Raises UnusableAddressError."""
    try:
        parts = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # Without the cause, which quotes the string.
        raise UnusableAddressError from None
    return {name: value for name, value in parts.items() if value is not None}


def conninfo(dsn: str, role: Role) -> str:
    """The dsn with user, application name, session settings and time limits filled in.

    A user named by the dsn stays: where the administrator has given the role another login, or
    tests connect as somebody else. Keyword form, which libpq, psycopg and the ADBC driver accept.

    >>> parts = conninfo_to_dict(conninfo("host=/run/pg dbname=v2g", Role.READ))
    >>> parts["host"], parts["dbname"], parts["user"], parts["connect_timeout"]
    ('/run/pg', 'v2g', 'v2g_read', '5')
    """
    named = address(dsn)
    ours: dict[str, Any] = {
        "user": role.value,
        "application_name": role.value,
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 30_000,
    }
    settings = (
        "-c timezone=UTC"
        # Staged landing looks for the packets of others after waiting for them: it must see them.
        r" -c default_transaction_isolation=read\ committed"
        f" -c statement_timeout={STATEMENT_TIMEOUT_S}s"
        f" -c idle_in_transaction_session_timeout={IDLE_TRANSACTION_TIMEOUT_S}s"
    )
    options = f"{settings} {named.pop('options', '')}".strip()
    merged = named | {name: value for name, value in ours.items() if name not in named}
    return make_conninfo("", **merged, options=options)


def connect(dsn: str, role: Role) -> psycopg.Connection[TupleRow]:
    """Open a connection: UTC, read committed, no autocommit, every wait bounded.

    Args:
        dsn: libpq connection string (PostgreSQL manual, 32.1.1).
        role: who connects, unless the dsn names a user.

    Raises:
        DatabaseUnavailableError: no connection within ``CONNECT_TIMEOUT_S``, or it was refused.
        UnsafeDatabaseError: a role that writes meets a database that can lose commits.
    """
    try:
        conn = psycopg.connect(conninfo(dsn, role))
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(
            f"connecting as {role}", str(error), sqlstate=error.sqlstate or ""
        ) from error
    if role in WRITERS:
        try:
            check_durability(conn)
            conn.rollback()
        except BaseException:
            conn.close()
            raise
    return conn


def adbc_connect(dsn: str, role: Role) -> "dbapi.Connection":
    """Open an Arrow connection (ADBC) with the same settings and guarantees as ``connect``.

    Raises:
        DatabaseUnavailableError: no connection within ``CONNECT_TIMEOUT_S``, or it was refused.
        UnsafeDatabaseError: a role that writes meets a database that can lose commits.
    """
    # With pandas and pyarrow's data sets behind it, for 0.4 s: most processes never read a frame.
    from adbc_driver_postgresql import dbapi  # noqa: PLC0415

    try:
        conn = dbapi.connect(conninfo(dsn, role))
    except dbapi.Error as error:
        raise DatabaseUnavailableError(
            f"connecting as {role}", str(error), sqlstate=error.sqlstate or ""
        ) from error
    if role in WRITERS:
        try:
            with conn.cursor() as cursor:
                cursor.execute(_DURABILITY)
                _judge_durability(cursor.fetchall())
            conn.rollback()
        except BaseException:
            conn.close()
            raise
    return conn


_DURABILITY: Final = (
    "select name, setting from pg_catalog.pg_settings "
    "where name in ('fsync', 'full_page_writes', 'synchronous_commit') order by name"
)


def check_durability(conn: psycopg.Connection[Any]) -> None:
    """Refuse a database that can lose a transaction after it said COMMIT.

    ``synchronous_commit = local`` is accepted: it is durable on this server, and whether standbys
    must have it too is the operator's choice.

    Raises:
        UnsafeDatabaseError: fsync, full_page_writes or synchronous_commit is off.
    """
    _judge_durability(conn.execute(_DURABILITY).fetchall())


def _judge_durability(rows: Iterable[tuple[str, str]]) -> None:
    off = {name: setting for name, setting in rows if setting == "off"}
    if off:
        raise UnsafeDatabaseError(off)


def describe(conn: psycopg.Connection[Any]) -> Engine:
    """Versions, and whether the columnstore can be used. Starts a transaction on ``conn``."""
    row = conn.execute(
        """
        select current_setting('server_version'),
               (select extversion from pg_catalog.pg_extension where extname = 'timescaledb'),
               current_setting('timescaledb.license', true)
        """
    ).fetchone()
    if row is None:  # a SELECT without FROM has one row; this tells the type checker
        raise DatabaseUnavailableError("describing the engine", "no answer")
    version, timescale, licence = row
    return Engine(version.split()[0], timescale, timescale is not None and licence == "timescale")
