"""A fleet in a database: 1,000 vehicles that discharge for hours of every day, around one event.

Readings are put there by COPY, as if they had been judged; landing and judging them has figures of
its own.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl
import yaml

from embedded import timescale
from embedded.postgres import PostgresServer, create_database
from grid.records import EventSaid, PriceSaid
from settlement.periods import Period
from settlement.schemas import READING
from storage import partitions
from storage.engine import Role, connect
from storage.grid import put_events, put_prices
from storage.migrate import migrate
from storage.registry import Contract, put_contracts, put_program

VEHICLES: Final = 1_000
STEP: Final = timedelta(seconds=15)
FIRST_DAY: Final = datetime(2026, 6, 1, tzinfo=UTC)
DELIVERS_FROM: Final = timedelta(hours=15)
"""With six hours of readings from then on, the stretch that a run measures at once (16:00 to 20:00,
``tasks.computing.STRETCH``) and the hour on either side that it reads with it are full."""
DELIVERS_FOR: Final = timedelta(hours=6)
EVENT_FROM: Final = timedelta(hours=17)
EVENT_FOR: Final = timedelta(hours=2)
CACHE: Final = Path(".cache")
PROGRAM_FILE: Final = Path(__file__).resolve().parent.parent / "programs" / "example-energy.yaml"


@dataclass(frozen=True)
class Fleet:
    """A database with a program, events, prices and contracts; readings are loaded day by day.

    Attributes:
        vehicles: how many.
        delivers_for: how long each of them delivers every day.
    """

    dsn: str
    vehicles: int = VEHICLES
    delivers_for: timedelta = DELIVERS_FOR

    def set_up(self, days: int) -> None:
        """Everything but readings, for so many days from the first."""
        known_at = FIRST_DAY
        program = yaml.safe_load(PROGRAM_FILE.read_text("utf-8"))
        name = program["program"]
        with connect(self.dsn, Role.SETTLE) as conn:
            put_program(conn, program, valid_from=FIRST_DAY, source=PROGRAM_FILE.name, now=known_at)
            put_contracts(
                conn,
                [
                    Contract(
                        contract_id=f"contract-{car:04}",
                        vehicle_id=f"VIN-{car:04}",
                        program=name,
                        incentive_rate_ppm=850_000,
                        account=f"account-{car:04}",
                        valid_from=FIRST_DAY,
                    )
                    for car in range(self.vehicles)
                ],
                now=known_at,
            )
            for number in range(days):
                start = day(number).started_at + EVENT_FROM
                said = f"event {number}".encode()
                put_events(
                    conn,
                    [
                        EventSaid(
                            event_id=f"event-{number:03}",
                            program=name,
                            started_at=start,
                            ended_at=start + EVENT_FOR,
                            created_at=known_at,
                            status="scheduled",
                            document=said,
                            received_at=known_at,
                        )
                    ],
                )
                hour = timedelta(hours=1)
                put_prices(
                    conn,
                    [
                        PriceSaid(
                            name,
                            start + n * hour,
                            start + (n + 1) * hour,
                            300_000 + 40_000 * n,
                            "USD",
                            sha256(said).digest(),
                            known_at,
                        )
                        for n in range(EVENT_FOR // hour)
                    ],
                )

    def load(self, number: int) -> int:
        """COPY the readings of one day; how many they are."""
        frame = self.readings(number)
        text = io.BytesIO()
        frame.with_columns(
            pl.format("\\x{}", pl.col("digest").bin.encode("hex")).alias("digest"),
            judged_at="received_at",
        ).write_csv(text, include_header=False, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
        names = ", ".join([*READING.schema.names(), "judged_at"])
        with connect(self.dsn, Role.SETTLE) as conn:
            partitions.ensure(conn, "reading", [day(number).started_at, day(number).ended_at])
        with connect(f"{self.dsn} user=v2g", Role.OWNER) as conn:
            with conn.cursor().copy(f"copy reading ({names}) from stdin (format csv)") as copy:
                copy.write(text.getvalue())
            conn.execute("analyze reading")
        return frame.height

    def readings(self, number: int) -> pl.DataFrame:
        """Every vehicle's registers run on from reading to reading, and agree with its power."""
        start = day(number).started_at + DELIVERS_FROM
        each = self.delivers_for // STEP
        energy = 20_000 + pl.col("car") * 7
        # 1 mWh in 15 s is 0.24 W.
        watts = energy * 24 // 100
        counted = (number * each + pl.col("step")) * energy
        started_at = pl.lit(start) + pl.duration(seconds=pl.col("step") * STEP.seconds)
        ended_at = started_at + pl.duration(seconds=STEP.seconds)
        cars = pl.DataFrame({"car": range(self.vehicles)}, schema={"car": pl.Int64()})
        steps = pl.DataFrame({"step": range(each)}, schema={"step": pl.Int64()})
        padded = pl.col("car").cast(pl.String()).str.zfill(4)
        nothing = pl.lit(0, dtype=pl.Int64)
        return steps.join(cars, how="cross").select(
            pl.format("US*V2G*E{}", padded).alias("evse_id"),
            pl.format("VIN-{}", padded).alias("vehicle_id"),
            pl.lit(f"day-{number:03}").alias("session_id"),
            pl.lit(1, dtype=pl.Int64).alias("stream_epoch"),
            (number * each + pl.col("step")).alias("sequence"),
            started_at.alias("started_at"),
            ended_at.alias("ended_at"),
            watts.alias("power_start_w"),
            watts.alias("power_end_w"),
            counted.alias("export_start_milliwh"),
            (counted + energy).alias("export_end_milliwh"),
            nothing.alias("import_start_milliwh"),
            nothing.alias("import_end_milliwh"),
            pl.lit(500_000, dtype=pl.Int64).alias("soc_start_ppm"),
            pl.lit(500_000, dtype=pl.Int64).alias("soc_end_ppm"),
            nothing.alias("latitude_microdeg"),
            nothing.alias("longitude_microdeg"),
            nothing.alias("clock_offset_us"),
            pl.lit("key").alias("key_id"),
            # As many bytes as a digest has; settling reads it and compares it with nothing.
            pl.lit(sha256(b"").digest()).alias("digest"),
            ended_at.alias("received_at"),
        )


def day(number: int) -> Period:
    """The UTC day so many days after the first."""
    start = FIRST_DAY + timedelta(days=number)
    return Period(start, start + timedelta(days=1))


@contextmanager
def database(name: str) -> Iterator[str]:
    """A migrated database on a server of its own, gone afterwards."""
    CACHE.mkdir(exist_ok=True)
    with (
        TemporaryDirectory(prefix=f"v2g-bench-{name}-") as folder,
        PostgresServer(Path(folder) / "postgres", timescale=timescale.find(CACHE)) as server,
    ):
        dsn = create_database(server, name)
        migrate(dsn)
        yield dsn
