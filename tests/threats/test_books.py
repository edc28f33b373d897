"""S24, S25 and S26: whoever gets at the database, as one of its roles or as its superuser."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from random import Random

import psycopg
import pytest
from psycopg import sql

from embedded.postgres import SUPERUSER
from storage.engine import LOGIN_ROLES, Role, connect
from tasks.ledger import close_period, verify_ledger
from tests.storage.booked import NOON, book

MONEY = ("settlement", "line", "journal_entry", "journal_line", "posting", "receipt", "seal")
LEDGER = ("settlement", "line", "journal_entry", "journal_line")
BOOKINGS = tuple(range(101, 113))
ATTACKS = (
    "update {} set {column} = {column}",
    "delete from {}",
    "truncate {} cascade",
    "alter table {} disable trigger all",
    "drop table {} cascade",
    "create trigger mine before insert on {} for each row execute function refuse_change()",
)
"""The six of reliability §4.2, for each table about money."""
LATER = NOON + timedelta(days=1)
TRICKS = (
    "set session_replication_role = replica",
    "set role v2g_owner",
    "set session authorization v2g",
    "create function mine() returns int language sql security definer as 'select 1'",
    "copy (select 1) to program 'true'",
)


@pytest.fixture
def kept(plain_database: str, tmp_path: Path) -> Path:
    """Twelve bookings under two seals, both written to a place that the database cannot reach."""
    copy = tmp_path / "seals.ndjson"
    for numbers in (BOOKINGS[:6], BOOKINGS[6:]):
        book(plain_database, *numbers)
        close_period(plain_database, clock=lambda: LATER, out=copy)
    return copy


def test_s24_no_role_can_change_what_is_booked_or_lift_itself_above_its_rights(
    plain_database: str, kept: Path
) -> None:
    with psycopg.connect(plain_database, user=SUPERUSER) as conn:
        columns = {
            table: conn.execute(sql.SQL("select * from {} limit 0").format(sql.Identifier(table)))
            .description
            for table in MONEY
        }  # fmt: skip
    for role in LOGIN_ROLES:
        with connect(plain_database, role) as conn:
            conn.autocommit = True
            attacks = [
                attack.format(table, column=(columns[table] or [])[0].name)
                for table in MONEY
                for attack in ATTACKS
            ]
            for attack in [*attacks, *TRICKS]:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    conn.execute(attack)
    assert verify_ledger(plain_database, against=kept).finding is None


def test_s24_a_superuser_past_every_trigger_is_found_by_the_seals(
    plain_database: str, kept: Path
) -> None:
    # given a superuser, before whom the triggers stand as before everybody
    with psycopg.connect(plain_database, user=SUPERUSER, autocommit=True) as conn:
        with pytest.raises(psycopg.errors.RestrictViolation):
            conn.execute("delete from line")
        # when it switches them off
        conn.execute("set session_replication_role = replica")
        assert conn.execute("delete from line where settlement_id = 'settlement-105'").rowcount
    # then the rows are gone, and the seals name the booking
    finding = verify_ledger(plain_database).finding
    assert finding is not None
    assert finding.settlement_id == "settlement-105"


def edited(conn: psycopg.Connection, random: Random) -> None:
    """One figure of one row."""
    table, column = random.choice(
        [
            ("settlement", "amount_minor"),
            ("settlement", "energy_milliwh"),
            ("line", "amount_micros"),
        ]
    )
    _one_of(conn, table, random, f"update {table} set {column} = {column} + 1")


def deleted(conn: psycopg.Connection, random: Random) -> None:
    """One row."""
    table = random.choice(LEDGER)
    _one_of(conn, table, random, f"delete from {table}")


def swapped(conn: psycopg.Connection, random: Random) -> None:
    """The amounts of two bookings."""
    first, second = random.sample(BOOKINGS, 2)
    conn.execute(
        "update settlement s set amount_minor = o.amount_minor from settlement o where"
        " (s.settlement_id, o.settlement_id) in ((%(a)s, %(b)s), (%(b)s, %(a)s))",
        {"a": f"settlement-{first}", "b": f"settlement-{second}"},
    )


def moved(conn: psycopg.Connection, random: Random) -> None:
    """A payee's line of the journal goes to another account."""
    _one_of(conn, "journal_line", random, "update journal_line set account = account || 'x'")


TAMPERINGS: tuple[Callable[[psycopg.Connection, Random], None], ...] = (
    edited, deleted, swapped, moved,
)  # fmt: skip
TIMES = 10


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda one: one.__name__)
def test_s25_whatever_a_superuser_changes_the_external_seal_finds(
    plain_database: str, kept: Path, tamper: Callable[[psycopg.Connection, Random], None]
) -> None:
    with psycopg.connect(plain_database, user=SUPERUSER) as conn:
        conn.execute("set session_replication_role = replica")
        for table in LEDGER:
            conn.execute(f"create table kept_{table} as table {table}")
        conn.commit()
        for seed in range(TIMES):
            # when something is changed
            tamper(conn, Random(seed))
            conn.commit()
            # then it is found, whatever it was
            assert verify_ledger(plain_database, against=kept).finding is not None, seed
            # and put back, nothing is
            for table in LEDGER:
                conn.execute(f"truncate {table}")
                conn.execute(f"insert into {table} overriding system value table kept_{table}")
            conn.commit()
        assert verify_ledger(plain_database, against=kept).finding is None


def test_s25_an_old_backup_that_is_put_back_is_found_by_the_external_seal(
    plain_postgres, plain_database: str, tmp_path: Path
) -> None:
    # given a backup from between two seals
    copy = tmp_path / "seals.ndjson"
    book(plain_database, *BOOKINGS[:6])
    close_period(plain_database, clock=lambda: LATER, out=copy)
    name = psycopg.conninfo.conninfo_to_dict(plain_database)["dbname"]
    backup = f"backup_{name}"
    with psycopg.connect(plain_postgres.dsn(), user=SUPERUSER, autocommit=True) as conn:
        conn.execute(
            sql.SQL("create database {} template {}").format(
                sql.Identifier(backup), sql.Identifier(str(name))
            )
        )
        conn.execute(
            sql.SQL("grant connect on database {} to public").format(sql.Identifier(backup))
        )
    try:
        book(plain_database, *BOOKINGS[6:])
        close_period(plain_database, clock=lambda: LATER, out=copy)
        # when it takes the place of the database: whole in itself, and older than what was sealed
        restored = plain_postgres.dsn(backup)
        assert verify_ledger(restored).finding is None
        # then the file that lies elsewhere knows more than the database does
        assert verify_ledger(restored, against=copy).finding is not None
    finally:
        with psycopg.connect(plain_postgres.dsn(), user=SUPERUSER, autocommit=True) as conn:
            conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(backup)))


def test_s26_money_from_nowhere_is_refused_for_every_role_and_for_the_superuser(
    plain_database: str, kept: Path
) -> None:
    insert = (
        "insert into journal_line values"
        " ('settlement-101:more', 'receivable:utility:tariff', 'USD', -500),"
        " ('settlement-101:more', 'payable:owner:mallory', 'USD', 501)"
    )
    for role in LOGIN_ROLES:
        with connect(plain_database, role) as conn:
            expected = (
                psycopg.errors.CheckViolation
                if role is Role.SETTLE
                else psycopg.errors.InsufficientPrivilege
            )
            with pytest.raises(expected):
                conn.execute(insert)
    for lower in ("reset role", "set role v2g_owner"):
        with psycopg.connect(plain_database, user=SUPERUSER) as conn:
            conn.execute(lower)
            with pytest.raises(psycopg.errors.CheckViolation, match="does not balance"):
                conn.execute(insert)
    assert verify_ledger(plain_database, against=kept).finding is None


def _one_of(conn: psycopg.Connection, table: str, random: Random, statement: str) -> None:
    rows = conn.execute(f"select ctid::text from {table} order by 1").fetchall()
    where = f"{statement} where ctid = %s::tid"
    assert conn.execute(where, random.choice(rows)).rowcount == 1
