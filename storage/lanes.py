"""The way to a partner, as all posters see it: until when nobody sends, and who said so.

A poster that is asked to wait writes it here, so that a second one and a restarted one wait too; an
operator pauses and resumes the lane by the same row. ``storage.outbox.claim`` takes nothing while it
rests. What people said is kept for ever in ``lane_change``.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from storage.outbox import FAR, Connection, own_transaction

BY_PARTNER: Final = "the partner"
"""Who a rest is by that a poster wrote because of the partner's answers."""

UNTIL_RESUMED: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""Until when an operator's pause lasts that names no time."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What stands about a partner's lane; over once ``until`` is.

    Attributes:
        until: from then on postings are sent again.
        why: in words.
        by: ``BY_PARTNER``, or the operator.
        since: when it was said.
    """

    until: datetime
    why: str
    by: str
    since: datetime


def standing(conn: Connection, *, partner: str) -> Rest | None:
    """What was last said about a lane; None where nothing ever was."""
    with own_transaction(conn) as cursor:
        row = cursor.execute(
            "select rests_until, why, by, changed_at from partner_lane where partner = %s",
            (partner,),
        ).fetchone()
    return Rest(*row) if row else None


def prolong(conn: Connection, *, partner: str, until: datetime, why: str, now: datetime) -> bool:
    """Let a lane rest because of the partner's answers, unless it rests as long already.

    Returns:
        Whether that changed anything.
    """
    with own_transaction(conn) as cursor:
        return bool(
            cursor.execute(
                """
                insert into partner_lane as l (partner, rests_until, why, by, changed_at)
                values (%(partner)s, %(until)s, %(why)s, %(by)s, %(now)s)
                on conflict (partner) do update
                set rests_until = excluded.rests_until, why = excluded.why, by = excluded.by,
                    changed_at = excluded.changed_at
                where l.rests_until < excluded.rests_until
                """,
                {"partner": partner, "until": until, "why": why, "by": BY_PARTNER, "now": now},
            ).rowcount
        )


def pull_in(conn: Connection, *, partner: str, now: datetime) -> bool:
    """End a rest that no partner can have asked for: a clock that has been set back wrote it.

    Returns:
        Whether there was one. What an operator said stands.
    """
    with own_transaction(conn) as cursor:
        return bool(
            cursor.execute(
                """
                update partner_lane set rests_until = %(now)s, changed_at = %(now)s
                where partner = %(partner)s and by = %(by)s and rests_until > %(far)s
                """,
                {"partner": partner, "by": BY_PARTNER, "now": now, "far": now + FAR},
            ).rowcount
        )


def decide(
    conn: Connection, *, partner: str, until: datetime, why: str, by: str, now: datetime
) -> None:
    """Let a lane rest until a time, or end its rest with a time that is past: an operator's word.

    Args:
        conn: as the operator's role; committed on return.
        partner: whose lane.
        until: ``UNTIL_RESUMED`` where it is open; ``now`` resumes.
        why: kept, with ``by``, for ever.
        by: who decides.
        now: when.

    Raises:
        ValueError: no name, the partner's, or no reason.
    """
    if not by.strip() or by == BY_PARTNER or not why.strip():
        raise ValueError(f"by {by!r}, why {why!r}; expected who decides, and the reason")
    with own_transaction(conn) as cursor:
        cursor.execute(
            """
            with said as (
                insert into lane_change (partner, rests_until, why, by, changed_at)
                values (%(partner)s, %(until)s, %(why)s, %(by)s, %(now)s)
                returning partner, rests_until, why, by, changed_at
            )
            insert into partner_lane (partner, rests_until, why, by, changed_at)
            select partner, rests_until, why, by, changed_at from said
            on conflict (partner) do update
            set rests_until = excluded.rests_until, why = excluded.why, by = excluded.by,
                changed_at = excluded.changed_at
            """,
            {"partner": partner, "until": until, "why": why, "by": by, "now": now},
        )


def history(conn: Connection, *, partner: str, limit: int = 100) -> list[Rest]:
    """What operators said about a lane, the latest first."""
    with own_transaction(conn) as cursor:
        rows = cursor.execute(
            """
            select rests_until, why, by, changed_at from lane_change
            where partner = %s order by change_no desc limit %s
            """,
            (partner, limit),
        ).fetchall()
    return [Rest(*row) for row in rows]
