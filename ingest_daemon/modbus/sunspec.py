"""SunSpec discovery: which models a device has, where, and how often their groups repeat.

SunSpec Device Information Model Specification 1.1 §6: the registers "SunS" at one of three addresses,
then models one behind the other, each with its ID and length, until the ID 0xFFFF. Everything that the
device says about its own size is bounded and compared before it is believed.
"""

from collections.abc import Awaitable, Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final

from ingest_daemon.modbus import plan
from ingest_daemon.modbus.configuration import Device, Kind, SunSpec, width
from ingest_daemon.modbus.definitions import (
    BATTERIES,
    MODELS,
    Definition,
    Point,
    definition,
    is_battery,
)
from ingest_daemon.modbus.plan import Block, Plan, Sensor, Wanted
from ingest_daemon.modbus.wire import READ_HOLDING, TroubleError
from settlement.sensors import Quality

MARKER: Final = [0x5375, 0x6E53]
"""The text "SunS"."""
END: Final = 0xFFFF
MODELS_MAX: Final = 128
ADDRESSES: Final = 65_536
HEADER: Final = 2

Read = Callable[[int, int, int, int], Awaitable[list[int]]]
"""(device id, function, address, count) → registers; raises TroubleError."""


async def discover(device: Device, options: SunSpec, read: Read) -> Plan:
    """The plan for what a device has now.

    Raises:
        TroubleError: no answer, or no SunSpec chain, or one that contradicts itself.
    """
    base = await _base(device, options, read)
    chain = await _chain(device, base, read)
    numbers: dict[int, int] = {}
    parts = []
    for model_id, length, address in chain:
        if model_id not in MODELS:
            continue
        number = numbers[model_id] = numbers.get(model_id, 0) + 1
        prefix = f"{model_id}" + (f"#{number}" if number > 1 else "")
        parts.append(await _model(device, options, read, prefix, model_id, length, address))
    found = plan.joined(parts, tuple((model_id, length) for model_id, length, _ in chain))
    if not found.sensors:
        models = ", ".join(str(model_id) for model_id, *_ in chain)
        raise TroubleError(
            Quality.NOT_IMPLEMENTED,
            f"models {models}; expected one with temperatures that is wanted",
        )
    return found


async def _base(device: Device, options: SunSpec, read: Read) -> int:
    found = []
    for base in options.bases:
        try:
            words = await read(device.device_id, READ_HOLDING, base, HEADER)
        except TroubleError as error:
            if error.quality is not Quality.REFUSED:
                raise
            found.append(f"{base}: {error.detail}")
        else:
            if words == MARKER:
                return base
            found.append(f"{base}: 0x{words[0]:04X}{words[1]:04X}")
    raise TroubleError(
        Quality.GARBLED, f"{'; '.join(found)}; expected SunS, 0x53756E53, at one of them"
    )


async def _chain(device: Device, base: int, read: Read) -> list[tuple[int, int, int]]:
    """(model, length, address) of each."""
    chain: list[tuple[int, int, int]] = []
    address = base + len(MARKER)
    for _ in range(MODELS_MAX):
        if address + HEADER > ADDRESSES:
            break
        model_id, length = await read(device.device_id, READ_HOLDING, address, HEADER)
        if model_id == END:
            return chain
        chain.append((model_id, length, address))
        address += HEADER + length
    raise TroubleError(
        Quality.GARBLED,
        f"no end of the models within {len(chain)} of them, up to address {address};"
        f" expected 0xFFFF behind at most {MODELS_MAX}",
    )


async def _model(
    device: Device,
    options: SunSpec,
    read: Read,
    prefix: str,
    model_id: int,
    length: int,
    address: int,
) -> tuple[list[Block], list[Sensor]]:
    known = definition(model_id)
    expected = {0: model_id, 1: length}
    end = HEADER + length
    wanted = [
        one
        for one in _fixed(known, prefix, options, end)
        if _is_wanted(options, one.name, known, repeated=False)
    ]
    group = known.group
    if group is not None and _may_repeat(options, prefix, known):
        repeats, counter = await _repeats(device, read, known, end, address, prefix)
        expected |= counter
        for number in range(min(repeats, plan.SENSORS_MAX + 1)):
            for point in group.points:
                name = f"{prefix}.{group.name}[{number}].{point.name}"
                if _is_wanted(options, name, known, repeated=True):
                    offset = group.start + number * group.length + point.offset
                    wanted.append(_wanted(known, name, point, offset, prefix, options))
    if not wanted:
        return [], []
    return plan.of_model(device, address, wanted, expected, most=options.registers_per_read)


def _fixed(known: Definition, prefix: str, options: SunSpec, end: int) -> list[Wanted]:
    """What the model has once; an older, shorter edition of it may lack the last points."""
    return [
        _wanted(known, f"{prefix}.{point.name}", point, point.offset, prefix, options)
        for point in known.points
        if point.offset + _width(point) <= end
        and known.scale_factors.get(point.scale_factor, 0) < end
    ]


def _wanted(
    known: Definition, name: str, point: Point, offset: int, prefix: str, options: SunSpec
) -> Wanted:
    own = is_battery(known.model_id, name.removeprefix(f"{prefix}."))
    battery = own if options.battery is None else _matches(name, options.battery)
    factor = known.scale_factors[point.scale_factor] if point.scale_factor else None
    return Wanted(name, battery, _kind(point), offset, factor)


async def _repeats(
    device: Device, read: Read, known: Definition, end: int, address: int, prefix: str
) -> tuple[int, dict[int, int]]:
    """How often the group repeats, and the register that says so, with what it says."""
    group = known.group
    assert group is not None
    room = max(0, end - group.start)
    if group.counted_by is None:
        if room % group.length:
            raise TroubleError(
                Quality.GARBLED,
                f"model {prefix} has {room} registers of {group.name}; expected a multiple of {group.length}",
            )
        return room // group.length, {}
    [number] = await read(device.device_id, READ_HOLDING, address + group.counted_by, 1)
    if number == END:  # not implemented
        return 0, {group.counted_by: number}
    if number * group.length > room:
        raise TroubleError(
            Quality.GARBLED,
            f"model {prefix} counts {number} {group.name}; expected at most {room // group.length}"
            f" in a length of {end - HEADER}",
        )
    return number, {group.counted_by: number}


def _is_wanted(options: SunSpec, name: str, known: Definition, *, repeated: bool) -> bool:
    """Without patterns: all but the strings, modules and cells of a battery, whose highest it says."""
    if options.sensors is None:
        return not (repeated and known.model_id in BATTERIES)
    return _matches(name, options.sensors)


def _may_repeat(options: SunSpec, prefix: str, known: Definition) -> bool:
    """Whether a repeated sensor of the model can be wanted at all."""
    if options.sensors is None:
        return known.model_id not in BATTERIES
    return any(fnmatchcase(prefix, one.partition(".")[0]) for one in options.sensors)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Brackets are part of names, not of patterns."""
    return any(fnmatchcase(name, pattern.replace("[", "[[]")) for pattern in patterns)


def _kind(point: Point) -> Kind:
    if point.kind == "float32":
        return "float32"
    assert point.kind == "int16", point
    return "int16"


def _width(point: Point) -> int:
    return width(_kind(point))
