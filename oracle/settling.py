"""One case, from rows to rows: vehicle by vehicle, event by event.

Plainest readings taken:

* A settlement with a held reason pays 0 now, and shows the sum of the lines that it has.
* Several held reasons: the first in `HELD`.
* Time of an event without any order for the vehicle is NO_ORDER.
* A season of a `capacity` program is settled with what is there, also before it has ended.
* Energy outside every event is shown with the whole stretch in which nothing changes, clipped to the
  first start and last end of all readings of the case. Only then, what would have been the same row for
  several EVSEs is: each EVSE's energy is rounded to money by itself.
* Unpaid energy of a `capacity` program is named after the season where an event was in force.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import localcontext
from functools import partial

from oracle import amounts, energies, seasons
from oracle.case import Case, CaseError, Result, Row
from oracle.energies import BASELINE_MISSING, PRICE_MISSING, Interval
from oracle.heat import THERMAL_MISSING, Battery
from oracle.measuring import Measured, imported_around, measure
from oracle.meters import Meters
from oracle.numbers import WIDE
from oracle.readings import Reading
from oracle.rows import Worth, settlement, unpaid
from oracle.slots import (
    Prices,
    Slot,
    Target,
    around,
    contracts_at,
    contracts_within,
    single_rate,
    slots,
)
from oracle.terms import Terms, outside, terms
from oracle.windows import Stretch, events, stretches

HELD = (PRICE_MISSING, BASELINE_MISSING, THERMAL_MISSING)
NO_ORDER = "NO_ORDER"


def settle(case: Case) -> Result:
    """Every settlement, line and unpaid energy of a case.

    Raises:
        CaseError: a value that the rules have no reading for.
    """
    with localcontext(WIDE):
        return _Settling(case).run()


class _Settling:
    """What all vehicles share."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.result = Result()
        self.versions: dict[str, list[Terms]] = defaultdict(list)
        for body in case.programs:
            version = terms(body)
            self.versions[version.name].append(version)
        self.events = {
            name: events(
                [row for row in case.events if row["program"] == name], versions, case.as_of
            )
            for name, versions in self.versions.items()
        }
        self.prices = Prices(case.prices, case.as_of)
        self.sites = None if case.sites is None else {row["site_id"]: row for row in case.sites}
        self.rows: dict[str, dict[str, list[Row]]] = {
            "contracts": _by_vehicle(case.contracts),
            "thermal": _by_vehicle(case.thermal),
            "baselines": _by_vehicle(case.baselines),
            "orders": _by_vehicle(case.orders),
        }
        self.meters = Meters(case.readings, case.as_of, self.rows["contracts"], self.sites)
        self._stretches: dict[tuple[str, frozenset[str]], list[Stretch]] = {}

    def stretches(self, program: str, addressed: frozenset[str]) -> list[Stretch]:
        key = (program, addressed)
        if key not in self._stretches:
            self._stretches[key] = stretches(self.events[program], addressed)
        return self._stretches[key]

    def run(self) -> Result:
        vehicles = (
            set(self.meters.by_vehicle) | set(self.rows["contracts"]) | set(self.rows["orders"])
        )
        for vehicle in sorted(vehicles):
            _Vehicle(self, vehicle).settle()
        self.result.sort()
        return self.result


def _by_vehicle(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        found[row["vehicle_id"]].append(row)
    return found


class _Vehicle:
    """One vehicle's settlement."""

    def __init__(self, shared: _Settling, vehicle: str) -> None:
        self.shared = shared
        self.vehicle = vehicle
        self.readings = shared.meters.by_vehicle.get(vehicle, [])
        self.contracts = shared.rows["contracts"].get(vehicle, [])
        self.baselines = shared.rows["baselines"].get(vehicle, [])
        self.orders = shared.rows["orders"].get(vehicle, [])
        self._batteries: dict[int, Battery] = {}
        self._faults: dict[tuple[int, int], str | None] = {}
        self._drained: dict[int, frozenset[int]] = {}
        named = {row["program"] for row in self.contracts}
        unknown = named - set(shared.versions)
        if unknown:
            raise CaseError(f"contracts of {vehicle}", f"no program is called {min(unknown)}")
        self.programs = sorted(named or shared.versions)
        if not named:
            # the first program says what would have been; nobody can order anything
            del self.programs[1:]
            self.orders = []
        self.outside = {
            name: outside(shared.versions[name], shared.case.since) for name in self.programs
        }

    def settle(self) -> None:
        cut = slots(
            {name: self.shared.stretches(name, self._addressed(name)) for name in self.programs},
            self.contracts,
            self.shared.prices,
            self.orders,
            self.outside,
        )
        measured = measure(self.readings, cut, self._fault)
        by_event: dict[tuple[str, str], list[Interval]] = defaultdict(list)
        for slot, cell in zip(cut, measured, strict=True):
            self._show_unpaid_time(slot, cell)
            target = slot.target
            if target is not None and target.why is None:
                by_event[target.event.terms.name, target.event.id].append(
                    Interval(
                        slot.started_at,
                        slot.ended_at,
                        target,
                        cell.exported,
                        cell.imported,
                        cell.covered_us,
                        cell.discharged_us,
                    )
                )
        for name in self.programs:
            mine = [found for (program, _), found in by_event.items() if program == name]
            orders = [found for found in mine if found[0].terms.product == "order"]
            others = [found for found in mine if found[0].terms.product != "order"]
            for found in orders:
                self._settle_orders(found)
            self._settle_energy(others)

    def _addressed(self, program: str) -> frozenset[str]:
        """The events whose group is that of the vehicle's site, as each starts."""
        sites, found = self.shared.sites, set()
        for event in self.shared.events[program]:
            mine = contracts_at(self.contracts, program, event.started_at)
            groups = {row["site_id"] for row in mine}
            groups |= {site["group"] for group in groups if (site := (sites or {}).get(group))}
            if sites is None or event.group is None or event.group in groups:
                found.add(event.id)
        return frozenset(found)

    def _fault(self, reading: Reading, version: Terms) -> str | None:
        key = (id(reading), id(version))
        if key not in self._faults:
            if id(version) not in self._drained:
                addressed = self._addressed(version.name)
                named = partial(_named, self.shared.stretches(version.name, addressed))
                self._drained[id(version)] = self.shared.meters.drained(
                    self.vehicle, version, named
                )
            drained = self._drained[id(version)]
            self._faults[key] = self.shared.meters.fault(reading, version, drained)
        return self._faults[key]

    def _battery(self, version: Terms) -> Battery:
        assert version.thermal is not None
        if id(version) not in self._batteries:
            rows = self.shared.rows["thermal"].get(self.vehicle, [])
            self._batteries[id(version)] = Battery(rows, version.thermal)
        return self._batteries[id(version)]

    @staticmethod
    def _booked_under(target: Target) -> str:
        """The event's id, or the season's where a season is settled as one."""
        event = target.event
        if event.terms.product != "capacity":
            return event.id
        return f"season-{seasons.season_year(event.terms, event.started_at)}"

    # --- energy and capacity

    def _settle_energy(self, by_event: Sequence[list[Interval]]) -> None:
        discharged = {id(found): sum(i.discharged_us for i in found) for found in by_event}
        for found in by_event:
            energies.event_energy(found, self.baselines)
            energies.heat(found, self._battery)
            energies.minimums(found)
            energies.net(found)
            self._look_back(found)
        energies.caps(sorted((i for found in by_event for i in found), key=_start))
        seasons_found: dict[str, list[list[Interval]]] = defaultdict(list)
        for found in by_event:
            if found[0].terms.product == "capacity":
                seasons_found[self._booked_under(found[0].target)].append(found)
                self._show_taken(found)
                continue
            lines = amounts.energy_lines(self.vehicle, found, discharged[id(found)])
            self._book(found[0].target.event.id, found[0].terms, lines, self._show_taken(found))
        for season, intervals in seasons_found.items():
            lines = amounts.capacity_lines(self.vehicle, season, intervals)
            held = {reason for found in intervals for i in found for reason in i.unpaid}
            self._book(season, intervals[0][0].terms, lines, held & set(HELD))

    def _look_back(self, found: Sequence[Interval]) -> None:
        event, version = found[0].target.event, found[0].terms
        charged = imported_around(self.readings, around(event), version, self._fault)
        energies.look_back(found, charged)

    # --- order

    def _settle_orders(self, found: Sequence[Interval]) -> None:
        lines = []
        for interval in found:
            if interval.target.order is None:
                interval.refuse(NO_ORDER)
                continue
            against = amounts.order_baseline(self.baselines, interval)
            if against is None:
                interval.refuse(BASELINE_MISSING)
                continue
            row = self.orders[interval.target.order]
            lines += amounts.order_lines(self.vehicle, interval, row, against)
        self._book(found[0].target.event.id, found[0].terms, lines, self._show_taken(found))

    # --- rows

    def _book(
        self, event_id: str, version: Terms, lines: Sequence[amounts.Line], held: set[str]
    ) -> None:
        if not lines and not held:
            return
        reasons = [reason for reason in HELD if reason in held]
        self.shared.result.settlements.append(
            settlement(self.vehicle, event_id, version, lines, reasons)
        )
        for line in lines:
            version = line.pop("_terms")
            line["tier_places"] = 12 if _graduated(line, version) else 6
            self.shared.result.lines.append(line)

    def _show_taken(self, found: Sequence[Interval]) -> set[str]:
        """Unpaid rows of paid time; returns the held reasons among them."""
        held = set()
        for interval in found:
            for reason, parts in interval.unpaid.items():
                if sum(parts) or reason in HELD:
                    self._unpaid(interval, reason, parts, self._worth(interval.target))
                if reason in HELD:
                    held.add(reason)
        return held

    def _show_unpaid_time(self, slot: Slot, cell: Measured) -> None:
        """Refused readings, and all energy of time that no program pays."""
        worth = self._worth_outside(slot) if slot.target is None else self._worth(slot.target)
        refused: dict[str, list[int]] = defaultdict(list)
        for (_, reason), energy in cell.refused.items():
            refused[reason].append(energy)
        for reason, parts in refused.items():
            self._unpaid(slot, reason, parts, worth)
        why = slot.why if slot.target is None else slot.target.why
        if why is not None and cell.exported:
            self._unpaid(slot, why, cell.exported.values(), worth)

    @staticmethod
    def _worth(target: Target) -> Worth:
        return target.price, target.rate, target.event.terms.rounding

    def _worth_outside(self, slot: Slot) -> Worth:
        mine = contracts_within(self.contracts, slot.outside.name, slot.started_at, slot.ended_at)
        return slot.price, single_rate(mine), slot.outside.rounding

    def _unpaid(
        self, time: Slot | Interval, reason: str, parts: Iterable[int], worth: Worth
    ) -> None:
        started_at, ended_at = time.started_at, time.ended_at
        event_id = time.named if isinstance(time, Slot) else None
        if time.target is not None:
            event_id = self._booked_under(time.target)
        if event_id is None:
            assert self.shared.meters.hull is not None
            started_at = max(started_at, self.shared.meters.hull[0])
            ended_at = min(ended_at, self.shared.meters.hull[1])
        self.shared.result.unpaid.append(
            unpaid(self.vehicle, event_id, (started_at, ended_at), reason, list(parts), worth)
        )


def _named(stretches: Sequence[Stretch], at: datetime) -> str | None:
    """The event that a time is named after, in force or not."""
    position = bisect_right(stretches, at, key=_start) - 1
    if position < 0 or stretches[position].ended_at <= at:
        return None
    return stretches[position].event.id


def _start(time: Interval | Stretch) -> datetime:
    return time.started_at


def _graduated(line: Mapping[str, object], version: Terms) -> bool:
    return line["term"] == "energy" and version.tier_mode == "graduated"
