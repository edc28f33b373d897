"""The database: reachable, safe, prepared, and nobody in it with more rights than its work needs."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Final

from storage import examination
from storage.engine import DatabaseUnavailableError, Role, StorageError, connect
from storage.examination import Condition
from tasks.doctor.finding import Finding, State

POSTGRES_OLDEST: Final = 160_000
"""server_version_num of PostgreSQL 16."""
CONNECTIONS_WARN_PERCENT: Final = 90
TOLD_MOST: Final = 5
"""Excess rights that are named; of more the number is told."""

_ON: Final = ("fsync", "full_page_writes")
_ALTER: Final = "ALTER SYSTEM SET {} = {}; SELECT pg_reload_conf();"
_LOGIN: Final = (
    "start PostgreSQL; look at V2G_DATABASE_URL, and run this as the services' user: pg_hba.conf and"
    " pg_ident.conf say which user may take which role (infra/README.md, Database)"
)


def database(dsn: str) -> Sequence[Finding]:
    """All findings about the database, or the one that it cannot be reached.

    Args:
        dsn: libpq connection string, which may hold a password and is never shown; empty: not set.
    """
    expected = "a connection as v2g_read"
    if not dsn:
        repair = "set V2G_DATABASE_URL, or name the services' settings: --settings /etc/v2g/settlement.env"
        return (Finding("database", State.BAD, "V2G_DATABASE_URL is not set", expected, repair),)
    try:
        with closing(connect(dsn, Role.READ)) as conn:
            found = examination.condition(conn)
            way = "TLS" if found.encrypted else "local" if found.local else "plain"
            reached = f"PostgreSQL {found.engine.postgres}, {way}"
            return (
                _reached(found, reached),
                settings(found),
                timescale(found),
                migrations(examination.revision(conn), examination.newest_revision()),
                rights(
                    [*_absent(examination.missing_roles(conn)), *examination.excess_rights(conn)]
                ),
            )
    except DatabaseUnavailableError as error:
        # libpq's first line says what happened; the address in it has no password.
        said = error.found.strip().splitlines()[0]
        return (Finding("database", State.BAD, said, expected, _LOGIN),)
    except StorageError as error:
        return (Finding("database", State.BAD, f"{error}", expected, _LOGIN),)


def _reached(found: Condition, told: str) -> Finding:
    share = f"{found.connections} of {found.connections_max} connections"
    expected = "reachable as v2g_read, encrypted unless on this machine, with connections to spare"
    told = f"{told}, {share}"
    if not (found.local or found.encrypted):
        repair = (
            "sslmode=verify-full and sslrootcert=… in V2G_DATABASE_URL, ssl = on in postgresql.conf"
        )
        return Finding("database", State.BAD, told, expected, repair)
    if found.connections * 100 >= found.connections_max * CONNECTIONS_WARN_PERCENT:
        repair = "look at pg_stat_activity for whoever holds them; raise max_connections"
        return Finding("database", State.WARN, told, expected, repair)
    return Finding("database", State.OK, told, expected)


def settings(found: Condition) -> Finding:
    """Durability and version, which must be; checksums and password hashes, which should."""
    bad, warn, repairs = [], [], []
    has = found.settings
    for name in _ON:
        if has.get(name) != "on":
            bad.append(f"{name} = {has.get(name)}")
            repairs.append(_ALTER.format(name, "on"))
    if has.get("synchronous_commit") == "off":
        bad.append("synchronous_commit = off")
        repairs.append(_ALTER.format("synchronous_commit", "on"))
    if int(has.get("server_version_num", "0")) < POSTGRES_OLDEST:
        bad.append(f"PostgreSQL {found.engine.postgres}")
        repairs.append("update PostgreSQL to 16 or newer")
    if has.get("server_encoding") != "UTF8":
        bad.append(f"server_encoding = {has.get('server_encoding')}")
        repairs.append("make the database anew: createdb --template=template0 --encoding=UTF8")
    if has.get("data_checksums") != "on":
        warn.append("data_checksums = off")
        repairs.append("stop the server, pg_checksums --enable: a failing disk is noticed")
    if has.get("password_encryption") != "scram-sha-256":
        warn.append(f"password_encryption = {has.get('password_encryption')}")
        repairs.append(_ALTER.format("password_encryption", "'scram-sha-256'"))
    expected = "PostgreSQL 16 or newer in UTF8, no commit that can be lost, checksums"
    state = State.BAD if bad else State.WARN if warn else State.OK
    told = ", ".join([*bad, *warn]) or "as expected"
    return Finding("database settings", state, told, expected, " ".join(repairs))


def timescale(found: Condition) -> Finding:
    """The extension; without it everything works, on plain partitions."""
    expected = "TimescaleDB in this database"
    if found.engine.timescale is not None:
        told = f"{found.engine.timescale}, {'with' if found.engine.columnstore else 'without'} columnstore"
        return Finding("timescaledb", State.OK, told, expected)
    if not found.timescale_installed:
        told, repair = (
            "not installed",
            "install it for this PostgreSQL, or stay on plain partitions",
        )
    elif "timescaledb" not in found.settings.get("shared_preload_libraries", ""):
        told = "installed, and not preloaded"
        repair = "shared_preload_libraries = 'timescaledb', restart PostgreSQL, v2g migrate"
    else:
        told, repair = "preloaded, and not in this database", "v2g migrate, by an administrator"
    return Finding("timescaledb", State.WARN, told, expected, repair)


def migrations(found: str | None, newest: str) -> Finding:
    """The database is where this code expects it.

    >>> migrations("0019", "0021").repair
    'v2g migrate, by an administrator (infra/README.md, Database)'
    """
    expected = f"revision {newest}"
    if found == newest:
        return Finding("migrations", State.OK, f"revision {found}", expected)
    told = "no tables of ours" if found is None else f"revision {found}"
    if found is not None and found > newest:
        repair = "update this program: the database is ahead of it"
    else:
        repair = "v2g migrate, by an administrator (infra/README.md, Database)"
    return Finding("migrations", State.BAD, told, expected, repair)


def rights(excess: Sequence[str]) -> Finding:
    """Nobody may do more than its work."""
    expected = "each role its own work, facts that nobody changes, guards switched on"
    if not excess:
        return Finding("roles", State.OK, "as expected", expected)
    more = f", and {len(excess) - TOLD_MOST} more" if len(excess) > TOLD_MOST else ""
    repair = (
        "revoke what was granted by hand (REVOKE, ALTER ROLE, ALTER TABLE … ENABLE TRIGGER), then"
        " v2g migrate; ask who did it: v2g ledger verify finds what was changed"
    )
    return Finding("roles", State.BAD, f"{'; '.join(excess[:TOLD_MOST])}{more}", expected, repair)


def _absent(names: Sequence[str]) -> Iterator[str]:
    for name in names:
        yield f"{name} is not there"
