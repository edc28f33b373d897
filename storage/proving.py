"""Postings that a partner's statement, or a bank's notification, decides.

An operator may take a statement as proof of what we were not sure of. What went to a bank in a file
is decided by the bank's word, which the poster records as it records every answer. Each leaves a
receipt that names the line it rests on.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from settlement.posting import Outcome, State
from storage.engine import Connection

_PROVABLE = (State.UNKNOWN, State.DISPUTED, State.PARKED)


class Proof(NamedTuple):
    """What decides a posting: the line, in words."""

    posting_id: str
    detail: str


def acknowledge(conn: Connection, proofs: Sequence[Proof], *, now: datetime) -> int:
    """Take statements' lines as the answers that were missing, in an operator's transaction.

    Only what is unknown, disputed or parked moves, and nothing that stands in a file of payouts. What
    is being sent at this moment is left to who sends it.

    Returns:
        How many became acknowledged.
    """
    return _decide(
        conn,
        proofs,
        after=State.ACKNOWLEDGED,
        outcome=Outcome.ACKNOWLEDGED,
        condition="s.state = any(%(provable)s) and not exists"
        " (select from payout_file_line f where f.posting_id = s.posting_id)",
        now=now,
    )


def paid_by_bank(conn: Connection, proofs: Sequence[Proof], *, now: datetime) -> int:
    """Of what a file of payouts ordered, that the bank paid; in the poster's transaction."""
    return _of_files(conn, proofs, State.ACKNOWLEDGED, Outcome.ACKNOWLEDGED, now)


def refused_by_bank(conn: Connection, proofs: Sequence[Proof], *, now: datetime) -> int:
    """Of what a file of payouts ordered, that the bank did not pay or has back; the poster's, too."""
    return _of_files(conn, proofs, State.REJECTED, Outcome.REJECTED, now)


def _of_files(
    conn: Connection, proofs: Sequence[Proof], after: State, outcome: Outcome, now: datetime
) -> int:
    return _decide(
        conn,
        proofs,
        after=after,
        outcome=outcome,
        condition="s.state = 'sent' and exists"
        " (select from payout_file_line f where f.posting_id = s.posting_id)",
        now=now,
    )


def _decide(
    conn: Connection,
    proofs: Sequence[Proof],
    *,
    after: State,
    outcome: Outcome,
    condition: str,
    now: datetime,
) -> int:
    # The receipt takes a number that no attempt has had; nothing follows it, for the state is final.
    return conn.execute(
        f"""
        with decided as (
            select s.posting_id, proof.detail, s.attempts
            from unnest(%(ids)s::text[], %(details)s::text[]) as proof (posting_id, detail)
                 join posting_state s using (posting_id)
            where {condition}
            order by s.posting_id for update of s
        ), moved as (
            update posting_state s
            set state = %(after)s, leased_until = null, detail = decided.detail, changed_at = %(now)s
            from decided where s.posting_id = decided.posting_id
            returning s.posting_id
        )
        insert into receipt (posting_id, attempt, answered_at, outcome, http_status, detail)
        select d.posting_id,
               1 + greatest(d.attempts, (select coalesce(max(r.attempt), 0) from receipt r
                                         where r.posting_id = d.posting_id)),
               %(now)s, %(outcome)s, null, d.detail
        from decided d join moved using (posting_id)
        """,
        {
            "ids": [proof.posting_id for proof in proofs],
            "details": [proof.detail for proof in proofs],
            "provable": [state.value for state in _PROVABLE],
            "after": after.value,
            "outcome": outcome.value,
            "now": now,
        },
    ).rowcount
