"""A database with booked, screened postings in every state, and what a partner or a bank says of them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from settlement.periods import Period
from settlement.posting import Outcome, Posting, State
from storage import outbox
from storage.engine import Role, connect
from tasks.reconciling.importing import Imported, import_statement
from tests.postings import NOON, clear, posting

JULY = Period(datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 8, 1, tzinfo=UTC))
AUGUST = datetime(2026, 8, 20, tzinfo=UTC)
"""When statements come: after every tolerance."""

HEADER = "posting_id,account,currency,amount_minor,paid_at,reference,status"


def clock() -> datetime:
    return AUGUST


def row(one: Posting, number: int = 1, status: str = "paid", **changes: Any) -> str:
    """A line of the partner's statement about a posting, as it is or changed."""
    cells: dict[str, Any] = {
        "posting_id": one.posting_id,
        "account": one.account,
        "currency": one.currency,
        "amount_minor": one.amount_minor,
        "paid_at": "2026-07-01T18:00:05Z",
        "reference": f"CH-{number:010}",
        "status": status,
    } | changes
    return ",".join(str(cell) for cell in cells.values())


def statement(rows: Iterable[str], header: str = HEADER) -> bytes:
    return "".join(f"{line}\r\n" for line in (header, *rows)).encode()


class Scene:
    """Postings and statements of one database."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn

    def post(self, postings: Sequence[Posting]) -> None:
        """Book and screen postings; they are pending."""
        with connect(self.dsn, Role.SETTLE) as conn:
            outbox.enqueue(conn, postings, NOON)
            conn.commit()
        clear(self.dsn)

    def in_state(self, number: int, state: State, **changes: Any) -> Posting:
        """A posting that came to a state in July, with the receipt that goes with it."""
        made = posting(number, **changes)
        self.post([made])
        outcome = {
            State.ACKNOWLEDGED: Outcome.ACKNOWLEDGED,
            State.REJECTED: Outcome.REJECTED,
            State.UNKNOWN: Outcome.NO_ANSWER,
            State.DISPUTED: Outcome.ECHO_DIFFERS,
            State.PARKED: Outcome.CONFLICT,
        }.get(state)
        if outcome is not None:
            self.do(
                "update posting_state set state = %s, attempts = 1, changed_at = %s where posting_id = %s",
                state.value, NOON, made.posting_id,
            )  # fmt: skip
            self.do(
                "insert into receipt values (%s, 1, %s, %s, 200, 'answer')",
                made.posting_id, NOON, outcome.value,
            )  # fmt: skip
        return made

    def bring(self, data: bytes, name: str = "july.csv", **changes: Any) -> Imported:
        """Import a statement, as an operator would."""
        given: dict[str, Any] = {
            "partner": "clearinghouse",
            "by": "anna",
            "clock": clock,
            "tolerance": timedelta(days=2),
            "period": JULY,
        }
        return import_statement(self.dsn, name, data, **(given | changes))

    def states(self) -> dict[str, str]:
        return dict(self.ask("select posting_id, state from posting_state"))

    def do(self, query: str, *values: object) -> None:
        """What only an administrator may."""
        with psycopg.connect(self.dsn, user="v2g") as conn:
            conn.execute(query, values)

    def ask(self, query: str, *values: object) -> list[Any]:
        with psycopg.connect(self.dsn, user="v2g") as conn:
            return conn.execute(query, values).fetchall()
