"""What disputes came to, in the double-entry journal; and whether what stands there is that.

One entry per dispute, filed in the journal under ``dispute:ID`` beside the settlements' own. Seals
cover settlements; an entry of a dispute is held against the dispute itself, whose course is append-only.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from settlement.booking.disputes import (
    BOOKED,
    DisputeLine,
    Outcome,
    dispute_lines,
    entry_id,
    entry_kind,
)
from storage.engine import Connection

_ENDED: Final = """
    select d.dispute_id, d.partner, coalesce(s.program, ''), d.currency, d.amount_minor, d.opened_at,
           e.kind
    from dispute d join dispute_event e using (dispute_id)
         left join posting p using (posting_id) left join settlement s using (settlement_id)
    where e.kind = any(%s) and d.amount_minor <> 0
    order by e.at, d.dispute_id
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """A dispute whose outcome moves money in the books."""

    dispute_id: str
    outcome: Outcome
    lines: tuple[DisputeLine, ...]
    period_at: datetime


def book(conn: Connection, *, now: datetime) -> int:
    """Book every outcome that is not in the books yet, in the transaction of ``books.settling``.

    Returns:
        How many. Repeating it adds none.
    """
    standing = {entry for (entry,) in conn.execute(_STANDING)}
    booked = 0
    for one in _ended(conn):
        if entry_id(one.dispute_id) in standing:
            continue
        conn.execute(
            """
            insert into journal_entry (entry_id, settlement_id, kind, period_at, booked_at)
            values (%(entry)s, %(entry)s, %(kind)s, %(period)s, %(now)s)
            """,
            {
                "entry": entry_id(one.dispute_id),
                "kind": entry_kind(one.outcome),
                "period": one.period_at,
                "now": now,
            },
        )
        # All lines in one statement: the journal refuses what does not sum to zero.
        conn.execute(
            """
            insert into journal_line (entry_id, account, currency, amount_minor)
            select %s, * from unnest(%s::text[], %s::text[], %s::bigint[])
            """,
            [
                entry_id(one.dispute_id),
                [line.account for line in one.lines],
                [line.currency for line in one.lines],
                [line.amount_minor for line in one.lines],
            ],
        )
        booked += 1
    return booked


_STANDING: Final = "select entry_id from journal_entry where starts_with(settlement_id, 'dispute:')"


def unbooked(conn: Connection) -> frozenset[str]:
    """Ids of disputes that have ended and whose outcome is not in the books yet."""
    standing = {entry for (entry,) in conn.execute(_STANDING)}
    return frozenset(
        one.dispute_id for one in _ended(conn) if entry_id(one.dispute_id) not in standing
    )


def wrong_entry(conn: Connection) -> tuple[str, str] | None:
    """The first entry of a dispute that is not what the dispute came to, and what is wrong with it."""
    expected = {entry_id(one.dispute_id): one for one in _ended(conn)}
    lines: dict[str, set[DisputeLine]] = {}
    for entry, account, currency, amount in conn.execute(
        """
        select entry_id, account, currency, amount_minor from journal_line
        where starts_with(entry_id, 'dispute:')
        """
    ):
        lines.setdefault(entry, set()).add(DisputeLine(account, currency, amount))
    for entry, filed, kind in conn.execute(
        """
        select entry_id, settlement_id, kind from journal_entry
        where starts_with(settlement_id, 'dispute:') order by entry_id
        """
    ).fetchall():
        one = expected.get(entry)
        if one is None or filed != entry:
            return entry, "an entry of a dispute that has not ended so"
        if kind != entry_kind(one.outcome) or lines.get(entry, set()) != set(one.lines):
            return entry, "an entry that is not what the dispute came to"
    return None


def _ended(conn: Connection) -> Iterator[Ended]:
    for dispute_id, partner, program, currency, amount, opened_at, kind in conn.execute(
        _ENDED, [sorted(outcome.value for outcome in BOOKED)]
    ).fetchall():
        outcome = Outcome(kind)
        made = dispute_lines(
            outcome, partner=partner, program=program, currency=currency, amount_minor=amount
        )
        yield Ended(dispute_id, outcome, made, opened_at)
