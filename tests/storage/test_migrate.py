"""The migrated database is what ``storage.tables`` says, and can be taken down and put up again."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import NullPool, create_engine

from embedded.postgres import create_database
from storage import tables
from storage.engine import Role, connect, describe
from storage.migrate import downgrade, migrate, prepare
from storage.migrations import versions

COLUMNS = """
    select table_name, column_name, data_type, is_nullable
    from information_schema.columns where table_schema = %s and table_name = any (%s)
"""
CONSTRAINTS = """
    select conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid)
    from pg_constraint where connamespace = %s::regnamespace and contype in ('p', 'u', 'c')
"""
STEPS = sorted(
    path.name[:4] for path in Path(versions.__file__).parent.glob("[0-9][0-9][0-9][0-9]_*.py")
)
OBJECTS = """
    select relname from pg_class c where relnamespace = 'public'::regnamespace
        and not exists (select from pg_depend d where d.objid = c.oid and d.deptype = 'e')
    union all
    select proname from pg_proc p where pronamespace = 'public'::regnamespace
        and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    union all
    select typname from pg_type t where typnamespace = 'public'::regnamespace and typrelid = 0 and typelem = 0
        and not exists (select from pg_depend d where d.objid = t.oid and d.deptype = 'e')
"""


@pytest.fixture
def mirrored(database):
    """A connection to a database that also has the tables of the metadata, in a schema "mirror"."""
    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(database, user="v2g"),
        poolclass=NullPool,
    )
    with engine.begin() as conn:
        conn.exec_driver_sql("create schema mirror")
        tables.metadata.create_all(conn.execution_options(schema_translate_map={None: "mirror"}))
    with psycopg.connect(database, user="v2g") as conn:
        yield conn


def test_every_column_is_as_in_the_metadata(mirrored):
    names = list(tables.metadata.tables)

    migrated = set(mirrored.execute(COLUMNS, ("public", names)))

    assert migrated == set(mirrored.execute(COLUMNS, ("mirror", names)))
    assert len({table for table, *_ in migrated}) == len(names)


def test_every_key_and_check_is_as_in_the_metadata(mirrored):
    def constraints(schema):
        rows = mirrored.execute(CONSTRAINTS, (schema,)).fetchall()
        return {
            (table.removeprefix("mirror."), *rest)
            for table, *rest in rows
            if table.removeprefix("mirror.") in tables.metadata.tables
        }

    assert constraints("public") == constraints("mirror")


def test_there_is_no_table_beside_the_metadata(database):
    with psycopg.connect(database, user="v2g") as conn:
        found = conn.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p') and not relispartition"
        ).fetchall()

    assert {name for (name,) in found} == {*tables.metadata.tables, "alembic_version"}


def test_everything_belongs_to_the_owner(database):
    with psycopg.connect(database, user="v2g") as conn:
        strangers = conn.execute(
            f"select relname from pg_class where relname in ({OBJECTS}) and relnamespace = 'public'::regnamespace"
            " and relowner <> 'v2g_owner'::regrole"
        ).fetchall()

    assert strangers == []


def test_time_series_are_cut_into_weeks_in_the_engines_own_way(database):
    with psycopg.connect(database, user="v2g") as conn:
        if describe(conn).timescale:
            series = conn.execute(
                "select hypertable_name, column_name, time_interval from timescaledb_information.dimensions"
            ).fetchall()
            assert {(name, column, span.days) for name, column, span in series} == {
                ("raw_packet", "signed_at", 7),
                ("reading", "started_at", 7),
                ("temperature", "measured_at", 7),
                ("thermal_sample", "measured_at", 7),
            }
        else:
            series = conn.execute(
                "select partrelid::regclass::text from pg_partitioned_table"
            ).fetchall()
            assert {name for (name,) in series} == set(tables.TIME_SERIES)


def test_down_leaves_nothing_and_up_again_gives_the_same(database):
    def objects():
        with psycopg.connect(database, user="v2g") as conn:
            return sorted(name for (name,) in conn.execute(OBJECTS))

    before = objects()
    downgrade(database, "base")
    between = objects()
    migrate(database)

    assert between == []
    assert objects() == before
    with connect(database, Role.READ) as conn:
        assert conn.execute("select count(*) from raw_packet").fetchone() == (0,)


@pytest.mark.parametrize("revision", STEPS[:-1])
def test_every_step_can_be_undone_and_done_again(database, revision):
    downgrade(database, revision)
    with psycopg.connect(database, user="v2g") as conn:
        assert conn.execute("select version_num from alembic_version").fetchall() == [(revision,)]

    migrate(database)

    with psycopg.connect(database, user="v2g") as conn:
        assert conn.execute("select version_num from alembic_version").fetchall() == [(STEPS[-1],)]


def test_migrating_twice_changes_nothing(plain_database):
    migrate(plain_database)
    prepare(plain_database)

    with connect(plain_database, Role.READ) as conn:
        assert conn.execute("select count(*) from alembic_version").fetchone() == (1,)


def test_two_administrators_at_once_make_one_schema(plain_postgres):
    dsn = create_database(plain_postgres, "migrated_by_two")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(migrate, [dsn, dsn]))

    with connect(dsn, Role.READ) as conn:
        assert conn.execute("select count(*) from alembic_version").fetchone() == (1,)
