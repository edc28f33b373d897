"""What happens to the fleet of the outage, told from a seed: the same in every process that asks.

Samples of a charger are numbered. Each closes an interval, so sample n + 1 ends packet n:

    0 … BEFORE          broker and daemon are there
    … outage_last       both are away
    … afterwards        they are back, and the backlog drains

Every day of the outage a car discharges for four hours, and an event pays two of them.
"""

import json
import random
from array import array
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Final

BEFORE: Final = 2
"""Samples before the outage begins; not counting the very first."""
LIVE: Final = timedelta(hours=23)
"""How much simulated time may pass after the outage: none of it is still to come."""
DAY: Final = timedelta(days=1)
EVENT: Final = (timedelta(hours=6), timedelta(hours=8))
"""Of each day of the outage."""
_DISCHARGES: Final = range(5, 9)
_CHARGES: Final = range(14, 20)
_UNIT_W: Final = 12
"""Of powers: then any number of quarter minutes is a whole number of mWh."""
_START_MILLIWH: Final = 1_000_000_000


@dataclass(frozen=True)
class Plan:
    """Size and seed of it. ``interval``: seconds, a multiple of 15 that divides an hour."""

    chargers: int
    hours: int
    interval: int
    seed: int
    ended_at: datetime
    """End of the outage: at a full hour, and a day ago."""

    @classmethod
    def recent(cls, *, chargers: int, hours: int, interval: int, seed: int) -> "Plan":
        if interval % 15 or 3600 % interval or hours < 24:
            raise ValueError(
                f"interval {interval}, hours {hours}: expected an interval of a multiple of 15 s that"
                " divides an hour, and an outage of 24 hours or more"
            )
        today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        return cls(chargers, hours, interval, seed, today - DAY)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self) | {"ended_at": self.ended_at.isoformat()}))

    @classmethod
    def load(cls, path: Path) -> "Plan":
        fields = json.loads(path.read_text())
        return cls(**fields | {"ended_at": datetime.fromisoformat(fields["ended_at"])})

    @property
    def every(self) -> timedelta:
        return timedelta(seconds=self.interval)

    @property
    def outage(self) -> timedelta:
        return timedelta(hours=self.hours)

    @property
    def began_at(self) -> datetime:
        """Of the first sample of all."""
        return self.ended_at - self.outage - BEFORE * self.every

    @property
    def outage_last(self) -> int:
        """Number of the last sample of the outage."""
        return BEFORE + self.outage // self.every

    @property
    def last(self) -> int:
        """Number of the last sample that there may be."""
        return self.outage_last + LIVE // self.every

    @property
    def backlog(self) -> int:
        """Packets of the outage, of all chargers."""
        return self.chargers * (self.outage_last - BEFORE)

    @property
    def evses(self) -> list[str]:
        return [f"DE*V2G*E{number:05}" for number in range(1, self.chargers + 1)]

    @property
    def events(self) -> list[tuple[datetime, datetime]]:
        begins = [self.ended_at - self.outage + DAY * n for n in range(self.outage // DAY)]
        return [(begin + EVENT[0], begin + EVENT[1]) for begin in begins]

    def number(self, at: datetime) -> int:
        """Of the sample of a time."""
        number, rest = divmod(at - self.began_at, self.every)
        assert not rest, f"{at} is no sample's time"
        return number


class Meter:
    """What a charger's meter shows, and its controller says."""

    def __init__(self, plan: Plan, evse_id: str) -> None:
        self.evse_id = evse_id
        self.vehicle_id = f"VEHICLE-{evse_id[-5:]}"
        self._plan = plan
        rng = random.Random(f"{plan.seed} {evse_id}")
        power, exported, imported = array("q"), array("q"), array("q")
        out = into = _START_MILLIWH
        before = 0
        for number in range(plan.last + 1):
            now = self._power(number, rng)
            if number:
                # Trapezoid: W × s ÷ 3.6 = mWh.
                net = (before + now) * plan.interval * 5 // 36
                out, into = out + max(net, 0), into + max(-net, 0)
            power.append(now)
            exported.append(out)
            imported.append(into)
            before = now
        self.power, self.exported, self.imported = power, exported, imported

    def _power(self, number: int, rng: random.Random) -> int:
        """W, discharge positive."""
        into_outage = (number - BEFORE) * self._plan.interval
        hour = into_outage % 86_400 // 3600
        drawn = _UNIT_W * rng.randrange(250, 800)
        return drawn if hour in _DISCHARGES else -drawn if hour in _CHARGES else 0

    def sample(self, number: int) -> dict[str, Any]:
        """What the controller says of a sample."""
        net = self.exported[number] - self.imported[number]
        return {
            "at": (self._plan.began_at + number * self._plan.every).isoformat(),
            "vehicle_id": self.vehicle_id,
            "session_id": "SESSION-1",
            "export_wh": _wh(self.exported[number]),
            "import_wh": _wh(self.imported[number]),
            "power_w": str(self.power[number]),
            "soc_pct": f"{50 - net // 4_000_000 % 40}",
            "latitude_deg": "52.520008",
            "longitude_deg": "13.404954",
        }

    @cached_property
    def in_events(self) -> int:
        """What the meter counted in the events, in mWh, by its registers alone."""
        number = self._plan.number
        return sum(
            self.exported[number(end)] - self.exported[number(begin)]
            for begin, end in self._plan.events
        )


def _wh(milliwh: int) -> str:
    return f"{milliwh // 1000}.{milliwh % 1000:03}"
