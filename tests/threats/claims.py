"""Packets as a participant with valid keys would lie: any power, any time, any vehicle."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from storage.engine import Role, connect
from storage.landing import Arrival, Lander
from storage.terms import put_sites
from tests.tasks.scene import START, Scene, now, rfc3339

STEP = timedelta(minutes=15)
HOME = ("52.520008", "13.404954")


@dataclass
class Liar:
    """Somebody who holds the key of a charger and writes what pays: registers that fit what is said.

    Attributes:
        scene: the system under attack.
        evse: whose key.
        vehicle: whose discharge it shall be.
        epoch: of the stream; another one begins another sequence.
    """

    scene: Scene
    evse: str
    vehicle: str
    epoch: int = 1
    sequence: int = 0
    export_wh: int = 1_000_000
    import_wh: int = 250_000

    def steps(self, powers_w: Sequence[int], start: datetime = START, **fields: Any) -> list[bytes]:
        """One packet for every quarter of an hour; discharge positive."""
        out = []
        for n, power in enumerate(powers_w):
            out.append(self.step(start + n * STEP, power, **fields))
        return out

    def step(
        self,
        start: datetime,
        power_w: int,
        *,
        length: timedelta = STEP,
        energy_milliwh: int | None = None,
        **fields: Any,
    ) -> bytes:
        """One packet. The energy is what the power gives in that time, unless it is said."""
        moved = power_w * (length // timedelta(seconds=1)) * 1000 // 3600
        if energy_milliwh is not None:
            moved = energy_milliwh
        before = (self.export_wh * 1000, self.import_wh * 1000)
        after = (before[0] + max(moved, 0), before[1] + max(-moved, 0))
        said = {
            "vehicle_id": self.vehicle,
            "stream_epoch": self.epoch,
            "started_at": rfc3339(start),
            "ended_at": rfc3339(start + length),
            "power_start_w": str(power_w),
            "power_end_w": str(power_w),
            "export_start_wh": _wh(before[0]),
            "export_end_wh": _wh(after[0]),
            "import_start_wh": _wh(before[1]),
            "import_end_wh": _wh(after[1]),
            "soc_start_pct": "50.0000",
            "soc_end_pct": "50.0000",
            "latitude_deg": HOME[0],
            "longitude_deg": HOME[1],
        } | fields
        packet = self.scene.packet(self.evse, self.sequence, **said)
        self.sequence += 1
        self.export_wh, self.import_wh = -(-after[0] // 1000), -(-after[1] // 1000)
        return packet


def _wh(milliwh: int) -> str:
    return f"{milliwh // 1000}.{milliwh % 1000:03d}"


def land_at(scene: Scene, packets: Sequence[bytes], received_at: datetime) -> None:
    """Land packets as if they had come at an earlier time."""
    lander = Lander(scene.dsn)
    try:
        lander.land([Arrival(one, received_at, "mqtt", None) for one in packets])
    finally:
        lander.close()


def site(scene: Scene, name: str = "home", place: tuple[str, str] = HOME) -> None:
    """Declare a site at a position."""
    latitude, longitude = (round(float(one) * 1_000_000) for one in place)
    row = {
        "site_id": name,
        "latitude_microdeg": latitude,
        "longitude_microdeg": longitude,
        "site_group": "",
    }
    with connect(scene.dsn, Role.SETTLE) as conn:
        put_sites(conn, pl.DataFrame([row]), now=now())


def unpaid(summary: Any) -> dict[str, int]:
    """Wh that earned nothing, by reason."""
    return {one.reason: one.energy_milliwh // 1000 for one in summary.unpaid}
