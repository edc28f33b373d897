"""A device's poller against a simulated PLC, in a test's own loop."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import yaml

from ingest_daemon.modbus.configuration import Device, parse
from ingest_daemon.modbus.poll import Poll, Poller
from simulators.plc.memory import Memory, Model, Register
from simulators.plc.server import Plc

PATIENT_S = 1.0
"""For a poll where nothing goes wrong: however busy the machine is."""
DEADLINE_S = 0.25
"""For one that is to miss it: long for a loopback, short for a test."""


def now() -> datetime:
    return datetime.now(UTC)


def device(plc: Plc | int, **fields: Any) -> Device:
    """A device as the file would say it; SunSpec unless registers are given."""
    port = plc if isinstance(plc, int) else plc.port
    given = {"name": "plc", "host": "127.0.0.1", "port": port, "evse_id": "EVSE-1"}
    given |= {"deadline_s": PATIENT_S, "every_s": 1}
    if "registers" not in fields:
        given["sunspec"] = {}
    text = yaml.safe_dump({"devices": [given | fields]})
    return parse(text.encode(), where="test").devices[0]


def bank(celsius: float | None = 35.0) -> Memory:
    """An inverter and a battery."""
    return Memory(
        [
            Model(701, {"TmpCab": 30.0, "TmpSw": 40.0, "TmpAmb": None}),
            Model(714, {"Prt[0].Tmp": 33.0, "Prt[1].Tmp": None}, counts={"NPrt": 2}),
            Model(803, {"ModTmpMax": celsius, "ModTmpMin": 25.0}, counts={"NStr": 1}),
            Model(113, {"TmpCab": 31.25}),
        ]
    )


def plain(celsius: float | None = 36.6, **fields: Any) -> Memory:
    return Memory(registers=[Register("pack", 100, temperature=celsius, **fields)])


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """With the noise of spoilt frames switched off: see ``service._hear``."""

    async def quietly() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        return await work()

    return asyncio.run(quietly())


def poller(of: Device, *, seed: int = 1) -> Poller:
    return Poller(of, now=now, rng=random.Random(seed))


def said(poll: Poll) -> dict[str, tuple[int | None, str]]:
    """Sensor → value and quality, of those that exist."""
    return {
        one.sensor: (one.value_millicelsius, one.quality)
        for one in poll.samples
        if one.quality != "not_implemented"
    }


def once(of: Device) -> Poll:
    """The first poll of a device."""

    async def work() -> Poll:
        asking = poller(of)
        try:
            return await asking.poll()
        finally:
            asking.close()

    found: Poll = run(work)
    return found
