"""The packets behind readings that rest on meters' own records: one for what stands in one record, two
for what lies between two.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from psycopg.rows import class_row

from settlement.packets.ocmf import READINGS_PER_RECORD
from statements.pack import SignedPacket
from storage.engine import Connection

Identity = tuple[str, int, int]
T = TypeVar("T")

_PIECE: Final = 10_000


@dataclass(frozen=True, slots=True)
class FiledRecord:
    """A record that stands, and where its packet may.

    Attributes:
        filed_under: raw_packet's evse_id may be any of these.
    """

    stream_epoch: int
    number: int
    digest: bytes
    packet_digest: bytes
    filed_under: Sequence[str]
    last_at: datetime
    received_at: datetime
    judged_at: datetime
    topic_evse_id: str | None


_FIND: Final = """
    select distinct on (r.stream_epoch, r.number)
           r.stream_epoch, r.number, r.digest, r.packet_digest,
           array_remove(array[r.evse_id, r.topic_evse_id, 'meter:' || r.meter_id], null) as filed_under,
           r.last_at, r.received_at, r.judged_at, r.topic_evse_id
    from unnest(%(epochs)s::bigint[], %(numbers)s::bigint[], %(digests)s::bytea[], %(between)s::boolean[])
         as wanted (stream_epoch, number, digest, between_two)
         join meter_record own
             on own.stream_epoch = wanted.stream_epoch and own.number = wanted.number
            and own.digest = wanted.digest
         join meter_record r
             on r.stream_epoch = own.stream_epoch and r.meter_id = own.meter_id
            and r.context = own.context
            and (r.number = own.number or (wanted.between_two and r.number = own.number - 1))
    order by r.stream_epoch, r.number
"""
_PACKETS: Final = """
    select wanted.place, r.packet
    from unnest(%(places)s::bigint[], %(evses)s::text[], %(signed)s::timestamptz[], %(digests)s::bytea[],
                %(packets)s::bytea[]) as wanted (place, evse_id, signed_at, digest, packet_digest)
         join raw_packet r using (evse_id, signed_at, digest)
    where r.signed_at between %(first)s and %(last)s and sha256(r.packet) = wanted.packet_digest
"""


def packets(
    conn: Connection, readings: Mapping[Identity, Mapping[str, Any]]
) -> tuple[list[SignedPacket], set[Identity]]:
    """The packets of those readings that rest on records, each once, and which readings these are.

    Args:
        conn: see ``storage.evidence.reading``.
        readings: by identity, with their ``digest``.
    """
    found: dict[bytes, FiledRecord] = {}
    for piece in _pieces(list(readings.items())):
        found |= {record.digest: record for record in _records(conn, piece)}
    explained = {identity for identity, row in readings.items() if bytes(row["digest"]) in found}
    records = sorted(found.values(), key=lambda one: (one.stream_epoch, one.number))
    return [one for piece in _pieces(records) for one in _bytes_of(conn, piece)], explained


def _pieces(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + _PIECE] for start in range(0, len(items), _PIECE))


def _records(
    conn: Connection, readings: Sequence[tuple[Identity, Mapping[str, Any]]]
) -> list[FiledRecord]:
    with conn.cursor(row_factory=class_row(FiledRecord)) as cursor:
        return cursor.execute(
            _FIND,
            {
                "epochs": [epoch for (_, epoch, _), _ in readings],
                "numbers": [number // READINGS_PER_RECORD for (_, _, number), _ in readings],
                "digests": [row["digest"] for _, row in readings],
                "between": [number % READINGS_PER_RECORD == 0 for (_, _, number), _ in readings],
            },
        ).fetchall()


def _bytes_of(conn: Connection, records: Sequence[FiledRecord]) -> list[SignedPacket]:
    if not records:
        return []
    places = [
        (place, name)
        for place, one in enumerate(records)
        for name in dict.fromkeys(one.filed_under)
    ]
    signed = [records[place].last_at for place, _ in places]
    found: dict[int, bytes] = dict(
        conn.execute(
            _PACKETS,
            {
                "places": [place for place, _ in places],
                "evses": [name for _, name in places],
                "signed": signed,
                "digests": [records[place].digest for place, _ in places],
                "packets": [records[place].packet_digest for place, _ in places],
                "first": min(signed),
                "last": max(signed),
            },
        ).fetchall()
    )
    aside = _aside(
        conn, [one.packet_digest for place, one in enumerate(records) if place not in found]
    )
    return [
        SignedPacket(packet, one.digest, one.received_at, one.judged_at, one.topic_evse_id)
        for place, one in enumerate(records)
        if (packet := found.get(place) or aside.get(one.packet_digest)) is not None
    ]


def _aside(conn: Connection, digests: Sequence[bytes]) -> dict[bytes, bytes]:
    """Of a record that was set aside as it landed: late, or beside a false one."""
    return {
        bytes(digest): packet
        for digest, packet in conn.execute(
            "select packet_digest, packet from packet_aside where packet_digest = any(%s)",
            [list(digests)],
        )
    }


def filed_under(conn: Connection, epochs: Collection[int]) -> dict[int, set[str]]:
    """Under which further ids the packets of meters' streams may stand in raw_packet, by epoch."""
    found: dict[int, set[str]] = {}
    for epoch, meter, topic in conn.execute(
        "select distinct stream_epoch, meter_id, topic_evse_id from meter_record"
        " where stream_epoch = any(%s)",
        [sorted(epochs)],
    ):
        found.setdefault(epoch, set()).update(
            {f"meter:{meter}"} | ({topic} if topic is not None else set())
        )
    return found
