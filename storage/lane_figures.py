"""How the queue to each partner stands, and whether it grows. Reads only, nothing is remembered."""

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from settlement.posting import OPEN
from storage.engine import Connection


@dataclass(frozen=True, slots=True)
class LaneFigures:
    """The queue to one partner.

    Attributes:
        queued: postings that will be sent, or sent again.
        queued_minor: their money, in minor units by currency.
        oldest_at: when the oldest of them was booked; None where nothing is queued.
        parked: postings that wait for a person.
        parked_minor: their money.
        added: postings booked since ``since``.
        left: postings that left the queue since then: acknowledged, rejected or parked.
        rests_until: until when nobody sends to the partner; None where anybody may.
    """

    partner: str
    queued: int
    queued_minor: dict[str, int]
    oldest_at: datetime | None
    parked: int
    parked_minor: dict[str, int]
    added: int
    left: int
    rests_until: datetime | None

    @property
    def growing(self) -> bool:
        """Whether more came in since ``since`` than left, and something is queued."""
        return self.queued > 0 and self.added > self.left


def lanes(
    conn: Connection, *, since: datetime, now: datetime, most: int = 100
) -> list[LaneFigures]:
    """Each partner's lane, by partner; at most so many.

    Args:
        conn: any role that may read.
        since: from when on additions are held against what left.
        now: a rest that is over by then is none.
        most: lanes.
    """
    with conn.cursor(row_factory=class_row(LaneFigures)) as cursor:
        cursor.execute(
            """
            with standing as (
                select p.partner, p.currency, s.state = 'parked' as parked, count(*) as postings,
                       sum(p.amount_minor)::bigint as amount_minor, min(p.created_at) as oldest_at
                from posting_state s join posting p using (posting_id)
                where s.state = any(%(open)s) or s.state = 'parked'
                group by p.partner, p.currency, s.state = 'parked'
            ), moved as (
                -- What was added since has also changed since: one index finds both.
                select p.partner, count(*) filter (where p.created_at >= %(since)s) as added,
                       count(*) filter (where not s.state = any(%(open)s)) as gone
                from posting_state s join posting p using (posting_id)
                where s.changed_at >= %(since)s group by p.partner
            ), lane as (
                select partner, coalesce(sum(postings) filter (where not parked), 0)::bigint as queued,
                       coalesce(jsonb_object_agg(currency, amount_minor) filter (where not parked),
                                '{}') as queued_minor,
                       min(oldest_at) filter (where not parked) as oldest_at,
                       coalesce(sum(postings) filter (where parked), 0)::bigint as parked,
                       coalesce(jsonb_object_agg(currency, amount_minor) filter (where parked), '{}')
                           as parked_minor
                from standing group by partner
            )
            select partner, coalesce(queued, 0) as queued, coalesce(queued_minor, '{}') as queued_minor,
                   oldest_at, coalesce(parked, 0) as parked,
                   coalesce(parked_minor, '{}') as parked_minor,
                   coalesce(added, 0) as added, coalesce(gone, 0) as left,
                   case when rests_until > %(now)s then rests_until end as rests_until
            from lane full join moved using (partner) left join partner_lane using (partner)
            order by partner limit %(most)s
            """,
            {
                "open": sorted(state.value for state in OPEN),
                "since": since,
                "now": now,
                "most": most,
            },
        )
        return cursor.fetchall()
