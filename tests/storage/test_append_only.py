"""Facts stay as they were recorded, for every role and for their owner."""

from itertools import product

import psycopg
import pytest

from storage import tables
from storage.engine import LOGIN_ROLES, Role, connect
from storage.landing import Lander
from tests.storage.made import NOON, arrival, packet

CHANGES = (
    "update {} set {} = {}",
    "delete from {}",
    "delete from {} where false",
    "truncate {} cascade",
)
RECEIPT = "insert into receipt values ('p', 1, now(), 'accepted', 200, '')"


def statement(change, table, name=None):
    column = next(iter(tables.metadata.tables[table].columns)).name
    return change.format(name or table, column, column)


@pytest.fixture
def owner(database):
    with psycopg.connect(database, user="v2g", autocommit=True) as conn:
        conn.execute("set role v2g_owner")
        yield conn


@pytest.mark.parametrize("is_owner", [True, False], ids=["owner", "administrator"])
def test_neither_owner_nor_administrator_can_change_a_fact(database, is_owner):
    with psycopg.connect(database, user="v2g", autocommit=True) as conn:
        if is_owner:
            conn.execute("set role v2g_owner")
        for table, change in product(tables.APPEND_ONLY, CHANGES):
            with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
                conn.execute(statement(change, table))


def test_no_role_may_change_a_fact(database):
    for role in LOGIN_ROLES:
        with connect(database, role) as conn:
            conn.autocommit = True
            for table, change in product(tables.APPEND_ONLY, CHANGES):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute(statement(change, table))


def test_an_insert_cannot_turn_into_an_update(owner):
    owner.execute(RECEIPT)

    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(
            f"{RECEIPT} on conflict (posting_id, attempt) do update set detail = 'changed'"
        )
    with pytest.raises(psycopg.errors.RestrictViolation):
        owner.execute(
            "merge into receipt r using (values ('p')) v (id) on r.posting_id = v.id when matched then delete"
        )


def parts_of(owner, table):
    """The partitions or chunks with rows of a time series."""
    return [
        part
        for (part,) in owner.execute(
            f"select distinct tableoid::regclass::text from {table}"
        ).fetchall()
    ]


def test_a_part_of_a_time_series_cannot_be_changed_behind_its_back(database, owner):
    lander = Lander(database)
    lander.land([arrival(packet("A", 1))])
    lander.close()
    [part] = parts_of(owner, "raw_packet")
    assert part != "raw_packet"

    for change in CHANGES[:2]:
        with pytest.raises(psycopg.errors.RestrictViolation):
            owner.execute(statement(change, "raw_packet", part))

    assert owner.execute("select count(*) from raw_packet").fetchone() == (1,)


def test_a_partition_cannot_be_truncated(plain_database):
    lander = Lander(plain_database)
    lander.land([arrival(packet("A", 1))])
    lander.close()

    with psycopg.connect(plain_database, user="v2g", autocommit=True) as conn:
        conn.execute("set role v2g_owner")
        for part in ("raw_packet_20260629", "raw_packet_default", "reading_default"):
            with pytest.raises(psycopg.errors.RestrictViolation):
                conn.execute(f"truncate {part}")


def test_the_state_of_a_posting_is_what_moves(database):
    with connect(database, Role.SETTLE) as settle:
        settle.execute(
            "insert into posting_state values ('p', 'pending', 0, now(), null, '', now())"
        )

    with connect(database, Role.POSTER) as poster:
        moved = poster.execute(
            "update posting_state set state = 'sent', attempts = 1 where posting_id = 'p'"
        )

        assert moved.rowcount == 1


def test_a_key_can_be_ended_but_not_rewritten(database):
    with connect(database, Role.REGISTRY) as registry:
        registry.autocommit = True
        registry.execute("insert into key_claim values ('der', 'k', 'A', '', %s)", [NOON])
        registry.execute(
            "insert into device_key values ('k', 'A', 'ES256', 'der', %s, null, null, %s, '', '')",
            [NOON, NOON],
        )

        ending = "update device_key set revoked_at = now(), valid_to = now()"
        assert registry.execute(ending).rowcount == 1
        for rewriting in (
            "update device_key set public_key = 'other'",
            "update device_key set evse_id = 'B'",
            "delete from device_key",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                registry.execute(rewriting)
