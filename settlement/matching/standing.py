"""How vehicles stand to programs and events: where they are enrolled, and which events address them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from settlement.facts import Facts
from settlement.timeline import Window


@dataclass(frozen=True, slots=True)
class _Terms:
    site_id: str
    valid_from: datetime
    valid_to: datetime | None

    def in_force(self, at: datetime) -> bool:
        return self.valid_from <= at and (self.valid_to is None or at < self.valid_to)


@dataclass(frozen=True)
class Standing:
    """How vehicles stand to programs and events.

    Attributes:
        programs: by vehicle, those in which it ever had a contract.
        windows: by program.
        terms: by program and vehicle.
        groups: of each site; None where no site is known, and then groups are not checked.
    """

    programs: Mapping[str, frozenset[str]]
    windows: Mapping[str, Sequence[Window]]
    terms: Mapping[tuple[str, str], Sequence[_Terms]]
    groups: Mapping[str, str] | None

    def vehicles(self, program: str) -> list[str]:
        """Vehicles with a contract in a program, whenever."""
        return sorted(v for v, programs in self.programs.items() if program in programs)

    def enrolled(self, program: str, vehicle: str) -> frozenset[str]:
        """Events of a program as which start a vehicle is under contract in it."""
        terms = self.terms[program, vehicle]
        return frozenset(
            w.event_id
            for w in self.windows.get(program, ())
            if any(one.in_force(w.started_at) for one in terms)
        )

    def not_addressed(self, program: str, vehicle: str) -> frozenset[str]:
        """Events of a program whose group a vehicle's site is not in as they start. A group is a site,
        or what the list of sites assigns.
        """
        groups = self.groups
        if groups is None:
            return frozenset()
        terms = self.terms[program, vehicle]
        return frozenset(
            w.event_id
            for w in self.windows.get(program, ())
            if w.group
            and not any(
                w.group in (one.site_id, groups.get(one.site_id))
                for one in terms
                if one.in_force(w.started_at)
            )
        )


def standing(facts: Facts) -> Standing:
    """How every vehicle with a contract stands."""
    programs: dict[str, set[str]] = defaultdict(set)
    terms: dict[tuple[str, str], list[_Terms]] = defaultdict(list)
    for vehicle, program, site, start, end in facts.contracts.select(
        "vehicle_id", "program", "site_id", "valid_from", "valid_to"
    ).iter_rows():
        if program in facts.programs:
            programs[vehicle].add(program)
            terms[program, vehicle].append(_Terms(site, start, end))
    windows: dict[str, list[Window]] = defaultdict(list)
    for window in facts.windows:
        windows[window.program].append(window)
    groups = None
    if facts.sites is not None:
        groups = dict(facts.sites.select("site_id", "site_group").iter_rows())
    return Standing(
        {vehicle: frozenset(names) for vehicle, names in programs.items()}, windows, terms, groups
    )
