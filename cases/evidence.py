"""The evidence of a case as tables: readings and battery temperatures."""

from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl

from cases.fields import Field, number, position, read_fields, refuse, text, time
from cases.terms import refuse_empty, refuse_half
from settlement import units
from settlement.schemas import READING, TEMPERATURE

READINGS_SCHEMA: Final = pl.Schema({**READING.schema, "conflicted": pl.Boolean()})
"""What the engine takes: ``schemas.READING`` and whether the identity carries two contents."""

_LONGEST: Final = units.EXPORT_INTERVAL_MAX


def _registers() -> tuple[Field, ...]:
    return tuple(
        number(
            f"{way}_{edge}_wh",
            f"{way}_{edge}_milliwh",
            3,
            0,
            units.REGISTER_MAX_MILLIWH,
            "Wh",
            blank=way == "import",
        )
        for way in ("export", "import")
        for edge in ("start", "end")
    )


READINGS: Final[tuple[Field, ...]] = (
    text("evse_id"),
    text("vehicle_id"),
    text("session_id"),
    number("sequence", "sequence", 0, 0, units.SEQUENCE_MAX, ""),
    time("started_at"),
    time("ended_at"),
    *_registers(),
    *(
        number(
            f"power_{edge}_w",
            f"power_{edge}_w",
            0,
            -units.POWER_MAX_W,
            units.POWER_MAX_W,
            "W",
            blank=True,
        )
        for edge in ("start", "end")
    ),
    *(
        number(f"soc_{edge}_pct", f"soc_{edge}_ppm", 4, 0, units.PPM, "%", blank=True)
        for edge in ("start", "end")
    ),
    *position(),
    time("received_at", blank=True),
)
"""Of ``readings.csv``."""

TEMPERATURES: Final[tuple[Field, ...]] = (
    text("evse_id"),
    text("vehicle_id"),
    time("measured_at"),
    number(
        "battery_c",
        "battery_millicelsius",
        3,
        units.TEMPERATURE_MIN_MILLICELSIUS,
        units.TEMPERATURE_MAX_MILLICELSIUS,
        "°C",
    ),
    time("received_at", blank=True),
)
"""Of ``thermal.csv``."""

_PAIRS: Final = (
    ("power_start_w", "power_end_w", "power_start_w", "power_end_w"),
    ("soc_start_ppm", "soc_end_ppm", "soc_start_pct", "soc_end_pct"),
    ("import_start_milliwh", "import_end_milliwh", "import_start_wh", "import_end_wh"),
    ("latitude_microdeg", "longitude_microdeg", "lat", "lon"),
)


def read_readings(path: Path, file: str, as_of: datetime | None) -> pl.DataFrame:
    """``READINGS_SCHEMA``, by start, as known at ``as_of``; see ``unique_readings``.

    What is blank stays null, but a blank import is none, and a reading without ``received_at`` was
    known as soon as it was over. There are no keys and no digests. What contradicts itself, such as a
    register that runs backwards, is for the engine to judge.

    Raises:
        CaseError: a value does not fit, an interval is empty or longer than a day, or only one of a
            pair of values is there.
    """
    rows = read_fields(path, file, READINGS)
    refuse_empty(file, rows)
    refuse(
        file,
        rows.filter(pl.col("ended_at") - pl.col("started_at") > _LONGEST),
        "ended_at",
        "{ended_at}",
        f"at most {_LONGEST.total_seconds() / 3600:.0f} hours after started_at, {{started_at}}",
    )
    for one, other, name, partner in _PAIRS:
        refuse_half(file, rows, one, other, name, partner)
    if as_of is not None:
        rows = rows.filter(pl.coalesce("received_at", "ended_at") <= as_of)
    return unique_readings(
        _with_epochs(rows).with_columns(
            pl.col("import_start_milliwh", "import_end_milliwh").fill_null(0),
            pl.col("received_at").fill_null(pl.col("ended_at")),
            clock_offset_us=pl.lit(0, pl.Int64()),
            key_id=pl.lit(""),
            digest=pl.lit(b"", pl.Binary()),
        )
    )


def _with_epochs(rows: pl.DataFrame) -> pl.DataFrame:
    """Number the sessions of each EVSE in the order of their start: the sequence begins anew in each,
    and an identity is (EVSE, session, sequence).
    """
    sessions = (
        rows.group_by("evse_id", "session_id")
        .agg(pl.col("started_at").min())
        .sort("evse_id", "started_at", "session_id")
        .select(
            "evse_id",
            "session_id",
            stream_epoch=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("evse_id"),
        )
    )
    return rows.join(sessions, on=["evse_id", "session_id"], how="left")


def unique_readings(rows: pl.DataFrame, *, signed: bool = False) -> pl.DataFrame:
    """One reading per identity and content, by start: ``READINGS_SCHEMA``.

    The same identity (EVSE, epoch, sequence) with the same content is one reading, the one received
    first; with another content, each of them is ``conflicted``.

    Args:
        rows: ``schemas.READING``; further columns are left aside.
        signed: whether two contents are the same only if the signed bytes are.
    """
    content = [
        name
        for name in READING.schema.names()
        if name not in {"key_id", "digest", "clock_offset_us", "received_at"}
    ]
    content += ["digest"] if signed else []
    order = ("started_at", "evse_id", "stream_epoch", "sequence", "received_at", "digest")
    identity = ["evse_id", "stream_epoch", "sequence"]
    plain = rows.select(READING.schema.names())
    repeated = plain.select(identity).is_duplicated()
    single = plain.filter(~repeated).with_columns(conflicted=pl.lit(value=False))
    several = (
        plain.filter(repeated)
        .sort(order)
        .unique(content, keep="first", maintain_order=True)
        .with_columns(conflicted=pl.len().over(identity) > 1)
    )
    return pl.concat([single, several]).sort(order).cast(READINGS_SCHEMA)


def read_temperatures(path: Path, file: str, as_of: datetime | None) -> pl.DataFrame:
    """``schemas.TEMPERATURE``, by vehicle and time, as known at ``as_of``; one without ``received_at``
    was known as it was measured. The same row again is one temperature. Raises CaseError.
    """
    rows = read_fields(path, file, TEMPERATURES)
    if as_of is not None:
        rows = rows.filter(pl.coalesce("received_at", "measured_at") <= as_of)
    return (
        rows.with_columns(pl.col("received_at").fill_null(pl.col("measured_at")))
        .select(TEMPERATURE.schema.names())
        .unique()
        .sort(TEMPERATURE.schema.names())
    )
