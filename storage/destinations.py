"""Where notices go: every attempt to say so, in order, and the one that counts.

What is stored is never changed: the last row that took effect counts, and one whose test call failed
leaves the one before in force. Token and secret come in sealed and leave sealed; this module could not
open them.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import class_row

from storage.engine import Connection, Role, connect
from storage.errors import DatabaseUnavailableError

HISTORY_MAX: Final = 1000
STATEMENT_S: Final = 30

_COLUMNS: Final = "destination_id, number, url, addresses, outcome, detail, changed_by, changed_at"


class Outcome(StrEnum):
    """What became of an attempt to send notices elsewhere."""

    IN_FORCE = "in_force"
    """The test call succeeded: notices go there until a later one takes effect."""
    TEST_FAILED = "test_failed"
    """The test call failed: nothing has changed."""


@dataclass(frozen=True, slots=True)
class Destination:
    """An attempt to say where notices go, without its secrets.

    Attributes:
        number: counted from 1 over all attempts.
        url: where to.
        addresses: what the host's name gave then; no other address is called.
        detail: what the test call came to.
    """

    destination_id: UUID
    number: int
    url: str
    addresses: Sequence[str]
    outcome: Outcome
    detail: str
    changed_by: str
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Sealed:
    """A destination's token and signing secret, under the key of ``tasks.notices.sealing``."""

    token: bytes
    secret: bytes


@contextmanager
def operating(dsn: str) -> Iterator[Connection]:
    """A transaction as ``v2g_operator``, committed at the end unless something was raised.

    Raises:
        DatabaseUnavailableError: no connection, or no end within ``STATEMENT_S``; nothing is changed.
        UnsafeDatabaseError: the database could lose what it commits.
    """
    try:
        with connect(dsn, Role.OPERATOR) as conn:
            conn.execute(sql.SQL("set statement_timeout = {}").format(f"{STATEMENT_S}s"))
            yield conn
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(
            "notices", str(error), sqlstate=error.sqlstate or ""
        ) from error


def record(
    conn: Connection,
    destination_id: UUID,
    *,
    url: str,
    addresses: Sequence[str],
    outcome: Outcome,
    detail: str,
    sealed: Sealed | None,
    by: str,
    at: datetime,
) -> Destination:
    """Write down an attempt, in the caller's transaction, after all those before it.

    Args:
        conn: as ``v2g_operator``.
        destination_id: under which its secrets were sealed.
        url: where to.
        addresses: to be called, and no others.
        outcome: of the test call.
        detail: the same in words.
        sealed: its secrets where it takes effect; None otherwise.
        by: who wants it.
        at: when.
    """
    # Two at once get two numbers, and the later one counts.
    conn.execute("select pg_advisory_xact_lock(hashtextextended('storage.destinations', 0))")
    with conn.cursor(row_factory=class_row(Destination)) as cursor:
        row = cursor.execute(
            f"""
            insert into webhook_destination ({_COLUMNS}, sealed_token, sealed_secret)
            select %(id)s, coalesce(max(number), 0) + 1, %(url)s, %(addresses)s::text[],
                   %(outcome)s, %(detail)s, %(by)s, %(at)s, %(token)s, %(secret)s
            from webhook_destination
            returning {_COLUMNS}
            """,
            {
                "id": destination_id,
                "url": url,
                "addresses": list(addresses),
                "outcome": outcome.value,
                "detail": detail,
                "by": by,
                "at": at,
                "token": sealed and sealed.token,
                "secret": sealed and sealed.secret,
            },
        ).fetchone()
    assert row is not None
    return row


def current(conn: Connection) -> Destination | None:
    """Where notices go now; None where nobody has said so yet."""
    with conn.cursor(row_factory=class_row(Destination)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from webhook_destination where outcome = 'in_force'"
            " order by number desc limit 1"
        ).fetchone()


def sealed(conn: Connection, destination_id: UUID) -> Sealed:
    """The secrets of a destination that took effect, sealed."""
    with conn.cursor(row_factory=class_row(Sealed)) as cursor:
        row = cursor.execute(
            "select sealed_token as token, sealed_secret as secret from webhook_destination"
            " where destination_id = %s and outcome = 'in_force'",
            [destination_id],
        ).fetchone()
    if row is None:
        raise LookupError(f"destination {destination_id} never took effect")
    return row


def history(conn: Connection, *, limit: int = HISTORY_MAX) -> list[Destination]:
    """Every attempt, the latest first; at most ``HISTORY_MAX``."""
    with conn.cursor(row_factory=class_row(Destination)) as cursor:
        return cursor.execute(
            f"select {_COLUMNS} from webhook_destination order by number desc limit %s",
            [max(1, min(limit, HISTORY_MAX))],
        ).fetchall()
