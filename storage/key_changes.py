"""What every change to the registry of keys has in common: one at a time, by somebody, on record.

StorageError
└── KeyRefusedError   the registry does not do what was asked
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from storage.engine import Connection, Role, connect
from storage.errors import DatabaseUnavailableError, StorageError

NAME_MAX_CHARS: Final = 100
REASON_MAX_CHARS: Final = 500
HISTORY_MAX: Final = 1000
WAIT_S: Final = 10
"""How long a change waits for the one before it."""

STATEMENT_S: Final = 30

_REGISTRY: Final = 0x7632_675F_6B65


class Refusal(StrEnum):
    """Why the registry does not do what was asked."""

    INVALID = "invalid"
    """What was given cannot be used, whatever stands in the registry."""
    UNKNOWN = "unknown"
    """No such key, enrolment, invitation or nonce."""
    TAKEN = "taken"
    """The public key, the EVSE or the meter has another place in the registry."""
    STATE = "state"
    """The key or the enrolment is not in a state in which that can be done."""
    SAME_PERSON = "same_person"
    """Two people are needed, and this is the first one again."""


class KeyRefusedError(StorageError):
    """The registry does not do what was asked. Nothing was changed.

    Attributes:
        why: in one word.
        where: the key, enrolment or field.
        found: what is wrong.
        expected: what would be right, or what to do.
    """

    def __init__(self, why: Refusal, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self.why = why
        self.where = where
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Change:
    """One audited change, as it stands in ``key_change``.

    Attributes:
        change: what was done: invited, proven, approved, rejected, enrolled, imported, rotated,
            shortened or revoked.
        before: what the record said; None where there was none.
        after: what it says since.
    """

    change_id: int
    changed_at: datetime
    changed_by: str
    change: str
    key_id: str | None
    enrolment_id: str | None
    evse_id: str
    reason: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]


@contextmanager
def registry(dsn: str) -> Iterator[Connection]:
    """A transaction as ``v2g_registry``, committed at the end unless something was raised.

    Raises:
        DatabaseUnavailableError: no connection, or no end within ``STATEMENT_S``; nothing is changed.
        UnsafeDatabaseError: the database could lose what it commits.
    """
    try:
        with connect(dsn, Role.REGISTRY) as conn:
            conn.execute(sql.SQL("set statement_timeout = {}").format(f"{STATEMENT_S}s"))
            yield conn
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(
            "the registry of keys", str(error), sqlstate=error.sqlstate or ""
        ) from error


def reading(conn: Connection) -> None:
    """Before keys are read for judging: no change is under way until the transaction ends.

    So that a packet received after a key was revoked cannot be judged with the key as it was before.
    """
    conn.execute("select pg_advisory_xact_lock_shared(%s)", [_REGISTRY])


def changing(conn: Connection, clock: Callable[[], datetime]) -> datetime:
    """Before anything is changed: the time of the change. Changes come one after the other.

    Args:
        conn: as ``v2g_registry``, not in autocommit mode; the caller commits.
        clock: gives now, in UTC; read when nobody reads or changes keys any more.
    """
    conn.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(f"{WAIT_S}s")))
    conn.execute("select pg_advisory_xact_lock(%s)", [_REGISTRY])
    return clock()


def person(name: str) -> str:
    """A name that may stand under a change, without white space around it. Raises KeyRefusedError."""
    return printable("by", name, "the name of who does this", NAME_MAX_CHARS)


def said(reason: str) -> str:
    """A reason that may stand beside a change. Raises KeyRefusedError."""
    return printable("reason", reason, "why, in a few words", REASON_MAX_CHARS)


def printable(where: str, value: str, expected: str, longest: int) -> str:
    """The value without white space around it. Raises KeyRefusedError unless it can be shown."""
    stripped = value.strip()
    if not stripped or len(stripped) > longest or not stripped.isprintable():
        raise KeyRefusedError(
            Refusal.INVALID,
            where,
            repr(value[:80]),
            f"{expected}: 1 to {longest} printable characters",
        )
    return stripped


def plain(facts: Mapping[str, object]) -> dict[str, object]:
    """Facts as JSON keeps them: times in RFC 3339, bytes in hexadecimal."""
    return {name: _plain(value) for name, value in facts.items()}


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return value.hex() if isinstance(value, bytes) else value


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written of one change; see ``Change``."""

    change: str
    evse_id: str
    after: Mapping[str, object]
    before: Mapping[str, object] | None = None
    key_id: str | None = None
    enrolment_id: str | None = None
    reason: str = ""


def record(conn: Connection, entries: list[Entry], *, by: str, at: datetime) -> None:
    """Write down changes, in their order, in the transaction that makes them."""
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into key_change
                (changed_at, changed_by, change, key_id, enrolment_id, evse_id, reason, before, after)
            values (%s, %s, %s, %s, %s, %s, %s, %s, %s)
            """,
            [
                (
                    at,
                    by,
                    one.change,
                    one.key_id,
                    one.enrolment_id,
                    one.evse_id,
                    one.reason,
                    None if one.before is None else Jsonb(plain(one.before)),
                    Jsonb(plain(one.after)),
                )
                for one in entries
            ],
        )


def history(
    conn: Connection, *, key_id: str = "", evse_id: str = "", limit: int = HISTORY_MAX
) -> list[Change]:
    """Changes, the latest first: of one key, of one EVSE, or all; at most ``HISTORY_MAX``."""
    with conn.cursor(row_factory=class_row(Change)) as cursor:
        cursor.execute(
            """
            select change_id, changed_at, changed_by, change, key_id, enrolment_id, evse_id, reason,
                   before, after
            from key_change
            where (%(key_id)s = '' or key_id = %(key_id)s)
              and (%(evse_id)s = '' or evse_id = %(evse_id)s)
            order by change_id desc limit %(limit)s
            """,
            {"key_id": key_id, "evse_id": evse_id, "limit": max(1, min(limit, HISTORY_MAX))},
        )
        return cursor.fetchall()
