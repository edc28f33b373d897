"""The outbox: postings stored before they are sent, and how far each has come.

A poster claims what is due and screened under a lease, in one short transaction; sends, with no
transaction open; and records receipt and state together, in one more. Killed in between, it leaves
the state ``sent``: visible, and due again once the lease is over, under the same id.

Errors: ``storage.claims``, and DatabaseUnavailableError where nothing is known to be stored.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import psycopg
from psycopg import Cursor, OperationalError
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from settlement.posting import (
    DISPUTING,
    DOUBTFUL,
    OPEN,
    RETRY_AFTER_MAX,
    Posting,
    State,
    require_move,
)
from storage.claims import (
    HELD,
    Claimed,
    OpenTransactionError,
    PostingRefusedError,
    Recorded,
    Result,
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
    "claim",
    "enqueue",
    "give_back",
    "own_transaction",
    "pull_in",
    "record",
]

Connection: TypeAlias = psycopg.Connection[Any]

CLAIM_MAX: Final = 1_000
ENQUEUE_CHUNK: Final = 1_000

FAR: Final = 2 * RETRY_AFTER_MAX
"""No wait and no lease is this long."""

OPEN_STATES: Final = sorted(state.value for state in OPEN)
_DISPUTING: Final = sorted(outcome.value for outcome in DISPUTING)


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
    conn: Connection,
    *,
    partner: str,
    now: datetime,
    limit: int,
    lease: timedelta,
    retries_max: int = CLAIM_MAX,
) -> list[Claimed]:
    """Take what is due and screened; until the lease ends no other poster takes it.

    Retries come first, as many as ``retries_max`` says, then first attempts, then whatever room is
    left goes to more retries; each the longest due first. So neither keeps the other waiting, and
    what is booked later never overtakes: no account waits for another's later postings.

    Nothing is taken while the partner's lane rests (``storage.lanes``), of what stands in a file for a
    bank, or of a held account, unless it may have taken effect already.

    Args:
        conn: idle; the claim is committed on return.
        partner: whose postings.
        now: the poster's clock.
        limit: at most so many; never more than ``CLAIM_MAX``.
        lease: longer than sending takes, shorter than ``FAR``.
        retries_max: of them, while first attempts are waiting.
    """
    until = now + lease
    with own_transaction(conn) as cursor:
        # State by state: each is a walk along the index, however many postings are open.
        rows = cursor.execute(
            f"""
            with due as (
                select d.posting_id, d.state, d.next_attempt_at, d.state <> 'pending' as again
                from unnest(%(open)s::text[]) as one(state) cross join lateral (
                    select s.posting_id, s.state, s.next_attempt_at
                    from posting_state s join posting p using (posting_id)
                    where s.state = one.state and s.next_attempt_at <= %(now)s
                      and s.screened_at is not null and p.partner = %(partner)s
                      and not exists (select from payout_file_line f
                                      where f.posting_id = s.posting_id)
                      and (s.state not in ('pending', 'queued') or not {HELD})
                    order by s.next_attempt_at limit %(limit)s
                    for update of s skip locked
                ) d
                where not exists (select from partner_lane l
                                  where l.partner = %(partner)s and l.rests_until > %(now)s)
            ), placed as (
                select posting_id, state, next_attempt_at, again,
                       row_number() over (partition by again order by next_attempt_at) as place
                from due
            ), chosen as (
                select posting_id, state from placed
                order by case when not again then 1 when place <= %(retries)s then 0 else 2 end,
                         next_attempt_at
                limit %(limit)s
            ), claimed as (
                update posting_state s
                set state = 'sent', attempts = s.attempts + 1, changed_at = %(now)s,
                    leased_until = %(until)s, next_attempt_at = %(until)s,
                    detail = case c.state
                        when 'sent' then 'attempt ' || s.attempts || ' left no receipt'
                        else s.detail end
                from chosen c where s.posting_id = c.posting_id
                returning s.posting_id, s.attempts, c.state
            )
            select p.posting_id, p.settlement_id, p.partner, p.kind, p.account, p.currency,
                   p.amount_minor, p.body, p.body_digest, c.attempts, c.state,
                   (select count(*) from receipt r
                    where r.posting_id = c.posting_id and r.outcome = any(%(disputing)s))
            from claimed c join posting p using (posting_id)
            """,
            {
                "open": OPEN_STATES,
                "partner": partner,
                "now": now,
                "until": until,
                "limit": min(limit, CLAIM_MAX),
                "retries": retries_max,
                "disputing": _DISPUTING,
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


def give_back(conn: Connection, claims: Sequence[Claimed], *, now: datetime) -> int:
    """Undo claims of which nothing was sent: due again at once, and no attempt was made.

    Returns:
        How many; not those that another poster has claimed since.
    """
    if not claims:
        return 0
    with own_transaction(conn) as cursor:
        return cursor.execute(
            """
            update posting_state s
            set state = g.state, attempts = s.attempts - 1, next_attempt_at = %(now)s,
                leased_until = null, changed_at = %(now)s
            from unnest(%(ids)s::text[], %(attempts)s::int[], %(states)s::text[])
                as g(posting_id, attempt, state)
            where s.posting_id = g.posting_id and s.attempts = g.attempt and s.state = 'sent'
            """,
            {
                "now": now,
                "ids": [one.posting.posting_id for one in claims],
                "attempts": [one.attempt for one in claims],
                "states": [State.UNKNOWN if one.doubtful else State.QUEUED for one in claims],
            },
        ).rowcount


def pull_in(conn: Connection, *, partner: str, now: datetime) -> int:
    """Make due at once what seems due later than any wait or lease can last.

    Its time was written by a clock that has been set back since.

    Returns:
        How many.
    """
    with own_transaction(conn) as cursor:
        return cursor.execute(
            """
            update posting_state set next_attempt_at = %(now)s, changed_at = %(now)s
            where posting_id in (
                select s.posting_id from posting_state s join posting p using (posting_id)
                where p.partner = %(partner)s and s.state = any(%(open)s)
                  and s.next_attempt_at > %(far)s and s.screened_at is not null
                for update of s skip locked
            )
            """,
            {"now": now, "far": now + FAR, "partner": partner, "open": OPEN_STATES},
        ).rowcount


def record(conn: Connection, results: Sequence[Result], *, now: datetime) -> list[Recorded]:
    """Store receipts and states, all or none, committed on return; one answer per result, in order.

    One statement for the whole group: a partner that answers quickly must not wait for our disk.

    A result moves the state only while its own attempt is the latest and is still out: a late one
    cannot overwrite a newer one, and nothing final moves again.

    Raises:
        IllegalMoveError: a state that may not follow ``sent``.
    """
    for result in results:
        require_move(State.SENT, result.state)
    if not results:
        return []
    with own_transaction(conn) as cursor:
        rows = cursor.execute(
            """
            with given as (
                select * from unnest(%(ids)s::text[], %(attempts)s::int[], %(answered)s::timestamptz[],
                                     %(outcomes)s::text[], %(statuses)s::int[], %(details)s::text[],
                                     %(states)s::text[], %(next)s::timestamptz[])
                    as g(posting_id, attempt, answered_at, outcome, http_status, detail, state,
                         next_attempt_at)
            ), kept as (
                insert into receipt (posting_id, attempt, answered_at, outcome, http_status, detail)
                select posting_id, attempt, answered_at, outcome, http_status, detail from given
                order by posting_id, attempt
                on conflict do nothing
                returning posting_id, attempt
            ), moved as (
                update posting_state s
                set state = g.state, next_attempt_at = coalesce(g.next_attempt_at, s.next_attempt_at),
                    leased_until = null, detail = g.detail, changed_at = %(now)s
                from given g join kept using (posting_id, attempt)
                where s.posting_id = g.posting_id and s.attempts = g.attempt and s.state = 'sent'
                returning g.posting_id, g.attempt
            )
            select posting_id, attempt, moved.posting_id is not null as moved
            from kept left join moved using (posting_id, attempt)
            """,
            {
                "now": now,
                "ids": [one.posting_id for one in results],
                "attempts": [one.attempt for one in results],
                "answered": [one.answered_at for one in results],
                "outcomes": [one.outcome.value for one in results],
                "statuses": [one.http_status for one in results],
                "details": [one.detail for one in results],
                "states": [one.state.value for one in results],
                "next": [one.next_attempt_at for one in results],
            },
        ).fetchall()
    became = {
        (posting_id, attempt): Recorded.RECORDED if moved else Recorded.LATE
        for posting_id, attempt, moved in rows
    }
    return [became.get((one.posting_id, one.attempt), Recorded.ALREADY) for one in results]


@contextmanager
def own_transaction(conn: Connection) -> Iterator[Cursor[tuple[Any, ...]]]:
    """A transaction that is committed at the end.

    Raises:
        OpenTransactionError: ``conn`` is within another one.
        DatabaseUnavailableError: nothing is known to be stored.
    """
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
