"""Readings and claims in bulk, as frames."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final

import polars as pl

from settlement import units
from settlement.periods import Period
from settlement.schemas import READING
from storage.engine import Connection, Role, adbc_connect

_CONNECTIONS: Final = 2
"""Reading over two connections costs 0.6 of the time of one (docs/decisions/0005)."""

_COLUMNS: Final = ", ".join(f"reading.{name}" for name in READING.schema.names())


def load_readings(conn: Connection, dsn: str, period: Period) -> pl.DataFrame:
    """Readings that overlap a period: ``schemas.READING`` and ``conflicted``.

    Read over several connections that share the snapshot of ``conn``, whose transaction must be
    REPEATABLE READ and stay open meanwhile; so the frame agrees with whatever else it reads.
    """
    row = conn.execute("select pg_export_snapshot()").fetchone()
    assert row is not None
    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        halves = threads.map(lambda part: _load(dsn, period, part, row[0]), _halves(period))
        return pl.concat(halves)


def _halves(period: Period) -> list[Period]:
    """The period, from as early as a reading that overlaps it can begin, cut in equal parts."""
    first = period.started_at - units.INTERVAL_MAX
    step: timedelta = (period.ended_at - first) / _CONNECTIONS
    edges = [first + step * number for number in range(_CONNECTIONS)]
    return [Period(*pair) for pair in zip(edges, [*edges[1:], period.ended_at], strict=True)]


def _load(dsn: str, period: Period, part: Period, snapshot: str) -> pl.DataFrame:
    with adbc_connect(dsn, Role.SETTLE) as conn, conn.cursor() as cursor:
        cursor.execute("set transaction isolation level repeatable read")
        # The snapshot's name comes from PostgreSQL itself; SET takes no parameters.
        cursor.execute(f"set transaction snapshot '{snapshot}'")
        cursor.execute(
            f"""
            select {_COLUMNS}, exists (
                select from packet_conflict
                where packet_conflict.evse_id = reading.evse_id
                  and packet_conflict.stream_epoch = reading.stream_epoch
                  and packet_conflict.sequence = reading.sequence) as conflicted
            from reading
            where started_at >= $1 and started_at < $2 and ended_at > $3
            """,
            (part.started_at, part.ended_at, period.started_at),
        )
        frame = pl.from_arrow(cursor.fetch_arrow_table())
    assert isinstance(frame, pl.DataFrame)
    return frame.cast(READING.schema)


def load_claims(conn: Connection, period: Period) -> pl.DataFrame:
    """What quarantined packets of a period claim: reason, vehicle_id, evse_id, started_at, ended_at,
    energy_milliwh (null where it cannot be read). Claims without a time are counted by receipt.
    """
    moment = pl.Datetime("us", "UTC")
    rows = conn.execute(
        """
        select reason, vehicle_id, evse_id, started_at, ended_at, claimed_export_milliwh from quarantine
        where coalesce(ended_at, received_at) > %s and coalesce(started_at, received_at) < %s
        """,
        [period.started_at, period.ended_at],
    ).fetchall()
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
