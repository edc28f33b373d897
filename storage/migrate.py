"""Create the database's contents, or bring them up to date: an administrator's work.

``prepare`` makes what belongs to the server and the database rather than to the schema: the roles,
who may connect, and the TimescaleDB extension where the server has it. ``migrate`` prepares, becomes
the owner, and runs the steps in ``storage.migrations`` in one transaction.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from psycopg.conninfo import make_conninfo
from sqlalchemy import NullPool, create_engine

from storage.engine import CONNECT_TIMEOUT_S, LOGIN_ROLES, Role, address
from storage.errors import DatabaseUnavailableError

SUPERUSER: Final = "v2g"
"""The embedded server's administrator; used where the dsn names no user."""

LOCK_TIMEOUT_S: Final = 30
_ONE_AT_A_TIME: Final = "select pg_advisory_xact_lock(hashtextextended('storage.migrate', 0))"
"""Two administrators at once: the second waits here, then finds nothing to do."""
STAGING_ROLES: Final = (Role.INGEST, Role.SETTLE)
"""Roles that stage rows in temporary tables."""


def _administrator(dsn: str) -> psycopg.Connection[Any]:
    named = address(dsn)
    ours = {
        "user": SUPERUSER,
        "application_name": "v2g_migrate",
        "connect_timeout": CONNECT_TIMEOUT_S,
    }
    options = (
        f"-c timezone=UTC -c lock_timeout={LOCK_TIMEOUT_S}s {named.pop('options', '')}".strip()
    )
    merged: dict[str, Any] = ours | named
    try:
        return psycopg.connect(make_conninfo("", **merged, options=options))
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(
            "connecting to migrate", str(error), sqlstate=error.sqlstate or ""
        ) from error


def prepare(dsn: str) -> None:
    """Roles, rights on the database, and the TimescaleDB extension; twice is as good as once.

    A database copied from a template has the template's tables and their privileges, but not the
    rights on the database itself: prepare the copy too.

    Args:
        dsn: libpq connection string of an administrator (who may create roles).

    Raises:
        DatabaseUnavailableError: no connection.
    """
    with _administrator(dsn) as conn:
        conn.execute(_ONE_AT_A_TIME)
        for role in Role:
            _create_role(conn, role)
        # Creating a role does not let a CREATEROLE administrator become it (PostgreSQL 16 and later).
        if conn.execute(
            "select from pg_catalog.pg_roles where rolname = current_user and not rolsuper"
        ).rowcount:
            conn.execute(sql.SQL("grant {} to current_user").format(sql.Identifier(Role.OWNER)))
        database = sql.Identifier(conn.info.dbname)
        logins = sql.SQL(", ").join(map(sql.Identifier, LOGIN_ROLES))
        staging = sql.SQL(", ").join(map(sql.Identifier, STAGING_ROLES))
        owner = sql.Identifier(Role.OWNER)
        for statement in (
            "revoke all on database {database} from public",
            "grant connect on database {database} to {logins}",
            "grant temporary on database {database} to {staging}",
            "revoke all on schema public from public",
            "grant usage on schema public to {logins}",
            "grant usage, create on schema public to {owner}",
        ):
            conn.execute(
                sql.SQL(statement).format(
                    database=database, logins=logins, staging=staging, owner=owner
                )
            )
        if _can_have_timescale(conn):
            conn.execute("create extension if not exists timescaledb")


def _create_role(conn: psycopg.Connection[Any], role: Role) -> None:
    """A role without any right of its own. Roles belong to the server, so another database may
    create the same ones at this moment: losing that race is success.
    """
    if conn.execute("select from pg_catalog.pg_roles where rolname = %s", (role.value,)).rowcount:
        return
    login = sql.SQL("nologin" if role is Role.OWNER else "login")
    try:
        with conn.transaction():
            conn.execute(
                sql.SQL(
                    "create role {} {} nosuperuser nocreatedb nocreaterole noinherit noreplication"
                ).format(sql.Identifier(role), login)
            )
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        pass


def _can_have_timescale(conn: psycopg.Connection[Any]) -> bool:
    """Installed on the server, and loaded by it: without shared_preload_libraries it cannot run."""
    row = conn.execute(
        r"""
        select exists (select from pg_catalog.pg_available_extensions where name = 'timescaledb')
           and 'timescaledb' = any (
               regexp_split_to_array(current_setting('shared_preload_libraries'), '\s*,\s*'))
        """
    ).fetchone()
    return row is not None and bool(row[0])


@contextmanager
def _alembic(dsn: str) -> Iterator[Config]:
    """An Alembic configuration on one connection that acts as the owner."""
    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: _administrator(dsn), poolclass=NullPool
    )
    with engine.begin() as connection:
        connection.exec_driver_sql(_ONE_AT_A_TIME)
        connection.exec_driver_sql(f"set local role {Role.OWNER}")
        connection.exec_driver_sql("set local search_path = public")
        config.attributes["connection"] = connection
        yield config


def migrate(dsn: str, *, revision: str = "head") -> None:
    """Bring the database up to a revision, in one transaction.

    Args:
        dsn: libpq connection string of an administrator; without a user, the embedded server's.
        revision: of ``storage.migrations``; the newest unless named.

    Raises:
        DatabaseUnavailableError: no connection.
    """
    prepare(dsn)
    with _alembic(dsn) as config:
        command.upgrade(config, revision)


def downgrade(dsn: str, revision: str) -> None:
    """Go back to a revision, in one transaction; "base" leaves no object of ours in the database.

    Every fact in the tables that go is destroyed. Roles, rights on the database and the TimescaleDB
    extension stay: other databases, or others in this one, may use them.

    Raises:
        DatabaseUnavailableError: no connection.
    """
    with _alembic(dsn) as config:
        command.downgrade(config, revision)
        if revision == "base":
            config.attributes["connection"].exec_driver_sql(
                "drop table if exists public.alembic_version"
            )
