"""The signed evidence of some vehicles: their readings as a run knew them, the packets these come from,
conflicting ones, and the keys that vouch for them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeVar

import polars as pl
from psycopg import sql

from settlement import packets as formats
from settlement import units
from settlement.packets import UnreadablePacketError
from settlement.periods import Period
from settlement.schemas import READING
from settlement.signatures import DeviceKey
from statements.pack import (
    TIME,
    Conflict,
    EnrolledKey,
    SignedPacket,
)
from storage import frames, signed_records
from storage.engine import Connection
from storage.evidence import TooMuchError

PACKETS_MAX: Final = 200_000
"""Of one statement: a vehicle's of a month of events, or an event's of some hundred vehicles."""

_PIECE: Final = 10_000
_READ: Final = pl.Schema({**READING.schema, "judged_at": TIME, "conflicted": pl.Boolean()})
_COLUMNS: Final = sql.SQL(", ").join(
    sql.Identifier("reading", name) for name in (*READING.schema.names(), "judged_at")
)
_CONFLICTED: Final = sql.SQL(
    """exists (
        select from packet_conflict where packet_conflict.evse_id = reading.evse_id
          and packet_conflict.stream_epoch = reading.stream_epoch
          and packet_conflict.sequence = reading.sequence
          and packet_conflict.found_at <= %(known_at)s)"""
)
_OVERLAPPING: Final = sql.SQL(
    """
    with seen as (
        select distinct evse_id from reading
        where vehicle_id = any(%(vehicles)s) and started_at >= %(first)s
          and started_at < %(ended_at)s and ended_at > %(started_at)s and judged_at <= %(known_at)s
    )
    select {columns}, {conflicted} from reading
    where started_at >= %(first)s and started_at < %(ended_at)s and ended_at > %(started_at)s
      and judged_at <= %(known_at)s and evse_id in (select evse_id from seen)
    """
).format(columns=_COLUMNS, conflicted=_CONFLICTED)
_BEFORE: Final = sql.SQL(
    """
    select {columns}, {conflicted}
    from unnest(%(evses)s::text[]) as seen (evse_id) cross join lateral (
        select * from reading
        where reading.evse_id = seen.evse_id and started_at < %(started_at)s
          and ended_at <= %(started_at)s and judged_at <= %(known_at)s
        order by started_at desc limit 1
    ) as reading
    """
).format(columns=_COLUMNS, conflicted=_CONFLICTED)

Identity = tuple[str, int, int]
T = TypeVar("T")


class Recorder:
    """Readings of some vehicles, and of whoever was at the same EVSEs, as the engine asks for them; and
    which ones it was given.

    Attributes:
        readings: by identity: what is needed to find the packet, and who was charging.
    """

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self.readings: dict[Identity, dict[str, Any]] = {}

    def open(
        self, vehicles: Collection[str], *, known_at: datetime, record: bool
    ) -> Callable[[Period], pl.DataFrame]:
        """The readings as known at one time: see ``storage.readings.open_readings``."""

        def read(period: Period) -> pl.DataFrame:
            parameters: dict[str, object] = {
                "vehicles": sorted(vehicles),
                "first": period.started_at - units.INTERVAL_MAX,
                "started_at": period.started_at,
                "ended_at": period.ended_at,
                "known_at": known_at,
            }
            frame = frames.fetch(self._conn, _OVERLAPPING, parameters, _READ)
            evses = frame["evse_id"].unique().sort().to_list()
            before = frames.fetch(self._conn, _BEFORE, parameters | {"evses": evses}, _READ)
            frame = pl.concat([frame, before])
            if record:
                self._record(frame)
            return frame.drop("judged_at")

        return read

    @property
    def vehicles(self) -> set[str]:
        """Whoever was charging at one of the EVSEs."""
        return {str(row["vehicle_id"]) for row in self.readings.values()}

    def _record(self, frame: pl.DataFrame) -> None:
        needed = ("vehicle_id", "ended_at", "digest", "received_at", "judged_at", "key_id")
        for row in frame.iter_rows(named=True):
            identity = row["evse_id"], row["stream_epoch"], row["sequence"]
            self.readings[identity] = {name: row[name] for name in needed}
        if len(self.readings) > PACKETS_MAX:
            raise TooMuchError("packets", f"more than {PACKETS_MAX}", PACKETS_MAX)


def packets(conn: Connection, recorded: Recorder) -> list[SignedPacket]:
    """The packets of the readings that were recorded, in the order of their identities; then those of
    the meters' records that readings rest on.

    A packet that came late, or beside a false one with the same content, was set aside as it landed
    and is found there.
    """
    of_records, explained = signed_records.packets(conn, recorded.readings)
    own = {one: row for one, row in recorded.readings.items() if one not in explained}
    wanted = {(row["digest"], row["received_at"]): (identity, row) for identity, row in own.items()}
    found: dict[Identity, SignedPacket] = {}

    def keep(packet: bytes, digest: bytes, received_at: datetime, topic: str | None) -> None:
        match = wanted.get((digest, received_at))
        if match is not None and match[0] not in found:
            identity, row = match
            found[identity] = SignedPacket(packet, digest, received_at, row["judged_at"], topic)

    for piece in _pieces(own.items()):
        for packet, digest, received_at in _raw(conn, piece):
            keep(packet, digest, received_at, None)
    missing = sorted({identity[0] for identity in own if identity not in found})
    for packet, received_at, topic in _aside(conn, missing):
        signed_bytes = _digest(packet)
        if signed_bytes is not None:
            keep(packet, signed_bytes, received_at, topic)
    return [*(found[identity] for identity in sorted(found)), *of_records]


def _pieces(items: Iterable[T]) -> Iterator[list[T]]:
    remaining = iter(items)
    while piece := list(islice(remaining, _PIECE)):
        yield piece


def _raw(
    conn: Connection, piece: Sequence[tuple[Identity, dict[str, Any]]]
) -> list[tuple[bytes, bytes, datetime]]:
    signed = [row["ended_at"] for _, row in piece]
    return conn.execute(
        """
        select packet, digest, received_at
        from unnest(%(evses)s::text[], %(signed)s::timestamptz[], %(digests)s::bytea[])
             as wanted (evse_id, signed_at, digest)
             join raw_packet using (evse_id, signed_at, digest)
        where raw_packet.signed_at between %(first)s and %(last)s
        """,
        {
            "evses": [identity[0] for identity, _ in piece],
            "signed": signed,
            "digests": [row["digest"] for _, row in piece],
            "first": min(signed),
            "last": max(signed),
        },
    ).fetchall()


def _aside(conn: Connection, evses: Sequence[str]) -> Iterator[tuple[bytes, datetime, str | None]]:
    if not evses:
        return
    with conn.cursor(name="packet_aside") as cursor:
        cursor.itersize = _PIECE
        yield from cursor.execute(
            "select packet, received_at, topic_evse_id from packet_aside where evse_id = any(%s)"
            " order by packet_digest, why",
            [list(evses)],
        )


def conflicts(
    conn: Connection, recorded: Recorder, *, known_at: datetime
) -> tuple[list[Conflict], list[SignedPacket]]:
    """Further contents of the identities that were recorded, and the packets that show them, each once."""
    found: dict[Conflict, SignedPacket | None] = {}
    filed = signed_records.filed_under(conn, {epoch for _, epoch, _ in recorded.readings})
    for piece in _pieces(recorded.readings):
        # What stands under an id of a meter's stream, beside that of the EVSE.
        places = [
            (place, name)
            for place, (evse, epoch, _) in enumerate(piece)
            for name in sorted({evse} | filed.get(epoch, set()))
        ]
        rows = conn.execute(
            """
            select distinct c.evse_id, c.stream_epoch, c.sequence, c.digest, c.found_at, r.packet,
                   r.received_at
            from unnest(%(evses)s::text[], %(epochs)s::bigint[], %(sequences)s::bigint[], %(filed)s::text[])
                 as wanted (evse_id, stream_epoch, sequence, filed)
                 join packet_conflict c using (evse_id, stream_epoch, sequence)
                 left join quarantine q on q.reason = 'CONFLICTING_CONTENT' and q.evse_id = c.evse_id
                 left join raw_packet r
                     on r.evse_id = wanted.filed and r.signed_at = q.ended_at and r.digest = c.digest
            where c.found_at <= %(known_at)s order by 1, 2, 3, 4
            """,
            {
                "evses": [piece[place][0] for place, _ in places],
                "epochs": [piece[place][1] for place, _ in places],
                "sequences": [piece[place][2] for place, _ in places],
                "filed": [name for _, name in places],
                "known_at": known_at,
            },
        ).fetchall()
        for *conflict, packet, received_at in rows:
            one = Conflict(*conflict)
            if packet is not None:
                found[one] = SignedPacket(packet, one.digest, received_at, None)
            else:
                found.setdefault(one, None)
    missing: dict[bytes, list[Conflict]] = {}
    for one, shown in found.items():
        if shown is None:
            missing.setdefault(one.digest, []).append(one)
    names = {one.evse_id for of in missing.values() for one in of}
    names |= {
        name for of in missing.values() for one in of for name in filed.get(one.stream_epoch, ())
    }
    for packet, received_at, topic in _aside(conn, sorted(names)):
        digest = _digest(packet)
        for one in missing.get(digest, ()) if digest is not None else ():
            found[one] = SignedPacket(packet, one.digest, received_at, None, topic)
    shown_by = {packet.digest: packet for packet in found.values() if packet is not None}
    return sorted(found), [shown_by[digest] for digest in sorted(shown_by)]


def _digest(packet: bytes) -> bytes | None:
    try:
        return formats.split(packet).digest
    except UnreadablePacketError:
        return None


def keys(conn: Connection, packets: Sequence[SignedPacket]) -> list[EnrolledKey]:
    """The enrolled keys that packets name, and all those of the meters whose records they are or carry,
    by key id.
    """
    parts = [
        part
        for one in packets
        for envelope in (formats.split(one.packet),)
        for part in (envelope, *envelope.inner)
    ]
    rows = conn.execute(
        """
        select key_id, evse_id, public_key, valid_from, valid_to, revoked_at, algorithm, meter_id,
               client_id, enrolled_at
        from device_key
        where key_id = any(%(named)s) or meter_id <> '' and meter_id = any(%(meters)s) order by key_id
        """,
        {
            "named": sorted({part.key_id for part in parts if not part.meter_id}),
            "meters": sorted({part.meter_id for part in parts if part.meter_id}),
        },
    ).fetchall()
    return [EnrolledKey(DeviceKey(*key), enrolled_at) for *key, enrolled_at in rows]
