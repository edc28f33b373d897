"""How the grid's feeds are, what the utility is still owed, and whose an event or a currency is.

Nothing here is a source of money: a lost row means that a feed is read once more, or that an answer is
posted twice.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row

from grid.feeds import ResponseDue, ResponseSent
from grid.records import ClockReading
from storage.engine import Connection

TRIES_MAX: Final = 10
"""An answer that was not taken so often is given up, as refused, with what was said last."""
RESPONSES_MAX: Final = 1_000
"""Answers of one feed in one round; the rest waits for the next one."""
AHEAD: Final = timedelta(minutes=10)
"""No two syncs at once are so far apart: what is recorded as later than that was written when this
machine's clock was ahead, and makes nothing old."""
TEXTS_MAX: Final = 20
"""Refusals and notes of a feed's last reading that are kept in words."""
_ANSWERS: Final = 0x7632_6761
"""First half of the advisory locks of those who post answers."""
_TEXT_MAX: Final = 1_000


@dataclass(frozen=True, slots=True)
class FeedState:
    """How a feed is.

    Attributes:
        feed: its name.
        kind: what it speaks.
        tried_at: when it was last asked.
        read_at: when it was last read whole; None: never.
        next_at: when it is to be asked again; None: at once.
        error: the trouble of the last try; empty where there was none.
        clock_offset_us: how far its clock was ahead of ours when it was last measured.
        clock_uncertainty_us: ± of that.
        events: shown by the last whole reading.
        prices: the same.
        refused: the same, what of it could not be understood.
        refusals: the first of those in words.
        notes: what it left out rightly.
        whole: whether it had all that the server says there is.
    """

    feed: str
    kind: str
    tried_at: datetime
    read_at: datetime | None
    next_at: datetime | None
    error: str
    clock_offset_us: int | None
    clock_uncertainty_us: int | None
    events: int
    prices: int
    refused: int
    refusals: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    whole: bool = True


def feed_states(conn: Connection) -> dict[str, FeedState]:
    """Every feed that was ever tried and is still configured, by name."""
    with conn.cursor(row_factory=class_row(FeedState)) as cursor:
        cursor.execute(
            """
            select feed, kind, tried_at, read_at, next_at, error, clock_offset_us,
                   clock_uncertainty_us, events, prices, refused, refusals, notes, whole
            from feed_state order by feed
            """
        )
        return {one.feed: one for one in cursor}


def put_read(
    conn: Connection,
    feed: str,
    kind: str,
    *,
    asked_at: datetime,
    next_at: datetime,
    clock: ClockReading | None,
    events: int,
    prices: int,
    refused: int,
    refusals: Sequence[str] = (),
    notes: Sequence[str] = (),
    whole: bool = True,
) -> bool:
    """Record a reading; the row stays locked until the caller commits. See ``FeedState``; of refusals and
    notes the first ``TEXTS_MAX`` are kept.

    Returns:
        False where somebody has asked the feed later than this and recorded it already: what this
        reading says is old then, and must not be put on top of the other.
    """
    found = conn.execute(
        """
        insert into feed_state as kept
            (feed, kind, tried_at, read_at, next_at, error, clock_offset_us, clock_uncertainty_us,
             events, prices, refused, refusals, notes, whole)
        values (%(feed)s, %(kind)s, %(asked_at)s, %(asked_at)s, %(next_at)s, '', %(offset)s,
                %(uncertainty)s, %(events)s, %(prices)s, %(refused)s, %(refusals)s, %(notes)s,
                %(whole)s)
        on conflict (feed) do update set
            kind = excluded.kind, tried_at = excluded.tried_at, read_at = excluded.read_at,
            next_at = excluded.next_at, error = '', clock_offset_us = excluded.clock_offset_us,
            clock_uncertainty_us = excluded.clock_uncertainty_us, events = excluded.events,
            prices = excluded.prices, refused = excluded.refused, refusals = excluded.refusals,
            notes = excluded.notes, whole = excluded.whole
        where kept.read_at is null or kept.read_at <= excluded.read_at
           or kept.read_at > excluded.read_at + %(ahead)s
        returning 1
        """,
        {
            "feed": feed,
            "kind": kind,
            "asked_at": asked_at,
            "next_at": next_at,
            "offset": clock and clock.offset_us,
            "uncertainty": clock and clock.uncertainty_us,
            "events": events,
            "prices": prices,
            "refused": refused,
            "refusals": [_bounded(one) for one in refusals[:TEXTS_MAX]],
            "notes": [_bounded(one) for one in notes[:TEXTS_MAX]],
            "whole": whole,
            "ahead": AHEAD,
        },
    ).fetchone()
    return found is not None


def put_failed(
    conn: Connection,
    feed: str,
    kind: str,
    *,
    asked_at: datetime,
    next_at: datetime,
    error: str,
    clock: ClockReading | None = None,
) -> None:
    """Record a try that failed; what the last reading came to stays."""
    conn.execute(
        """
        insert into feed_state as kept
            (feed, kind, tried_at, next_at, error, clock_offset_us, clock_uncertainty_us)
        values (%(feed)s, %(kind)s, %(asked_at)s, %(next_at)s, %(error)s, %(offset)s, %(uncertainty)s)
        on conflict (feed) do update set
            kind = excluded.kind, tried_at = excluded.tried_at, next_at = excluded.next_at,
            error = excluded.error,
            clock_offset_us = coalesce(excluded.clock_offset_us, kept.clock_offset_us),
            clock_uncertainty_us = coalesce(excluded.clock_uncertainty_us, kept.clock_uncertainty_us)
        where kept.tried_at <= excluded.tried_at
           or kept.tried_at > excluded.tried_at + %(ahead)s
        """,
        {
            "feed": feed,
            "kind": kind,
            "asked_at": asked_at,
            "next_at": next_at,
            "error": _bounded(error),
            "ahead": AHEAD,
            "offset": clock and clock.offset_us,
            "uncertainty": clock and clock.uncertainty_us,
        },
    )


def forget_feeds(conn: Connection, *, configured: Collection[str]) -> None:
    """Drop the state of feeds that are not configured any more; what they said stays."""
    conn.execute("delete from feed_state where not feed = any(%s)", [sorted(configured)])


def put_responses(conn: Connection, responses: Iterable[ResponseDue], *, now: datetime) -> int:
    """Keep answers that are due, each once, whatever became of it. Returns how many are new."""
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into grid_response
                (feed, mrid, lfdi, status, reply_to, due_at, state, changed_at)
            values (%s, %s, %s, %s, %s, %s, 'due', %s)
            on conflict (feed, mrid, lfdi, status) do nothing
            """,
            [
                (one.feed, one.mrid, one.lfdi, one.status, one.reply_to, one.due_at, now)
                for one in responses
            ],
        )
        return max(cursor.rowcount, 0)


def answered(conn: Connection, feed: str, *, since: datetime) -> set[tuple[str, str, int]]:
    """mRID, LFDI and status of every answer of a feed that has become due since then."""
    rows = conn.execute(
        "select mrid, lfdi, status from grid_response where feed = %s and due_at >= %s",
        [feed, since],
    ).fetchall()
    return {(mrid, lfdi, status) for mrid, lfdi, status in rows}


def lock_answers(conn: Connection, feed: str) -> bool:
    """Become the one who posts the answers of a feed, until the connection closes; False if another is."""
    row = conn.execute("select pg_try_advisory_lock(%s, hashtext(%s))", [_ANSWERS, feed]).fetchone()
    conn.commit()
    return bool(row and row[0])


def due_responses(conn: Connection, feed: str, *, now: datetime) -> list[ResponseDue]:
    """Answers that a feed is owed by now, in the order in which they became true."""
    with conn.cursor(row_factory=class_row(ResponseDue)) as cursor:
        cursor.execute(
            """
            select feed, mrid, lfdi, status, reply_to, due_at from grid_response
            where feed = %s and state = 'due' and due_at <= %s
            order by due_at, mrid, lfdi, status limit %s
            """,
            [feed, now, RESPONSES_MAX],
        )
        return cursor.fetchall()


def put_sent(conn: Connection, sent: Sequence[ResponseSent], *, now: datetime) -> None:
    """Record what became of answers. One that was not taken ``TRIES_MAX`` times is given up."""
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            update grid_response set tries = tries + 1, changed_at = %(now)s,
                state = case when %(state)s = 'due' and tries + 1 >= %(tries_max)s then 'refused'
                             else %(state)s end,
                detail = case when %(state)s = 'due' and tries + 1 >= %(tries_max)s
                              then 'given up: ' || %(detail)s else %(detail)s end
            where feed = %(feed)s and mrid = %(mrid)s and lfdi = %(lfdi)s and status = %(status)s
              and state = 'due'
            """,
            [
                {
                    "now": now,
                    "state": one.state,
                    "detail": _bounded(one.detail),
                    "tries_max": TRIES_MAX,
                    "feed": one.response.feed,
                    "mrid": one.response.mrid,
                    "lfdi": one.response.lfdi,
                    "status": one.response.status,
                }
                for one in sent
            ],
        )


@dataclass(frozen=True, slots=True)
class ResponseCount:
    """Answers of a feed: how many are still due, were posted, or were refused or given up."""

    due: int = 0
    posted: int = 0
    refused: int = 0


def response_counts(conn: Connection) -> dict[str, ResponseCount]:
    """By feed."""
    rows = conn.execute(
        """
        select feed, count(*) filter (where state = 'due'), count(*) filter (where state = 'posted'),
               count(*) filter (where state = 'refused')
        from grid_response group by feed order by feed
        """
    ).fetchall()
    return {feed: ResponseCount(due, posted, refused) for feed, due, posted, refused in rows}


def feeds_of_events(conn: Connection, events: Collection[str]) -> dict[str, str]:
    """Of those events that are known, the feed that first announced each; empty: before feeds had names."""
    return dict(
        conn.execute(
            "select event_id, feed from event_version where event_id = any(%s) and version = 1",
            [sorted(events)],
        ).fetchall()
    )


def program_currencies(conn: Connection) -> dict[str, frozenset[str]]:
    """The currency of each enrolled program; several, where its versions differ in it."""
    rows = conn.execute(
        "select program, array_agg(distinct body ->> 'currency') from program_version group by program"
    ).fetchall()
    return {program: frozenset(currencies) for program, currencies in rows}


def _bounded(text: str) -> str:
    return text.replace("\0", "\\0")[:_TEXT_MAX]
