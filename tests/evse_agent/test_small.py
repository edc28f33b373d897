"""Small enough for an industrial PC: under 64 MiB resident, under 1 % of a core, light imports."""

import subprocess
import sys
import time
from datetime import timedelta

import pytest

from tests.evse_agent.harness import BEGINS, EVERY_S, Charger, Receiver, deliver, sample

RSS_MAX_BYTES = 64 * 1024 * 1024
CORE_SHARE_MAX = 0.01
PACKETS = 200
HEAVY = (
    "polars", "pyarrow", "numpy", "httpx", "pydantic", "psycopg", "sqlalchemy", "prefect", "starlette",
    "typer", "rich", "great_expectations", "redis", "asyncio", "storage", "ingest_daemon", "pkcs11",
)  # fmt: skip


def second(number: int):
    """The sample of a second at 7.2 kW."""
    return sample(
        0,
        at=(BEGINS + timedelta(seconds=number)).isoformat(),
        export_wh=f"{1_000_000 + 2 * number}",
    )


def test_the_agent_imports_none_of_the_heavy_libraries():
    script = (
        "import sys, evse_agent.agent, evse_agent.__main__; print(*sorted(sys.modules), sep='\\n')"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    loaded = set(done.stdout.split())
    assert loaded.isdisjoint(HEAVY)
    ours = {name for name in loaded if name.startswith("settlement.")}
    assert all(
        name.startswith(
            ("settlement.packets", "settlement.units", "settlement.decimals", "settlement.hosts")
        )
        for name in ours
    ), ours


@pytest.mark.slow
def test_it_takes_less_than_64_mib_and_one_percent_of_a_core_at_one_session(broker, tmp_path):
    with Receiver(broker) as receiver, Charger(tmp_path / "c", broker, LogLevel="INFO") as charger:
        deliver(charger, [second(0), second(EVERY_S)])
        charger.wait_waiting(0)
        idle_began_cpu = charger.cpu_s()
        idle_began = time.monotonic()
        time.sleep(5)  # what it costs to do nothing can only be seen by letting it
        idle = (charger.cpu_s() - idle_began_cpu) / (time.monotonic() - idle_began)
        before = charger.cpu_s()
        # As a controller does it: a sample a second, so fifteen for each packet.
        deliver(charger, [second(n) for n in range(EVERY_S + 1, (PACKETS + 1) * EVERY_S + 1)])
        receiver.wait_packets(PACKETS + 1, deadline_s=50)
        charger.wait_waiting(0)
        per_packet = (charger.cpu_s() - before) / PACKETS
        rss = charger.rss_bytes()

    share = idle + per_packet / EVERY_S
    report = f"rss {rss / 2**20:.1f} MiB, {per_packet * 1000:.2f} ms CPU per packet, idle {idle:.2%}, share {share:.3%}"
    sys.stdout.write(report + "\n")
    assert rss < RSS_MAX_BYTES
    assert share < CORE_SHARE_MAX
