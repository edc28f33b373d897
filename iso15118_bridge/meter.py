"""A simulated meter behind a simulated power stage: what it integrates is what was set, no more.

Where a real charger has a meter, its driver takes this place: `power` sets nothing there, and
`read` asks the meter.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from iso15118_bridge.samples import MILLIWH_PER_WH, Registers

WATT_NANOSECONDS_PER_MILLIWH: Final = 3_600_000_000


class SimulatedMeter:
    """Registers that only rise, in integers: watts times nanoseconds.

    Args:
        serial: the meter's, at most 32 characters (MeterID).
        export_wh: where the export register stands at the start.
        import_wh: where the import register stands at the start.
        monotonic_ns: a clock that never steps; it measures energy.
        now: the wall clock; it dates the readings.
    """

    def __init__(
        self,
        serial: str,
        *,
        export_wh: int = 0,
        import_wh: int = 0,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.serial = serial
        self._unit = WATT_NANOSECONDS_PER_MILLIWH
        self._export = export_wh * MILLIWH_PER_WH * self._unit
        self._import = import_wh * MILLIWH_PER_WH * self._unit
        self._monotonic_ns = monotonic_ns
        self._now = now
        self._power_w = 0
        self._since_ns = monotonic_ns()

    @property
    def power_w(self) -> int:
        """Positive towards the grid."""
        return self._power_w

    def power(self, watts: int) -> Registers:
        """Set the power from now on; what it showed at this moment, with the power until then."""
        shown = self.read()
        self._power_w = watts
        return shown

    def read(self) -> Registers:
        """What it shows now, in whole milliwatt-hours, at a time in whole milliseconds."""
        self._count()
        at = self._now()
        return Registers(
            at=at.replace(microsecond=at.microsecond // 1000 * 1000),
            export_milliwh=self._export // self._unit,
            import_milliwh=self._import // self._unit,
            power_w=self._power_w,
        )

    def _count(self) -> None:
        now_ns = self._monotonic_ns()
        flowed = self._power_w * (now_ns - self._since_ns)
        self._since_ns = now_ns
        if flowed > 0:
            self._export += flowed
        else:
            self._import -= flowed
