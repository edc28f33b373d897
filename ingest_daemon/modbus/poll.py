"""One device: connected, discovered, asked; every answer judged; its samples, one for each sensor.

A poll has one moment, that of its first answer: a temperature is never called fresher than it is.
Whatever goes wrong, each sensor that is known gets a sample that says so, and no value.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from ingest_daemon.modbus import plan as plans
from ingest_daemon.modbus.answers import Answers, Words
from ingest_daemon.modbus.configuration import Device
from ingest_daemon.modbus.plan import Block, Plan
from ingest_daemon.modbus.sunspec import discover
from ingest_daemon.modbus.wire import TroubleError, Wire
from settlement.sensors import Quality
from storage.thermal_samples import Sample

DISCOVERY_DEADLINES: Final = 10
"""A discovery asks many short questions: it may take as many deadlines as this, each answer one."""
ILLEGAL_ADDRESS: Final = 2
"""MODBUS Application Protocol 1.1b3 §7."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Poll:
    """What became of one.

    Attributes:
        samples: one for each sensor known; of a device never reached one without a sensor.
        trouble: why the connection was given up; None: it goes on.
        discovered: the plan, where this poll made it.
    """

    samples: tuple[Sample, ...]
    trouble: TroubleError | None = None
    discovered: Plan | None = None


class Poller:
    """Polls one device, from one task.

    Args:
        device: as configured.
        now: the clock for what is measured, UTC.
        rng: for transaction ids.
    """

    def __init__(self, device: Device, *, now: Callable[[], datetime], rng: random.Random) -> None:
        self.device = device
        self._now = now
        self._rng = rng
        self._wire: Wire | None = None
        self._plan: Plan | None = None
        self._answers = Answers(device)

    @property
    def connected(self) -> bool:
        """Whether the next poll has a connection already."""
        return self._wire is not None

    def close(self) -> None:
        """Give the connection back."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()

    async def poll(self) -> Poll:
        """Ask the device once, within its deadline; a first time, or after trouble, connect first."""
        discovered = None
        try:
            if self._wire is None or self._plan is None:
                limit_s = DISCOVERY_DEADLINES * self.device.deadline_s
                discovered = await self._within(self._begin(), limit_s)
                self._plan = discovered
            moment, words = await self._within(self._read(self._plan), self.device.deadline_s)
        except TroubleError as trouble:
            self.close()
            self._plan = None
            return Poll(self._answers.none(self._now(), trouble), trouble, discovered)
        except asyncio.CancelledError:
            self.close()
            raise
        samples = self._answers.judged(self._plan, moment, words)
        if _moved(self._plan, words):
            self._plan = None
        return Poll(samples, None, discovered)

    async def _within(self, work: Coroutine[Any, Any, T], limit_s: float) -> T:
        try:
            async with asyncio.timeout(limit_s):
                return await work
        except TimeoutError:
            found = f"nothing whole within {limit_s:g} s"
            if self._wire is None:
                raise TroubleError(Quality.NO_ANSWER, found) from None
            raise self._wire.silence(found) from None

    async def _begin(self) -> Plan:
        """Connect and find out what there is."""
        self.close()
        device = self.device
        self._wire = Wire(device.host, device.port, deadline_s=device.deadline_s, rng=self._rng)
        async with asyncio.timeout(device.deadline_s):
            await self._wire.open()
        parts = []
        chain: tuple[tuple[int, int], ...] = ()
        if device.sunspec is not None:
            found = await discover(device, device.sunspec, self._ask)
            parts.append((found.blocks, found.sensors))
            chain = found.chain
        if device.registers:
            plain = plans.of_registers(device)
            parts.append((plain.blocks, plain.sensors))
        plan = plans.joined(parts, chain)
        self._answers.begin(plan)
        await self._read_scale_factors(plan)
        return plan

    async def _read_scale_factors(self, plan: Plan) -> None:
        """Those that stand apart: the first poll must find them as they are now."""
        for sensor in plan.sensors:
            if sensor.apart and sensor.scale_factor is not None:
                block = plan.blocks[sensor.scale_factor.block]
                [word] = await self._ask(
                    block.device_id, block.function, block.address + sensor.scale_factor.offset, 1
                )
                self._answers.scale_factor(sensor, word)

    async def _ask(self, device_id: int, function: int, address: int, count: int) -> list[int]:
        assert self._wire is not None
        async with asyncio.timeout(self.device.deadline_s):
            return await self._wire.read(device_id, function, address, count)

    async def _read(self, plan: Plan) -> tuple[datetime, Words]:
        """Every block, or the exception that stands for it. Raises TroubleError for any other trouble."""
        assert self._wire is not None
        words: Words = []
        moment = None
        for block in plan.blocks:
            try:
                found = await self._wire.read(
                    block.device_id, block.function, block.address, block.count
                )
                _compare(block, found)
                words.append(found)
            except TroubleError as error:
                if error.quality is not Quality.REFUSED:
                    raise
                words.append(error)
            moment = moment or self._now()
        return moment or self._now(), words


def _moved(plan: Plan, words: Words) -> bool:
    """Whether registers that were found are there no more: the device must be found out again."""
    return any(
        bool(block.expected) and isinstance(found, TroubleError) and found.code == ILLEGAL_ADDRESS
        for block, found in zip(plan.blocks, words, strict=True)
    )


def _compare(block: Block, words: Sequence[int]) -> None:
    for offset, word in block.expected:
        if words[offset] != word:
            raise TroubleError(
                Quality.GARBLED,
                f"register {block.address + offset} is {words[offset]}; expected {word},"
                " as when the device was discovered",
            )
