"""Scopes: which vehicles are looked at under which version of which program, on which timeline.

A version of a program has one timeline for all vehicles that its events address alike, whose orders have
the same edges, and that stand alike in other programs. Vehicles without any contract are looked at under
the first program, to say what they would have got.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from settlement import seasons, timeline
from settlement.facts import Facts
from settlement.matching.standing import Standing, standing
from settlement.periods import Period
from settlement.programs import Product, Program, in_force
from settlement.timeline import Place, Price, Rival, Scope, Window


@dataclass(frozen=True)
class Bucket:
    """Vehicles that share a version and a timeline.

    Attributes:
        vehicles: None for those without any contract.
        cells: ``timeline.SCHEMA``.
        windows: events that the run settles under this version and that address these vehicles.
        competing: all events of the program that address them.
    """

    program: Program
    vehicles: frozenset[str] | None
    cells: pl.DataFrame
    windows: tuple[Window, ...]
    competing: tuple[Window, ...]

    @property
    def paid(self) -> pl.DataFrame:
        """The cells in which discharge is paid: of an event in force, without a reason against it."""
        return self.cells.filter((pl.col("place") == Place.EVENT) & pl.col("why").is_null())


@dataclass(frozen=True, slots=True)
class _Signature:
    """What tells one timeline of a version from another: see ``timeline.Scope``."""

    not_addressed: frozenset[str] = frozenset()
    edges: frozenset[tuple[str, datetime]] = frozenset()
    rivals: tuple[Rival, ...] = ()
    enrolled: frozenset[str] = frozenset()
    first: bool = True


def buckets(facts: Facts, period: Period) -> list[Bucket]:
    """All buckets of a run, in a fixed order."""
    found: list[Bucket] = []
    known = standing(facts)
    for number, (name, versions) in enumerate(sorted(facts.programs.items())):
        windows = [w for w in facts.windows if w.program == name]
        prices = [p for p in facts.prices if p.program == name]
        grouped = frozenset(w.event_id for w in windows if w.group)
        for version in _at_work(versions, windows, period):
            edges = _order_edges(facts.orders) if version.product is Product.ORDER else {}
            alike: dict[_Signature, set[str]] = defaultdict(set)
            for vehicle in known.vehicles(name):
                alike[_signature(known, name, vehicle, edges, facts.windows)].add(vehicle)
            scope = Scope(version, versions, period)
            found.extend(
                _bucket(scope, signature, frozenset(vehicles), windows, prices)
                for signature, vehicles in sorted(alike.items(), key=lambda item: min(item[1]))
            )
            if number == 0:
                nowhere = _Signature(grouped if facts.sites is not None else frozenset())
                found.append(_bucket(scope, nowhere, None, windows, prices))
    return found


def _signature(
    known: Standing,
    program: str,
    vehicle: str,
    edges: Mapping[str, frozenset[tuple[str, datetime]]],
    windows: Sequence[Window],
) -> _Signature:
    not_addressed = known.not_addressed(program, vehicle)
    mine = edges.get(vehicle, frozenset())
    others = known.programs[vehicle] - {program}
    if not others:
        return _Signature(not_addressed, mine)
    rivals = tuple(
        Rival(w, w.event_id in known.enrolled(w.program, vehicle), w.program < program)
        for w in windows
        if w.program in others and w.event_id not in known.not_addressed(w.program, vehicle)
    )
    return _Signature(
        not_addressed,
        mine,
        rivals,
        known.enrolled(program, vehicle),
        first=program == min(known.programs[vehicle]),
    )


def _at_work(
    versions: Sequence[Program], windows: Sequence[Window], period: Period
) -> Iterator[Program]:
    """The versions that settle an event in the period, and the one that accounts for the rest of it."""
    wanted = {in_force(versions, period.started_at).version}
    for window in windows:
        version = seasons.governing(versions, window.started_at)
        if timeline.settles(version, window, period):
            wanted.add(version.version)
    return (version for version in versions if version.version in wanted)


def _bucket(
    scope: Scope,
    signature: _Signature,
    vehicles: frozenset[str] | None,
    windows: Sequence[Window],
    prices: Sequence[Price],
) -> Bucket:
    mine = Scope(
        scope.program,
        scope.versions,
        scope.period,
        signature.not_addressed,
        signature.edges,
        signature.rivals,
        signature.enrolled,
        signature.first,
    )
    competing = tuple(w for w in windows if w.event_id not in signature.not_addressed)
    settled = tuple(
        w
        for w in competing
        if seasons.governing(scope.versions, w.started_at) is scope.program
        and timeline.settles(scope.program, w, scope.period)
    )
    cells = timeline.build(windows, prices, mine)
    return Bucket(scope.program, vehicles, cells, settled, competing)


def _order_edges(orders: pl.DataFrame) -> Mapping[str, frozenset[tuple[str, datetime]]]:
    edges: dict[str, set[tuple[str, datetime]]] = defaultdict(set)
    for vehicle, event, start, end in orders.select(
        "vehicle_id", "event_id", "started_at", "ended_at"
    ).iter_rows():
        edges[vehicle].update(((event, start), (event, end)))
    return {vehicle: frozenset(times) for vehicle, times in edges.items()}
