"""Records of meters: each number once per meter and context, joined with its neighbours.

Two primary keys and a unique digest decide, not a look beforehand: the first content takes the
number, the same content again, in whatever wrapping, is a duplicate, another content is a conflict.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import dict_row

from settlement.meter_readings import StandingRecord, joined
from settlement.packets import MeterPoint
from settlement.verdicts import Verdict, claimed_between, fault, joined_row, standing_record
from storage.engine import Connection


@dataclass(frozen=True, slots=True)
class Joined:
    """A reading between two records.

    Attributes:
        row: of ``schemas.READING``.
        judged_at: when both records could first be known.
        batch_id: of the record that completed it.
        packet_digest: the same record's packet.
    """

    row: Mapping[str, object]
    judged_at: datetime
    batch_id: int
    packet_digest: bytes


def take_numbers(conn: Connection, verdicts: Iterable[Verdict], now: datetime) -> list[Verdict]:
    """Write those records of verdicts whose number is free; the others go to ``staged_quarantine``.

    Another content of a number speaks against all readings that rest on the record that has it, and
    against the one that the next record will complete.

    Returns:
        The verdicts whose records were written.
    """
    records = [one for one in verdicts if one.reason is None and one.record is not None]
    if not records:
        return []
    records.sort(key=lambda one: (one.landed.received_at, one.landed.packet))
    rows = [_columns(one, now) for one in records]
    taken, others = [], []
    with conn.cursor() as cursor:
        cursor.executemany(_INSERT, rows, returning=True)
        for verdict, row in zip(records, rows, strict=True):
            if cursor.fetchone() is not None:
                taken.append(verdict)
            else:
                others.append(row)
            cursor.nextset()
        cursor.executemany(_REFUSE, others)
        cursor.executemany(_CONFLICT, others)
    return taken


_INSERT: Final = """
    insert into meter_record
        (meter_id, context, number, stream_epoch, evse_id, vehicle_id, points,
         first_at, first_export_milliwh, first_import_milliwh,
         first_export_register, first_import_register, first_kind,
         last_at, last_export_milliwh, last_import_milliwh,
         last_export_register, last_import_register, last_kind,
         key_id, digest, packet_digest, topic_evse_id, received_at, batch_id, judged_at)
    values
        (%(meter_id)s, %(context)s, %(number)s, %(stream_epoch)s, %(evse_id)s, %(vehicle_id)s, %(points)s,
         %(first_at)s, %(first_export_milliwh)s, %(first_import_milliwh)s,
         %(first_export_register)s, %(first_import_register)s, %(first_kind)s,
         %(last_at)s, %(last_export_milliwh)s, %(last_import_milliwh)s,
         %(last_export_register)s, %(last_import_register)s, %(last_kind)s,
         %(key_id)s, %(digest)s, %(packet_digest)s, %(topic_evse_id)s, %(received_at)s, %(batch_id)s,
         %(judged_at)s)
    on conflict do nothing returning 1
"""
_REFUSE: Final = """
    insert into staged_quarantine
        (packet_digest, reason, detail, evse_id, vehicle_id, started_at, ended_at,
         claimed_export_milliwh, key_id, received_at, batch_id)
    select %(packet_digest)s,
           case when digest = %(digest)s then 'DUPLICATE_CONTENT' else 'CONFLICTING_CONTENT' end,
           format('record %%s%%s of meter %%s stands already', context, number, meter_id),
           %(evse_id)s, nullif(%(vehicle_id)s, ''), %(first_at)s, %(last_at)s, %(claimed)s, %(key_id)s,
           %(received_at)s, %(batch_id)s
    from meter_record
    where meter_id = %(meter_id)s and context = %(context)s and number = %(number)s
"""
_CONFLICT: Final = """
    insert into packet_conflict (evse_id, stream_epoch, sequence, digest, found_at)
    select evse_id, stream_epoch, sequence, %(digest)s, %(judged_at)s
    from meter_record
         cross join lateral (
             select generate_series(number * 64, number * 64 + points - 1)
             union all select (number + 1) * 64
         ) as resting (sequence)
    where meter_id = %(meter_id)s and context = %(context)s and number = %(number)s
      and digest <> %(digest)s
    on conflict do nothing
"""


def _columns(verdict: Verdict, now: datetime) -> dict[str, object]:
    record = standing_record(verdict)
    assert record is not None
    assert verdict.record is not None
    return {
        "meter_id": record.meter_id,
        "context": record.context,
        "number": record.number,
        "stream_epoch": record.stream_epoch,
        "evse_id": record.evse_id,
        "vehicle_id": record.vehicle_id,
        "points": len(verdict.record.points),
        "key_id": record.key_id,
        "digest": record.digest,
        "packet_digest": verdict.packet_digest,
        "topic_evse_id": verdict.landed.topic_evse_id,
        "received_at": record.received_at,
        "batch_id": verdict.landed.batch_id,
        "judged_at": now,
        "claimed": claimed_between(record.first, record.last),
        **_point("first", record.first),
        **_point("last", record.last),
    }


def _point(edge: str, point: MeterPoint) -> dict[str, object]:
    return {
        f"{edge}_at": point.at,
        f"{edge}_export_milliwh": point.export_milliwh,
        f"{edge}_import_milliwh": point.import_milliwh,
        f"{edge}_export_register": point.export_register,
        f"{edge}_import_register": point.import_register,
        f"{edge}_kind": point.kind,
    }


def join(conn: Connection, taken: Sequence[Verdict], now: datetime) -> list[Joined]:
    """The readings between these records, just written, and the records before and after each.

    What can be no reading is written as a ``refused_interval``.
    """
    records = [record for one in taken if (record := standing_record(one)) is not None]
    if not records:
        return []
    new = dict(zip((record.digest for record in records), taken, strict=True))
    stored = _with_neighbours(conn, records)
    found = []
    for content, earlier, later in joined(record for record, _ in stored.values()):
        completing = new.get(later.digest) or new.get(earlier.digest)
        if completing is None:
            continue
        judged_at = max(now, stored[earlier.digest][1], stored[later.digest][1])
        if refused := fault(content):
            conn.execute(
                _REFUSE_INTERVAL,
                {
                    "meter_id": later.meter_id,
                    "context": later.context,
                    "number": later.number,
                    "reason": refused[0].value,
                    "detail": refused[1],
                    "evse_id": content.evse_id,
                    "vehicle_id": content.vehicle_id,
                    "started_at": min(content.started_at, content.ended_at),
                    "ended_at": max(content.started_at, content.ended_at),
                    "claimed": claimed_between(earlier.last, later.first),
                    "judged_at": judged_at,
                },
            )
            continue
        found.append(
            Joined(
                joined_row(content, earlier, later),
                judged_at,
                completing.landed.batch_id,
                completing.packet_digest,
            )
        )
    return found


_REFUSE_INTERVAL: Final = """
    insert into refused_interval
        (meter_id, context, number, reason, detail, evse_id, vehicle_id, started_at, ended_at,
         claimed_export_milliwh, judged_at)
    values
        (%(meter_id)s, %(context)s, %(number)s, %(reason)s, %(detail)s, %(evse_id)s, %(vehicle_id)s,
         %(started_at)s, %(ended_at)s, %(claimed)s, %(judged_at)s)
    on conflict do nothing
"""


def _with_neighbours(
    conn: Connection, records: Collection[StandingRecord]
) -> dict[bytes, tuple[StandingRecord, datetime]]:
    """Records and those before and after each, with when each was judged, by digest."""
    with conn.cursor(row_factory=dict_row) as cursor:
        cursor.execute(
            """
            select distinct r.* from unnest(%(meters)s::text[], %(contexts)s::text[], %(numbers)s::bigint[])
                as wanted (meter_id, context, number)
                join meter_record r on r.meter_id = wanted.meter_id and r.context = wanted.context
                    and r.number between wanted.number - 1 and wanted.number + 1
            """,
            {
                "meters": [one.meter_id for one in records],
                "contexts": [one.context for one in records],
                "numbers": [one.number for one in records],
            },
        )
        return {bytes(row["digest"]): (_stored(row), row["judged_at"]) for row in cursor}


def _stored(row: Mapping[str, Any]) -> StandingRecord:
    return StandingRecord(
        evse_id=row["evse_id"],
        vehicle_id=row["vehicle_id"],
        meter_id=row["meter_id"],
        context=row["context"],
        number=row["number"],
        first=_stored_point("first", row),
        last=_stored_point("last", row),
        digest=bytes(row["digest"]),
        key_id=row["key_id"],
        received_at=row["received_at"],
    )


def _stored_point(edge: str, row: Mapping[str, Any]) -> MeterPoint:
    """A point of a record that stands has no problem, and its clock was fit."""
    return MeterPoint(
        at=row[f"{edge}_at"],
        export_milliwh=row[f"{edge}_export_milliwh"],
        import_milliwh=row[f"{edge}_import_milliwh"],
        kind=row[f"{edge}_kind"],
        clock="",
        problem="",
        export_register=row[f"{edge}_export_register"],
        import_register=row[f"{edge}_import_register"],
    )
