"""Screening on disk: what counts so far, the verdicts, and what is parked with a held account.

One screener at a time judges, and nobody decides meanwhile: each step is one bounded transaction
under an advisory lock, so that two of them cannot both find the last room under a daily limit.
"""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from typing import Final

from psycopg import OperationalError, sql

from settlement.limits import Candidate, Judged, Key, Scope, Total, Verdict, keys_of
from storage.claims import HELD
from storage.engine import Connection
from storage.errors import DatabaseUnavailableError

_LOCK: Final = 0x7632_675F_7363
LOCK_WAIT_S: Final = 60

SCREENER: Final = "screening"
"""Who holds an account when a limit is broken. No person may take this name."""


@contextmanager
def alone(conn: Connection) -> Iterator[None]:
    """A transaction in which nobody else screens or decides; it commits when the block ends.

    Raises:
        DatabaseUnavailableError: somebody kept the lock for ``LOCK_WAIT_S``, or the database went
            away. Nothing of the block is kept.
    """
    try:
        with conn.transaction():
            wait = sql.Literal(f"{LOCK_WAIT_S}s")
            conn.execute(sql.SQL("set local lock_timeout = {}").format(wait))
            conn.execute("select pg_advisory_xact_lock(%s)", [_LOCK])
            yield
    except OperationalError as error:
        raise DatabaseUnavailableError(
            "screening", str(error), sqlstate=error.sqlstate or ""
        ) from error


def held_accounts(conn: Connection, accounts: Collection[str] | None = None) -> set[str]:
    """Which accounts are held now; of these, or of all."""
    rows = conn.execute(
        """
        select account from account_hold
        where %(accounts)s::text[] is null or account = any(%(accounts)s)
        group by account having max(number) %% 2 = 1
        """,
        {"accounts": None if accounts is None else list(accounts)},
    ).fetchall()
    return {account for (account,) in rows}


def totals(conn: Connection, candidates: Sequence[Candidate]) -> dict[Key, Total]:
    """What counts so far towards the totals that these would count in."""
    rows = conn.execute(
        """
        select scope, subject, currency, starts_on, amount_minor, postings
        from jsonb_to_recordset(%s::jsonb)
            asked (scope text, subject text, currency text, starts_on date)
        join payout_total using (scope, subject, currency, starts_on)
        """,
        [_rows([_named(key) for key in {key for one in candidates for key in keys_of(one)}])],
    ).fetchall()
    return {
        (Scope(scope), subject, currency, starts_on): Total(amount_minor, postings)
        for scope, subject, currency, starts_on, amount_minor, postings in rows
    }


def put_totals(conn: Connection, counted: Mapping[Key, Total]) -> None:
    """Let totals be what they are here; others stay."""
    conn.execute(
        """
        insert into payout_total (scope, subject, currency, starts_on, amount_minor, postings)
        select scope, subject, currency, starts_on, amount_minor, postings
        from jsonb_to_recordset(%s::jsonb)
            one (scope text, subject text, currency text, starts_on date, amount_minor bigint,
                 postings bigint)
        on conflict on constraint payout_total_pkey
        do update set amount_minor = excluded.amount_minor, postings = excluded.postings
        """,
        [
            _rows(
                [
                    _named(key) | {"amount_minor": total.amount_minor, "postings": total.postings}
                    for key, total in counted.items()
                ]
            )
        ],
    )


def _named(key: Key) -> dict[str, object]:
    scope, subject, currency, starts_on = key
    return {
        "scope": scope, "subject": subject, "currency": currency, "starts_on": str(starts_on),
    }  # fmt: skip


def _rows(rows: Sequence[Mapping[str, object]]) -> str:
    """Rows as one JSON text: many times faster to hand over than as arrays."""
    return json.dumps(rows)


def keep(conn: Connection, judged: Sequence[Judged], *, limits_version: int, now: datetime) -> None:
    """Write verdicts, park what is not clear, and hold the accounts of what broke a limit.

    Args:
        conn: within ``alone``.
        judged: of postings that are locked (``screening_facts.unscreened``).
        limits_version: under which.
        now: when.
    """
    rows = _rows(
        [
            {
                "posting_id": one.candidate.posting_id,
                "account": one.candidate.account,
                "verdict": one.verdict,
                "findings": [asdict(finding) for finding in one.findings],
                "vehicle_id": one.candidate.vehicle_id,
                "day": str(one.candidate.day),
                "detail": one.detail,
            }
            for one in judged
        ]
    )
    conn.execute(
        """
        with one as (
            select * from jsonb_to_recordset(%(rows)s::jsonb)
                as one (posting_id text, account text, verdict text, findings jsonb, vehicle_id text,
                        day date, detail text)
        ), verdicts as (
            insert into screening (posting_id, verdict, limits_version, findings, vehicle_id, day,
                                   screened_at)
            select posting_id, verdict, %(version)s, findings, vehicle_id, day, %(now)s
            from one where verdict is not null
        ), held as (
            insert into held_posting (posting_id, account)
            select posting_id, account from one where verdict is null
        )
        update posting_state s
        set screened_at = %(now)s,
            state = case one.verdict when 'clear' then s.state else 'parked' end,
            detail = case one.verdict when 'clear' then s.detail else one.detail end,
            changed_at = case one.verdict when 'clear' then s.changed_at else %(now)s end
        from one where s.posting_id = one.posting_id
        """,
        {"rows": rows, "version": limits_version, "now": now},
    )
    for one in judged:
        if one.verdict is Verdict.BREACH:
            hold(conn, one.candidate.account, by=SCREENER, why=one.detail,
                 posting_id=one.candidate.posting_id, now=now)  # fmt: skip


def hold(
    conn: Connection, account: str, *, by: str, why: str, now: datetime, posting_id: str | None
) -> None:
    """Write down that an account is held from now on; the caller has seen that it is not."""
    conn.execute(
        """
        insert into account_hold (account, number, event, by, why, posting_id, at)
        select %(account)s, coalesce(max(number), 0) + 1, 'held', %(by)s, %(why)s, %(posting)s, %(now)s
        from account_hold where account = %(account)s
        """,
        {"account": account, "by": by, "why": why, "posting": posting_id, "now": now},
    )


def park_with_accounts(
    conn: Connection, accounts: Collection[str], *, now: datetime, limit: int
) -> int:
    """Park what is certainly without effect of accounts that are held, but not what a person has
    released since then.

    What is out, or may have taken effect, goes on: only an answer can settle it. What another
    transaction is looking at is passed over, and parked by a later screening; no claim takes it
    (``storage.claims.HELD``).

    Args:
        conn: within ``alone``.
        accounts: that are held.
        now: when.
        limit: at most so many.

    Returns:
        How many.
    """
    return conn.execute(
        f"""
        with due as (
            select s.posting_id, p.account
            from posting_state s join posting p using (posting_id)
            where p.account = any(%(accounts)s) and s.state in ('pending', 'queued')
              and {HELD}
            limit %(limit)s for update of s skip locked
        ), parked as (
            update posting_state s
            set state = 'parked', screened_at = coalesce(s.screened_at, %(now)s), changed_at = %(now)s,
                detail = 'ACCOUNT_HELD: account ' || due.account || ' is held'
            from due where s.posting_id = due.posting_id
            returning s.posting_id, due.account
        )
        insert into held_posting (posting_id, account) select posting_id, account from parked
        """,
        {"accounts": sorted(accounts), "now": now, "limit": limit},
    ).rowcount


def recount(conn: Connection, *, limit: int) -> int:
    """Count what was released since it broke a limit, and no longer what was rejected.

    Args:
        conn: within ``alone``.
        limit: at most so many.

    Returns:
        How many.
    """
    rows = conn.execute(
        """
        with changed as (
            select s.posting_id, 1 as counts
            from payout_decision d join screening s using (posting_id)
            where d.decision = 'released' and s.verdict = 'breach' and not exists (
                select from payout_recount r where r.posting_id = s.posting_id and r.counts = 1)
            union
            select s.posting_id, -1
            from posting_state p join screening s using (posting_id)
            where p.state = 'rejected' and p.screened_at is not null
              and (s.verdict <> 'breach' or exists (
                select from payout_recount r where r.posting_id = s.posting_id and r.counts = 1))
              and not exists (
                select from payout_recount r where r.posting_id = s.posting_id and r.counts = -1)
            limit %s
        ), written as (
            insert into payout_recount (posting_id, counts) select posting_id, counts from changed
        )
        select p.posting_id, p.account, s.vehicle_id, p.currency, p.amount_minor, s.day, c.counts
        from changed c join posting p using (posting_id) join screening s using (posting_id)
        """,
        [limit],
    ).fetchall()
    if not rows:
        return 0
    signed = [(Candidate(*row[:6]), row[6]) for row in rows]
    counted = totals(conn, [one for one, _ in signed])
    for one, counts in signed:
        for key in keys_of(one):
            before = counted.get(key, Total())
            counted[key] = Total(
                before.amount_minor + counts * abs(one.amount_minor), before.postings + counts
            )
    put_totals(conn, counted)
    return len(rows)
