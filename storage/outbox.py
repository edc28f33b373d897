"""The outbox: postings stored before they are sent, and how far each has come.

A poster claims what is due under a lease, in one short transaction; sends, with no transaction
open; and records receipt and state together, in one more. Killed in between, it leaves the state
``sent``: visible, and due again once the lease is over, under the same id.

Errors: ``storage.claims``, and DatabaseUnavailableError where nothing is known to be stored.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import Cursor, OperationalError
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from settlement.posting import (
    DOUBTFUL,
    OPEN,
    RETRY_AFTER_MAX,
    Outcome,
    Posting,
    State,
    require_move,
)
from storage.claims import (
    Claimed,
    OpenTransactionError,
    PostingRefusedError,
    Recorded,
    Result,
    Total,
)
from storage.errors import DatabaseUnavailableError

__all__ = [
    "CLAIM_MAX",
    "FAR",
    "Claimed",
    "Connection",
    "OpenTransactionError",
    "PostingRefusedError",
    "Recorded",
    "Result",
    "Total",
    "claim",
    "enqueue",
    "next_due_at",
    "pending_count",
    "pull_in",
    "record",
    "release",
    "totals",
]

Connection: TypeAlias = psycopg.Connection[Any]

CLAIM_MAX: Final = 1_000
ENQUEUE_CHUNK: Final = 1_000

FAR: Final = 2 * RETRY_AFTER_MAX
"""No wait and no lease is this long."""

OPEN_STATES: Final = sorted(state.value for state in OPEN)


def enqueue(conn: Connection, postings: Sequence[Posting], now: datetime) -> int:
    """Store postings, due at once, inside the caller's transaction.

    Returns:
        How many are new. What is stored already, byte for byte, is left as it is.

    Raises:
        PostingRefusedError: an id, or a settlement's movement to an account, that is stored with
            another body; the caller rolls back.
    """
    return sum(
        _enqueue_chunk(conn, postings[start : start + ENQUEUE_CHUNK], now)
        for start in range(0, len(postings), ENQUEUE_CHUNK)
    )


def _enqueue_chunk(conn: Connection, postings: Sequence[Posting], now: datetime) -> int:
    with conn.cursor(row_factory=tuple_row) as cursor:
        fresh = cursor.execute(
            """
            with fresh as (
                insert into posting (posting_id, settlement_id, partner, kind, account, currency,
                                     amount_minor, body, body_digest, created_at)
                select *, %(now)s::timestamptz
                from unnest(%(ids)s::text[], %(settlements)s::text[], %(partners)s::text[],
                            %(kinds)s::text[], %(accounts)s::text[], %(currencies)s::text[],
                            %(amounts)s::bigint[], %(bodies)s::bytea[], %(digests)s::bytea[])
                on conflict do nothing
                returning posting_id
            )
            insert into posting_state (posting_id, state, attempts, next_attempt_at, detail,
                                       changed_at)
            select posting_id, 'pending', 0, %(now)s, '', %(now)s from fresh
            """,
            {
                "now": now,
                "ids": [p.posting_id for p in postings],
                "settlements": [p.settlement_id for p in postings],
                "partners": [p.partner for p in postings],
                "kinds": [p.kind for p in postings],
                "accounts": [p.account for p in postings],
                "currencies": [p.currency for p in postings],
                "amounts": [p.amount_minor for p in postings],
                "bodies": [p.body for p in postings],
                "digests": [p.body_digest for p in postings],
            },
        ).rowcount
        # The insert waited for whoever was storing the same, so what stands is seen now.
        stored = {
            (str(posting_id), bytes(digest))
            for posting_id, digest in cursor.execute(
                "select posting_id, body_digest from posting where posting_id = any(%s)",
                ([p.posting_id for p in postings],),
            )
        }
    for posting in postings:
        if (posting.posting_id, posting.body_digest) not in stored:
            raise PostingRefusedError(posting.posting_id, posting.settlement_id)
    return fresh


def claim(
    conn: Connection, *, partner: str, now: datetime, limit: int, lease: timedelta
) -> list[Claimed]:
    """Take what is due, the longest due first; until the lease ends no other poster takes it.

    Args:
        conn: idle; the claim is committed on return.
        partner: whose postings.
        now: the poster's clock.
        limit: at most so many; never more than ``CLAIM_MAX``.
        lease: longer than sending takes, shorter than ``FAR``.
    """
    until = now + lease
    with _own_transaction(conn) as cursor:
        # State by state: each is a walk along the index, however many postings are open.
        rows = cursor.execute(
            """
            with due as (
                select d.posting_id, d.state
                from unnest(%(open)s::text[]) as one(state) cross join lateral (
                    select s.posting_id, s.state, s.next_attempt_at
                    from posting_state s join posting p using (posting_id)
                    where s.state = one.state and s.next_attempt_at <= %(now)s
                      and p.partner = %(partner)s
                    order by s.next_attempt_at limit %(limit)s
                    for update of s skip locked
                ) d
                order by d.next_attempt_at limit %(limit)s
            ), claimed as (
                update posting_state s
                set state = 'sent', attempts = s.attempts + 1, changed_at = %(now)s,
                    leased_until = %(until)s, next_attempt_at = %(until)s,
                    detail = case due.state
                        when 'sent' then 'attempt ' || s.attempts || ' left no receipt'
                        else s.detail end
                from due where s.posting_id = due.posting_id
                returning s.posting_id, s.attempts, due.state
            )
            select p.posting_id, p.settlement_id, p.partner, p.kind, p.account, p.currency,
                   p.amount_minor, p.body, p.body_digest, c.attempts, c.state,
                   (select count(*) from receipt r
                    where r.posting_id = c.posting_id and r.outcome = %(dispute)s)
            from claimed c join posting p using (posting_id)
            """,
            {
                "open": OPEN_STATES,
                "partner": partner,
                "now": now,
                "until": until,
                "limit": min(limit, CLAIM_MAX),
                "dispute": Outcome.ECHO_DIFFERS.value,
            },
        ).fetchall()
    return [
        Claimed(
            posting=Posting(*row[:9]),
            attempt=row[9],
            doubtful=State(row[10]) in DOUBTFUL,
            disputes=row[11],
            leased_until=until,
        )
        for row in rows
    ]


def pull_in(conn: Connection, *, partner: str, now: datetime) -> int:
    """Make due at once what seems due later than any wait or lease can last.

    Its time was written by a clock that has been set back since.

    Returns:
        How many.
    """
    with _own_transaction(conn) as cursor:
        return cursor.execute(
            """
            update posting_state s set next_attempt_at = %(now)s, changed_at = %(now)s
            from posting p
            where p.posting_id = s.posting_id and p.partner = %(partner)s
              and s.state = any(%(open)s) and s.next_attempt_at > %(far)s
            """,
            {"now": now, "far": now + FAR, "partner": partner, "open": OPEN_STATES},
        ).rowcount


def record(conn: Connection, results: Sequence[Result], *, now: datetime) -> list[Recorded]:
    """Store receipts and states, all or none, committed on return; one answer per result, in order.

    A result moves the state only while its own attempt is the latest and is still out: a late one
    cannot overwrite a newer one, and nothing final moves again.

    Raises:
        IllegalMoveError: a state that may not follow ``sent``.
    """
    for result in results:
        require_move(State.SENT, result.state)
    # In one order everywhere, so that two recorders cannot wait for each other.
    order = sorted(range(len(results)), key=lambda i: (results[i].posting_id, results[i].attempt))
    with _own_transaction(conn) as cursor:
        recorded = {i: _record_one(cursor, results[i], now) for i in order}
    return [recorded[i] for i in range(len(results))]


def _record_one(cursor: Cursor[tuple[Any, ...]], result: Result, now: datetime) -> Recorded:
    first = cursor.execute(
        """
        insert into receipt (posting_id, attempt, answered_at, outcome, http_status, detail)
        values (%s, %s, %s, %s, %s, %s) on conflict do nothing
        """,
        (result.posting_id, result.attempt, result.answered_at, result.outcome.value,
         result.http_status, result.detail),
    ).rowcount  # fmt: skip
    if not first:
        return Recorded.ALREADY
    moved = cursor.execute(
        """
        update posting_state
        set state = %s, next_attempt_at = coalesce(%s, next_attempt_at), leased_until = null,
            detail = %s, changed_at = %s
        where posting_id = %s and attempts = %s and state = 'sent'
        """,
        (result.state.value, result.next_attempt_at, result.detail, now,
         result.posting_id, result.attempt),
    ).rowcount  # fmt: skip
    return Recorded.RECORDED if moved else Recorded.LATE


def release(conn: Connection, posting_id: str, *, why: str, now: datetime) -> bool:
    """Send a parked posting again, under the same id: a person has looked, and says ``why``.

    Returns:
        False where the posting is not parked.
    """
    require_move(State.PARKED, State.UNKNOWN)
    with _own_transaction(conn) as cursor:
        released = cursor.execute(
            """
            update posting_state
            set state = 'unknown', next_attempt_at = %s, detail = %s, changed_at = %s
            where posting_id = %s and state = 'parked'
            """,
            (now, why, now, posting_id),
        ).rowcount
    return bool(released)


def totals(
    conn: Connection, *, partner: str | None = None, states: Collection[State] = frozenset(State)
) -> list[Total]:
    """Postings and money by state and currency; of one partner or of all, in these states."""
    with _own_transaction(conn) as cursor:
        rows = cursor.execute(
            """
            select s.state, p.currency, count(*), sum(p.amount_minor)
            from posting_state s join posting p using (posting_id)
            where s.state = any(%(states)s)
              and (%(partner)s::text is null or p.partner = %(partner)s)
            group by s.state, p.currency order by s.state, p.currency
            """,
            {"partner": partner, "states": [state.value for state in states]},
        ).fetchall()
    return [Total(State(state), currency, n, int(amount)) for state, currency, n, amount in rows]


def next_due_at(conn: Connection, *, partner: str | None = None) -> datetime | None:
    """When the first open posting is, or was, due; None where nothing is open.

    Of one that is being sent, this is the end of its lease.
    """
    with _own_transaction(conn) as cursor:
        row = cursor.execute(
            """
            select min(d.next_attempt_at)
            from unnest(%(open)s::text[]) as one(state) cross join lateral (
                select s.next_attempt_at
                from posting_state s join posting p using (posting_id)
                where s.state = one.state and (%(partner)s::text is null or p.partner = %(partner)s)
                order by s.next_attempt_at limit 1
            ) d
            """,
            {"open": OPEN_STATES, "partner": partner},
        ).fetchone()
    due: datetime | None = row[0] if row else None
    return due


def pending_count(conn: Connection) -> int:
    """How many postings the clearinghouse has yet to acknowledge, over all partners."""
    return sum(total.postings for total in totals(conn, states=OPEN))


@contextmanager
def _own_transaction(conn: Connection) -> Iterator[Cursor[tuple[Any, ...]]]:
    status = conn.info.transaction_status
    if status is not TransactionStatus.IDLE:
        # Inside another transaction this one would be a savepoint, and nothing would be on disk.
        raise OpenTransactionError(status.name)
    try:
        with conn.transaction(), conn.cursor(row_factory=tuple_row) as cursor:
            yield cursor
    except OperationalError as error:
        raise DatabaseUnavailableError(
            "outbox", str(error), sqlstate=error.sqlstate or ""
        ) from error
