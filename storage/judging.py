"""Judging's two ends: which landed batches are not judged yet, and what their packets turned out to be."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, LiteralString

from psycopg import sql

from settlement import units
from settlement.reasons import PacketReason
from settlement.schemas import QUARANTINED
from settlement.verdicts import LandedPacket, Verdict
from storage import fence, identities, partitions
from storage.engine import Connection

_LOCK: Final = 0x7632_675F_6A75
"""Advisory lock of the judge: one at a time, so that batches are judged in their order."""


RAW_TOPIC: Final[LiteralString] = """
    case when source = 'mqtt' and evse_id not like 'meter:%%' and not exists (
        select from device_key k where k.evse_id = raw_packet.evse_id and k.client_id <> '')
    then evse_id end"""
"""Of a row of raw_packet, the id in the topic on which it came: over MQTT the one under which it stands
there, for what came on another was set aside. Not known where a client is enrolled to bring the EVSE's
packets: landing let in what came on the EVSE's own topic or that client's, and keeps no word of which."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many readings there are now, how many packets were quarantined, by reason, and how many are
    records of meters, which may give several readings or, for now, none.
    """

    readings: int
    quarantined: Mapping[PacketReason, int]
    records: int


def lock(conn: Connection) -> bool:
    """Become the one judge until the connection closes; False if another process is."""
    row = conn.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
    conn.commit()
    return bool(row and row[0])


def prepare(conn: Connection, verdicts: Sequence[Verdict]) -> None:
    """Create the partitions that the readings to come need, and commit them."""
    partitions.ensure(conn, "reading", _starts(verdicts))
    conn.commit()


def _starts(verdicts: Iterable[Verdict]) -> Iterator[datetime]:
    """When readings may start. One that joins two records starts up to an hour from a point of either."""
    for verdict in verdicts:
        if verdict.reason is None:
            yield from (content.started_at for content in verdict.contents)
            if verdict.record is not None:
                first, last = verdict.record.points[0].at, verdict.record.points[-1].at
                yield from (first - units.INTERVAL_MAX, last)


def next_batches(conn: Connection, *, packets: int) -> list[int]:
    """The oldest batches that are not judged, up to about that many packets, at least one batch."""
    rows = conn.execute(
        """
        select batch_id from (
            select batch_id, sum(rows_new + rows_aside) over (order by batch_id) as packets,
                   row_number() over (order by batch_id) as place
            from landing_batch where not exists (
                select from judged_batch where judged_batch.batch_id = landing_batch.batch_id)
        ) waiting
        where packets <= %s or place = 1 order by batch_id
        """,
        [packets],
    ).fetchall()
    return [batch for (batch,) in rows]


def fetch(conn: Connection, batches: Sequence[int]) -> list[LandedPacket]:
    """The packets of these batches, raw and set aside, in the order of their receipt."""
    rows = conn.execute(
        f"""
        with span as (
            select min(first_signed_at) as first, max(last_signed_at) as last
            from landing_batch where batch_id = any(%(batches)s)
        )
        select packet, received_at, batch_id, {RAW_TOPIC} as topic_evse_id from raw_packet
        where batch_id = any(%(batches)s)
          and signed_at between (select first from span) and (select last from span)
        union all
        select packet, received_at, batch_id, topic_evse_id from packet_aside
        where batch_id = any(%(batches)s)
        order by received_at, packet
        """,
        {"batches": list(batches)},
    ).fetchall()
    return [LandedPacket(packet, received, batch, topic) for packet, received, batch, topic in rows]


def record(
    conn: Connection, batches: Sequence[int], verdicts: Sequence[Verdict], *, now: datetime
) -> Recorded:
    """Write what judging found, in the caller's transaction: readings, quarantine, identities, conflicts.

    Each packet is quarantined once whatever happens; a reading is written only by the packet whose
    content takes the identity. A run waits for the commit before it fixes what it knows, and what is
    recorded counts as known from ``now``, or from right after the last run that cannot have seen it
    (``storage.fence``).
    """
    now = fence.writing(conn, now)
    written = identities.write(conn, verdicts, now)
    conn.execute(
        sql.SQL(
            "insert into quarantine ({columns})"
            " select {columns} from staged_quarantine on conflict do nothing"
        ).format(columns=identities.names_of(QUARANTINED.schema.names()))
    )
    conn.execute(
        """
        insert into judged_batch (batch_id, judged_at, readings, quarantined)
        select batch, %(now)s, readings,
               (select count(distinct packet_digest) from staged_quarantine where batch_id = batch)
        from unnest(%(batches)s::bigint[], %(readings)s::bigint[]) as judged (batch, readings)
        """,
        {
            "now": now,
            "batches": list(batches),
            "readings": [written.by_batch.get(batch, 0) for batch in batches],
        },
    )
    counted = conn.execute(
        "select reason, count(distinct packet_digest) from staged_quarantine group by reason"
    ).fetchall()
    identities.clear(conn)
    quarantined = {PacketReason(reason): count for reason, count in sorted(counted)}
    return Recorded(written.readings, quarantined, written.records)
