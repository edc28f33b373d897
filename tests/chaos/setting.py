"""What every trial has: postings that are booked and screened, and a partner that misbehaves."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import psycopg

from embedded.postgres import SUPERUSER
from settlement.posting import Backoff, Posting, State
from simulators.clearinghouse import Misbehaviour
from storage import outbox
from storage.engine import Role, connect
from tests.postings import clear, posting

TOKEN = "secret"
FINAL = (State.ACKNOWLEDGED, State.REJECTED)
BACKOFF = Backoff(first=timedelta(milliseconds=20), cap=timedelta(milliseconds=250))

FAULTY = Misbehaviour(
    slow=0.04, error=0.09, lost_ack=0.08, too_many=0.002, wrong_echo=0.05, html=0.03,
    truncated=0.05, drip=0.008, huge=0.005, error_after=0.04, reset=0.04, reset_after=0.04,
    stall=0.02, conflict_after=0.02, no_content=0.02, wrong_id=0.015,
)  # fmt: skip
"""55 % of all answers, 30 of them after the posting took effect."""
FAULTY_STATUS = Misbehaviour(
    slow=0.02, error=0.10, lost_ack=0.05, too_many=0.0, wrong_echo=0.10, html=0.05,
    truncated=0.05, forgets=0.18,
)  # fmt: skip
"""55 % of the answers to a status query. None says that it holds what it does not: such a lie cannot
be told from the truth."""


def now() -> datetime:
    """By the clock on the wall."""
    return datetime.now(UTC)


def made(first: int, count: int) -> list[Posting]:
    """Postings with these numbers: some take money back, some are in another currency."""
    return [
        posting(
            n,
            amount_minor=-n if n % 10 == 0 else 100 + n,
            currency="EUR" if n % 7 == 0 else "USD",
        )
        for n in range(first, first + count)
    ]


def book(dsn: str, postings: Sequence[Posting], *, at: datetime) -> None:
    """Queue postings, and let them go."""
    with connect(dsn, Role.SETTLE) as conn:
        outbox.enqueue(conn, postings, at)
    clear(dsn)


def unfinished(dsn: str) -> int:
    """How many postings are in a state that is not final."""
    with psycopg.connect(dsn, user=SUPERUSER) as conn:
        rows = conn.execute(
            "select count(*) from posting_state where state <> all(%s)", [list(FINAL)]
        ).fetchall()
    found: int = rows[0][0]
    return found


def released(dsn: str) -> int:
    """Let go on, as a person would who has looked, what is parked; how many there were."""
    with psycopg.connect(dsn, user=SUPERUSER) as conn:
        return conn.execute(
            "update posting_state set state = 'unknown', next_attempt_at = changed_at"
            " where state = 'parked'"
        ).rowcount


def cut_off(dsn: str) -> int:
    """Attempts that left no receipt: whoever made them was killed."""
    with psycopg.connect(dsn, user=SUPERUSER) as conn:
        rows = conn.execute(
            "select coalesce(sum(attempts), 0)::int - (select count(*) from receipt) from posting_state"
        ).fetchall()
    found: int = rows[0][0]
    return found
