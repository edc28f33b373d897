"""Readings and quarantined packets written straight into a database, to be doubted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from settlement import units
from settlement.periods import Period
from settlement.reasons import PacketReason
from settlement.schemas import QUARANTINED, READING, Frame

Row = dict[str, Any]

# Odd microseconds: what renders times into queries must not lose them.
PERIOD = Period(
    datetime(2026, 7, 1, 17, 0, 0, 123457, tzinfo=UTC), datetime(2026, 7, 1, 18, tzinfo=UTC)
)
STEP = timedelta(seconds=30)
POWER_W = 7_200
STEP_MILLIWH = POWER_W * 30 * units.MILLIWH_PER_WH // 3600


def reading(number: int = 0, **changes: Any) -> Row:
    """One plausible reading, the ``number``-th of its EVSE; changes as named."""
    started_at = PERIOD.started_at + number * STEP
    before = 1_000_000 + number * STEP_MILLIWH
    return {
        "evse_id": "EVSE-1",
        "vehicle_id": "car",
        "session_id": "session",
        "stream_epoch": 1,
        "sequence": number,
        "started_at": started_at,
        "ended_at": started_at + STEP,
        "power_start_w": POWER_W,
        "power_end_w": POWER_W,
        "export_start_milliwh": before,
        "export_end_milliwh": before + STEP_MILLIWH,
        "import_start_milliwh": 5,
        "import_end_milliwh": 5,
        "soc_start_ppm": 800_000,
        "soc_end_ppm": 799_000,
        "latitude_microdeg": 48_137_154,
        "longitude_microdeg": 11_576_124,
        "clock_offset_us": 100,
        "key_id": "key",
        "digest": b"digest",
        "received_at": started_at + STEP,
    } | changes


def plausible(count: int = 100) -> list[Row]:
    """Readings without a gap that reach to the end of the period."""
    late = PERIOD.ended_at - PERIOD.started_at - count * STEP
    return [
        row | {key: row[key] + late for key in ("started_at", "ended_at", "received_at")}
        for row in (reading(number) for number in range(count))
    ]


def not_stated(rows: list[Row], count: int | None = None) -> list[Row]:
    """The first rows as a meter's own record gives them, which states its registers only."""
    silent = dict.fromkeys(column.name for column in READING.columns if column.nullable)
    return [row | silent for row in rows[:count]]


def quarantined(number: int = 0, **changes: Any) -> Row:
    """One refused packet that claims the middle of the period."""
    return {
        "packet_digest": b"packet %d" % number,
        "reason": PacketReason.BAD_SIGNATURE.value,
        "detail": "the signature does not stand",
        "evse_id": "EVSE-1",
        "vehicle_id": "car",
        "started_at": PERIOD.started_at + timedelta(minutes=30),
        "ended_at": PERIOD.started_at + timedelta(minutes=31),
        "claimed_export_milliwh": 5,
        "key_id": "key",
        "received_at": PERIOD.ended_at,
        "batch_id": 1,
    } | changes


def store(dsn: str, readings=(), refused=()) -> None:
    with psycopg.connect(dsn, user="v2g") as conn, conn.cursor() as cursor:
        for frame, rows in ((READING, readings), (QUARANTINED, refused)):
            if rows:
                cursor.executemany(_insert(frame), rows)


def _insert(frame: Frame) -> str:
    names = frame.schema.names()
    values = [f"%({name})s" for name in names]
    if frame is READING:  # judged as soon as it came
        names, values = [*names, "judged_at"], [*values, "%(received_at)s"]
    return f"insert into {frame.name} ({', '.join(names)}) values ({', '.join(values)})"
