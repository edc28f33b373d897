"""Postings for tests, the echo that a clearinghouse owes for one, and a database to keep them in."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql

from embedded.postgres import SUPERUSER, PostgresServer, create_database
from settlement.posting import Facts, Posting, compose
from storage.migrate import migrate

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)


def facts(number: int = 1, **changes: Any) -> Facts:
    given: dict[str, Any] = {
        "settlement_id": f"settlement-{number}",
        "program": "example-energy",
        "event_id": "evening",
        "vehicle_id": f"vehicle-{number}",
        "kind": "payout",
        "account": f"account-{number}",
        "currency": "USD",
        "amount_minor": 100 + number,
        "period_started_at": NOON,
        "period_ended_at": NOON + timedelta(hours=1),
    }
    return Facts(**(given | changes))


def posting(number: int = 1, *, partner: str = "clearinghouse", **changes: Any) -> Posting:
    return compose(facts(number, **changes), partner=partner)


def postings(count: int) -> list[Posting]:
    """Every tenth takes money back."""
    return [posting(n, amount_minor=-n if n % 10 == 0 else 100 + n) for n in range(1, count + 1)]


def echo(of: Posting, **changes: Any) -> bytes:
    """The right answer, changed; None leaves a field out."""
    fields = {
        "posting_id": of.posting_id,
        "amount_minor": str(of.amount_minor),
        "currency": of.currency,
        "digest": of.body_digest.hex(),
        "status": "accepted",
    } | changes
    return json.dumps({name: value for name, value in fields.items() if value is not None}).encode()


@contextmanager
def outbox_database(server: PostgresServer) -> Iterator[str]:
    """A migrated database for the tests of one file, which ``empty`` between them."""
    name = f"outbox_{uuid4().hex}"
    dsn = create_database(server, name)
    migrate(dsn)
    yield dsn
    with psycopg.connect(server.dsn(), user=SUPERUSER, autocommit=True) as conn:
        conn.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def empty(dsn: str) -> None:
    """Forget all postings: the administrator's right, past the triggers that keep them for ever."""
    with psycopg.connect(dsn, user=SUPERUSER) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("truncate posting, posting_state, receipt, partner_lane, lane_change")


def clear(dsn: str) -> None:
    """Let everything that is booked be sent, as if it had been screened: the administrator's word."""
    with psycopg.connect(dsn, user=SUPERUSER) as conn:
        conn.execute("update posting_state set screened_at = changed_at where screened_at is null")
