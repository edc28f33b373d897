"""Signed sequences: which packets of a stream are missing, as far as what has landed can tell.

A gap is the range between two packets of a stream that have landed, where nothing of it has. It is
named once, as a range, however long, and never changed: it is open while nothing in it has landed.
When something lands inside, what remains on either side is named as gaps of its own. So the open gaps
are found by one look into an index each, and a stream that jumps to the end of its numbers is one row.

Nothing is verified here: a sequence is what a packet claims. A device that lies finds gaps in its own
stream, and how much work it can make is bounded (``ISLANDS_MAX``).
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from storage.engine import Connection

ROWS_MAX: Final = 50_000
"""New packets whose streams are looked at in one transaction, about; at least one batch."""

BATCHES_MAX: Final = 500

ISLANDS_MAX: Final = 200
"""Places of one EVSE in one look at which a neighbour is searched for. More is no stream, but noise."""

NEAR: Final = timedelta(days=8)
"""How far from a packet's signed time its neighbour in the sequence stands, almost always."""

FALLS_BACK_MAX: Final = timedelta(days=1)
"""How much earlier than a packet the next one of its stream may be signed, clocks being set."""

OVERTAKING_MAX: Final = timedelta(hours=1)
"""A batch with a smaller id can be committed later than another, but not that much."""

LOOK_BACK_BATCHES: Final = 1_000_000
"""Of batches never looked at, only so many of the newest are."""

_ONE_AT_A_TIME: Final = "select pg_try_advisory_xact_lock(hashtextextended('storage.streams', 0))"
_ONE_REPORTER: Final = "select pg_try_advisory_lock(hashtextextended('storage.streams.reports', 0))"
_NO_REPORTER: Final = "select pg_advisory_unlock(hashtextextended('storage.streams.reports', 0))"


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """Packets of a stream that have not landed, both ends included.

    Attributes:
        step: by how much the stream's sequence rises from packet to packet.
        found_at: when it was named.
    """

    evse_id: str
    stream_epoch: int
    first: int
    last: int
    step: int
    found_at: datetime

    @property
    def packets(self) -> int:
        """How many are missing."""
        return (self.last - self.first) // self.step + 1


@dataclass(frozen=True, slots=True)
class ListedGap:
    """A gap for people: ``after`` and ``before`` are the signed times of the packets at its ends."""

    gap: Gap
    after: datetime | None
    before: datetime | None
    open: bool


@dataclass(frozen=True, slots=True)
class Look:
    """One look at what has landed.

    Attributes:
        batches: how many were looked at; 0 when there is nothing new, or another process is looking.
        gaps: named now.
        left_out: streams with more loose ends than are followed (``ISLANDS_MAX``).
    """

    batches: int
    gaps: Sequence[Gap]
    left_out: int


class Watch:
    """Looks at each landed batch once, whoever landed it; any number of processes may, in turn."""

    def __init__(self, conn: Connection) -> None:
        """``conn``: as ``Role.INGEST``; nobody else's while this is used."""
        self._conn = conn
        self._floor: int | None = None

    def look(self, *, grace: timedelta) -> Look:
        """Name the gaps beside the packets of some batches that were not looked at, and commit.

        Args:
            grace: batches younger than this wait: what several daemons land overtakes itself.

        Raises:
            psycopg.Error: not done, or not known to be; look again.
        """
        with self._conn.transaction():
            if not self._value(_ONE_AT_A_TIME):
                return Look(0, (), 0)
            if self._floor is None:
                newest = self._value("select coalesce(max(batch_id), 0) from landing_batch")
                self._floor = max(0, newest - LOOK_BACK_BATCHES)
            waiting = self._conn.execute(
                _WAITING, {"floor": self._floor, "grace": grace, "batches": BATCHES_MAX}
            ).fetchall()
            if not waiting:
                self._floor = self._value(
                    _FLOOR, {"floor": self._floor, "overtaking": OVERTAKING_MAX}
                )
                return Look(0, (), 0)
            chosen: list[tuple[int, datetime | None, datetime | None]] = []
            rows = 0
            for batch_id, count, first, last in waiting:
                if chosen and rows + count > ROWS_MAX:
                    break
                rows += count
                chosen.append((batch_id, first, last))
            gaps, left_out = self._name([one for one in chosen if one[1] is not None])
            self._conn.execute(
                "insert into watched_batch (batch_id, watched_at) select one, now()"
                " from unnest(%s::bigint[]) as one on conflict do nothing",
                [[batch_id for batch_id, *_ in chosen]],
            )
            return Look(len(chosen), gaps, left_out)

    def _name(
        self, batches: Sequence[tuple[int, datetime | None, datetime | None]]
    ) -> tuple[list[Gap], int]:
        if not batches:
            return [], 0
        rows = self._conn.execute(
            _NAME,
            {
                "batches": [batch_id for batch_id, *_ in batches],
                "first": min(first for _, first, _ in batches if first),
                "last": max(last for *_, last in batches if last),
                "near": NEAR,
                "falls_back": FALLS_BACK_MAX,
                "islands": ISLANDS_MAX,
            },
        ).fetchall()
        gaps = [Gap(*row[:6]) for row in rows if row[0] is not None]
        return gaps, rows[0][6] if rows else 0

    def _value(self, query: Any, parameters: Any = None) -> int:
        row = self._conn.execute(query, parameters).fetchone()
        assert row is not None
        return int(row[0])


_WAITING: Final = """
    select b.batch_id, b.rows_new, b.first_signed_at, b.last_signed_at from landing_batch b
    where b.batch_id > %(floor)s and b.landed_at <= now() - %(grace)s
      and not exists (select from watched_batch w where w.batch_id = b.batch_id)
    order by b.batch_id limit %(batches)s
"""
# Everything is looked at but what is young: nothing older can still appear below that.
_FLOOR: Final = """
    select coalesce(
        (select min(batch_id) - 1 from landing_batch
         where batch_id > %(floor)s and landed_at > now() - %(overtaking)s),
        (select max(batch_id) from landing_batch), 0)
"""
# ``loose`` are the places of new packets without the packet before (or after) them beside them. Almost
# all find it near in time, in one or two weeks of the series; the search over all of it is for the rest.
_NAME: Final = """
    with fresh as materialized (
        select evse_id, stream_epoch, sequence, max(sequence_step) as step, min(signed_at) as signed_at
        from raw_packet
        where batch_id = any(%(batches)s) and signed_at between %(first)s and %(last)s
          and sequence is not null
        group by evse_id, stream_epoch, sequence
    ), beside as (
        select *, lag(sequence) over stream as before, lead(sequence) over stream as after
        from fresh window stream as (partition by evse_id, stream_epoch order by sequence)
    ), loose as materialized (
        select b.*, side, row_number() over (partition by evse_id, side order by sequence) as place
        from beside b cross join (values (-1), (1)) sides (side)
        where coalesce(side * (case side when -1 then before else after end - sequence) <> step, true)
          and not exists (
              select from raw_packet r
              where r.evse_id = b.evse_id and r.stream_epoch = b.stream_epoch
                and r.sequence = b.sequence + side * b.step
                and r.signed_at between b.signed_at - %(near)s and b.signed_at + %(near)s)
    ), followed as materialized (
        select *, bool_or(side = -1) over (partition by evse_id, stream_epoch) as torn
        from loose where place <= %(islands)s
    ), holes as (
        select f.evse_id, f.stream_epoch, n.sequence + f.step as first_sequence,
               f.sequence - f.step as last_sequence, f.step
        from followed f cross join lateral (
            select r.sequence from raw_packet r
            where r.evse_id = f.evse_id and r.stream_epoch = f.stream_epoch and r.sequence < f.sequence
            order by r.sequence desc limit 1
        ) n where f.side = -1
        union
        select f.evse_id, f.stream_epoch, f.sequence + f.step, n.sequence - f.step, f.step
        from followed f cross join lateral (
            select r.sequence from raw_packet r
            where r.evse_id = f.evse_id and r.stream_epoch = f.stream_epoch and r.sequence > f.sequence
              and r.signed_at >= case when f.torn then '-infinity' else f.signed_at - %(falls_back)s end
            order by r.sequence limit 1
        ) n where f.side = 1
    ), named as (
        insert into sequence_gap
            (evse_id, stream_epoch, first_sequence, last_sequence, sequence_step, found_at)
        select evse_id, stream_epoch, first_sequence, last_sequence, step, now()
        from holes where first_sequence <= last_sequence
        order by evse_id, stream_epoch, first_sequence
        on conflict do nothing
        returning evse_id, stream_epoch, first_sequence, last_sequence, sequence_step, found_at
    )
    select named.*, left_out.streams
    from (select count(distinct (evse_id, stream_epoch)) as streams from loose
          where place > %(islands)s) left_out
         left join named on true
"""

_STILL: Final = """
    not exists (
        select from raw_packet r
        where r.evse_id = g.evse_id and r.stream_epoch = g.stream_epoch
          and r.sequence between g.first_sequence and g.last_sequence)
"""
_COLUMNS: Final = (
    "g.evse_id, g.stream_epoch, g.first_sequence, g.last_sequence, g.sequence_step, g.found_at"
)


def found_since(conn: Connection, since: datetime, *, most: int) -> list[Gap]:
    """Gaps named since a time, open or not, the newest first."""
    rows = conn.execute(
        f"select {_COLUMNS} from sequence_gap g where found_at >= %s order by found_at desc limit %s",
        [since, most],
    ).fetchall()
    return [Gap(*row) for row in rows]


def still_open(conn: Connection, gaps: Collection[Gap]) -> set[Gap]:
    """Those of the gaps in which nothing has landed."""
    asked = sorted(gaps)
    rows = conn.execute(
        f"""
        select g.place from unnest(%(evses)s::text[], %(epochs)s::bigint[], %(firsts)s::bigint[],
                                   %(lasts)s::bigint[])
            with ordinality g (evse_id, stream_epoch, first_sequence, last_sequence, place)
        where {_STILL}
        """,
        {
            "evses": [one.evse_id for one in asked],
            "epochs": [one.stream_epoch for one in asked],
            "firsts": [one.first for one in asked],
            "lasts": [one.last for one in asked],
        },
    ).fetchall()
    return {asked[place - 1] for (place,) in rows}


def listed(
    conn: Connection, *, evse_id: str = "", closed: bool = False, most: int
) -> list[ListedGap]:
    """Gaps as people want to see them, the newest first; ``closed``: also those that are filled."""
    rows = conn.execute(
        f"""
        select shown.*, (
            select max(r.signed_at) from raw_packet r where r.evse_id = shown.evse_id
              and r.stream_epoch = shown.stream_epoch
              and r.sequence = shown.first_sequence - shown.sequence_step
        ), (
            select min(r.signed_at) from raw_packet r where r.evse_id = shown.evse_id
              and r.stream_epoch = shown.stream_epoch
              and r.sequence = shown.last_sequence + shown.sequence_step
        ) from (
            select {_COLUMNS}, {_STILL} as open from sequence_gap g
            where (%(evse)s = '' or g.evse_id = %(evse)s) and (%(closed)s or {_STILL})
            order by g.found_at desc, g.evse_id, g.stream_epoch, g.first_sequence limit %(most)s
        ) shown order by found_at desc, evse_id, stream_epoch, first_sequence
        """,
        {"evse": evse_id, "closed": closed, "most": most},
    ).fetchall()
    return [ListedGap(Gap(*row[:6]), row[7], row[8], row[6]) for row in rows]


def brought_by(conn: Connection, evses: Collection[str]) -> dict[str, set[str]]:
    """The MQTT client identities that bring each EVSE's packets; without an enrolled key the EVSE's id.

    What is filed under a meter's number has nobody.
    """
    found: dict[str, set[str]] = {}
    for evse_id, client in conn.execute(
        "select distinct evse_id, case client_id when '' then evse_id else client_id end"
        " from device_key where evse_id = any(%s)",
        [list(evses)],
    ):
        found.setdefault(evse_id, set()).add(client)
    return {one: found.get(one, set() if one.startswith("meter:") else {one}) for one in set(evses)}


def become_reporter(conn: Connection) -> bool:
    """Be the one who tells devices what is missing, until the connection ends or ``cease``.

    Ask once per connection: a lock that is taken twice must be given back twice.
    """
    row = conn.execute(_ONE_REPORTER).fetchone()
    return bool(row and row[0])


def cease_to_report(conn: Connection) -> None:
    """Let another process tell them."""
    conn.execute(_NO_REPORTER)
