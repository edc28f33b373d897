"""What stands in the database about a disputed payment: the posting as sent, and every answer to it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import dict_row

from storage.engine import Connection
from storage.errors import StorageError


class NoSuchPostingError(StorageError):
    """No posting has this id."""

    def __init__(self, posting_id: str) -> None:
        super().__init__(f"no posting {posting_id!r}; expected the id of one of ours")


@dataclass(frozen=True, slots=True)
class Sent:
    """A posting with its body, byte for byte, and how far it has come.

    Attributes:
        vehicle_id: of its settlement, with ``event_id``; None where no settlement stands behind it.
        file_id: of the file of payouts that it stands in; None where it stands in none.
    """

    posting_id: str
    settlement_id: str
    partner: str
    kind: str
    account: str
    currency: str
    amount_minor: int
    body: bytes
    body_digest: bytes
    created_at: datetime
    state: str
    detail: str
    changed_at: datetime
    vehicle_id: str | None
    event_id: str | None
    file_id: str | None


def sent(conn: Connection, posting_id: str) -> Sent:
    """A posting as it was, or is to be, sent. Raises NoSuchPostingError."""
    row = conn.execute(
        """
        select p.posting_id, p.settlement_id, p.partner, p.kind, p.account, p.currency,
               p.amount_minor, p.body, p.body_digest, p.created_at, s.state, s.detail, s.changed_at,
               b.vehicle_id, b.event_id, f.file_id
        from posting p join posting_state s using (posting_id)
             left join settlement b using (settlement_id)
             left join payout_file_line f using (posting_id)
        where p.posting_id = %s
        """,
        [posting_id],
    ).fetchone()
    if row is None:
        raise NoSuchPostingError(posting_id)
    return Sent(*(*row[:7], bytes(row[7]), bytes(row[8]), *row[9:]))


def receipts(conn: Connection, posting_id: str) -> list[dict[str, Any]]:
    """Every answer to a posting, in the order of the attempts."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            select attempt, answered_at, outcome, http_status, detail from receipt
            where posting_id = %s order by attempt
            """,
            [posting_id],
        ).fetchall()


def lock(conn: Connection, posting_id: str) -> None:
    """Let nobody else open a dispute about this posting until the caller's transaction ends."""
    conn.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"dispute:{posting_id}"])
