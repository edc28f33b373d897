"""The meters of random cases: honest readings of each vehicle, and everything that can be wrong with them."""

from datetime import datetime, timedelta
from decimal import Decimal

from tests.oracle.dice import HOUR, MINUTE, SECOND, Dice, Row
from tests.oracle.made_programs import evse

FIRST, LAST = 15 * HOUR, 21 * HOUR
MOST_W = 11_000
BATTERY_KWH = 60


def readings(
    dice: Dice, vehicles: list[str], days: list[datetime], *, idle: float, even: bool = False
) -> list[Row]:
    """All of them. `idle`: how likely a reading moves nothing; `even`: the same in each second of it."""
    imports = 0.25 if dice.often(0.6) else 0.0
    return [
        row
        for vehicle in vehicles
        for row in _Meter(dice, vehicle, imports, idle, even=even).readings(days)
    ]


class _Meter:
    """One vehicle at its EVSE."""

    def __init__(
        self, dice: Dice, vehicle: str, imports: float, idle: float, *, even: bool
    ) -> None:
        self.dice, self.vehicle, self.imports, self.idle = dice, vehicle, imports, idle
        self.even = even
        self.export = dice.randint(10**8, 10**9)
        self.imported = dice.randint(10**8, 10**9)
        self.charge = Decimal(80)
        self.says_charge = dice.often(0.3)

    def readings(self, days: list[datetime]) -> list[Row]:
        dice, found = self.dice, []
        length = dice.choice([5, 10, 15, 15, 17, 30]) * MINUTE
        for day in days:
            at = day + FIRST + dice.choice([0, 0, 0, dice.randint(1, 899)]) * SECOND
            sequence = 0
            while at < day + LAST:
                sequence += 1
                row = self._reading(at, length, sequence)
                at += length
                if not dice.often(0.04):
                    found += self._disturbed(row)
            if dice.often(0.1):
                # an exchanged meter, or one that counts from somewhere else for no reason
                self.export = dice.choice([0, self.export * 2, self.export // 2])
        return found

    def _reading(self, at: datetime, length: timedelta, number: int) -> Row:
        dice, hours = self.dice, length / HOUR
        most = int(MOST_W * 1000 * hours)
        out = 0 if dice.often(self.idle) else dice.randint(0, most)
        back = dice.randint(0, most) if dice.often(self.imports) else 0
        if self.even:
            out, back = (energy - energy % (length // SECOND) for energy in (out, back))
        row: Row = {
            "evse_id": evse(self.vehicle),
            "vehicle_id": self.vehicle,
            "session_id": f"{at:%d}-{self.vehicle}",
            "sequence": number,
            "started_at": at,
            "ended_at": at + length,
            "export_start_wh": Decimal(self.export).scaleb(-3),
            "export_end_wh": Decimal(self.export + out).scaleb(-3),
            "import_start_wh": Decimal(self.imported).scaleb(-3),
            "import_end_wh": Decimal(self.imported + back).scaleb(-3),
            "power_start_w": None,
            "power_end_w": None,
            "soc_start_pct": None,
            "soc_end_pct": None,
            "lat": None,
            "lon": None,
            "received_at": at + length + timedelta(days=dice.choice([0, 0, 0, 0, 5])) + SECOND,
        }
        self.export, self.imported = self.export + out, self.imported + back
        if dice.often(0.3):
            watts = round((out - back) / 1000 / hours)
            off = dice.choice([0.5, 0.8, 0.96]) if dice.often(0.05) else 1
            row["power_start_w"] = Decimal(watts)
            row["power_end_w"] = Decimal(round(watts * off))
        if self.says_charge:
            lost = round(Decimal(out - back) / (BATTERY_KWH * 10_000))
            if dice.often(0.03):
                lost += dice.choice([-9, 4, 30])
            after = min(Decimal(100), max(Decimal(0), self.charge - lost))
            row["soc_start_pct"], row["soc_end_pct"] = self.charge, after
            self.charge = after if 15 < after < 85 else Decimal(50)
        return row

    def _disturbed(self, row: Row) -> list[Row]:
        dice, drawn = self.dice, self.dice.random()
        length = row["ended_at"] - row["started_at"]
        if drawn < 0.004:
            return [row, dict(row)]
        if drawn < 0.007 and row["export_end_wh"] - row["export_start_wh"] > 1:
            return [row, dict(row, export_end_wh=row["export_end_wh"] - self._some(125, length))]
        if drawn < 0.010:
            return [row, dict(row, evse_id=f"{row['evse_id']}Y")]
        if drawn < 0.013:
            # an open session left behind elsewhere
            left = dict(row, evse_id=f"{row['evse_id']}Z")
            left |= {
                "export_end_wh": row["export_start_wh"],
                "import_end_wh": row["import_start_wh"],
            }
            return [row, left | {"power_start_w": None, "power_end_w": None}]
        if drawn < 0.015:
            # the same time again under a new number
            moved = dice.choice([timedelta(0), length / 2])
            again = dict(row, sequence=row["sequence"] + 1000, started_at=row["started_at"] + moved)
            return [row, again | {"ended_at": row["ended_at"] + moved}]
        if drawn < 0.018:
            back = dice.choice([Decimal(3), row["export_start_wh"] - 2])
            # No register shows less than nothing, so one that stood below falls as far as it can.
            return [dict(row, export_end_wh=max(Decimal(0), row["export_start_wh"] - back))]
        if drawn < 0.021 and row["export_start_wh"] > 1000:
            return [dict(row, export_start_wh=row["export_start_wh"] - self._some(40_000, length))]
        if drawn < 0.024:
            much = self._some(9_000_000, length)
            return [dict(row, export_end_wh=row["export_end_wh"] + much)]
        return [row]

    def _some(self, milliwh: int, length: timedelta) -> Decimal:
        """About so much energy, in watt-hours."""
        step = length // SECOND if self.even else 1
        return Decimal(-(-milliwh // step) * step).scaleb(-3)
