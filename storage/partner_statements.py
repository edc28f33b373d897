"""What partners and banks say was paid: their files as they came, and what each line of them says.

A file is stored once, by its digest. An operator brings it; who reconciles reads it.

Errors:
    StorageError
    ├── StatementTakenError   the same file stands under another partner or way
    └── NoSuchStatementError  an id that names none, or several
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID, uuid5

from psycopg import OperationalError

from settlement.periods import Period
from settlement.reconciling import Status, Theirs, Way
from storage.engine import Connection, Role, connect
from storage.errors import DatabaseUnavailableError, StorageError

NAMESPACE: Final = UUID("8f1d7b60-3a52-5d0c-b7c9-52e1f0a4e683")
LISTED_MAX: Final = 1_000


class StatementTakenError(StorageError):
    """The file was imported before, as another partner's or for another way."""

    def __init__(self, statement_id: str, partner: str, way: str) -> None:
        super().__init__(
            f"the same file is stored as statement {statement_id} of {partner!r} ({way}); expected a file"
            " of one partner and one way"
        )
        self.statement_id = statement_id


class NoSuchStatementError(StorageError):
    """No statement has this id."""

    def __init__(self, statement_id: str) -> None:
        super().__init__(
            f"no statement {statement_id!r}; expected an id as `v2g reconcile show` has it"
        )


class Line(NamedTuple):
    """One line of a statement, as read; see ``reconciling.Theirs``. ``detail``: the partner's words."""

    number: int
    status: Status
    reference: str
    posting_id: str
    account: str
    currency: str
    amount_minor: int
    booked_at: datetime
    detail: str


class Refusal(NamedTuple):
    """A row that cannot be read: its number in the file, where, what was found and expected."""

    number: int
    column: str
    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A file of a partner or a bank.

    Attributes:
        statement_id: follows from the digest.
        way: "api" or "file": how what it lists was ordered.
        format: "csv" or "camt.054.001.NN".
        reference: what its sender calls it; may be empty.
        period: what it covers.
        name: of the file it came in.
    """

    statement_id: str
    digest: bytes
    partner: str
    way: str
    format: str
    reference: str
    period: Period
    name: str
    imported_by: str
    imported_at: datetime


def statement_id_of(digest: bytes) -> str:
    """The id of the file with this SHA-256 (UUIDv5, RFC 9562 §5.5)."""
    return str(uuid5(NAMESPACE, digest.hex()))


@contextmanager
def operating(dsn: str) -> Iterator[Connection]:
    """A connection of whoever decides about payouts, in one transaction.

    Raises:
        DatabaseUnavailableError: nothing is known to be stored.
    """
    with connect(dsn, Role.OPERATOR) as conn:
        try:
            yield conn
            conn.commit()
        except OperationalError as error:
            raise DatabaseUnavailableError(
                "statements and disputes", str(error), sqlstate=error.sqlstate or ""
            ) from error


def store(
    conn: Connection,
    statement: Statement,
    content: bytes,
    lines: Sequence[Line],
    refusals: Sequence[Refusal],
) -> bool:
    """Store a statement with its lines, in the caller's transaction.

    Returns:
        False where it is stored already; nothing is added then.

    Raises:
        StatementTakenError: the file stands under another partner or way.
    """
    fresh = conn.execute(
        """
        insert into partner_statement (statement_id, digest, partner, way, format, reference,
            period_started_at, period_ended_at, content, name, imported_by, imported_at)
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing
        """,
        [
            statement.statement_id, statement.digest, statement.partner, statement.way,
            statement.format, statement.reference, statement.period.started_at,
            statement.period.ended_at, content, statement.name, statement.imported_by,
            statement.imported_at,
        ],
    ).rowcount  # fmt: skip
    if not fresh:
        stored = find(conn, statement.statement_id)
        if (stored.partner, stored.way) != (statement.partner, statement.way):
            raise StatementTakenError(stored.statement_id, stored.partner, stored.way)
        return False
    with conn.cursor() as cursor:
        with cursor.copy(
            "copy statement_line (statement_id, number, status, reference, posting_id, account,"
            " currency, amount_minor, booked_at, detail) from stdin"
        ) as copy:
            for line in lines:
                copy.write_row((statement.statement_id, *line))
        with cursor.copy(
            "copy statement_refusal (statement_id, number, column_name, found, expected) from stdin"
        ) as copy:
            for refusal in refusals:
                copy.write_row((statement.statement_id, *refusal))
    return True


_COLUMNS: Final = """
    statement_id, digest, partner, way, format, reference, period_started_at, period_ended_at, name,
    imported_by, imported_at
"""


def find(conn: Connection, statement_id: str) -> Statement:
    """A statement by its id, or the beginning of it. Raises NoSuchStatementError."""
    rows = conn.execute(
        f"select {_COLUMNS} from partner_statement where starts_with(statement_id, %s) limit 2",
        [statement_id],
    ).fetchall()
    if len(rows) != 1 or not statement_id:
        raise NoSuchStatementError(statement_id)
    return _statement(rows[0])


def listed(conn: Connection, *, partner: str = "") -> list[Statement]:
    """The latest ``LISTED_MAX`` statements, of one partner or of all, the latest first."""
    rows = conn.execute(
        f"""
        select {_COLUMNS} from partner_statement where %(partner)s in ('', partner)
        order by imported_at desc, statement_id limit {LISTED_MAX}
        """,
        {"partner": partner},
    ).fetchall()
    return [_statement(row) for row in rows]


def _statement(row: Sequence[Any]) -> Statement:
    start, end = row[6:8]
    return Statement(*(row[0], bytes(row[1]), *row[2:6], Period(start, end), *row[8:]))


def content_of(conn: Connection, statement_id: str) -> bytes:
    """The file, byte for byte. Raises NoSuchStatementError."""
    row = conn.execute(
        "select content from partner_statement where statement_id = %s", [statement_id]
    ).fetchone()
    if row is None:
        raise NoSuchStatementError(statement_id)
    return bytes(row[0])


def refusals_of(conn: Connection, statement_id: str) -> list[Refusal]:
    """What of a statement could not be read, in its order."""
    rows = conn.execute(
        """
        select number, column_name, found, expected from statement_refusal
        where statement_id = %s order by number
        """,
        [statement_id],
    ).fetchall()
    return [Refusal(*row) for row in rows]


def line_of(conn: Connection, statement_id: str, number: int) -> Line | None:
    """One line of a statement; None where there is none."""
    row = conn.execute(
        """
        select number, status, reference, posting_id, account, currency, amount_minor, booked_at,
               detail
        from statement_line where statement_id = %s and number = %s
        """,
        [statement_id, number],
    ).fetchone()
    return None if row is None else Line(row[0], Status(row[1]), *row[2:])


def lines_in(conn: Connection, partner: str, way: str, period: Period) -> list[Theirs]:
    """What a partner says it booked in a period, in all of its statements.

    And every line of the statements that cover no more than this period: a date has no zone, and a
    partner may list what it booked a day outside of what it says it lists.
    """
    return _lines(
        conn,
        "s.partner = %(partner)s and s.way = %(way)s"
        " and (l.booked_at >= %(start)s and l.booked_at < %(end)s"
        " or s.period_started_at >= %(start)s and s.period_ended_at <= %(end)s)",
        {"partner": partner, "way": way, "start": period.started_at, "end": period.ended_at},
    )


def lines_about(conn: Connection, partner: str, postings: Collection[str]) -> list[Theirs]:
    """What a partner or its bank ever said about these postings."""
    return _lines(
        conn,
        "s.partner = %(partner)s and l.posting_id = any(%(postings)s)",
        {"partner": partner, "postings": sorted(postings)},
    )


def _lines(conn: Connection, condition: str, parameters: dict[str, object]) -> list[Theirs]:
    rows = conn.execute(
        f"""
        select l.statement_id, l.number, l.status, l.reference, l.posting_id, l.account, l.currency,
               l.amount_minor, l.booked_at, s.way, s.imported_at
        from statement_line l join partner_statement s using (statement_id)
        where {condition}
        """,
        parameters,
    ).fetchall()
    return [
        Theirs(*(one, number, Status(status), *rest, Way(way), imported_at))
        for one, number, status, *rest, way, imported_at in rows
    ]
