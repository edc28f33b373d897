"""Small makers of frames for the tests of the rules: say what matters, default the rest."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from settlement import programs
from settlement.engine import Computed, compute
from settlement.facts import Facts
from settlement.periods import Period
from settlement.programs import Program
from settlement.schemas import BASELINE, CONTRACT, ORDER, READING, SITE, TEMPERATURE
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


def window(event: str, start: str, end: str, *, created: str = "09:00", **more: Any) -> Window:
    return Window(event, PROGRAM, at(start), at(end), at(created), **more)


def price(start: str, end: str, micros: int, *, received: str = "08:00") -> Price:
    return Price(PROGRAM, at(start), at(end), micros, at(received))


def contract(
    vehicle: str,
    *,
    rate_ppm: int = 850_000,
    valid_from: str = "00:00",
    valid_to: str | None = None,
    program: str = PROGRAM,
    **more: Any,
) -> dict[str, object]:
    return {
        "contract_id": f"contract-{vehicle}-{program}-{valid_from}",
        "vehicle_id": vehicle,
        "evse_id": f"EVSE-{vehicle}",
        "site_id": "",
        "program": program,
        "incentive_rate_ppm": rate_ppm,
        "valid_from": at(valid_from),
        "valid_to": None if valid_to is None else at(valid_to),
        "capacity_milliwh": None,
        "rated_w": None,
    } | more


def facts(
    windows: Iterable[Window],
    prices: Iterable[Price],
    contracts: Iterable[Mapping[str, object]],
    *programs: Program,
    **more: Iterable[Mapping[str, object]],
) -> Facts:
    """Facts of one run; ``more`` are rows of sites, temperatures, baselines and orders."""
    frames = {
        "sites": SITE,
        "temperatures": TEMPERATURE,
        "baselines": BASELINE,
        "orders": ORDER,
    }
    versions: dict[str, list[Program]] = {}
    for program in programs or (example_program(),):
        versions.setdefault(program.program, []).append(program)
    return Facts(
        programs=versions,
        windows=list(windows),
        prices=list(prices),
        contracts=pl.DataFrame(list(contracts), schema=CONTRACT.schema),
        **{
            name: pl.DataFrame(list(rows), schema=frames[name].schema)
            for name, rows in more.items()
        },
    )


def computed(rows: pl.DataFrame, known: Facts, period: Period, **how: Any) -> Computed:
    """What the engine makes of readings in memory."""
    return compute(
        lambda part: rows.filter(
            (pl.col("started_at") < part.ended_at) & (pl.col("ended_at") > part.started_at)
        ),
        known,
        period,
        **how,
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


def metered(*rows: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Readings with registers that run on from one to the next at each EVSE, in the order given."""
    counts: dict[str, int] = {}
    chained = []
    for row in rows:
        shifted = dict(row)
        for way in ("export", "import"):
            meter = f"{row['evse_id']} {way}"
            start = counts.get(meter, row[f"{way}_start_milliwh"])
            moved = row[f"{way}_end_milliwh"] - row[f"{way}_start_milliwh"]
            counts[meter] = start + moved
            shifted |= {f"{way}_start_milliwh": start, f"{way}_end_milliwh": start + moved}
        chained.append(shifted)
    return chained
