"""Quarantined packets judged again: which are next, and what it came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from settlement.verdicts import LandedPacket, Verdict
from storage import fence, identities
from storage.engine import Connection
from storage.quarantine import CHOSEN, READING, RECORD, Selection, parameters
from storage.quarantined_packets import bytes_of


@dataclass(frozen=True, slots=True)
class Page:
    """Some packets to be judged again.

    Attributes:
        landed: as they were landed.
        missing: how many are quarantined of which the raw data has been removed.
        after: where the next page begins; None: this was the last.
    """

    landed: Sequence[LandedPacket]
    missing: int
    after: tuple[datetime, bytes] | None


def page(
    conn: Connection, selection: Selection, *, after: tuple[datetime, bytes] | None, size: int
) -> Page:
    """The next packets that are quarantined still, in the order of their receipt."""
    rows = conn.execute(
        f"""
        select q.packet_digest, q.received_at {CHOSEN}
          and (%(after)s::timestamptz is null or (q.received_at, q.packet_digest) > (%(after)s, %(past)s))
        order by q.received_at, q.packet_digest limit %(size)s
        """,
        parameters(selection)
        | {
            "after": after[0] if after else None,
            "past": after[1] if after else b"",
            "size": size,
        },
    ).fetchall()
    found = bytes_of(conn, [bytes(digest) for digest, _ in rows])
    landed = [
        LandedPacket(one["packet"], one["received_at"], one["batch_id"], one["topic_evse_id"])
        for digest, _ in rows
        if (one := found.get(bytes(digest))) is not None
    ]
    last = (rows[-1][1], bytes(rows[-1][0])) if len(rows) == size else None
    return Page(landed, len(rows) - len(landed), last)


@dataclass(frozen=True, slots=True)
class Retried:
    """What judging some packets again came to.

    Attributes:
        outcomes: how many packets, by outcome.
        readings: written.
        export_milliwh: what they exported.
        started_at: of the first of them; None where there is none.
        ended_at: of the last.
    """

    outcomes: Mapping[str, int]
    readings: int
    export_milliwh: int
    started_at: datetime | None
    ended_at: datetime | None


def record_retry(
    conn: Connection, verdicts: Sequence[Verdict], *, now: datetime, by: str
) -> Retried:
    """Write what judging again came to, in the caller's transaction, and one retry per packet.

    The caller holds the judge's lock. What becomes a reading is known from ``now`` on, so that runs
    before did not know it.

    Args:
        conn: as ``v2g_settle``.
        verdicts: of quarantined packets, each once.
        now: see ``storage.fence.writing``.
        by: who asked for it.
    """
    now = fence.writing(conn, now)
    written = identities.write(conn, verdicts, now)
    row = conn.execute(
        "select coalesce(sum(export_end_milliwh - export_start_milliwh), 0)::bigint, min(started_at),"
        " max(ended_at) from staged_reading where fate = 'reading'"
    ).fetchone()
    assert row is not None
    digests = [verdict.packet_digest for verdict in verdicts]
    outcomes = conn.execute(
        """
        insert into quarantine_retry (packet_digest, retry, retried_at, retried_by, outcome, detail)
        select judged.packet_digest,
               1 + (select coalesce(max(retry), 0) from quarantine_retry r
                    where r.packet_digest = judged.packet_digest),
               %(now)s, %(by)s, coalesce(refused.reason, judged.outcome), coalesce(refused.detail, '')
        from unnest(%(digests)s::bytea[], %(outcomes)s::text[]) as judged (packet_digest, outcome)
             left join lateral (
                 select reason, detail from staged_quarantine s
                 where s.packet_digest = judged.packet_digest limit 1
             ) as refused on true
        returning outcome
        """,
        {
            "now": now,
            "by": by,
            "digests": digests,
            "outcomes": [READING if one.record is None else RECORD for one in verdicts],
        },
    ).fetchall()
    identities.clear(conn)
    counts: dict[str, int] = {}
    for (outcome,) in outcomes:
        counts[outcome] = counts.get(outcome, 0) + 1
    return Retried(counts, written.readings, *row)
