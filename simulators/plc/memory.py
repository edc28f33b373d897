"""What a PLC's registers hold: SunSpec models and plain registers, from temperatures in °C.

A temperature is a number, a function of the seconds since the start, or None (not implemented). A
sensor is named as the poller names it: ``803.ModTmpMax``, ``714.Prt[0].Tmp``, or a plain name.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sunspec2 import device, mb  # type: ignore[import-untyped] # it carries no types

Temperature = float | None | Callable[[float], float | None]
"""°C."""

SUNS: Final = b"SunS"
END: Final = struct.pack(">HH", 0xFFFF, 0)
_GROUPED: Final = re.compile(r"(?P<group>.+)\[(?P<index>\d+)\]\.(?P<point>\w+)")

_FORMATS: Final = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f"}
_MISSING: Final = {
    "int16": b"\x80\0",
    "uint16": b"\xff\xff",
    "int32": b"\x80\0\0\0",
    "uint32": b"\xff" * 4,
    "float32": b"\x7f\xc0\0\0",
}


@dataclass(frozen=True)
class Model:
    """A SunSpec model.

    Attributes:
        model_id: its number.
        temperatures: by the point's name within the model, such as ``Prt[0].Tmp``.
        scale_factors: by the name of the point; -1 where none is given: tenths.
        counts: of repeating groups, by the name of the point that counts them.
    """

    model_id: int
    temperatures: Mapping[str, Temperature] = field(default_factory=dict)
    scale_factors: Mapping[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Register:
    """A temperature in a plain register, or in two.

    Attributes:
        sensor: its name.
        kind: int16, uint16, int32, uint32 or float32.
        scale: °C per count.
        little: the low word comes first.
    """

    sensor: str
    address: int
    kind: str = "int16"
    temperature: Temperature = None
    scale: float = 0.1
    little: bool = False


@dataclass
class _Place:
    """Where a sensor stands: encode gives its bytes for a temperature."""

    sensor: str
    address: int
    encode: Callable[[float | None], bytes]
    wide: bool


class Memory:
    """The registers of one PLC.

    Args:
        models: the SunSpec chain behind model 1, at ``base``; none: no SunSpec at all.
        registers: plain ones; they may not overlap the chain.
        writable: addresses that may be written, with what they hold.
        units: the device ids that answer.
    """

    def __init__(
        self,
        models: Sequence[Model] = (),
        registers: Sequence[Register] = (),
        *,
        base: int = 40000,
        writable: Mapping[int, int] | None = None,
        units: Sequence[int] = (1,),
    ) -> None:
        self.units = tuple(units)
        self.writable: dict[int, int] = dict(writable or {})
        self.temperatures: dict[str, Temperature] = {}
        self._places: list[_Place] = []
        self._words: dict[int, int] = {}
        if models:
            self._chain(models, base)
        for one in registers:
            self._plain(one)

    def sensors(self) -> list[str]:
        """Every sensor, in the order of its address."""
        return [place.sensor for place in sorted(self._places, key=lambda one: one.address)]

    def celsius(self, at_s: float) -> dict[str, float | None]:
        """What every sensor measures at a time."""
        return {
            sensor: temperature(at_s) if callable(temperature) else temperature
            for sensor, temperature in self.temperatures.items()
        }

    def words(
        self,
        celsius: Mapping[str, float | None],
        *,
        swapped: bool = False,
        missing: bool = False,
    ) -> dict[int, int]:
        """Address → word. ``swapped``: two-word values the other way round; ``missing``: no sensor."""
        words = dict(self._words)
        for place in self._places:
            encoded = place.encode(None if missing else celsius[place.sensor])
            if swapped and place.wide:
                encoded = encoded[2:] + encoded[:2]
            words |= _words(place.address, encoded)
        return words | self.writable

    def held(self, sensor: str, celsius: float | None) -> bytes:
        """The registers of a sensor for a temperature."""
        return next(one for one in self._places if one.sensor == sensor).encode(celsius)

    def _chain(self, models: Sequence[Model], base: int) -> None:
        self._words |= _words(base, SUNS)
        address = base + len(SUNS) // 2
        numbers: dict[int, int] = {}
        for model in (Model(1), *models):
            numbers[model.model_id] = numbers.get(model.model_id, 0) + 1
            number = numbers[model.model_id]
            prefix = f"{model.model_id}" + (f"#{number}" if number > 1 else "")
            made = _made(model)
            self._words |= _words(address, made.get_mb())
            for name, temperature in model.temperatures.items():
                place = _place(f"{prefix}.{name}", made, name, address)
                self._places.append(place)
                self.temperatures[place.sensor] = temperature
            address += made.len
        self._words |= _words(address, END)

    def _plain(self, one: Register) -> None:
        def encode(celsius: float | None) -> bytes:
            if celsius is None:
                encoded = _MISSING[one.kind]
            elif one.kind == "float32":
                encoded = struct.pack(">f", celsius / one.scale)
            else:
                encoded = struct.pack(_FORMATS[one.kind], round(celsius / one.scale))
            return encoded[2:] + encoded[:2] if one.little else encoded

        self._places.append(_Place(one.sensor, one.address, encode, wide=one.kind[-2:] == "32"))
        self.temperatures[one.sensor] = one.temperature


def _made(model: Model) -> Any:
    """The library's model, scale factors and counts filled in, everything else not implemented."""
    made = device.Model(model.model_id, data=dict(model.counts))
    if made.error_info:
        raise ValueError(f"model {model.model_id}: {made.error_info}")
    for name, point in made.points.items():
        if point.pdef["type"] == "sunssf":
            point.value = model.scale_factors.get(name, -1)
    return made


def _place(sensor: str, made: Any, name: str, address: int) -> _Place:
    if found := _GROUPED.fullmatch(name):
        point = made.groups[found["group"]][int(found["index"])].points[found["point"]]
    else:
        point = made.points[name]
    scale = made.points[point.sf].value if point.sf else 0
    kind = point.pdef["type"]

    def encode(celsius: float | None) -> bytes:
        if celsius is None:
            return bytes(mb.create_unimpl_value(kind))
        if kind == "float32":
            return struct.pack(">f", celsius)
        return struct.pack(">h", round(celsius * 10.0**-scale))

    return _Place(sensor, address + point.offset, encode, wide=kind == "float32")


def _words(address: int, encoded: bytes) -> dict[int, int]:
    return dict(enumerate(_each(encoded), start=address))


def _each(encoded: bytes) -> Iterator[int]:
    return (word for (word,) in struct.iter_unpack(">H", encoded))
