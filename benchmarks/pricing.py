"""Readings matched and priced per second: a day of 1,000 vehicles at 15 s, in its own process."""

import resource
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl
import yaml

from benchmarks.figure import Figure, interleaved, rate
from settlement import programs
from settlement.matching import Grid, match
from settlement.periods import Period
from settlement.pricing import price
from settlement.timeline import Price, Window

VEHICLES: Final = 1_000
STEP_S: Final = 15
AIM_PER_S: Final = 2_000_000
AIM_MIB: Final = 2_048
PROGRAM_FILE: Final = Path(__file__).resolve().parent.parent / "programs" / "example-energy.yaml"
DEADLINE_S: Final = 600


def run() -> Sequence[Figure]:
    """Measure in a child process, so that its peak memory is that of the pricing alone."""
    out = subprocess.run(
        (sys.executable, "-m", "benchmarks.pricing"),
        capture_output=True,
        text=True,
        check=True,
        timeout=DEADLINE_S,
    ).stdout
    priced, plain, peak = (float(word) for word in out.split())
    return [
        Figure(
            "readings matched and priced", priced, "/s", plain,
            "one plain sum per vehicle over the same frame", f"{AIM_PER_S:,}/s", priced >= AIM_PER_S,
        ),
        Figure(
            "peak memory of that, frame included", peak, "MiB", AIM_MIB, "the aim",
            f"under {AIM_MIB} MiB", peak < AIM_MIB,
        ),
    ]  # fmt: skip


def main() -> None:
    """Print readings per second, the plain pass's, and the peak memory in MiB."""
    day = datetime(2026, 7, 1, tzinfo=UTC)
    readings, grid = _readings(day), _grid(day)
    period = Period(day, day + timedelta(days=1))

    def settle() -> None:
        matched = match(readings, grid, period)
        price(matched.matched, matched.unpaid, grid.programs)

    def plain() -> None:
        readings.group_by("vehicle_id").agg(
            (pl.col("export_end_milliwh") - pl.col("export_start_milliwh")).sum()
        )

    priced, limit = interleaved(
        lambda: rate(readings.height, settle), lambda: rate(readings.height, plain)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(f"{priced} {limit} {peak}\n")


def _readings(day: datetime) -> pl.DataFrame:
    """Every vehicle discharges all day, 15 s at a time, with powers that vary and agree."""
    steps = pl.DataFrame({"step": range(86_400 // STEP_S)}, schema={"step": pl.Int64()})
    cars = pl.DataFrame({"car": range(VEHICLES)}, schema={"car": pl.Int64()})
    energy = 20_000 + pl.col("car") * 7 + pl.col("step") % 97
    # 1 mWh in 15 s is 0.24 W.
    watts = energy * 24 // 100
    start = pl.lit(day) + pl.duration(seconds=pl.col("step") * STEP_S)
    return cars.join(steps, how="cross").select(
        evse_id=pl.format("US*V2G*E{}", "car"),
        vehicle_id=pl.format("VIN-{}", "car"),
        started_at=start,
        ended_at=start + pl.duration(seconds=STEP_S),
        power_start_w=watts,
        power_end_w=watts,
        export_start_milliwh=pl.col("step") * 30_000,
        export_end_milliwh=pl.col("step") * 30_000 + energy,
        import_start_milliwh=pl.lit(0),
        import_end_milliwh=pl.lit(0),
        conflicted=pl.lit(value=False),
    )


def _grid(day: datetime) -> Grid:
    program = programs.parse(yaml.safe_load(PROGRAM_FILE.read_text()), PROGRAM_FILE.name)
    hours = [day + timedelta(hours=hour) for hour in range(25)]
    quarters = [day + timedelta(minutes=15 * number) for number in range(96)]
    return Grid(
        programs={program.program: program},
        windows=[
            Window(f"event-{h}", program.program, hours[h], hours[h + 1], day)
            for h in (7, 8, 17, 18, 19)
        ],
        prices=[
            Price(program.program, at, at + timedelta(minutes=15), 300_000 + 1_000 * number, day)
            for number, at in enumerate(quarters)
        ],
        contracts=pl.DataFrame(
            {
                "vehicle_id": [f"VIN-{car}" for car in range(VEHICLES)],
                "program": program.program,
                "incentive_rate_ppm": 850_000,
                "account": "account",
                "valid_from": day,
                "valid_to": None,
            },
            schema_overrides={"valid_to": pl.Datetime("us", "UTC")},
        ),
    )


if __name__ == "__main__":
    main()
