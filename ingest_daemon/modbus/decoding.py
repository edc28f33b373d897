"""Registers as a temperature in milli-°C, exactly; or why they are none.

Whether the temperature may be believed is ``settlement.sensors``' question; here it is whether the
registers say one at all, in the order of words in which they are configured to stand.
"""

import math
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ingest_daemon.modbus.plan import Sensor
from settlement.sensors import Quality, celsius

_FORMATS: Final = {"int16": ">h", "uint16": ">H", "int32": ">i", "uint32": ">I", "float32": ">f"}
_MISSING: Final = {
    "int16": 0x8000,
    "uint16": 0xFFFF,
    "int32": 0x8000_0000,
    "uint32": 0xFFFF_FFFF,
}
"""What SunSpec says for "not implemented" (Device Information Model Specification §4.2); NaN beside."""
_SMALLEST_FLOAT: Final = 1e-6
"""A float nearer to 0 than this, but not +0, is no temperature: so look words in the wrong order."""
_SCALE_FACTOR_MAX: Final = 10
"""sunssf: -10 to 10."""
SCALE_FACTOR_MISSING: Final = 0x8000


@dataclass(frozen=True, slots=True)
class Said:
    """What the registers say.

    Attributes:
        millicelsius: the temperature; None where they say none: ``quality`` and ``detail`` say why.
        certain: only this order of the words gives a temperature in range. Not known where both do.
    """

    millicelsius: int | None
    quality: Quality = Quality.GOOD
    detail: str = ""
    certain: bool = True


def said(sensor: Sensor, value: bytes, scale_factor: int | None) -> Said:
    """What a sensor's registers say.

    Args:
        sensor: as planned.
        value: its one or two registers, big-endian, as they came.
        scale_factor: the register of its scale factor; None where it has none.
    """
    power, trouble = _power(scale_factor)
    straight = value if sensor.words == "big" else value[2:] + value[:2]
    if _is_missing(sensor, straight):
        return Said(None, Quality.NOT_IMPLEMENTED)
    if trouble:
        return Said(None, Quality.GARBLED, trouble)
    here = _millicelsius(sensor, straight, power)
    two_words = len(value) > 2  # noqa: PLR2004 - bytes of one register
    if not two_words or straight[:2] == straight[2:]:
        return Said(here) if here is not None else _no_number(sensor, straight)
    turned = straight[2:] + straight[:2]
    there = None if _is_missing(sensor, turned) else _millicelsius(sensor, turned, power)
    if _in_range(sensor, here):
        return Said(here, certain=not _in_range(sensor, there))
    if there is not None and _in_range(sensor, there):
        found = (
            f"{celsius(there)} with its words the other way round; expected words: {sensor.words}"
        )
        return Said(None, Quality.GARBLED, found, certain=False)
    return Said(here) if here is not None else _no_number(sensor, straight)


def _power(scale_factor: int | None) -> tuple[int, str]:
    if scale_factor is None:
        return 0, ""
    power = scale_factor - 0x1_0000 if scale_factor >= SCALE_FACTOR_MISSING else scale_factor
    if abs(power) > _SCALE_FACTOR_MAX:
        return 0, f"scale factor 0x{scale_factor:04X}; expected -10 to 10"
    return power, ""


def _is_missing(sensor: Sensor, raw: bytes) -> bool:
    if sensor.kind == "float32":
        return math.isnan(struct.unpack(">f", raw)[0])
    number = int.from_bytes(raw, "big")
    return number == _MISSING[sensor.kind] or bool(
        sensor.missing and struct.unpack(_FORMATS[sensor.kind], raw)[0] in sensor.missing
    )


def _millicelsius(sensor: Sensor, raw: bytes, power: int) -> int | None:
    """None where a float is no number that a thermometer could say."""
    number = struct.unpack(_FORMATS[sensor.kind], raw)[0]
    if sensor.kind == "float32" and (
        not math.isfinite(number) or (abs(number) < _SMALLEST_FLOAT and any(raw))
    ):
        return None
    given = Fraction(number) * sensor.scale * Fraction(10) ** power
    if sensor.unit == "K":
        given -= Fraction(27315, 100)
    elif sensor.unit == "F":
        given = (given - 32) * Fraction(5, 9)
    return round(given * 1000)


def _in_range(sensor: Sensor, millicelsius: int | None) -> bool:
    return millicelsius is not None and sensor.limits.low <= millicelsius <= sensor.limits.high


def _no_number(sensor: Sensor, raw: bytes) -> Said:
    return Said(None, Quality.GARBLED, f"0x{raw.hex().upper()} as {sensor.kind}")
