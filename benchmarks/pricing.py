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
from settlement.engine import compute
from settlement.facts import Facts
from settlement.periods import Period
from settlement.schemas import CONTRACT
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
    readings, facts = _readings(day), _facts(day)
    period = Period(day, day + timedelta(days=1))

    def settle() -> None:
        compute(lambda _: readings, facts, period)

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
    # Registers run on from reading to reading, as a meter's do.
    counted = (energy.cum_sum().over("car") - energy).alias("counted")
    cells = cars.join(steps, how="cross").with_columns(energy=energy).with_columns(counted)
    return cells.select(
        evse_id=pl.format("US*V2G*E{}", "car"),
        vehicle_id=pl.format("VIN-{}", "car"),
        started_at=start,
        ended_at=start + pl.duration(seconds=STEP_S),
        power_start_w=watts,
        power_end_w=watts,
        export_start_milliwh="counted",
        export_end_milliwh=pl.col("counted") + pl.col("energy"),
        import_start_milliwh=pl.lit(0, dtype=pl.Int64),
        import_end_milliwh=pl.lit(0, dtype=pl.Int64),
        soc_start_ppm=pl.lit(500_000, dtype=pl.Int64),
        soc_end_ppm=pl.lit(500_000, dtype=pl.Int64),
        latitude_microdeg=pl.lit(0, dtype=pl.Int64),
        longitude_microdeg=pl.lit(0, dtype=pl.Int64),
        conflicted=pl.lit(value=False),
    )


def _facts(day: datetime) -> Facts:
    """Twelve events of an hour, prices that change every quarter hour, a thousand contracts."""
    program = programs.parse(yaml.safe_load(PROGRAM_FILE.read_text()), PROGRAM_FILE.name)
    hours = [day + timedelta(hours=hour) for hour in range(25)]
    quarters = [day + timedelta(minutes=15 * number) for number in range(96)]
    return Facts(
        programs={program.program: [program]},
        windows=[
            Window(f"event-{h}", program.program, hours[h], hours[h + 1], day)
            for h in range(1, 24, 2)
        ],
        prices=[
            Price(program.program, at, at + timedelta(minutes=15), 300_000 + 1_000 * number, day)
            for number, at in enumerate(quarters)
        ],
        contracts=pl.DataFrame(
            {
                "contract_id": [f"contract-{car}" for car in range(VEHICLES)],
                "vehicle_id": [f"VIN-{car}" for car in range(VEHICLES)],
                "evse_id": "",
                "site_id": "",
                "program": program.program,
                "incentive_rate_ppm": 850_000,
                "valid_from": day,
                "valid_to": None,
                "capacity_milliwh": 10_000_000_000,  # so large that no change of charge shows
                "rated_w": 22_000,
            },
            schema=CONTRACT.schema,
        ),
    )


if __name__ == "__main__":
    main()
