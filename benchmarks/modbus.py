"""Five hundred devices polled each 5 s, every answer judged and landed: how much of one core it takes.

The devices are connections to one simulated PLC in a process of its own, three SunSpec models and two
plain registers each; the samples go to a real database. Only the poller's own time counts, in all of
its threads; the simulator's and the database's is theirs.
"""

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks.figure import Figure
from embedded.postgres import PostgresServer, create_database
from embedded.processes import Supervised, wait_until
from ingest_daemon.backoff import Backoff
from ingest_daemon.health import Health
from ingest_daemon.modbus.configuration import Device, Fleet, Register, SunSpec
from ingest_daemon.modbus.landing import Landing
from ingest_daemon.modbus.metrics import Metrics
from ingest_daemon.modbus.outbox import Outbox
from ingest_daemon.modbus.rounds import Rounds
from storage.migrate import migrate
from storage.sample_store import SampleStore

DEVICES: Final = 500
EVERY_S: Final = 5.0
WARM_S: Final = 12.0
"""Until every device is connected and discovered."""
MEASURED_S: Final = 20.0
AIM: Final = 0.7
DEADLINE_S: Final = 30.0


def run() -> Sequence[Figure]:
    """Measure on embedded parts in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="v2g-bench-") as name:
        folder = Path(name)
        with PostgresServer(folder / "postgres") as server:
            dsn = create_database(server, "modbus")
            migrate(dsn)
            command = (sys.executable, "-m", "simulators.plc", "--port", "0")
            with Supervised("plc", command, log=folder / "plc.log") as plc:
                wait_until(
                    lambda: "PLC on" in plc.log_tail(lines=5),
                    deadline_s=DEADLINE_S,
                    what="the simulated PLC",
                )
                port = int(plc.log_tail(lines=5).partition("127.0.0.1:")[2].partition(",")[0])
                cpu_s, polls, late, samples = asyncio.run(_measured(dsn, port))
    share = 1000 * cpu_s / MEASURED_S
    expected = DEVICES * MEASURED_S / EVERY_S
    return [
        Figure(
            f"{DEVICES} devices each {EVERY_S:g} s, {samples / polls:.0f} sensors, landed",
            share,
            "ms/s",
            1000.0,
            "one core",
            f"ratio at most {AIM}, no poll left out",
            share / 1000 <= AIM and late == 0 and polls >= 0.98 * expected,
        )
    ]


async def _measured(dsn: str, port: int) -> tuple[float, int, int, int]:
    """Seconds of processor time, polls answered, polls left out, samples landed."""
    # Not checked: a file in which one PLC stands five hundred times would be refused.
    fleet = Fleet.model_construct(
        concurrency=64, devices=tuple(_device(number, port) for number in range(DEVICES))
    )
    outbox = Outbox(samples_max=1_000_000)
    metrics = Metrics(outbox, now=_now)
    rng = random.Random(5)
    landing = Landing(
        outbox,
        SampleStore(dsn, now=_now),
        health=Health("database"),
        metrics=metrics,
        backoff=Backoff(first_s=0.1, longest_s=1.0, rng=rng),
    )
    rounds = Rounds(fleet, outbox, metrics=metrics, now=_now, rng=rng)
    tasks = [asyncio.create_task(landing.run()), asyncio.create_task(rounds.run())]
    await asyncio.sleep(WARM_S)
    before, began = _counts(metrics), time.process_time()
    await asyncio.sleep(MEASURED_S)
    cpu_s, after = time.process_time() - began, _counts(metrics)
    landing.end()
    tasks[1].cancel()
    await asyncio.wait(tasks)
    polls, late, samples = (later - earlier for later, earlier in zip(after, before, strict=True))
    return cpu_s, polls, late, samples


def _counts(metrics: Metrics) -> tuple[int, int, int]:
    found = dict.fromkeys(("answered", "skipped", "landed"), 0)
    for line in metrics.text().decode().splitlines():
        name, _, value = line.rpartition(" ")
        if name == 'v2g_modbus_polls_total{result="answered"}':
            found["answered"] = int(float(value))
        elif name == "v2g_modbus_skipped_polls_total":
            found["skipped"] = int(float(value))
        elif name.startswith("v2g_modbus_landed_samples_total{"):
            found["landed"] += int(float(value))
    return found["answered"], found["skipped"], found["landed"]


def _device(number: int, port: int) -> Device:
    return Device(
        name=f"plc-{number}",
        host="127.0.0.1",
        port=port,
        evse_id=f"EVSE-{number}",
        every_s=EVERY_S,
        sunspec=SunSpec(),
        registers=(Register(sensor="pack", address=100, type="float32"),),
    )


def _now() -> datetime:
    return datetime.now(UTC)
