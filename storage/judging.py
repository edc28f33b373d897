"""Judging's two ends: which landed batches are not judged yet, and what their packets turned out to be.

The unique identity (EVSE, epoch, sequence) is decided here, by a primary key that never expires:
the first content takes it, the same content again is a duplicate, another content is a conflict.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import sql

from settlement.reasons import PacketReason
from settlement.schemas import QUARANTINED, READING
from settlement.verdicts import LandedPacket, Verdict, quarantine_row, reading_row
from storage import fence, partitions
from storage.engine import Connection

_LOCK: Final = 0x7632_675F_6A75
"""Advisory lock of the judge: one at a time, so that batches are judged in their order."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """How many packets became readings, and how many were quarantined, by reason."""

    readings: int
    quarantined: Mapping[PacketReason, int]


def lock(conn: Connection) -> bool:
    """Become the one judge until the connection closes; False if another process is."""
    row = conn.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone()
    conn.commit()
    return bool(row and row[0])


def prepare(conn: Connection, verdicts: Sequence[Verdict]) -> None:
    """Create the partitions that the readings to come need, and commit them."""
    times = [v.content.started_at for v in verdicts if v.content is not None and v.reason is None]
    partitions.ensure(conn, "reading", times)
    conn.commit()


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
        """
        with span as (
            select min(first_signed_at) as first, max(last_signed_at) as last
            from landing_batch where batch_id = any(%(batches)s)
        )
        select packet, received_at, batch_id, null as topic_evse_id from raw_packet
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
    _stage(conn, verdicts)
    readings = _take_identities(conn, now)
    conn.execute(
        sql.SQL(
            "insert into quarantine ({columns})"
            " select {columns} from staged_quarantine on conflict do nothing"
        ).format(columns=_names(QUARANTINED.schema.names()))
    )
    conn.execute(
        """
        insert into judged_batch (batch_id, judged_at, readings, quarantined)
        select batch, %(now)s,
               (select count(*) from staged_reading where batch_id = batch and fate = 'reading'),
               (select count(*) from staged_quarantine where batch_id = batch)
        from unnest(%(batches)s::bigint[]) as batch
        """,
        {"now": now, "batches": list(batches)},
    )
    counted = conn.execute(
        "select reason, count(*) from staged_quarantine group by reason"
    ).fetchall()
    conn.execute("drop table staged_reading, staged_quarantine")
    return Recorded(readings, {PacketReason(reason): count for reason, count in sorted(counted)})


def _stage(conn: Connection, verdicts: Sequence[Verdict]) -> None:
    conn.execute("create temporary table staged_quarantine (like quarantine) on commit drop")
    conn.execute("create temporary table staged_reading (like reading) on commit drop")
    conn.execute(
        "alter table staged_reading drop judged_at, add batch_id bigint, add packet_digest bytea,"
        " add fate text, add place bigint generated always as identity"
    )
    columns = READING.schema.names()
    with conn.cursor() as cursor:
        with cursor.copy(_copy("staged_reading", [*columns, "batch_id", "packet_digest"])) as copy:
            for verdict in verdicts:
                if verdict.reason is None:
                    row = reading_row(verdict)
                    copy.write_row(
                        [*(row[c] for c in columns), verdict.landed.batch_id, verdict.packet_digest]
                    )
        with cursor.copy(_copy("staged_quarantine", QUARANTINED.schema.names())) as copy:
            for verdict in verdicts:
                if verdict.reason is not None:
                    row = quarantine_row(verdict)
                    copy.write_row([row[c] for c in QUARANTINED.schema.names()])


def _copy(table: str, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(table), _names(columns))


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _take_identities(conn: Connection, now: datetime) -> int:
    """Decide each staged reading's fate; returns how many readings were written."""
    conn.execute(
        """
        with candidate as (
            select distinct on (evse_id, stream_epoch, sequence) * from staged_reading
            order by evse_id, stream_epoch, sequence, received_at, digest, place
        ), taken as (
            insert into packet_identity (evse_id, stream_epoch, sequence, digest, started_at)
            select evse_id, stream_epoch, sequence, digest, started_at from candidate
            order by evse_id, stream_epoch, sequence
            on conflict do nothing returning evse_id, stream_epoch, sequence
        )
        update staged_reading set fate = 'reading'
        from candidate join taken using (evse_id, stream_epoch, sequence)
        where staged_reading.place = candidate.place
        """
    )
    conn.execute(
        """
        update staged_reading set fate = case
            when packet_identity.digest = staged_reading.digest then 'DUPLICATE_CONTENT'
            else 'CONFLICTING_CONTENT' end
        from packet_identity
        where fate is null
          and packet_identity.evse_id = staged_reading.evse_id
          and packet_identity.stream_epoch = staged_reading.stream_epoch
          and packet_identity.sequence = staged_reading.sequence
        """
    )
    conn.execute(
        """
        insert into packet_conflict (evse_id, stream_epoch, sequence, digest, found_at)
        select distinct evse_id, stream_epoch, sequence, digest, %s::timestamptz from staged_reading
        where fate = 'CONFLICTING_CONTENT' on conflict do nothing
        """,
        [now],
    )
    conn.execute(
        """
        insert into staged_quarantine
            (packet_digest, reason, detail, evse_id, vehicle_id, started_at, ended_at,
             claimed_export_milliwh, key_id, received_at, batch_id)
        select packet_digest, fate,
               format('identity (%%s, %%s, %%s) stands already', evse_id, stream_epoch, sequence),
               evse_id, vehicle_id, started_at, ended_at, export_end_milliwh - export_start_milliwh,
               key_id, received_at, batch_id
        from staged_reading where fate <> 'reading'
        """
    )
    written = conn.execute(
        sql.SQL(
            """
            with written as (
                insert into reading ({columns}, judged_at)
                select {columns}, {now} from staged_reading where fate = 'reading'
                order by evse_id, started_at returning 1
            ) select count(*) from written
            """
        ).format(columns=_names(READING.schema.names()), now=sql.Literal(now))
    ).fetchone()
    assert written is not None
    return int(written[0])
