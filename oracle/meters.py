"""Readings: which are refused, and why, under the tolerances of one version of a program.

Plainest readings taken:

* A contract's rating and capacity are those in force as the reading starts, in any program, and of
  several the smallest; any of their sites will do for the position.
* Register against power: the net register energy and (start + end power) / 2 × time differ by more
  than the program's per cent of the larger of the two and by more than 1 Wh, a register's last digit.
* Rating: what it gives in the time and 2 %, and 1 Wh. How far a register may have come unseen, or since
  it was restarted: the rated power (10 MW where none is known, and always for the import register) and
  10 %, and 1 Wh.
* Registers are followed per EVSE, over the readings that are not at fault by themselves: whatever starts
  below the highest value counted so far was counted already; whatever starts further above it than may
  have come unseen is a jump. A fall to as near zero as may have come since, and below all that was counted
  (or to no more than 1 Wh), is an exchanged meter and no fault; its highest value starts anew.
* State of charge: (start − end) × capacity against the net register energy; more than the per cent of
  the larger and more than 2 % of the capacity, a display's last digit at either end. First each reading
  that is not at fault yet; then, of what is left, the sums of each vehicle, EVSE and event in which the
  readings start, and there it is all of them.
* Distance: the great circle on a sphere of 6,371,008.8 m.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from oracle.case import Row
from oracle.numbers import between, whole
from oracle.readings import WATT_US, Reading, known, trapezoid
from oracle.terms import Terms

ERR_DATA_INCONSISTENCY = "ERR_DATA_INCONSISTENCY"
METER_EXCHANGED = "METER_EXCHANGED"
TWO_PLACES = "TWO_PLACES"
ABOVE_RATING = "ABOVE_RATING"
OUTSIDE_RADIUS = "OUTSIDE_RADIUS"
BROKEN = (ERR_DATA_INCONSISTENCY, METER_EXCHANGED)
_EARTH_M = 6_371_008.8
_ONE_WH = 1000  # milliwatt-hours
_UNKNOWN_RATING_W = 10_000_000


@dataclass(slots=True)
class _Register:
    """Where one register of one EVSE has been."""

    before: int
    highest: int
    lowest: int

    def follows(self, start: int, end: int, unseen: int) -> bool:
        """Whether a reading's range is new and comes from where the register stood."""
        fell = start < self.before
        self.before = end
        if fell and start <= unseen and (start <= _ONE_WH or start < self.lowest):
            self.highest, self.lowest = end, start
            return True
        new = self.highest <= start <= self.highest + unseen
        self.highest, self.lowest = max(self.highest, end), min(self.lowest, start)
        return new


class Meters:
    """All readings of a case, and what is wrong with each."""

    def __init__(
        self,
        rows: Iterable[Row],
        as_of: datetime | None,
        contracts: Mapping[str, Sequence[Row]],
        sites: Mapping[str, Row] | None,
    ) -> None:
        self._readings = known(rows, as_of)
        self._contracts = contracts
        self._sites = sites
        self._terms: dict[int, tuple[int | None, Decimal | None, list[Row]]] = {}
        self._inconsistent: dict[Decimal | None, set[int]] = {}
        self.by_vehicle: dict[str, list[Reading]] = defaultdict(list)
        for reading in self._readings:
            self.by_vehicle[reading.row["vehicle_id"]].append(reading)
        self.hull = None
        if self._readings:
            last = max(reading.ended_at for reading in self._readings)
            self.hull = (self._readings[0].started_at, last)

    # --- contracts

    def _contract(self, reading: Reading) -> tuple[int | None, Decimal | None, list[Row]]:
        """Rated watts, capacity in milliwatt-hours, and the contracts themselves."""
        if id(reading) not in self._terms:
            mine = [
                row
                for row in self._contracts.get(reading.row["vehicle_id"], ())
                if row["valid_from"] <= reading.started_at
                and (row["valid_to"] is None or reading.started_at < row["valid_to"])
            ]
            rated = [
                whole(row["rated_kw"], 3, "contracts: rated_kw")
                for row in mine
                if row.get("rated_kw") is not None
            ]
            holds = [
                Decimal(row["capacity_kwh"]) * 10**6
                for row in mine
                if row.get("capacity_kwh") is not None
            ]
            self._terms[id(reading)] = (
                min(rated, default=None),
                min(holds, default=None),
                mine,
            )
        return self._terms[id(reading)]

    def _most(self, watts: int | None, length_us: int, percent: int) -> int:
        """The most energy that flows in a time, in whole milliwatt-hours."""
        power = _UNKNOWN_RATING_W if watts is None else watts
        return power * length_us * percent // (100 * WATT_US) + _ONE_WH

    # --- faults

    def fault(
        self, reading: Reading, terms: Terms, drained: frozenset[int] = frozenset()
    ) -> str | None:
        """Why a reading is refused under one version of a program, or None.

        `drained`: what `drained` says of the vehicle's readings.
        """
        if id(reading) in self.inconsistent(terms) or id(reading) in drained:
            return ERR_DATA_INCONSISTENCY
        rated, _, contracts = self._contract(reading)
        if reading.backwards:
            return METER_EXCHANGED
        if reading.elsewhere:
            return TWO_PLACES
        if rated is not None and reading.exported > self._most(rated, reading.length_us, 102):
            return ABOVE_RATING
        if self._too_far(reading, terms, contracts):
            return OUTSIDE_RADIUS
        return None

    def inconsistent(self, terms: Terms) -> set[int]:
        """Readings that contradict others or themselves; the states of charge are left aside."""
        percent = terms.register_vs_power_pct
        if percent not in self._inconsistent:
            found, alone = set(), set()
            for reading in self._readings:
                if reading.contradicted or (
                    not reading.backwards and _power_differs(reading, percent)
                ):
                    found.add(id(reading))
                if reading.backwards:
                    alone.add(id(reading))
                    if not self._exchanged(reading):
                        found.add(id(reading))
            self._inconsistent[percent] = found | self._not_following(found | alone)
        return self._inconsistent[percent]

    def _exchanged(self, reading: Reading) -> bool:
        """Whether every register that fell ended as near zero as one restarted meanwhile would."""
        export_start, export_end, import_start, import_end = reading.registers
        near = self._most(self._contract(reading)[0], reading.length_us, 110)
        return all(
            end >= start or end <= near
            for start, end in ((export_start, export_end), (import_start, import_end))
        )

    def _not_following(self, left_out: set[int]) -> set[int]:
        found: set[int] = set()
        before: dict[str, tuple[datetime, _Register, _Register]] = {}
        for reading in self._readings:
            if id(reading) in left_out:
                continue
            evse = reading.row["evse_id"]
            export_start, export_end, import_start, import_end = reading.registers
            if evse in before:
                seen_until, exports, imports = before[evse]
                gap = between(seen_until, reading.started_at)
                rated = self._contract(reading)[0]
                follows = (
                    exports.follows(export_start, export_end, self._most(rated, gap, 110)),
                    imports.follows(import_start, import_end, self._most(None, gap, 110)),
                )
                if not all(follows):
                    found.add(id(reading))
            else:
                exports = _Register(export_end, export_end, export_start)
                imports = _Register(import_end, import_end, import_start)
            before[evse] = (reading.ended_at, exports, imports)
        return found

    # --- state of charge

    def drained(
        self, vehicle: str, terms: Terms, event: Callable[[datetime], str | None]
    ) -> frozenset[int]:
        """Readings of a vehicle whose energy its battery denies. `event`: what a time is named after."""
        percent = terms.soc_vs_energy_pct
        if percent is None:
            return frozenset()
        at_fault = self.inconsistent(terms)
        alone: set[int] = set()
        groups: dict[tuple[str, str], list[Reading]] = defaultdict(list)
        for reading in self.by_vehicle[vehicle]:
            doubted = id(reading) in at_fault or reading.backwards
            if not doubted and self._charge_differs([reading], percent):
                alone.add(id(reading))
            named = event(reading.started_at)
            if named is not None:
                groups[reading.row["evse_id"], named].append(reading)
        for group in groups.values():
            left = [
                reading
                for reading in group
                if id(reading) not in at_fault | alone and not reading.backwards
            ]
            if self._charge_differs(left, percent):
                alone.update(map(id, group))
        return frozenset(alone)

    def _charge_differs(self, readings: Iterable[Reading], percent: Decimal) -> bool:
        lost, given, capacities = Decimal(0), 0, []
        for reading in readings:
            first, last = reading.row.get("soc_start_pct"), reading.row.get("soc_end_pct")
            capacity = self._contract(reading)[1]
            if first is not None and last is not None and capacity is not None:
                lost += (Decimal(first) - Decimal(last)) / 100 * capacity
                given += reading.net
                capacities.append(capacity)
        return bool(capacities) and _beyond(
            Decimal(given), lost, percent, min(capacities) * 2 / 100
        )

    # --- position

    def _too_far(self, reading: Reading, terms: Terms, contracts: Iterable[Row]) -> bool:
        lat, lon = reading.row.get("lat"), reading.row.get("lon")
        if self._sites is None or terms.site_radius_m is None or lat is None or lon is None:
            return False
        known = [self._sites[row["site_id"]] for row in contracts if row["site_id"] in self._sites]
        distances = [
            distance_m(float(lat), float(lon), float(site["lat"]), float(site["lon"]))
            for site in known
            if site.get("lat") is not None and site.get("lon") is not None
        ]
        return bool(distances) and min(distances) > float(terms.site_radius_m)


def _beyond(measured: Decimal, other: Decimal, percent: Decimal, slack: Decimal) -> bool:
    return abs(measured - other) > max(percent * max(abs(measured), abs(other)) / 100, slack)


def _power_differs(reading: Reading, percent: Decimal | None) -> bool:
    by_powers = trapezoid(reading.row, reading.length_us)
    if percent is None or by_powers is None:
        return False
    apart = abs(reading.net - by_powers)
    larger = max(Fraction(abs(reading.net)), abs(by_powers))
    return apart > _ONE_WH and apart * 100 > Fraction(percent) * larger


def distance_m(lat: float, lon: float, other_lat: float, other_lon: float) -> float:
    """Great-circle distance by the haversine formula; no money touches it, so floats may."""
    north = math.radians(other_lat - lat)
    east = math.radians(other_lon - lon)
    chord = (
        math.sin(north / 2) ** 2
        + math.cos(math.radians(lat)) * math.cos(math.radians(other_lat)) * math.sin(east / 2) ** 2
    )
    return 2 * _EARTH_M * math.asin(math.sqrt(chord))
