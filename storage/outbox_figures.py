"""What stands in the outbox: how much in which state, and when the next of it is due.

Errors: ``storage.claims``, and DatabaseUnavailableError.
"""

from collections.abc import Collection
from datetime import datetime

from settlement.posting import OPEN, State
from storage.claims import Total
from storage.outbox import OPEN_STATES, Connection, own_transaction


def totals(
    conn: Connection, *, partner: str | None = None, states: Collection[State] = frozenset(State)
) -> list[Total]:
    """Postings and money by state and currency; of one partner or of all, in these states."""
    with own_transaction(conn) as cursor:
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
    """When the first posting that may be sent is, or was, due; None where there is none.

    Of one that is being sent, this is the end of its lease.
    """
    with own_transaction(conn) as cursor:
        row = cursor.execute(
            """
            select min(d.next_attempt_at)
            from unnest(%(open)s::text[]) as one(state) cross join lateral (
                select s.next_attempt_at
                from posting_state s join posting p using (posting_id)
                where s.state = one.state and s.screened_at is not null
                  and (%(partner)s::text is null or p.partner = %(partner)s)
                  and not exists (select from payout_file_line f where f.posting_id = s.posting_id)
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
