"""Notices: what partners are told, once per kind and subject, and how far each has come.

They are derived from facts by statements over sets: nobody who books, posts or screens writes one, so
that none of them can fail because of a notice. Only what happened since somebody first said where
notices go is told; who says so later is not flooded with the past.

A notice is claimed under a lease, sent with no transaction open, and recorded. Killed in between it is
sent again, under the same id: at least once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from uuid import UUID

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from storage.engine import Connection

CHUNK: Final = 1_000
"""Notices that one statement derives; the caller commits and asks again."""
CLAIM_MAX: Final = 100
LISTED_MAX: Final = 1_000
OVERLAP: Final = timedelta(hours=1)
"""How far back is looked before the last thing told: clocks differ, and commits come late."""


class Kind(StrEnum):
    """What a notice is about; also its event type on the wire."""

    ACKNOWLEDGED = "posting.acknowledged"
    """The partner holds a payout: the transfer to the account is final."""
    REJECTED = "posting.rejected"
    """A payout will not be made."""
    PARKED = "posting.parked"
    """A payout waits for a person."""
    HELD = "account.held"
    """Nothing is paid to an account until a person releases it."""
    CERTIFICATE = "certificate.expiring"
    """A certificate of ours ends soon."""


class State(StrEnum):
    """How far a notice has come."""

    PENDING = "pending"
    """To be sent, or to be sent again."""
    DELIVERED = "delivered"
    """Answered with 2xx. Final."""
    DEAD = "dead"
    """Not delivered in time: no more attempts. Final; the fact it tells of stands all the same."""


@dataclass(frozen=True, slots=True)
class Due:
    """A claimed notice.

    Attributes:
        attempt: counted from 1, this one included.
        noted_at: since when it waits.
    """

    notice_id: UUID
    kind: str
    subject: str
    data: Mapping[str, Any]
    occurred_at: datetime
    noted_at: datetime
    attempt: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of sending one, and when to send it again; see ``storage.tables.notices``."""

    notice_id: UUID
    attempt: int
    destination_id: UUID
    delivered: bool
    http_status: int | None
    detail: str
    answered_at: datetime
    state: State
    next_attempt_at: datetime


@dataclass(frozen=True, slots=True)
class Shown:
    """A notice and how far it has come."""

    notice_id: UUID
    kind: str
    subject: str
    occurred_at: datetime
    state: str
    attempts: int
    next_attempt_at: datetime
    detail: str
    changed_at: datetime


_SINCE: Final = """
    select greatest(
        min(changed_at),
        (select max(occurred_at) from notice
         where kind like 'posting.%%' and occurred_at <= %(now)s) - %(overlap)s::interval
    ) as at
    from webhook_destination where outcome = 'in_force' having min(changed_at) is not null
"""
"""From when on postings are looked at: no row where nobody has said where notices go."""

_STORE: Final = """
    fresh as (
        insert into notice (notice_id, kind, subject, data, occurred_at, noted_at)
        select gen_random_uuid(), kind, subject, data, occurred_at, %(now)s from found
        on conflict (kind, subject) do nothing
        returning notice_id
    )
    insert into notice_state (notice_id, state, attempts, next_attempt_at, detail, changed_at)
    select notice_id, 'pending', 0, %(now)s, '', %(now)s from fresh
"""

# The body is what was sent, and names the period. A posting may be parked more than once, and each
# time is told; the other states are final. What is parked with its account only is told with that.
_POSTINGS: Final = f"""
    with since as ({_SINCE}), found as (
        select named.kind, named.subject, s.changed_at as occurred_at,
               jsonb_build_object(
                   'posting_id', p.posting_id, 'settlement_id', p.settlement_id,
                   'account', p.account, 'amount_minor', p.amount_minor::text,
                   'currency', p.currency, 'movement', p.kind,
                   'period_started_at', sent.body->>'period_started_at',
                   'period_ended_at', sent.body->>'period_ended_at') as data
        from since join posting_state s on s.changed_at >= since.at
        join posting p using (posting_id)
        cross join lateral (
            select 'posting.' || s.state as kind,
                   case s.state when 'parked' then p.posting_id || ' ' || to_char(
                       s.changed_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
                   else p.posting_id end as subject
        ) named
        cross join lateral (select convert_from(p.body, 'UTF8')::jsonb as body) sent
        where s.state in ('acknowledged', 'rejected', 'parked')
          and (s.state <> 'parked' or not exists
               (select from held_posting h where h.posting_id = s.posting_id))
          and not exists (select from notice n
                          where n.kind = named.kind and n.subject = named.subject)
        order by s.changed_at limit %(chunk)s
    ), {_STORE}
"""

_HOLDS: Final = f"""
    with since as (
        select min(changed_at) as at from webhook_destination where outcome = 'in_force'
    ), found as (
        select 'account.held' as kind, h.account || ' ' || h.number as subject,
               h.at as occurred_at,
               jsonb_build_object('account', h.account, 'why', h.why,
                                  'posting_id', h.posting_id) as data
        from since join account_hold h on h.at >= since.at
        where h.event = 'held'
          and not exists (select from notice n where n.kind = 'account.held'
                          and n.subject = h.account || ' ' || h.number)
        order by h.at limit %(chunk)s
    ), {_STORE}
"""


def derive(conn: Connection, now: datetime) -> int:
    """Note what has happened and is not noted yet, in the caller's transaction.

    Returns:
        How many are new: at most ``CHUNK`` of each source, so ask again until it is 0.
    """
    given = {"now": now, "overlap": OVERLAP, "chunk": CHUNK}
    return sum(conn.execute(one.encode(), given).rowcount for one in (_POSTINGS, _HOLDS))


def note(
    conn: Connection, kind: Kind | str, subject: str, data: Mapping[str, str], now: datetime
) -> bool:
    """Note one thing that no table tells of, in the caller's transaction.

    Args:
        conn: as ``v2g_operator``.
        kind: a ``Kind``.
        subject: what it is about; with the kind it is unique for ever.
        data: what the partner is told; text only, so that no number is rounded on the way.
        now: when it happened.

    Returns:
        False where it stands already, or where nobody has said yet where notices go.
    """
    stored = conn.execute(
        f"""
        with found as (
            select %(kind)s::text as kind, %(subject)s::text as subject, %(data)s::jsonb as data,
                   %(now)s::timestamptz as occurred_at
            where exists (select from webhook_destination where outcome = 'in_force')
        ), {_STORE}
        """.encode(),
        {"kind": Kind(kind).value, "subject": subject, "data": Jsonb(dict(data)), "now": now},
    )
    return stored.rowcount == 1


def claim(conn: Connection, *, now: datetime, limit: int, lease: timedelta) -> list[Due]:
    """Take what is due, the longest due first; until the lease ends nobody else takes it.

    In the caller's transaction, who commits before anything is sent; at most ``CLAIM_MAX``.
    """
    with conn.cursor(row_factory=class_row(Due)) as cursor:
        return cursor.execute(
            """
            with due as (
                select notice_id from notice_state
                where state = 'pending' and next_attempt_at <= %(now)s
                order by next_attempt_at limit %(limit)s for update skip locked
            ), claimed as (
                update notice_state s
                set attempts = s.attempts + 1, next_attempt_at = %(until)s, changed_at = %(now)s
                from due where s.notice_id = due.notice_id
                returning s.notice_id, s.attempts
            )
            select n.notice_id, n.kind, n.subject, n.data, n.occurred_at, n.noted_at,
                   c.attempts as attempt
            from claimed c join notice n using (notice_id) order by n.occurred_at
            """,
            {"now": now, "until": now + lease, "limit": min(limit, CLAIM_MAX)},
        ).fetchall()


def record(conn: Connection, attempts: Iterable[Attempt]) -> None:
    """Store what became of attempts, in the caller's transaction.

    An attempt moves the state only while it is the latest: a late one cannot undo a newer one.
    """
    for one in sorted(attempts, key=lambda attempt: attempt.notice_id):
        conn.execute(
            """
            insert into notice_attempt (notice_id, attempt, destination_id, outcome, http_status,
                                        detail, answered_at)
            values (%s, %s, %s, %s, %s, %s, %s) on conflict do nothing
            """,
            [one.notice_id, one.attempt, one.destination_id,
             "delivered" if one.delivered else "failed", one.http_status, one.detail,
             one.answered_at],
        )  # fmt: skip
        conn.execute(
            """
            update notice_state
            set state = %s, next_attempt_at = %s, detail = %s, changed_at = %s
            where notice_id = %s and state = 'pending' and attempts = %s
            """,
            [one.state.value, one.next_attempt_at, one.detail, one.answered_at, one.notice_id,
             one.attempt],
        )  # fmt: skip


def totals(conn: Connection) -> dict[State, int]:
    """How many notices are in each state."""
    rows: Sequence[tuple[str, int]] = conn.execute(
        "select state, count(*) from notice_state group by state"
    ).fetchall()
    counted = {State(state): number for state, number in rows}
    return {state: counted.get(state, 0) for state in State}


def listed(conn: Connection, *, state: State | None = None, limit: int = 100) -> list[Shown]:
    """Notices, the latest first; in one state or all; at most ``LISTED_MAX``."""
    with conn.cursor(row_factory=class_row(Shown)) as cursor:
        return cursor.execute(
            """
            select n.notice_id, n.kind, n.subject, n.occurred_at, s.state, s.attempts,
                   s.next_attempt_at, s.detail, s.changed_at
            from notice n join notice_state s using (notice_id)
            where %(state)s::text is null or s.state = %(state)s
            order by n.occurred_at desc, n.notice_id limit %(limit)s
            """,
            {"state": state and state.value, "limit": max(1, min(limit, LISTED_MAX))},
        ).fetchall()
