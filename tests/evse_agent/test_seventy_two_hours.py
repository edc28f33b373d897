"""Three days without broker and daemon for a hundred chargers, each killed in the middle of it.

Seventy-two simulated hours in packets of an hour: the same bytes per packet, files and processes as in
packets of seconds, and few enough for a test. Afterwards the batches drain while each charger goes on.
"""

import multiprocessing
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from embedded.processes import wait_until
from tests.evse_agent.forked import run_agent
from tests.evse_agent.harness import (
    BEGINS,
    Charger,
    assert_covers_hours,
    deliver,
    sample,
)
from tests.ingest_daemon.harness import TOKEN, Daemon, count, rows, secret_file

CHARGERS = 100
HOURS = 72
AT_ONCE = 4
PRELOAD = ["__main__", "ingest_daemon.__main__", "evse_agent.agent", "tests.evse_agent.forked"]


def hour(number: int, evse: str) -> dict[str, Any]:
    return sample(
        number,
        at=(BEGINS + timedelta(hours=number)).isoformat(),
        session_id=f"S-{evse}",
        vehicle_id=f"V-{evse}",
    )


class Forked:
    """An agent's process, forked from one that has done the imports; as ``Supervised`` is used here."""

    context = multiprocessing.get_context("forkserver")

    def __init__(self, charger: Charger) -> None:
        self.log = charger.folder / "agent.log"
        self._arguments = (str(charger.config_file), str(self.log))
        self._process: Any = None

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.exitcode is None

    def start(self) -> None:
        self._process = self.context.Process(target=run_agent, args=self._arguments)
        self._process.start()

    def wait_ready(self, check, *, deadline_s: float, what: str) -> None:
        def ready() -> bool:
            assert self.running, self.log.read_text()[-2000:]
            return bool(check())

        wait_until(ready, deadline_s=deadline_s, what=what)

    def kill(self) -> None:
        if self.running:
            self._process.kill()
            self._process.join(20)

    def stop(self) -> None:
        if self.running:
            self._process.terminate()
            self._process.join(20)
        self.kill()


@contextmanager
def fleet(folder: Path, broker: Any, upload_url: str) -> Iterator[list[Charger]]:
    Forked.context.set_forkserver_preload(PRELOAD)
    token = str(secret_file(folder / "upload-token", TOKEN))
    chargers = []
    for number in range(CHARGERS):
        charger = Charger(
            folder / f"c{number}", broker, EvseId=f"DE*V2G*E{number:05}", SettlementInterval=3600,
            UploadUrl=upload_url, UploadTokenFile=token, UploadThreshold=10, UploadSpread=3,
            UploadAfter=3600, ReceiptTimeout=30, LogLevel="INFO",
        )  # fmt: skip
        charger.process = Forked(charger)  # type: ignore[assignment]
        chargers.append(charger)
    try:
        yield chargers
    finally:
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(lambda one: one.__exit__(), chargers))


def outage(charger: Charger) -> None:
    """Three days of samples, with a kill in the middle, and another at the end."""
    evse = charger.content["EvseId"]
    charger.start()
    deliver(charger, [hour(n, evse) for n in range(HOURS // 2)])
    charger.process.kill()
    charger.start()
    deliver(charger, [hour(n, evse) for n in range(HOURS // 2, HOURS + 1)])
    charger.process.kill()


def settled(charger: Charger) -> bool:
    return bool(charger.status()["waiting"] == 0)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_three_days_of_outage_of_a_hundred_chargers_are_landed_once_and_live_packets_go_on(
    plain_database, broker, tmp_path
):
    daemon = Daemon(tmp_path, plain_database, broker=broker)
    with daemon, fleet(tmp_path, broker, daemon.url) as chargers:
        port = daemon.url.rpartition(":")[2]
        daemon.process.stop()
        broker.stop()
        with ThreadPoolExecutor(AT_ONCE) as threads:
            list(threads.map(outage, chargers))

        broker.start()
        again = Daemon(tmp_path, plain_database, broker=broker, http_port=port)
        with again:
            began = time.monotonic()
            with ThreadPoolExecutor(AT_ONCE) as threads:
                said = list(threads.map(back, chargers))
            wait_until(
                lambda: count(plain_database) == CHARGERS * (HOURS + 1),
                deadline_s=120,
                what=f"all packets, not {count(plain_database)}",
            )
            seconds = time.monotonic() - began
            wait_until(lambda: all(map(settled, chargers)), deadline_s=60, what="empty stores")

        held: dict[str, list[bytes]] = {}
        for evse, packet in rows(plain_database, "select evse_id, packet from raw_packet"):
            held.setdefault(evse, []).append(bytes(packet))
        assert len(held) == CHARGERS
        for packets in held.values():
            assert_covers_hours(packets, HOURS + 1)
        assert count(plain_database, "packet_aside") == 0
        newest = dict(
            rows(
                plain_database,
                "select evse_id, received_at from raw_packet where sequence = %s and source = 'mqtt'",
                HOURS,
            )
        )
        late = max(
            (newest[charger.content["EvseId"]] - at).total_seconds()
            for charger, at in zip(chargers, said, strict=True)
        )
        assert late < 10, "the live packet waited for those of three days"
        assert HOURS * 3600 / seconds > 10
        sys.stdout.write(
            f"{CHARGERS * HOURS} packets in {seconds:.1f} s, starts included; live after {late:.1f} s\n"
        )


def back(charger: Charger) -> datetime:
    """The charger is there again, and goes on while three days wait. When it said so."""
    charger.start(up=True)
    deliver(charger, [hour(HOURS + 1, charger.content["EvseId"])])
    return datetime.now(UTC)
