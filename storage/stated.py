"""What was stated beside the signed evidence: programs and events as they were written, temperatures."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime

import polars as pl
from psycopg import sql

from settlement.periods import Period
from settlement.schemas import TEMPERATURE
from settlement.timeline import Window
from statements.pack import TEMPERATURE_SCHEMA, EventVersion, ProgramVersion
from storage import frames
from storage.engine import Connection
from storage.windows import event_versions


def programs(conn: Connection, *, known_at: datetime) -> list[ProgramVersion]:
    """All programs known by then, as stated, by name and version."""
    rows = conn.execute(
        """
        select program, version, valid_from, body from program_version
        where recorded_at <= %s order by program, version
        """,
        [known_at],
    ).fetchall()
    return [
        ProgramVersion(program, version, valid_from, _text(body))
        for program, version, valid_from, body in rows
    ]


def _text(body: object) -> str:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def events(
    conn: Connection,
    windows: Sequence[Window],
    *,
    known_at: datetime,
    with_documents: Collection[str],
) -> list[EventVersion]:
    """These events, in the versions that count by what was known then; the documents of some only."""
    by_id = {window.event_id: window for window in windows}
    numbers = event_versions(conn, by_id, known_at=known_at)
    rows = conn.execute(
        """
        select event_id, version, status, received_at, digest,
               case when event_id = any(%(documents)s) then document else ''::bytea end
        from unnest(%(events)s::text[], %(versions)s::int[]) as counting (event_id, version)
             join event_version using (event_id, version)
        order by event_id
        """,
        {
            "events": list(numbers),
            "versions": list(numbers.values()),
            "documents": sorted(with_documents),
        },
    ).fetchall()
    return [EventVersion(by_id[event], *rest) for event, *rest in rows]


def temperatures(
    conn: Connection, period: Period, *, known_at: datetime, vehicles: Collection[str]
) -> pl.DataFrame:
    """Temperatures of vehicles, with when each became known: ``TEMPERATURE_SCHEMA``."""
    query = sql.SQL(
        """
        select {columns}, recorded_at from temperature
        where measured_at >= %(started_at)s and measured_at < %(ended_at)s
          and recorded_at <= %(known_at)s and vehicle_id = any(%(vehicles)s)
        order by vehicle_id, measured_at, evse_id
        """
    ).format(columns=sql.SQL(", ").join(map(sql.Identifier, TEMPERATURE.schema.names())))
    parameters = {
        "started_at": period.started_at,
        "ended_at": period.ended_at,
        "known_at": known_at,
        "vehicles": sorted(vehicles),
    }
    return frames.fetch(conn, query, parameters, TEMPERATURE_SCHEMA)
