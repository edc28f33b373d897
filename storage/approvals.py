"""What people decide about parked postings: let one go, or give it up. Each decision keeps its author.

The database holds that nobody lets go what waits under limits of their own, however the name is
spelled. Names are what people say of themselves: who may connect as ``v2g_operator`` is the lock.

StorageError
└── PayoutRefusedError   not what can be decided, or not by this person
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from typing import Final

from psycopg.errors import CheckViolation, UniqueViolation

from settlement import units
from settlement.posting import Outcome, State, require_move
from storage.engine import Connection
from storage.errors import StorageError
from storage.screening import SCREENER, alone, held_accounts

WHY_MAX_CHARS: Final = 1_000

EFFECTLESS: Final = (
    Outcome.REFUSED_TEMPORARILY,
    Outcome.CONNECTION_FAILED,
    Outcome.NOT_SERVED,
    Outcome.REJECTED,
)
"""Outcomes of attempts that cannot have taken effect."""


class Decision(StrEnum):
    """What was decided."""

    APPROVED = "approved"
    """A large payout was let go, by somebody other than who set the limits."""
    RELEASED = "released"
    """So was one that broke a limit, or that the clearinghouse contradicts."""
    REFUSED = "refused"
    """It is given up. Final."""


class Refusal(StrEnum):
    """Why a decision is refused."""

    INVALID = "invalid"
    """The command says something impossible."""
    UNKNOWN = "unknown"
    STATE = "state"
    TWO_PEOPLE = "two people"
    DOUBT = "doubt"
    """An attempt may have taken effect."""


class PayoutRefusedError(StorageError):
    """A decision that is not possible. Nothing was changed.

    Attributes:
        why: which kind.
        where: the posting, account or option.
        found: what is the case.
        expected: what would have been needed.
    """

    def __init__(self, why: Refusal, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self.why = why
        self.where = where
        self.found = found
        self.expected = expected


def approve(conn: Connection, posting_id: str, *, by: str, why: str, now: datetime) -> State:
    """Let a large payout go; it is due at once.

    Args:
        conn: idle, as ``v2g_operator``; committed on return.
        posting_id: what waits for approval.
        by: who approves; not who set the limits under which it waits.
        why: kept with the decision.
        now: when.

    Returns:
        Its state: pending, or unknown where it was sent before.

    Raises:
        PayoutRefusedError: it does not wait for approval, its account is held, or this person may not
            approve it.
        DatabaseUnavailableError: nothing is known to be decided; try again.
    """
    with _deciding(conn, posting_id, by, why):
        account, verdict, version, attempts, decided = _parked(conn, posting_id)
        if verdict != "approval" or Decision.APPROVED in decided:
            found = "approved already" if decided else "it waits for no approval"
            raise PayoutRefusedError(
                Refusal.STATE,
                f"posting {posting_id}",
                found,
                "`v2g payouts release`, with a reason",
            )
        if held_accounts(conn, [account]):
            raise PayoutRefusedError(
                Refusal.STATE, f"posting {posting_id}", f"its account {account} is held",
                "`v2g payouts unhold` before that, or `refuse`",
            )  # fmt: skip
        _write(conn, posting_id, Decision.APPROVED, by, why, now, version)
        return _let_go(conn, posting_id, attempts, f"approved by {by}: {why}", now)


def release(conn: Connection, posting_id: str, *, by: str, why: str, now: datetime) -> State:
    """Let a parked payout go, under the same id; it is due at once. Its account stays held, if it is.

    Args:
        conn: idle, as ``v2g_operator``; committed on return.
        posting_id: what broke a limit, or what the clearinghouse contradicts.
        by: who has looked at it; not who set the limits that it broke.
        why: kept with the decision.
        now: when.

    Returns:
        Its state: pending, or unknown where it was sent before.

    Raises:
        PayoutRefusedError: it is not parked, waits for something else, or this person may not.
        DatabaseUnavailableError: nothing is known to be decided; try again.
    """
    with _deciding(conn, posting_id, by, why):
        account, verdict, version, attempts, decided = _parked(conn, posting_id)
        if verdict == "approval" and Decision.APPROVED not in decided:
            raise PayoutRefusedError(
                Refusal.STATE, f"posting {posting_id}", "it waits for approval",
                "`v2g payouts approve`, or `refuse`",
            )  # fmt: skip
        if _held_with_account(conn, posting_id):
            raise PayoutRefusedError(
                Refusal.STATE, f"posting {posting_id}", f"only its account {account} is held",
                "`v2g payouts unhold`, which lets all its postings go",
            )  # fmt: skip
        _write(conn, posting_id, Decision.RELEASED, by, why, now, version)
        return _let_go(conn, posting_id, attempts, f"released by {by}: {why}", now)


def refuse(conn: Connection, posting_id: str, *, by: str, why: str, now: datetime) -> State:
    """Give a parked payout up: it is never sent. The ledger keeps what is owed.

    Args:
        conn: idle, as ``v2g_operator``; committed on return.
        posting_id: what is parked, and cannot have taken effect.
        by: who decides.
        why: kept with the decision.
        now: when.

    Raises:
        PayoutRefusedError: it is not parked, or an attempt may have taken effect.
        DatabaseUnavailableError: nothing is known to be decided; try again.
    """
    with _deciding(conn, posting_id, by, why):
        _, _, version, attempts, _ = _parked(conn, posting_id)
        _require_no_effect(conn, posting_id, attempts)
        require_move(State.PARKED, State.REJECTED)
        _write(conn, posting_id, Decision.REFUSED, by, why, now, version)
        _move(conn, posting_id, State.REJECTED, f"refused by {by}: {why}", now)
        return State.REJECTED


def require_person(by: str, why: str) -> None:
    """Raises PayoutRefusedError unless both are printable text, and ``by`` is a person's name."""
    for where, said, longest in (("--by", by, units.ID_MAX_CHARS), ("--why", why, WHY_MAX_CHARS)):
        if not said.strip() or not said.isprintable() or len(said) > longest:
            raise PayoutRefusedError(
                Refusal.INVALID, where, ascii(said[:40]), f"1 to {longest} printable characters"
            )
    if by.strip().lower() == SCREENER:
        raise PayoutRefusedError(
            Refusal.INVALID, "--by", repr(by), "a person's name: the screening decides nothing"
        )


@contextmanager
def _deciding(conn: Connection, posting_id: str, by: str, why: str) -> Iterator[None]:
    require_person(by, why)
    where = f"posting {posting_id}"
    try:
        with alone(conn):
            yield
    except CheckViolation as error:
        if error.diag.constraint_name != "payout_decision_two_people_check":
            raise
        raise PayoutRefusedError(
            Refusal.TWO_PEOPLE, where, f"{by} set the limits under which it waits", "somebody else"
        ) from error
    except UniqueViolation as error:
        raise PayoutRefusedError(
            Refusal.STATE, where, "decided already", "one decision (`v2g payouts show`)"
        ) from error


def _parked(conn: Connection, posting_id: str) -> tuple[str, str, int, int, list[str]]:
    """Account, verdict, version of the limits, attempts and decisions so far; locked."""
    row = conn.execute(
        """
        select p.account, s.state, coalesce(v.verdict, ''), coalesce(v.limits_version, 0), s.attempts,
               array(select decision from payout_decision d where d.posting_id = s.posting_id)
        from posting_state s join posting p using (posting_id) left join screening v using (posting_id)
        where s.posting_id = %s for update of s
        """,
        [posting_id],
    ).fetchone()
    if row is None:
        raise PayoutRefusedError(
            Refusal.UNKNOWN, f"posting {posting_id}", "no such posting",
            "an id as `v2g payouts list` shows it",
        )  # fmt: skip
    if row[1] != State.PARKED:
        raise PayoutRefusedError(
            Refusal.STATE, f"posting {posting_id}", f"it is {row[1]}", "one that is parked"
        )
    return row[0], row[2], row[3], row[4], row[5]


def _held_with_account(conn: Connection, posting_id: str) -> bool:
    found = conn.execute("select from held_posting where posting_id = %s", [posting_id])
    return found.fetchone() is not None


def _require_no_effect(conn: Connection, posting_id: str, attempts: int) -> None:
    row = conn.execute(
        """
        select (select count(*) from receipt
                where posting_id = %(posting)s and outcome = any(%(effectless)s)),
               exists (select from payout_file_line where posting_id = %(posting)s)
        """,
        {"posting": posting_id, "effectless": [one.value for one in EFFECTLESS]},
    ).fetchone()
    assert row is not None
    without_effect, in_file = row
    if in_file or without_effect < attempts:
        found = (
            "it stands in a payout file"
            if in_file
            else f"{attempts - without_effect} of {attempts} attempts may have taken effect"
        )
        raise PayoutRefusedError(
            Refusal.DOUBT, f"posting {posting_id}", found,
            "one that cannot have been paid; release it, or reconcile with the partner's statement",
        )  # fmt: skip


def _write(
    conn: Connection, posting_id: str, decision: Decision, by: str, why: str, now: datetime,
    version: int,
) -> None:  # fmt: skip
    conn.execute(
        """
        insert into payout_decision (posting_id, number, decision, by, why, at, limits_version)
        select %(posting)s, coalesce(max(number), 0) + 1, %(decision)s, %(by)s, %(why)s, %(now)s,
               %(version)s
        from payout_decision where posting_id = %(posting)s
        """,
        {"posting": posting_id, "decision": decision.value, "by": by.strip(), "why": why.strip(),
         "now": now, "version": version},
    )  # fmt: skip


def _let_go(conn: Connection, posting_id: str, attempts: int, detail: str, now: datetime) -> State:
    state = State.UNKNOWN if attempts else State.PENDING
    require_move(State.PARKED, state)
    _move(conn, posting_id, state, detail, now)
    return state


def _move(conn: Connection, posting_id: str, state: State, detail: str, now: datetime) -> None:
    conn.execute(
        """
        with unheld as (delete from held_posting where posting_id = %(posting)s)
        update posting_state
        set state = %(state)s, next_attempt_at = %(now)s, leased_until = null, detail = %(detail)s,
            screened_at = coalesce(screened_at, %(now)s), changed_at = %(now)s
        where posting_id = %(posting)s
        """,
        {"posting": posting_id, "state": state.value, "detail": detail, "now": now},
    )
