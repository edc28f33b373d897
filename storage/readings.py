"""Readings and claims in bulk, as frames."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final

import polars as pl
from psycopg import sql

from settlement import units
from settlement.periods import Period
from settlement.schemas import READING
from storage import frames
from storage.engine import Connection, Role, adbc_connect

if TYPE_CHECKING:
    from adbc_driver_postgresql import dbapi

_CONNECTIONS: Final = 2
"""Reading over two connections costs 0.6 of the time of one (docs/decisions/0005)."""

_COLUMNS: Final = ", ".join(f"reading.{name}" for name in READING.schema.names())

_CONFLICTED: Final = """exists (
            select from packet_conflict
            where packet_conflict.evse_id = reading.evse_id
              and packet_conflict.stream_epoch = reading.stream_epoch
              and packet_conflict.sequence = reading.sequence
              and packet_conflict.found_at <= {known_at})"""


@contextmanager
def open_readings(
    conn: Connection, dsn: str, *, known_at: datetime
) -> Iterator[Callable[[Period], pl.DataFrame]]:
    """Readings as known by then, for one stretch of time after the other.

    Read over several connections that share the snapshot of ``conn``, whose transaction must be
    REPEATABLE READ and stay open meanwhile; so the frames agree with whatever else it reads.

    Yields:
        A function that gives the readings that overlap a period, and the last one before it of each
        EVSE that they come from, however old, by which its registers must continue:
        ``schemas.READING`` and ``conflicted`` (Boolean: another content of its identity was found by
        then). Not for several threads at once.
    """
    with _opened(conn, dsn, known_at) as read:

        def overlapping(period: Period) -> pl.DataFrame:
            frame = _overlapping(read, period)
            return pl.concat([frame, _before(conn, frame, period.started_at, known_at)])

        yield overlapping


def load_readings(
    conn: Connection, dsn: str, period: Period, *, known_at: datetime
) -> pl.DataFrame:
    """The readings that overlap a period, as known by then, and no others: see ``open_readings``."""
    with _opened(conn, dsn, known_at) as read:
        return _overlapping(read, period)


def _overlapping(read: Callable[[Period, datetime], pl.DataFrame], period: Period) -> pl.DataFrame:
    first = period.started_at - units.INTERVAL_MAX
    return read(Period(first, period.ended_at), period.started_at)


@contextmanager
def _opened(
    conn: Connection, dsn: str, known_at: datetime
) -> Iterator[Callable[[Period, datetime], pl.DataFrame]]:
    """A function that gives the readings that start in a period and end after a time."""
    row = conn.execute("select pg_export_snapshot()").fetchone()
    assert row is not None
    with ExitStack() as stack:
        readers = [_reader(stack, dsn, row[0]) for _ in range(_CONNECTIONS)]
        threads = stack.enter_context(ThreadPoolExecutor(_CONNECTIONS))

        def read(starts: Period, ends_after: datetime) -> pl.DataFrame:
            load = partial(_load, ends_after=ends_after, known_at=known_at)
            return pl.concat(threads.map(load, readers, _cut(starts, _CONNECTIONS)))

        yield read


def _cut(period: Period, pieces: int) -> list[Period]:
    step = (period.ended_at - period.started_at) // pieces
    edges = [period.started_at + step * number for number in range(pieces)]
    return [Period(*pair) for pair in zip(edges, [*edges[1:], period.ended_at], strict=True)]


def _reader(stack: ExitStack, dsn: str, snapshot: str) -> "dbapi.Cursor":
    conn = stack.enter_context(adbc_connect(dsn, Role.SETTLE))
    cursor = stack.enter_context(conn.cursor())
    cursor.execute("set transaction isolation level repeatable read")
    # The snapshot's name comes from PostgreSQL itself; SET takes no parameters.
    cursor.execute(f"set transaction snapshot '{snapshot}'")
    return cursor


def _load(
    cursor: "dbapi.Cursor", part: Period, *, ends_after: datetime, known_at: datetime
) -> pl.DataFrame:
    # Times as literals: with parameters the driver cannot COPY, and holds the whole result a second
    # time, row by row, at four times the memory.
    cursor.execute(
        f"""
        select {_COLUMNS}, {_CONFLICTED.format(known_at=_literal(known_at))} as conflicted
        from reading
        where started_at >= {_literal(part.started_at)} and started_at < {_literal(part.ended_at)}
          and ended_at > {_literal(ends_after)} and judged_at <= {_literal(known_at)}
        """
    )
    frame = pl.from_arrow(cursor.fetch_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return frame.cast(READING.schema)


def _literal(time: datetime) -> str:
    return f"timestamptz '{time.isoformat()}'"


def _before(
    conn: Connection, frame: pl.DataFrame, moment: datetime, known_at: datetime
) -> pl.DataFrame:
    """The last reading of each EVSE of a frame that ended by a moment."""
    return frames.fetch(
        conn,
        sql.SQL(
            f"""
        select {_COLUMNS}, {_CONFLICTED.format(known_at="%(known_at)s")} as conflicted
        from unnest(%(evses)s::text[]) as seen (evse_id) cross join lateral (
            select * from reading
            where reading.evse_id = seen.evse_id and started_at < %(moment)s
              and ended_at <= %(moment)s and judged_at <= %(known_at)s
            order by started_at desc limit 1
        ) as reading
        """
        ),
        {
            "evses": frame["evse_id"].unique().sort().to_list(),
            "moment": moment,
            "known_at": known_at,
        },
        frame.schema,
    )


def load_claims(conn: Connection, period: Period, *, known_at: datetime) -> pl.DataFrame:
    """What quarantined packets of a period claim, and what lies between two records of a meter and can
    be no reading, as known by then: reason, vehicle_id, evse_id, started_at, ended_at, energy_milliwh
    (null where it cannot be read). Claims without a time are counted by receipt. A packet that a retry
    has released by then claims no more; of one that was judged again the latest reason counts.
    """
    moment = pl.Datetime("us", "UTC")
    rows = conn.execute(
        """
        select coalesce(latest.outcome, reason), vehicle_id, evse_id, started_at, ended_at,
               claimed_export_milliwh
        from quarantine join judged_batch using (batch_id)
        left join lateral (
            select outcome from quarantine_retry
            where quarantine_retry.packet_digest = quarantine.packet_digest
              and retried_at <= %(known_at)s
            order by outcome in ('READING', 'RECORD') desc, retry desc limit 1
        ) as latest on true
        where coalesce(ended_at, received_at) > %(started_at)s
          and coalesce(started_at, received_at) < %(ended_at)s
          and judged_at <= %(known_at)s
          and (latest.outcome is null or latest.outcome not in ('READING', 'RECORD'))
          -- This is what the index is on, and true of all that the lines above let through.
          and tstzrange(
                least(coalesce(started_at, received_at), coalesce(ended_at, received_at)),
                greatest(coalesce(started_at, received_at), coalesce(ended_at, received_at)), '[]')
              && tstzrange(%(started_at)s, %(ended_at)s, '[]')
        order by packet_digest
        """,
        {
            "started_at": period.started_at,
            "ended_at": period.ended_at,
            "known_at": known_at,
        },
    ).fetchall()
    rows += _refused_between(conn, period, known_at)
    return pl.DataFrame(
        rows,
        schema={
            "reason": pl.String(),
            "vehicle_id": pl.String(),
            "evse_id": pl.String(),
            "started_at": moment,
            "ended_at": moment,
            "energy_milliwh": pl.Int64(),
        },
        orient="row",
    )


def _refused_between(
    conn: Connection, period: Period, known_at: datetime
) -> list[tuple[object, ...]]:
    return conn.execute(
        """
        select reason, vehicle_id, evse_id, started_at, ended_at, claimed_export_milliwh
        from refused_interval
        where started_at < %(until)s and ended_at > %(since)s and judged_at <= %(known_at)s
        order by meter_id, context, number
        """,
        {"since": period.started_at, "until": period.ended_at, "known_at": known_at},
    ).fetchall()
