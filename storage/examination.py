"""How the database itself is: what `v2g doctor` asks. Reads the catalogue only, as the role that reads.

Whether a commit can be lost is asked again at every connection of a role that writes (storage.engine);
what stands here is told to people before something stops.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alembic.config import Config
from alembic.script import ScriptDirectory

from storage import tables
from storage.engine import LOGIN_ROLES, Connection, Engine, Role, describe

SETTINGS: Final = (
    "data_checksums",
    "fsync",
    "full_page_writes",
    "password_encryption",
    "server_encoding",
    "server_version_num",
    "shared_preload_libraries",
    "synchronous_commit",
)


@dataclass(frozen=True, slots=True)
class Condition:
    """What a connection sees of its database.

    Attributes:
        engine: versions.
        settings: those of ``SETTINGS`` by name, as the server writes them.
        encrypted: whether this connection is.
        local: whether it stays on this machine: a unix socket or loopback.
        connections: open now, of ours and of others.
        connections_max: that the server takes.
        timescale_installed: whether the server has the extension's files.
    """

    engine: Engine
    settings: Mapping[str, str]
    encrypted: bool
    local: bool
    connections: int
    connections_max: int
    timescale_installed: bool


def condition(conn: Connection) -> Condition:
    """Versions, settings and room of the server behind a connection."""
    rows = conn.execute(
        "select name, setting from pg_catalog.pg_settings where name = any (%s)", [list(SETTINGS)]
    ).fetchall()
    row = conn.execute(
        """
        select (select count(*) from pg_catalog.pg_stat_activity where backend_type = 'client backend'),
               current_setting('max_connections')::int,
               exists (select from pg_catalog.pg_available_extensions where name = 'timescaledb'),
               coalesce(inet_server_addr() <<= any (array['127.0.0.0/8', '::1/128']::inet[]), true)
        """
    ).fetchone()
    assert row is not None  # a SELECT without FROM has one row
    open_now, most, installed, local = row
    return Condition(
        engine=describe(conn),
        settings=dict(rows),
        encrypted=conn.pgconn.ssl_in_use,
        local=local,
        connections=open_now,
        connections_max=most,
        timescale_installed=installed,
    )


def revision(conn: Connection) -> str | None:
    """The migration at which the database is; None where ``v2g migrate`` was never run."""
    row = conn.execute("select to_regclass('public.alembic_version')").fetchone()
    if row is None or row[0] is None:
        return None
    found = conn.execute("select version_num from public.alembic_version").fetchone()
    return None if found is None else str(found[0])


def newest_revision() -> str:
    """The migration at which this code expects the database."""
    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None  # there are migrations
    return head


_FLAGS: Final = """
    select rolname || case
               when rolsuper then ' is a superuser'
               when rolcreaterole then ' may create roles'
               when rolcreatedb then ' may create databases'
               when rolreplication then ' may replicate'
               when rolbypassrls then ' bypasses row security'
               else ' can log in' end
    from pg_catalog.pg_roles
    where rolname = any (%(all)s)
      and (rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls
           or rolcanlogin and rolname = %(owner)s)
"""
_MEMBERS: Final = """
    select member.rolname || ' is a member of ' || granted.rolname
    from pg_catalog.pg_auth_members m
    join pg_catalog.pg_roles member on member.oid = m.member
    join pg_catalog.pg_roles granted on granted.oid = m.roleid
    where member.rolname = any (%(logins)s)
"""
_OWNED: Final = """
    select r.rolname || ' owns ' || c.relname
    from pg_catalog.pg_class c join pg_catalog.pg_roles r on r.oid = c.relowner
    where c.relnamespace = 'public'::regnamespace and r.rolname = any (%(logins)s)
"""
_CHANGES: Final = """
    select r || ' may change or delete rows of ' || t
    from unnest(%(there)s::text[]) r, unnest(%(facts)s::text[]) t
    where to_regclass('public.' || t) is not null
      and (has_table_privilege(r, 'public.' || t, 'UPDATE, DELETE, TRUNCATE')
           or has_any_column_privilege(r, 'public.' || t, 'UPDATE'))
"""
_PUBLIC: Final = """
    select 'everybody may use ' || c.relname
    from pg_catalog.pg_class c, lateral aclexplode(c.relacl) a
    where c.relnamespace = 'public'::regnamespace and a.grantee = 0
"""
_TRIGGERS: Final = """
    select 'the trigger ' || t.tgname || ' of ' || c.relname || ' is switched off'
    from pg_catalog.pg_trigger t join pg_catalog.pg_class c on c.oid = t.tgrelid
    where c.relnamespace = 'public'::regnamespace and not t.tgisinternal and t.tgenabled = 'D'
"""


def excess_rights(conn: Connection) -> list[str]:
    """What a role may do beyond its work, and guards that are off: a sentence each, none when all is well.

    Facts are inserted and never changed, nobody inherits from anybody, the owner does not log in, and
    what is not granted to a role of ours is granted to nobody.
    """
    there = conn.execute(
        "select rolname from pg_catalog.pg_roles where rolname = any (%s)",
        [[role.value for role in LOGIN_ROLES]],
    ).fetchall()
    values = {
        "all": [role.value for role in Role],
        "logins": [role.value for role in LOGIN_ROLES],
        "there": [name for (name,) in there],
        "owner": Role.OWNER.value,
        "facts": list(tables.APPEND_ONLY),
    }
    questions = (_FLAGS, _MEMBERS, _OWNED, _CHANGES, _PUBLIC, _TRIGGERS)
    return sorted({str(row[0]) for one in questions for row in conn.execute(one, values)})


def missing_roles(conn: Connection) -> list[str]:
    """Our roles that the server does not have."""
    rows = conn.execute("select rolname from pg_catalog.pg_roles").fetchall()
    return sorted({role.value for role in Role} - {str(name) for (name,) in rows})
