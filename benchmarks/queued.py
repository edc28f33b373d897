"""An outbox with many postings queued, put there by COPY, as if they had been booked and screened."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, LiteralString

from embedded.postgres import SUPERUSER, PostgresServer
from settlement.posting import Facts, Posting, compose
from storage.engine import Role, connect

PARTNER: Final = "clearinghouse"
BOOKED_AT: Final = datetime(2026, 7, 1, 12, tzinfo=UTC)

POSTING: Final[LiteralString] = (
    "copy posting (posting_id, settlement_id, partner, kind, account, currency, amount_minor, body,"
    " body_digest, created_at) from stdin (format binary)"
)
STATE: Final[LiteralString] = """
    insert into posting_state (posting_id, state, attempts, next_attempt_at, detail, changed_at,
                               screened_at)
    select posting_id, 'pending', 0, created_at, '', created_at, created_at from posting
    """


@contextmanager
def server() -> Iterator[PostgresServer]:
    """PostgreSQL of its own, in a temporary folder."""
    with (
        TemporaryDirectory(prefix="v2g-bench-") as name,
        PostgresServer(Path(name) / "postgres") as running,
    ):
        yield running


def queue(dsn: str, count: int) -> None:
    """Queue so many postings, due at once, and let the planner know."""
    with connect(f"{dsn} user={SUPERUSER}", Role.OWNER) as conn:
        with conn.cursor() as cursor, cursor.copy(POSTING) as copy:
            copy.set_types([*["text"] * 6, "int8", "bytea", "bytea", "timestamptz"])
            for one in _postings(count):
                copy.write_row(_row(one))
        conn.execute(STATE)
        conn.commit()
        conn.autocommit = True
        conn.execute("vacuum analyze posting, posting_state")


def _row(one: Posting) -> tuple[Any, ...]:
    return (
        one.posting_id, one.settlement_id, one.partner, one.kind, one.account, one.currency,
        one.amount_minor, one.body, one.body_digest, BOOKED_AT,
    )  # fmt: skip


def _postings(count: int) -> Iterator[Posting]:
    for number in range(count):
        yield compose(
            Facts(
                settlement_id=f"settlement-{number}",
                program="example-energy",
                event_id="evening",
                vehicle_id=f"VIN-{number:08}",
                kind="payout",
                account=f"account-{number:08}",
                currency="USD",
                amount_minor=100 + number % 900,
                period_started_at=BOOKED_AT - timedelta(hours=2),
                period_ended_at=BOOKED_AT,
            ),
            partner=PARTNER,
        )
