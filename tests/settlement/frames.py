"""Small makers of frames for the tests of the rules: say what matters, default the rest."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import yaml

from settlement import programs
from settlement.matching import Grid
from settlement.programs import Program
from settlement.schemas import READING
from settlement.timeline import Price, Window

PROGRAM = "example-energy"
EXAMPLE = Path(__file__).parents[2] / "programs" / "example-energy.yaml"


def at(clock: str) -> datetime:
    """A time on the day of the tests.

    >>> at("17:30").isoformat()
    '2026-07-01T17:30:00+00:00'
    """
    return datetime.fromisoformat(f"2026-07-01T{clock}").replace(tzinfo=UTC)


def example_program(**changes: object) -> Program:
    """The shipped example program, with some top-level keys changed."""
    return programs.parse(yaml.safe_load(EXAMPLE.read_text()) | changes, EXAMPLE.name)


def window(event: str, start: str, end: str, *, created: str = "09:00") -> Window:
    return Window(event, PROGRAM, at(start), at(end), at(created))


def price(start: str, end: str, micros: int, *, received: str = "08:00") -> Price:
    return Price(PROGRAM, at(start), at(end), micros, at(received))


def contract(
    vehicle: str,
    *,
    rate_ppm: int = 850_000,
    valid_from: str = "00:00",
    valid_to: str | None = None,
    program: str = PROGRAM,
) -> dict[str, object]:
    return {
        "vehicle_id": vehicle,
        "program": program,
        "incentive_rate_ppm": rate_ppm,
        "account": f"account-{vehicle}",
        "valid_from": at(valid_from),
        "valid_to": None if valid_to is None else at(valid_to),
    }


def grid(
    windows: Iterable[Window],
    prices: Iterable[Price],
    contracts: Iterable[Mapping[str, object]],
    program: Program | None = None,
) -> Grid:
    moment = pl.Datetime("us", "UTC")
    return Grid(
        programs={PROGRAM: program or example_program()},
        windows=list(windows),
        prices=list(prices),
        contracts=pl.DataFrame(
            list(contracts),
            schema={
                "vehicle_id": pl.String(),
                "program": pl.String(),
                "incentive_rate_ppm": pl.Int64(),
                "account": pl.String(),
                "valid_from": moment,
                "valid_to": moment,
            },
        ),
    )


def reading(
    vehicle: str, start: datetime, end: datetime, milliwh: int, **changes: object
) -> dict[str, object]:
    """A reading that exported ``milliwh``, with powers that agree, at the vehicle's own EVSE."""
    watts = round(milliwh * 3.6 / (end - start).total_seconds())
    row: dict[str, object] = {
        "evse_id": f"EVSE-{vehicle}",
        "vehicle_id": vehicle,
        "session_id": "session",
        "stream_epoch": 1,
        "sequence": int(start.timestamp()),
        "started_at": start,
        "ended_at": end,
        "power_start_w": watts,
        "power_end_w": watts,
        "export_start_milliwh": 1_000_000,
        "export_end_milliwh": 1_000_000 + milliwh,
        "import_start_milliwh": 0,
        "import_end_milliwh": 0,
        "soc_start_ppm": 800_000,
        "soc_end_ppm": 799_000,
        "latitude_microdeg": 0,
        "longitude_microdeg": 0,
        "clock_offset_us": 0,
        "key_id": "key",
        "digest": b"\0" * 32,
        "received_at": end,
        "conflicted": False,
    }
    return row | changes


def readings(*rows: Mapping[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={**READING.schema, "conflicted": pl.Boolean()})
