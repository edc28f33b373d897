"""Books that stood before accounts, seals and products came keep their money and get what is new."""

import json

import psycopg
import pytest

from storage.books import load_books
from storage.engine import Role, connect
from storage.migrate import downgrade, migrate
from tests.storage.booked import book

BEFORE = (
    "insert into settlement_run values ('run', now(), now(), now(), 'settled', '', '0', '{}')",
    """
    insert into settlement values
        ('s-1', 'tariff', 1, 'peak', 'car', 'USD', 3600000, 1285200, 129, 4800, 'booked', '', 1, 'run',
         129, now()),
        ('s-2', 'tariff', 1, 'peak', 'car', 'USD', 0, 0, 0, 0, 'booked', '', 2, 'run', -129, now())
    """,
    """
    insert into line values (now(), now(), 3600000, 7200, 120, 420000, 850000, 1265000, 1000000,
                             1285200, 's-1')
    """,
    "insert into journal_entry values ('s-1', 's-1', now(), now()), ('s-2', 's-2', now(), now())",
    """
    insert into journal_line values
        ('s-1', 'receivable:utility:tariff', 'USD', 129), ('s-1', 'payable:vehicle:car', 'USD', -129),
        ('s-2', 'receivable:utility:tariff', 'USD', -129), ('s-2', 'payable:vehicle:car', 'USD', 129)
    """,
)


def test_what_was_booked_to_a_vehicle_is_owed_to_the_account_that_was_paid(database: str) -> None:
    # given books of before: a payout, and its adjustment after the account had changed
    downgrade(database, "0006")
    with psycopg.connect(database, user="v2g") as conn:
        for statement in BEFORE:
            conn.execute(statement)
        for number, account in ((1, "alice"), (2, "bob")):
            body = json.dumps({"account": account}).encode()
            conn.execute(
                "insert into posting values (%s, %s, 'clearinghouse', 'USD', 129, %s, 'x', now())",
                [f"p-{number}", f"s-{number}", body],
            )
    # when
    migrate(database)
    # then
    with connect(database, Role.READ) as conn:
        assert conn.execute(
            "select account, balance_minor::int from account_balance order by 1"
        ).fetchall() == [
            ("payable:owner:alice", -129),
            ("payable:owner:bob", 129),
            ("receivable:utility:tariff", 0),
        ]
        assert conn.execute("select kind, account from posting order by 1 desc").fetchall() == [
            ("payout", "alice"),
            ("adjustment", "bob"),
        ]
        assert conn.execute(
            "select settlement_id, kind from journal_entry order by 1"
        ).fetchall() == [
            ("s-1", "payout"),
            ("s-2", "adjustment"),
        ]
        assert conn.execute(
            "select term, exported_milliwh, imported_milliwh, tiered_nanowh from line"
        ).fetchall() == [("energy", 3_600_000, 0, 3_600_000 * 1_265_000)]
        assert conn.execute(
            "select settlement_id, booking_no, contract_id from settlement order by booking_no"
        ).fetchall() == [("s-1", 1, ""), ("s-2", 2, "")]
        assert conn.execute("select kind, unpaid_of from settlement_run").fetchall() == [
            ("manual", "run")
        ]
        (booked,) = load_books(conn, ["peak"]).values()
        assert dict(booked.amounts) == {("owner", "alice"): 129, ("owner", "bob"): -129}
        assert (booked.settlement_id, booked.supersedes, booked.revision) == ("s-2", "s-1", 2)


def test_books_with_one_account_each_can_go_back_and_forth(database: str) -> None:
    # given bookings of now
    book(database, 101, 102)
    # when
    downgrade(database, "0006")
    # then
    with psycopg.connect(database, user="v2g") as conn:
        assert conn.execute(
            "select account, sum(amount_minor)::int from journal_line group by 1 order by 1"
        ).fetchall() == [
            ("payable:vehicle:car-101", -101),
            ("payable:vehicle:car-102", -102),
            ("receivable:utility:tariff", 203),
        ]


def test_facts_cannot_be_changed_after_the_step_that_changed_their_form(database: str) -> None:
    book(database, 101)
    with psycopg.connect(database, user="v2g", autocommit=True) as conn:
        for table in ("settlement_run", "line", "journal_entry", "journal_line", "posting"):
            with pytest.raises(psycopg.errors.RestrictViolation):
                conn.execute(f"delete from {table}")
