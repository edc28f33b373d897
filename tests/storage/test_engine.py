import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from storage.engine import (
    WRITERS,
    DatabaseUnavailableError,
    Role,
    UnsafeDatabaseError,
    adbc_connect,
    check_durability,
    connect,
    conninfo,
    describe,
)
from storage.landing import Lander
from tests.storage.made import arrivals

SESSION = (
    "select current_user::text, current_setting('timezone'), current_setting('transaction_isolation'),"
    " current_setting('statement_timeout'), current_setting('application_name')"
)


@pytest.mark.parametrize("role", [role for role in Role if role is not Role.OWNER])
def test_both_ways_of_connecting_give_the_same_session(plain_database, role):
    with connect(plain_database, role) as conn:
        ours = conn.execute(SESSION).fetchone()
        assert conn.autocommit is False

    with adbc_connect(plain_database, role) as conn, conn.cursor() as cursor:
        cursor.execute(SESSION)
        assert cursor.fetchall() == [ours]
    assert ours == (role.value, "UTC", "read committed", "5min", role.value)


def test_a_user_and_options_named_by_the_dsn_stay():
    dsn = r"host=h user=v2g options='-c work_mem=8MB' application_name='a \'b\''"

    parts = conninfo_to_dict(conninfo(dsn, Role.READ))

    assert (parts["user"], parts["application_name"]) == ("v2g", "a 'b'")
    assert str(parts["options"]).endswith(" -c work_mem=8MB")


def test_a_url_serves_as_well_as_keywords():
    parts = conninfo_to_dict(conninfo("postgresql://host.example:5433/v2g", Role.SETTLE))

    assert (parts["host"], parts["port"], parts["dbname"], parts["user"]) == (
        "host.example",
        "5433",
        "v2g",
        "v2g_settle",
    )


@pytest.mark.parametrize("open_connection", [connect, adbc_connect])
def test_no_server_is_said_with_what_was_tried(tmp_path, open_connection):
    with pytest.raises(DatabaseUnavailableError, match="connecting as v2g_read") as caught:
        open_connection(f"host={tmp_path} dbname=v2g", Role.READ)

    assert str(tmp_path) in caught.value.found


class TestDurability:
    @pytest.fixture
    def forgetful(self, plain_database):
        """A database whose sessions do not wait for the disk."""
        with psycopg.connect(plain_database, user="v2g", autocommit=True) as conn:
            conn.execute(f"alter database {conn.info.dbname} set synchronous_commit = off")
        return plain_database

    @pytest.mark.parametrize("role", sorted(WRITERS))
    @pytest.mark.parametrize("open_connection", [connect, adbc_connect])
    def test_who_writes_is_refused(self, forgetful, open_connection, role):
        with pytest.raises(UnsafeDatabaseError, match="set synchronous_commit = on") as caught:
            open_connection(forgetful, role)

        assert caught.value.settings == {"synchronous_commit": "off"}

    def test_who_reads_is_not(self, forgetful):
        with connect(forgetful, Role.READ) as conn:
            assert conn.execute("select 1").fetchone() == (1,)

    def test_landing_stores_nothing_there(self, forgetful):
        with pytest.raises(UnsafeDatabaseError):
            Lander(forgetful).land(arrivals(1, 1))

    @pytest.mark.parametrize("value", ["on", "local", "remote_write", "remote_apply"])
    def test_every_setting_that_reaches_the_disk_is_accepted(self, plain_database, value):
        with connect(plain_database, Role.READ) as conn:
            conn.execute(f"set synchronous_commit = {value}")

            check_durability(conn)

    @pytest.mark.parametrize("setting", ["fsync", "full_page_writes"])
    def test_a_server_that_skips_the_disk_is_refused(self, plain_database, setting):
        with psycopg.connect(plain_database, user="v2g", autocommit=True) as administrator:
            administrator.execute(f"alter system set {setting} = off")
            administrator.execute("select pg_reload_conf()")
            try:
                with psycopg.connect(plain_database, user="v2g") as conn:
                    _wait_for(conn, setting, "off")
                with pytest.raises(UnsafeDatabaseError, match=f"{setting} = off"):
                    connect(plain_database, Role.INGEST)
            finally:
                administrator.execute(f"alter system reset {setting}")
                administrator.execute("select pg_reload_conf()")
                with psycopg.connect(plain_database, user="v2g") as conn:
                    _wait_for(conn, setting, "on")


def _wait_for(conn, setting, value):
    """A reload reaches sessions between statements; the query itself waits, up to ten seconds."""
    for _ in range(100):
        if conn.execute("select current_setting(%s)", [setting]).fetchone() == (value,):
            return
        conn.rollback()
        conn.execute("select pg_sleep(0.1)")
    raise AssertionError(f"{setting} did not become {value}")


def test_the_engine_describes_itself(database, postgres):
    with connect(database, Role.READ) as conn:
        engine = describe(conn)

    assert engine.postgres == postgres.engine.removeprefix("PostgreSQL ").partition(" ")[0]
    assert bool(engine.timescale) is ("TimescaleDB" in postgres.engine)
    assert engine.columnstore is False
