"""What is read from a device in one poll: blocks of registers, and where in them each sensor stands.

A value and its scale factor are read together wherever they fit into one request (model 701 needs 123
registers of the 125 that a request may ask for), because between two requests a device may change.
Every block that begins a SunSpec model carries its ID and length, which are compared each time.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ingest_daemon.modbus.configuration import Device, Kind, Words, width
from settlement.sensors import Limits

SENSORS_MAX: Final = 256
"""Of one device."""


@dataclass(frozen=True, slots=True)
class Block:
    """One request.

    Attributes:
        expected: offset in the block → word that must stand there, or the device is not what it was.
    """

    device_id: int
    function: int
    address: int
    count: int
    expected: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Spot:
    """Registers in the blocks of a plan: which block, from where in it."""

    block: int
    offset: int


@dataclass(frozen=True, slots=True)
class Sensor:
    """One temperature.

    Attributes:
        value: where it stands; ``scale_factor``: where its power of ten does, if it has one.
        scale: what a count is worth in ``unit`` before that.
        missing: raw values that mean "no reading", beside those of the type.
    """

    name: str
    battery: bool
    kind: Kind
    value: Spot
    limits: Limits
    scale_factor: Spot | None = None
    words: Words = "big"
    scale: Fraction = Fraction(1)
    unit: str = "C"
    missing: frozenset[int] = frozenset()

    @property
    def apart(self) -> bool:
        """Whether value and scale factor are read by different requests."""
        return self.scale_factor is not None and self.scale_factor.block != self.value.block


@dataclass(frozen=True, slots=True)
class Plan:
    """What a poll reads.

    Attributes:
        chain: (model, length) of the SunSpec models found; empty without SunSpec.
        left_out: names of sensors that are more than ``SENSORS_MAX``.
    """

    blocks: tuple[Block, ...]
    sensors: tuple[Sensor, ...]
    chain: tuple[tuple[int, int], ...] = ()
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """A sensor of a model, by offsets from the model's ID register, before it has a place in a block."""

    name: str
    battery: bool
    kind: Kind
    offset: int
    scale_factor: int | None


def of_registers(device: Device) -> Plan:
    """The plan of the configured registers. Only registers that stand side by side share a request:
    what lies between others may not be readable.
    """
    asked = sorted(
        device.registers, key=lambda one: (one.device_id or device.device_id, one.function, one.address)
    )  # fmt: skip
    blocks: list[Block] = []
    sensors = []
    for one in asked:
        device_id, count = one.device_id or device.device_id, width(one.type)
        last = blocks[-1] if blocks else None
        grown = 0 if last is None else max(last.count, one.address + count - last.address)
        if (
            last is not None
            and (last.device_id, last.function) == (device_id, one.function)
            and one.address <= last.address + last.count
            and grown <= MOST
        ):
            blocks[-1] = Block(device_id, one.function, last.address, grown)
        else:
            blocks.append(Block(device_id, one.function, one.address, count))
        sensors.append(
            Sensor(
                one.sensor,
                one.battery,
                one.type,
                Spot(len(blocks) - 1, one.address - blocks[-1].address),
                (one.plausible or device.plausible).limits(),
                words=one.words,
                scale=Fraction(one.scale),
                unit=one.unit,
                missing=frozenset(one.missing),
            )
        )
    return Plan(tuple(blocks), tuple(sensors))


MOST: Final = 125
"""Registers of one request (MODBUS Application Protocol 1.1b3 §6.3)."""


def of_model(
    device: Device,
    address: int,
    wanted: Sequence[Wanted],
    expected: Mapping[int, int],
    *,
    most: int,
) -> tuple[list[Block], list[Sensor]]:
    """Blocks and sensors of one SunSpec model at an address.

    Args:
        device: as configured.
        address: of the model's ID register.
        wanted: its sensors.
        expected: offset → word: ID, length, and what counts its groups.
        most: registers of one request.
    """
    needed = dict.fromkeys(expected, 1)
    for one in wanted:
        needed[one.offset] = max(needed.get(one.offset, 0), width(one.kind))
        if one.scale_factor is not None:
            needed.setdefault(one.scale_factor, 1)
    spans: list[tuple[int, int]] = []
    for offset, count in sorted(needed.items()):
        if spans and offset + count - spans[-1][0] <= most:
            first, end = spans[-1]
            spans[-1] = (first, max(end, offset + count))
        else:
            spans.append((offset, offset + count))
    blocks = [_block(device, address, first, end, expected) for first, end in spans]
    if len(blocks) > 1:
        # Once more at the end: the model was the same all the while.
        header = {offset: word for offset, word in expected.items() if offset <= 1}
        blocks.append(_block(device, address, 0, 2, header))
    limits = device.plausible.limits()
    sensors = [
        Sensor(
            one.name,
            one.battery,
            one.kind,
            _spot(spans, one.offset),
            limits,
            None if one.scale_factor is None else _spot(spans, one.scale_factor),
        )
        for one in wanted
    ]
    return blocks, sensors


def joined(
    parts: Iterable[tuple[Sequence[Block], Sequence[Sensor]]],
    chain: tuple[tuple[int, int], ...] = (),
) -> Plan:
    """One plan of several: their blocks one after the other."""
    blocks: list[Block] = []
    sensors: list[Sensor] = []
    for more, theirs in parts:
        shift = len(blocks)
        blocks.extend(more)
        sensors.extend(_shifted(one, shift) for one in theirs)
    left_out = tuple(one.name for one in sensors[SENSORS_MAX:])
    return Plan(tuple(blocks), tuple(sensors[:SENSORS_MAX]), chain, left_out)


def _shifted(sensor: Sensor, shift: int) -> Sensor:
    if not shift:
        return sensor
    factor = sensor.scale_factor
    return Sensor(
        sensor.name,
        sensor.battery,
        sensor.kind,
        Spot(sensor.value.block + shift, sensor.value.offset),
        sensor.limits,
        None if factor is None else Spot(factor.block + shift, factor.offset),
        sensor.words,
        sensor.scale,
        sensor.unit,
        sensor.missing,
    )


def _block(
    device: Device, address: int, first: int, end: int, expected: Mapping[int, int]
) -> Block:
    return Block(
        device.device_id,
        3,
        address + first,
        end - first,
        tuple((offset - first, word) for offset, word in expected.items() if first <= offset < end),
    )


def _spot(spans: Sequence[tuple[int, int]], offset: int) -> Spot:
    block = next(place for place, (first, end) in enumerate(spans) if first <= offset < end)
    return Spot(block, offset - spans[block][0])
