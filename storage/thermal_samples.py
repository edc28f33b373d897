"""Samples of batteries' sensors: landed as they came, and read by EVSE.

A sample is what one sensor answered at one moment, or that it did not. All samples of a device's poll
share a moment and are landed in one transaction. What a battery's temperature was at a moment is said
in one place, ``_MOMENTS``: the highest of the device's battery sensors, and nothing at all where one
of them that exists gave no good value, because the hottest may be the silent one.

``storage.attaching`` makes temperatures of vehicles from them, which is all that settlement reads.
"""

import uuid
from collections.abc import Collection, Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Final, LiteralString

import polars as pl
from psycopg import sql
from psycopg.rows import class_row

from storage import frames, partitions
from storage.engine import Connection

SAMPLES_MAX: Final = 100_000
"""Samples that one reading call returns at most."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one sensor answered, or that it did not.

    Attributes:
        device_id: the configured device.
        sensor: its name within the device, such as ``803.ModTmpMax``; empty: the device as a whole.
        evse_id: the EVSE at which the device measures.
        vehicle_id: whose battery it is; empty where the device does not know.
        measured_at: when the poll had its first answer, or was given up; the same for the whole poll.
        registers: the raw registers of the value and of its scale factor, big-endian; may be empty.
        value_millicelsius: 1e-3 °C; None unless good.
        quality: ``settlement.sensors.Quality``.
        battery: whether it is a temperature of the battery, and not of a converter.
        detail: where it is not good: what was found, and what was expected.
    """

    device_id: str
    sensor: str
    evse_id: str
    vehicle_id: str
    measured_at: datetime
    registers: bytes
    value_millicelsius: int | None
    quality: str
    battery: bool = True
    detail: str = ""


COLUMNS: Final[LiteralString] = (
    "device_id, sensor, evse_id, vehicle_id, measured_at, registers, value_millicelsius, quality,"
    " battery, detail"
)

_MOMENTS: Final[LiteralString] = """
    select s.evse_id, s.device_id, s.vehicle_id, s.measured_at,
           max(s.value_millicelsius) as battery_millicelsius, max(s.recorded_at) as received_at
    from unnest(%(evses)s::text[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[])
        asked (evse_id, first_at, last_at)
    cross join lateral (
        select * from thermal_sample
        where evse_id = asked.evse_id and measured_at between asked.first_at and asked.last_at
          and battery
        offset 0
    ) s
    group by s.evse_id, s.device_id, s.vehicle_id, s.measured_at
    having bool_and(s.quality in ('good', 'not_implemented')) and count(s.value_millicelsius) > 0
"""
"""Each moment at which a device's battery sensors gave one temperature between them.

``offset 0`` keeps the planner from reading the whole table: it knows nothing of the spans, and the index
is right for each of them.
"""

_MOMENT: Final = pl.Schema(
    {
        "evse_id": pl.String(),
        "device_id": pl.String(),
        "vehicle_id": pl.String(),
        "measured_at": pl.Datetime("us", "UTC"),
        "battery_millicelsius": pl.Int64(),
        "received_at": pl.Datetime("us", "UTC"),
    }
)


def put_samples(conn: Connection, samples: Iterable[Sample], *, now: datetime) -> int:
    """Land samples, each once: what a sensor said of a moment stands.

    Commits what the connection had under way, because the weeks that the rows need are created in a
    transaction of their own (``storage.partitions``); the rows themselves the caller commits.

    Args:
        conn: as ``v2g_ingest``.
        samples: every sample of a poll in one call, so that a moment is landed whole.
        now: when they became known.

    Returns:
        How many are new.

    Raises:
        CheckViolation: a good sample without value or the other way round. None is kept then.
    """
    rows = list(samples)
    if not rows:
        return 0
    partitions.ensure(conn, "thermal_sample", (row.measured_at for row in rows))
    conn.commit()
    conn.execute(
        "create temporary table if not exists staged_thermal_sample"
        " (like thermal_sample) on commit delete rows"
    )
    with (
        conn.cursor() as cursor,
        cursor.copy(f"copy staged_thermal_sample ({COLUMNS}, recorded_at) from stdin") as copy,
    ):
        for row in rows:
            copy.write_row((*astuple(row), now))
    written = conn.execute(
        f"""
        with written as (
            insert into thermal_sample ({COLUMNS}, recorded_at)
            select {COLUMNS}, recorded_at from pg_temp.staged_thermal_sample
            order by device_id, sensor, measured_at
            on conflict do nothing returning 1
        ) select count(*) from written
        """
    ).fetchone()
    _mark(conn, rows)
    assert written is not None
    return int(written[0])


def _mark(conn: Connection, rows: Iterable[Sample]) -> None:
    """Leave word for ``storage.attaching`` where new samples stand: one mark per EVSE, inserted only, so that
    nobody waits for anybody.
    """
    moments: dict[str, list[datetime]] = {}
    for row in rows:
        if row.battery and row.value_millicelsius is not None:
            moments.setdefault(row.evse_id, []).append(row.measured_at)
    marks = [(uuid.uuid4(), evse, min(at), max(at), len(at)) for evse, at in moments.items()]
    if marks:
        conn.execute(
            "insert into thermal_pending"
            " (mark_id, evse_id, first_measured_at, last_measured_at, samples)"
            " select * from unnest(%s::uuid[], %s::text[], %s::timestamptz[], %s::timestamptz[],"
            " %s::bigint[])",
            [list(column) for column in zip(*marks, strict=True)],
        )


def latest_by_evse(
    conn: Connection, *, since: datetime, evses: Collection[str] | None = None
) -> list[Sample]:
    """The latest sample of every sensor, whatever its quality, measured since a time.

    Args:
        conn: any role that may read.
        since: nothing older is looked for.
        evses: only of these; None for all.

    Returns:
        Ordered by EVSE, device and sensor; at most ``SAMPLES_MAX``.
    """
    with conn.cursor(row_factory=class_row(Sample)) as cursor:
        return cursor.execute(
            f"""
            select distinct on (evse_id, device_id, sensor) {COLUMNS} from thermal_sample
            where measured_at >= %(since)s and (%(evses)s::text[] is null or evse_id = any(%(evses)s))
            order by evse_id, device_id, sensor, measured_at desc limit %(most)s
            """,
            {
                "since": since,
                "evses": None if evses is None else sorted(evses),
                "most": SAMPLES_MAX,
            },
        ).fetchall()


def samples_since(
    conn: Connection, evse_id: str, since: datetime, *, most: int = SAMPLES_MAX
) -> list[Sample]:
    """Every sample of an EVSE measured since a time, oldest first, at most so many."""
    with conn.cursor(row_factory=class_row(Sample)) as cursor:
        return cursor.execute(
            f"""
            select {COLUMNS} from thermal_sample where evse_id = %s and measured_at >= %s
            order by measured_at, device_id, sensor limit %s
            """,
            [evse_id, since, most],
        ).fetchall()


def battery_temperatures(
    conn: Connection, evses: Collection[str], *, since: datetime, until: datetime
) -> pl.DataFrame:
    """What ``storage.attaching`` makes of the samples of some EVSE: each moment's temperature of the battery.

    Returns:
        evse_id, device_id, vehicle_id (empty where the device does not know), measured_at,
        battery_millicelsius, received_at; both times included; by EVSE, time and device.
    """
    spans = [(evse, since, until) for evse in sorted(set(evses))]
    return battery_moments(conn, spans).sort("evse_id", "measured_at", "device_id")


def battery_moments(
    conn: Connection, spans: Sequence[tuple[str, datetime, datetime]]
) -> pl.DataFrame:
    """The same within several (EVSE, first, last), in any order."""
    columns = [list(column) for column in zip(*_apart(spans), strict=True)] or [[], [], []]
    return frames.fetch(
        conn,
        sql.SQL(_MOMENTS),
        dict(zip(("evses", "firsts", "lasts"), columns, strict=True)),
        _MOMENT,
    )


def _apart(
    spans: Sequence[tuple[str, datetime, datetime]],
) -> list[tuple[str, datetime, datetime]]:
    """The same spans, joined where they overlap, so that no sample is read twice."""
    apart: list[tuple[str, datetime, datetime]] = []
    for evse, first, last in sorted(spans):
        if apart and apart[-1][0] == evse and first <= apart[-1][2]:
            apart[-1] = evse, apart[-1][1], max(last, apart[-1][2])
        else:
            apart.append((evse, first, last))
    return apart
