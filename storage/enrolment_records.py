"""Enrolments as they are kept: found by their id or their invitation, listed, written to the history."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from psycopg.rows import class_row

from storage import key_changes
from storage.engine import Connection
from storage.key_changes import Entry, KeyRefusedError, Refusal

LISTED_MAX: Final = 1000
STATES: Final = ("invited", "pending", "approved", "rejected")

_COLUMNS: Final = (
    "enrolment_id, evse_id, meter_id, client_id, algorithm, replaces, overlap_s, invited_by,"
    " invited_at, expires_at, state, key_id, public_key, proven_at, decided_by, decided_at"
)


@dataclass(frozen=True, slots=True)
class Enrolment:
    """An invitation and what became of it; see ``storage.tables.keys.key_enrolment``."""

    enrolment_id: str
    evse_id: str
    meter_id: str
    client_id: str
    algorithm: str
    replaces: str
    overlap_s: int
    invited_by: str
    invited_at: datetime
    expires_at: datetime
    state: str
    key_id: str | None
    public_key: bytes | None
    proven_at: datetime | None
    decided_by: str | None
    decided_at: datetime | None


def found(conn: Connection, enrolment_id: str) -> Enrolment:
    """An enrolment by its id. Raises KeyRefusedError: UNKNOWN."""
    # What cannot be shown cannot be looked for, either: no id is empty.
    wanted = enrolment_id if enrolment_id.isprintable() else ""
    return _one(conn, "enrolment_id = %s", wanted, f"enrolment {wanted[:80]}")


def listed(conn: Connection, *, state: str = "") -> list[Enrolment]:
    """Enrolments, the latest first, in one state or all; at most ``LISTED_MAX``."""
    with conn.cursor(row_factory=class_row(Enrolment)) as cursor:
        cursor.execute(
            f"select {_COLUMNS} from key_enrolment where %(state)s in ('', state)"
            " order by invited_at desc, enrolment_id limit %(limit)s",
            {"state": state, "limit": LISTED_MAX},
        )
        return cursor.fetchall()


def _one(conn: Connection, condition: str, value: object, where: str) -> Enrolment:
    with conn.cursor(row_factory=class_row(Enrolment)) as cursor:
        row = cursor.execute(
            f"select {_COLUMNS} from key_enrolment where {condition}".encode(), [value]
        ).fetchone()
    if row is None:
        raise KeyRefusedError(Refusal.UNKNOWN, where, "unknown here", "one that was given out here")
    return row


def by_invitation(conn: Connection, invitation: str) -> Enrolment:
    """The enrolment that a token is for. Raises KeyRefusedError: UNKNOWN, without the token, which is a
    secret until it has been used.
    """
    return _one(conn, "invitation_digest = %s", digest(invitation), "invitation")


def digest(token: str) -> bytes:
    """As which a token or nonce is kept: long and random, so a plain SHA-256 does."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()


def record(
    conn: Connection,
    change: str,
    after: Enrolment,
    *,
    by: str,
    at: datetime,
    before: Enrolment | None = None,
    reason: str = "",
) -> None:
    """Write a change of an enrolment into the history, in the transaction that makes it."""
    entry = Entry(
        change,
        after.evse_id,
        _facts(after),
        before=None if before is None else _facts(before),
        key_id=after.key_id,
        enrolment_id=after.enrolment_id,
        reason=reason,
    )
    key_changes.record(conn, [entry], by=by, at=at)


def _facts(enrolment: Enrolment) -> dict[str, object]:
    return {name: getattr(enrolment, name) for name in Enrolment.__slots__}
