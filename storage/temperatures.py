"""Battery temperatures: a time series in, a frame of what was known at one time out."""

from collections.abc import Collection
from datetime import datetime

import polars as pl
from psycopg import sql

from settlement.periods import Period
from settlement.schemas import TEMPERATURE
from storage import fence, frames, partitions
from storage.engine import Connection


def put_temperatures(conn: Connection, temperatures: pl.DataFrame, *, now: datetime) -> int:
    """Keep temperatures; what a sensor has said of a moment stands, and is not said twice.

    Commits what the connection had under way, because the weeks that the rows need are created in a
    transaction of their own (``storage.partitions``); the rows themselves the caller commits.

    Args:
        conn: as ``v2g_settle``.
        temperatures: ``schemas.TEMPERATURE``.
        now: when they became known; see ``fence.writing``.

    Returns:
        How many are new.

    Raises:
        CheckViolation: a temperature outside the range of a sensor. None is kept then.
    """
    typed = temperatures.select(TEMPERATURE.schema.names()).cast(TEMPERATURE.schema)
    weeks = typed["measured_at"].dt.truncate("1w").unique()
    partitions.ensure(conn, "temperature", weeks)
    conn.commit()
    stamped = fence.writing(conn, now)
    columns = sql.SQL(", ").join(map(sql.Identifier, TEMPERATURE.schema.names()))
    conn.execute(
        sql.SQL(
            "create temporary table staged_temperature on commit drop as"
            " select {} from temperature with no data"
        ).format(columns)
    )
    with (
        conn.cursor() as cursor,
        cursor.copy(sql.SQL("copy staged_temperature ({}) from stdin").format(columns)) as copy,
    ):
        for row in typed.iter_rows():
            copy.write_row(row)
    written = conn.execute(
        sql.SQL(
            """
            with written as (
                insert into temperature ({columns}, recorded_at)
                select {columns}, {stamped} from staged_temperature
                order by evse_id, vehicle_id, measured_at, battery_millicelsius
                on conflict do nothing returning 1
            ) select count(*) from written
            """
        ).format(columns=columns, stamped=sql.Literal(stamped))
    ).fetchone()
    conn.execute("drop table staged_temperature")
    assert written is not None
    return int(written[0])


def load_temperatures(
    conn: Connection,
    period: Period,
    *,
    known_at: datetime,
    vehicles: Collection[str] | None = None,
) -> pl.DataFrame:
    """Temperatures measured in a period, known by then: ``schemas.TEMPERATURE``, by vehicle and time.

    ``vehicles``: only of these; None for all.
    """
    query = sql.SQL(
        """
        select {columns} from temperature
        where measured_at >= %(started_at)s and measured_at < %(ended_at)s
          and recorded_at <= %(known_at)s
          and (%(vehicles)s::text[] is null or vehicle_id = any(%(vehicles)s))
        order by vehicle_id, measured_at, evse_id
        """
    ).format(columns=sql.SQL(", ").join(map(sql.Identifier, TEMPERATURE.schema.names())))
    bounds = {
        "started_at": period.started_at,
        "ended_at": period.ended_at,
        "known_at": known_at,
        "vehicles": None if vehicles is None else sorted(vehicles),
    }
    return frames.fetch(conn, query, bounds, TEMPERATURE.schema)
