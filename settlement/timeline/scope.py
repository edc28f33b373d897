"""What a timeline is built from: events, prices, and for whom."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from settlement import seasons
from settlement.periods import Period
from settlement.programs import Product, Program, in_force
from settlement.windows import Window


@dataclass(frozen=True, slots=True)
class Price:
    """A price in force over a half-open interval, in micros of the currency per kWh."""

    program: str
    started_at: datetime
    ended_at: datetime
    price_micros_per_kwh: int
    received_at: datetime


class Place(StrEnum):
    """Where an interval lies, seen from a run over one period."""

    EVENT = "event"
    """In an event that this run settles."""
    OUTSIDE = "outside"
    """In the period, in no event."""
    ELSEWHERE = "elsewhere"
    """In another run's period, in an event that another run settles, or under another version."""


@dataclass(frozen=True, slots=True)
class Rival:
    """An event of another program of the same vehicles.

    Attributes:
        window: the event; it addresses the vehicles.
        enrolled: whether they are under contract in its program as it starts.
        before: whether its program comes before, by name.
    """

    window: Window
    enrolled: bool
    before: bool


@dataclass(frozen=True, slots=True)
class Beside:
    """An event of another program whose time a piece is; of several the one in force, or the best."""

    rival: Rival
    in_force: bool


@dataclass(frozen=True, slots=True)
class Scope:
    """What a timeline is built for.

    Attributes:
        program: the version whose events are settled.
        versions: all versions of that program.
        period: the run's.
        not_addressed: events that do not address the vehicles which the timeline is for.
        edges: (event_id, time): further times at which settlement intervals of an event end, those
            of orders.
        rivals: events of the vehicles' other programs.
        enrolled: events of the program as which start the vehicles are under contract in it; it
            matters only where there are rivals.
        first: whether the program is the first, by name, of the vehicles' programs: it accounts for
            the time outside of every event of all of them.
    """

    program: Program
    versions: Sequence[Program]
    period: Period
    not_addressed: frozenset[str] = frozenset()
    edges: frozenset[tuple[str, datetime]] = frozenset()
    rivals: tuple[Rival, ...] = ()
    enrolled: frozenset[str] = frozenset()
    first: bool = True


def settles(program: Program, window: Window, period: Period) -> bool:
    """Whether a run over a period settles an event: it ends in it, or, for a capacity program, its
    season does.
    """
    end = window.ended_at
    if program.product is Product.CAPACITY:
        end = seasons.season_of(program, window.started_at).ended_at
    return period.started_at < end <= period.ended_at


def place(scope: Scope, start: datetime, end: datetime, window: Window | None) -> Place:
    if window is not None:
        version = seasons.governing(scope.versions, window.started_at)
        mine = version is scope.program and settles(version, window, scope.period)
        return Place.EVENT if mine else Place.ELSEWHERE
    version = in_force(scope.versions, scope.period.started_at)
    inside = scope.period.started_at <= start and end <= scope.period.ended_at
    return Place.OUTSIDE if inside and version is scope.program else Place.ELSEWHERE


def accounts(
    scope: Scope, window: Window | None, missed: Window | None, rivals: Sequence[Beside]
) -> bool:
    """Whether this program accounts for a piece of time, of all those of the vehicles: of those with an
    event in force the one under contract; of several, or of none, the first by name. Where none is in
    force, the first by name of those under contract in an event whose time it is; else the first of all.
    So each kWh stands once, and with the reason of an event that it could have been paid in.

    Args:
        scope: what the timeline is built for.
        window: the program's event in force.
        missed: its event whose time it is, where none is in force.
        rivals: those of other programs.
    """
    paid = [one.rival for one in rivals if one.in_force]
    if window is not None:
        if window.event_id in scope.enrolled:
            return not any(rival.before for rival in paid if rival.enrolled)
        return not any(rival.before or rival.enrolled for rival in paid)
    if paid:
        return False
    others = [one.rival for one in rivals if one.rival.enrolled]
    if missed is not None and missed.event_id in scope.enrolled:
        return not any(rival.before for rival in others)
    return scope.first and not others
