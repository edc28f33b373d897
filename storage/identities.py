"""What verdicts come to, written: readings, the identities that they take, and what contradicts them.

The unique identity (EVSE, epoch, sequence) is decided here, by a primary key that never expires:
the first content takes it, the same content again is a duplicate, another content is a conflict. So
is the unique number of a meter's record (``storage.meter_records``).
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from settlement.schemas import QUARANTINED, READING
from settlement.verdicts import Verdict, quarantine_row, reading_rows
from storage import meter_records
from storage.engine import Connection
from storage.meter_records import Joined

_COLUMNS = READING.schema.names()


@dataclass(frozen=True, slots=True)
class Written:
    """What was written; what was refused stands in the temporary table ``staged_quarantine``.

    Attributes:
        readings: how many.
        by_batch: the same, by landing batch.
        records: records of meters.
    """

    readings: int
    by_batch: Mapping[int, int]
    records: int


def write(conn: Connection, verdicts: Sequence[Verdict], now: datetime) -> Written:
    """Write the readings of verdicts, and the records of meters, in the caller's transaction.

    The caller holds the judge's lock (``storage.judging.lock``): of two records that follow each
    other, whichever is written later finds the other. Leaves ``staged_reading`` and
    ``staged_quarantine`` (temporary; rows of ``schemas.QUARANTINED``) to be dropped by ``clear``.

    Args:
        conn: as ``v2g_settle``.
        verdicts: with the times that ``storage.judging.prepare`` made room for.
        now: as ``storage.fence.writing`` gives it.
    """
    _create(conn)
    _copy_refused(conn, verdicts)
    taken = meter_records.take_numbers(conn, verdicts, now)
    joined = meter_records.join(conn, taken, now)
    _copy_readings(conn, verdicts, {id(verdict) for verdict in taken}, joined)
    by_batch = _take_identities(conn, now)
    return Written(sum(by_batch.values()), by_batch, len(taken))


def clear(conn: Connection) -> None:
    """Drop what ``write`` left."""
    conn.execute("drop table staged_reading, staged_quarantine")


def _create(conn: Connection) -> None:
    conn.execute("create temporary table staged_quarantine (like quarantine) on commit drop")
    conn.execute("create temporary table staged_reading (like reading) on commit drop")
    conn.execute(
        "alter table staged_reading drop judged_at, add judged_at timestamptz, add batch_id bigint,"
        " add packet_digest bytea, add fate text, add place bigint generated always as identity"
    )


def _copy_refused(conn: Connection, verdicts: Iterable[Verdict]) -> None:
    names = QUARANTINED.schema.names()
    with conn.cursor() as cursor, cursor.copy(_copy("staged_quarantine", names)) as copy:
        for verdict in verdicts:
            if verdict.reason is not None:
                row = quarantine_row(verdict)
                copy.write_row([row[name] for name in names])


def _copy_readings(
    conn: Connection, verdicts: Iterable[Verdict], taken: set[int], joined: Iterable[Joined]
) -> None:
    columns = [*_COLUMNS, "judged_at", "batch_id", "packet_digest"]
    with conn.cursor() as cursor, cursor.copy(_copy("staged_reading", columns)) as copy:
        for verdict in verdicts:
            if verdict.reason is None and (verdict.record is None or id(verdict) in taken):
                tail: list[object] = [None, verdict.landed.batch_id, verdict.packet_digest]
                for row in reading_rows(verdict):
                    copy.write_row([*(row[name] for name in _COLUMNS), *tail])
        for one in joined:
            tail = [one.judged_at, one.batch_id, one.packet_digest]
            copy.write_row([*(one.row[name] for name in _COLUMNS), *tail])


def _copy(table: str, columns: Sequence[str]) -> sql.Composed:
    return sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(table), names_of(columns))


def names_of(columns: Sequence[str]) -> sql.Composed:
    """Columns for a statement."""
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _take_identities(conn: Connection, now: datetime) -> dict[int, int]:
    """Decide each staged reading's fate; returns how many readings were written, by batch."""
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
    conn.execute(
        sql.SQL(
            """
            insert into reading ({columns}, judged_at)
            select {columns}, coalesce(judged_at, {now}) from staged_reading where fate = 'reading'
            order by evse_id, started_at
            """
        ).format(columns=names_of(_COLUMNS), now=sql.Literal(now))
    )
    return dict(
        conn.execute(
            "select batch_id, count(*) from staged_reading where fate = 'reading' group by batch_id"
        ).fetchall()
    )
