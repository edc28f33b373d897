"""From the registers of one poll to samples: each sensor's answer decoded, judged and named.

Here stands what must be remembered of a sensor from poll to poll, for as long as the process runs: a
device that restarts does not get a new past.
"""

import struct
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from ingest_daemon.modbus.configuration import Device
from ingest_daemon.modbus.decoding import said
from ingest_daemon.modbus.plan import Plan, Sensor, Spot
from ingest_daemon.modbus.wire import TroubleError
from settlement.sensors import Past, Quality, judge
from storage.thermal_samples import Sample

DETAIL_MAX_CHARS: Final = 300

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Words = list[list[int] | TroubleError]
"""Of each block its registers, or the exception that stands for them."""


@dataclass
class _Known:
    """What is remembered of a sensor from poll to poll."""

    past: Past = field(default_factory=Past)
    order_proven: bool = False
    """Whether an answer made sense in the configured order of words only, and none since did not."""
    exists: bool = False
    """Whether it gave a temperature since the device has the models that it has now."""
    scale_factor: int | None = None
    """As it was read last, where it is read apart from the value."""


class Answers:
    """The sensors of one device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._known: dict[str, _Known] = {}
        self._chain: tuple[tuple[int, int], ...] = ()
        self._names = tuple((one.sensor, one.battery) for one in device.registers)
        self._configured = frozenset(one.sensor for one in device.registers)

    def begin(self, plan: Plan) -> None:
        """A new connection: the device may have another program now, with words in another order."""
        self._names = tuple((one.name, one.battery) for one in plan.sensors)
        for known in self._known.values():
            known.order_proven = False
            known.exists = known.exists and plan.chain == self._chain
        self._chain = plan.chain

    def scale_factor(self, sensor: Sensor, word: int) -> None:
        """What stood there before the first poll."""
        self._of(sensor).scale_factor = word

    def judged(self, plan: Plan, moment: datetime, words: Words) -> tuple[Sample, ...]:
        """A sample of each sensor."""
        values = [_bytes_at(words, one.value, one.kind) for one in plan.sensors]
        moved = [
            sensor.name
            for sensor, value in zip(plan.sensors, values, strict=True)
            if value is not None and value != self._of(sensor).past.raw
        ]
        return tuple(
            self._sample(
                sensor,
                moment,
                words,
                value,
                others_moved=len(moved) > 1 or (len(moved) == 1 and moved[0] != sensor.name),
            )
            for sensor, value in zip(plan.sensors, values, strict=True)
        )

    def _sample(
        self,
        sensor: Sensor,
        moment: datetime,
        words: Words,
        value: bytes | None,
        *,
        others_moved: bool,
    ) -> Sample:
        if value is None:
            return self._bad(sensor, moment, b"", _trouble_at(words, sensor.value))
        factor, factor_raw = None, b""
        if sensor.scale_factor is not None:
            found = _bytes_at(words, sensor.scale_factor, "int16")
            if found is None:
                return self._bad(sensor, moment, value, _trouble_at(words, sensor.scale_factor))
            factor_raw = found
            factor = int.from_bytes(found, "big")
            if trouble := self._scale_factor_moved(sensor, factor):
                return self._bad(sensor, moment, value + found, trouble)
        registers = value + factor_raw
        known = self._of(sensor)
        heard = said(sensor, value, factor)
        if heard.millicelsius is None:
            if not heard.certain:
                known.order_proven = False
            trouble = TroubleError(heard.quality, heard.detail)
            return self._bad(sensor, moment, registers, trouble)
        if not heard.certain and not known.order_proven:
            either = "a temperature in either order of its words; expected one first that tells them apart"
            return self._bad(sensor, moment, registers, TroubleError(Quality.GARBLED, either))
        known.order_proven = known.order_proven or heard.certain
        judged = judge(
            heard.millicelsius,
            value,
            (moment - _EPOCH) // timedelta(microseconds=1),
            past=known.past,
            limits=sensor.limits,
            others_moved=others_moved,
        )
        known.past = judged.past
        known.exists = known.exists or judged.quality is Quality.GOOD
        return self._made(
            sensor.name,
            sensor.battery,
            moment,
            registers,
            judged.value,
            judged.quality,
            judged.detail,
        )

    def _scale_factor_moved(self, sensor: Sensor, factor: int) -> TroubleError | None:
        """A scale factor that is read after its value must be what it was before it."""
        known = self._of(sensor)
        before, known.scale_factor = known.scale_factor, factor
        if not sensor.apart or before == factor:
            return None
        found = "none" if before is None else f"0x{before:04X}"
        return TroubleError(
            Quality.GARBLED, f"scale factor 0x{factor:04X} after {found}; expected it unchanged"
        )

    def none(self, moment: datetime, trouble: TroubleError) -> tuple[Sample, ...]:
        """The samples of a poll that failed as a whole; of a device never reached, one for it: a battery
        whose device was never reached is one without a temperature.
        """
        return tuple(
            self._made(name, battery, moment, b"", None, quality, trouble.detail)
            for name, battery in self._names or (("", self._device.of_battery),)
            for quality in (self._existing(name, trouble.quality),)
        )

    def _existing(self, name: str, quality: Quality) -> Quality:
        """A sensor that gave a temperature before, or that the file names, exists: where it says that it
        does not, it has broken, and what the others say must not stand for it.
        """
        known = self._known.get(name)
        exists = name in self._configured or (known is not None and known.exists)
        missing = quality is Quality.NOT_IMPLEMENTED and exists
        return Quality.NO_ANSWER if missing else quality

    def _bad(
        self, sensor: Sensor, moment: datetime, registers: bytes, trouble: TroubleError
    ) -> Sample:
        quality, detail = self._existing(sensor.name, trouble.quality), trouble.detail
        if quality is not trouble.quality:
            detail = f"0x{registers.hex().upper()}, which says that there is none; expected a temperature"
        return self._made(sensor.name, sensor.battery, moment, registers, None, quality, detail)

    def _made(
        self,
        name: str,
        battery: bool,  # noqa: FBT001 - a column
        moment: datetime,
        registers: bytes,
        value: int | None,
        quality: Quality,
        detail: str,
    ) -> Sample:
        device = self._device
        return Sample(
            device.name,
            name,
            device.evse_id,
            device.vehicle_id,
            moment,
            registers,
            value,
            quality.value,
            battery,
            detail[:DETAIL_MAX_CHARS],
        )

    def _of(self, sensor: Sensor) -> _Known:
        return self._known.setdefault(sensor.name, _Known())


def _bytes_at(words: Words, spot: Spot, kind: str) -> bytes | None:
    """The registers of a value; None where its block has none."""
    found = words[spot.block]
    if isinstance(found, TroubleError):
        return None
    count = 2 if kind.endswith("32") else 1
    return struct.pack(f">{count}H", *found[spot.offset : spot.offset + count])


def _trouble_at(words: Words, spot: Spot) -> TroubleError:
    found = words[spot.block]
    assert isinstance(found, TroubleError)
    return found
