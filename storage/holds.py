"""Accounts that are held: nothing is newly sent to them until a person has looked.

Errors: ``storage.approvals.PayoutRefusedError``, and DatabaseUnavailableError where nothing is known
to be stored.
"""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from settlement.posting import State, require_move
from storage import screening
from storage.approvals import PayoutRefusedError, Refusal, require_person
from storage.engine import Connection

ALL: int = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Event:
    """An account was held, or released.

    Attributes:
        event: held or released.
        by: who; ``screening.SCREENER`` where a limit was broken.
        posting_id: what broke it; None where a person holds the account.
    """

    account: str
    number: int
    event: str
    by: str
    why: str
    posting_id: str | None
    at: datetime


def hold(conn: Connection, account: str, *, by: str, why: str, now: datetime) -> int:
    """Hold an account: what is surely without effect so far is parked, and so is what comes.

    Args:
        conn: idle, as ``v2g_operator``; committed on return.
        account: whose; it need not have had a posting yet.
        by: who holds it.
        why: kept with it.
        now: when.

    Returns:
        How many postings were parked. What is out, or may have taken effect, goes on.

    Raises:
        PayoutRefusedError: it is held already.
    """
    require_person(by, why)
    if not account.strip():
        raise PayoutRefusedError(Refusal.INVALID, "the account", "empty", "its name")
    with screening.alone(conn):
        if screening.held_accounts(conn, [account]):
            raise PayoutRefusedError(
                Refusal.STATE, f"account {account}", "held already", "one that is not"
            )
        screening.hold(conn, account, by=by.strip(), why=why.strip(), now=now, posting_id=None)
        return screening.park_with_accounts(conn, [account], now=now, limit=ALL)


def unhold(conn: Connection, account: str, *, by: str, why: str, now: datetime) -> int:
    """Release an account. What was parked only with it goes on: screened again where it was not yet,
    due at once where it was. What broke a limit itself stays parked until it is decided.

    Args:
        conn: idle, as ``v2g_operator``; committed on return.
        account: whose.
        by: who releases it.
        why: kept with it.
        now: when.

    Returns:
        How many postings go on.

    Raises:
        PayoutRefusedError: it is not held.
    """
    require_person(by, why)
    for state in (State.PENDING, State.UNKNOWN):
        require_move(State.PARKED, state)
    with screening.alone(conn):
        if not screening.held_accounts(conn, [account]):
            raise PayoutRefusedError(
                Refusal.STATE, f"account {account}", "not held",
                "one that `v2g payouts holds` shows",
            )  # fmt: skip
        conn.execute(
            """
            insert into account_hold (account, number, event, by, why, posting_id, at)
            select %(account)s, max(number) + 1, 'released', %(by)s, %(why)s, null, %(now)s
            from account_hold where account = %(account)s
            """,
            {"account": account, "by": by.strip(), "why": why.strip(), "now": now},
        )
        return conn.execute(
            """
            with freed as (
                delete from held_posting where account = %(account)s returning posting_id
            )
            update posting_state s
            set state = case when s.attempts = 0 then 'pending' else 'unknown' end,
                screened_at = case when s.attempts > 0 or exists (
                    select from screening v where v.posting_id = s.posting_id
                ) then s.screened_at end,
                next_attempt_at = %(now)s, leased_until = null, changed_at = %(now)s,
                detail = 'account released by ' || %(by)s::text
            from freed where s.posting_id = freed.posting_id and s.state = 'parked'
            """,
            {"account": account, "by": by.strip(), "now": now},
        ).rowcount


def held(conn: Connection) -> list[Event]:
    """The accounts that are held now, each with what held it; the latest first."""
    with conn.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(
            """
            select account, number, event, by, why, posting_id, at from (
                select distinct on (account) * from account_hold order by account, number desc
            ) last where event = 'held' order by at desc, account
            """
        ).fetchall()


def history(conn: Connection, account: str) -> list[Event]:
    """When an account was held and released, by whom and why; the latest first."""
    with conn.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(
            "select account, number, event, by, why, posting_id, at from account_hold"
            " where account = %s order by number desc",
            [account],
        ).fetchall()
