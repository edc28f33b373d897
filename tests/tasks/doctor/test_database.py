"""The database, as it should be and spoilt in each way, on a real server."""

from dataclasses import replace

import psycopg
import pytest

from storage import examination, migrate
from storage.engine import Engine, Role, connect
from tasks.doctor import database as doctor
from tasks.doctor.database import settings, timescale
from tasks.doctor.finding import State


def looked(dsn: str) -> dict[str, tuple[State, str]]:
    return {one.check: (one.state, one.found) for one in doctor.database(dsn)}


@pytest.fixture
def administrator(plain_database):
    with psycopg.connect(plain_database, user="v2g", autocommit=True) as conn:
        yield conn


def test_a_migrated_database_is_as_it_should_be(database):
    found = looked(database)

    assert found["database"][0] is State.OK
    assert found["migrations"] == (State.OK, f"revision {examination.newest_revision()}")
    assert found["roles"] == (State.OK, "as expected")
    assert found["database settings"][0] is not State.BAD
    assert set(found) == {"database", "database settings", "timescaledb", "migrations", "roles"}


def test_a_database_that_is_not_there_is_told_without_its_password():
    (found,) = doctor.database("host=/nowhere dbname=v2g password=hunter2")

    assert found.state is State.BAD
    assert "/nowhere" in found.found
    assert "hunter2" not in str(found)


@pytest.mark.parametrize("dsn", ["", "postgrez://me:hunter2@there"])
def test_an_address_that_is_none_is_told_and_not_quoted(dsn):
    (found,) = doctor.database(dsn)

    assert found.state is State.BAD
    assert "V2G_DATABASE_URL" in found.found + found.repair
    assert "hunter2" not in str(found)


def test_a_database_without_our_tables_or_behind_this_code_is_told(plain_database):
    migrate.downgrade(plain_database, "0018")
    assert looked(plain_database)["migrations"] == (State.BAD, "revision 0018")

    migrate.downgrade(plain_database, "base")
    assert looked(plain_database)["migrations"] == (State.BAD, "no tables of ours")


@pytest.mark.parametrize(
    ("spoil", "told", "mend"),
    [
        ("grant update on settlement to v2g_read", "v2g_read may change or delete rows of settlement", ""),
        ("grant update (amount_minor) on settlement to v2g_poster", "v2g_poster may change", ""),
        ("grant select on raw_packet to public", "everybody may use raw_packet", ""),
        ("alter table receipt owner to v2g_poster", "v2g_poster owns receipt", ""),
        ("grant v2g_settle to v2g_read", "v2g_read is a member of v2g_settle", "revoke v2g_settle from v2g_read"),
        ("alter role v2g_ingest createdb", "v2g_ingest may create databases", "alter role v2g_ingest nocreatedb"),
        ("alter role v2g_owner login", "v2g_owner can log in", "alter role v2g_owner nologin"),
        ("alter table settlement disable trigger user", "is switched off", ""),
    ],
)  # fmt: skip
def test_a_right_too_many_is_named(plain_database, administrator, spoil, told, mend):
    administrator.execute(spoil)
    try:
        state, found = looked(plain_database)["roles"]
    finally:
        if mend:  # roles belong to the server
            administrator.execute(mend)

    assert state is State.BAD
    assert told in found


def test_a_role_that_is_not_there_is_named(plain_database):
    with connect(plain_database, Role.READ) as conn:
        assert examination.missing_roles(conn) == []
    assert "v2g_guard is not there" in doctor.rights([*doctor._absent(["v2g_guard"])]).found


@pytest.fixture
def condition(plain_database):
    with connect(plain_database, Role.READ) as conn:
        found = examination.condition(conn)
    return replace(
        found,
        settings={
            **found.settings,
            "data_checksums": "on",
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            "password_encryption": "scram-sha-256",
        },
    )


@pytest.mark.parametrize(
    ("name", "value", "state"),
    [
        ("fsync", "off", State.BAD),
        ("full_page_writes", "off", State.BAD),
        ("synchronous_commit", "off", State.BAD),
        ("synchronous_commit", "local", State.OK),
        ("server_version_num", "150004", State.BAD),
        ("server_encoding", "SQL_ASCII", State.BAD),
        ("data_checksums", "off", State.WARN),
        ("password_encryption", "md5", State.WARN),
    ],
)
def test_each_setting_is_held_against_what_it_should_be(condition, name, value, state):
    # given a server with one thing otherwise
    other = replace(condition, settings={**condition.settings, name: value})

    found = settings(other)

    assert found.state is state
    assert bool(found.repair) is (state is not State.OK)
    assert settings(condition).state is State.OK


def test_a_setting_that_a_session_really_has_is_seen(administrator):
    administrator.execute("set synchronous_commit = off")

    assert settings(examination.condition(administrator)).state is State.BAD


def test_other_machines_are_reached_encrypted_and_with_connections_to_spare(condition):
    far = replace(condition, local=False, encrypted=False)
    full = replace(condition, connections=99, connections_max=100)

    assert doctor._reached(far, "").state is State.BAD
    assert doctor._reached(replace(far, encrypted=True), "").state is State.OK
    assert doctor._reached(full, "").state is State.WARN


def test_without_the_extension_the_next_step_is_told(condition):
    none = replace(condition, engine=Engine("18", None, columnstore=False))
    there = replace(condition, engine=Engine("18", "2.30.0", columnstore=True))
    preloaded = {**condition.settings, "shared_preload_libraries": "timescaledb"}

    assert timescale(there).state is State.OK
    assert "not installed" in timescale(replace(none, timescale_installed=False)).found
    assert "preload" in timescale(replace(none, timescale_installed=True)).repair
    last = timescale(replace(none, timescale_installed=True, settings=preloaded))
    assert last.repair.startswith("v2g migrate")
