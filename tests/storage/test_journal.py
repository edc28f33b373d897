"""Double entry, held by the database: no entry stands whose lines do not sum to zero."""

import psycopg
import pytest

from storage.engine import Role, connect

SETTLE, OWNER, ADMINISTRATOR = "settle", "owner", "administrator"


@pytest.fixture(params=[SETTLE, OWNER, ADMINISTRATOR])
def books(request, database):
    """Everybody who can write to the journal."""
    conn = (
        connect(database, Role.SETTLE)
        if request.param == SETTLE
        else psycopg.connect(database, user="v2g")
    )
    with conn:
        conn.autocommit = True
        if request.param == OWNER:
            conn.execute("set role v2g_owner")
        yield conn


def lines(*values):
    return "insert into journal_line values " + ", ".join(
        f"('{entry}', '{account}', '{currency}', {amount})"
        for entry, account, currency, amount in values
    )


def test_a_balanced_entry_stands(books):
    books.execute(lines(("e", "utility", "USD", -377), ("e", "owner", "USD", 377)))

    assert books.execute("select sum(amount_minor) from journal_line").fetchone() == (0,)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(
            [("e", "utility", "USD", -377), ("e", "owner", "USD", 376)], id="a cent short"
        ),
        pytest.param([("e", "owner", "USD", 377)], id="one side only"),
        pytest.param(
            [("e", "utility", "USD", -5), ("e", "owner", "EUR", 5)], id="across currencies"
        ),
        pytest.param([("e", "utility", "USD", -5), ("f", "owner", "USD", 5)], id="across entries"),
        pytest.param(
            [("e", "utility", "USD", -5), ("e", "owner", "USD", 5), ("f", "utility", "USD", 1)],
            id="one of two entries",
        ),
        pytest.param(
            [("e", "a", "USD", 2**63 - 1), ("e", "b", "USD", 2**63 - 1), ("e", "c", "USD", 2)],
            id="that would wrap around to zero",
        ),
    ],
)
def test_an_entry_that_does_not_balance_is_refused(books, values):
    with pytest.raises(psycopg.errors.CheckViolation, match="does not balance"):
        books.execute(lines(*values))

    assert books.execute("select count(*) from journal_line").fetchone() == (0,)


def test_two_statements_that_only_balance_together_are_refused(books):
    def book_in_two_steps():
        with books.transaction():
            books.execute(lines(("e", "utility", "USD", -377)))
            books.execute(lines(("e", "owner", "USD", 377)))

    with pytest.raises(psycopg.errors.CheckViolation):
        book_in_two_steps()

    assert books.execute("select count(*) from journal_line").fetchone() == (0,)


def test_copy_is_held_to_the_same(books):
    def copy_one_line():
        with books.cursor() as cursor, cursor.copy("copy journal_line from stdin") as copy:
            copy.write_row(("e", "owner", "USD", 1))

    with pytest.raises(psycopg.errors.CheckViolation):
        copy_one_line()


def test_no_other_role_may_book(database):
    for role in (Role.INGEST, Role.POSTER, Role.READ):
        with connect(database, role) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(lines(("e", "utility", "USD", -377), ("e", "owner", "USD", 377)))
