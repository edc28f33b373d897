"""Effective windows: which event counts for a vehicle at each moment, and why one does not.

At each moment every event of a program that addresses the vehicle is asked by itself whether a device
is in it, whatever start and duration the device has drawn. Those that say yes compete for each control
mode: the lowest primacy wins, then the one created last, then the highest id. Of the winners the one
is paid that won the first mode in the order of `PAID_FIRST`. A status is asked only whether it is a
cancellation.

Plainest readings taken: several rows with one event_id are versions of it, in the order of their
created_at; a vehicle belongs to the sites of its contracts in force as the event starts, so without one
to none; without sites, groups are not asked; an event that begins while no version of its program is
valid does not exist; time that `event_hours` already refuses does not use up `season_hours`; the hours
of an event are of the season in which it began. An event without modes wants every mode that another
one names, and one that nobody names, which comes last.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from oracle import seasons
from oracle.case import Row
from oracle.numbers import between
from oracle.terms import Terms, in_force
from oracle.versions import EVENT_CANCELLED, EVENT_RANDOMISED, LATE_NOTICE, Said, counting

EVENT_SUPERSEDED = "EVENT_SUPERSEDED"
OUTSIDE_GROUP = "OUTSIDE_GROUP"
OUTSIDE_SEASON = "OUTSIDE_SEASON"
OVER_CAP = "OVER_CAP"
NOT_IN_FORCE = (EVENT_CANCELLED, EVENT_SUPERSEDED, EVENT_RANDOMISED, LATE_NOTICE, OUTSIDE_GROUP)

PAID_FIRST = [
    "opModTargetW",
    "opModFixedW",
    "csipaus:opModStorageTargetW",
    "opModMaxLimW",
    "csipaus:opModGenLimW",
    "csipaus:opModExpLimW",
    "csipaus:opModLoadLimW",
    "csipaus:opModImpLimW",
]
"""Powers that are asked for, then powers that must not be exceeded; every other mode follows, by name."""

ANY_MODE = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One event with the program version that rules it."""

    said: Said
    terms: Terms

    @property
    def id(self) -> str:
        return self.said.id

    @property
    def started_at(self) -> datetime:
        return self.said.started_at

    @property
    def ended_at(self) -> datetime:
        return self.said.ended_at

    @property
    def primacy(self) -> int:
        return self.said.primacy

    @property
    def group(self) -> str | None:
        return self.said.group

    @property
    def created_at(self) -> datetime:
        return self.said.created_at

    @property
    def until(self) -> datetime:
        """Where it stops being in force: its end, or its cancellation, which may precede its start."""
        return self.said.until

    def runs(self, at: datetime) -> bool:
        return self.started_at <= at < self.ended_at

    def edges(self) -> set[datetime]:
        found = {
            self.started_at,
            self.ended_at,
            self.said.noticed_at,
            self.said.left_by(),
            self.until,
        }
        for start, end in self.said.draws():
            found |= {start, end}
        return {at for at in found if self.started_at <= at <= self.ended_at}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time that belongs to an event; `why` None: in force, so it may be paid."""

    started_at: datetime
    ended_at: datetime
    event: Event
    why: str | None


def events(rows: Iterable[Row], versions: Sequence[Terms], as_of: datetime | None) -> list[Event]:
    """The events of one program that count, each once."""
    by_id: dict[str, list[Row]] = {}
    for row in rows:
        by_id.setdefault(row["event_id"], []).append(row)
    found = []
    for said in (counting(same, as_of) for same in by_id.values()):
        terms = None if said is None else in_force(versions, said.started_at)
        if said is not None and terms is not None:
            found.append(Event(said, terms))
    return found


def _first(candidates: Iterable[Event]) -> Event | None:
    listed = list(candidates)
    if not listed:
        return None
    lowest = min(event.primacy for event in listed)
    return max(
        (event for event in listed if event.primacy == lowest),
        key=lambda event: (event.created_at, event.id),
    )


def _place(mode: str) -> tuple[int, str]:
    if mode == ANY_MODE:
        return len(PAID_FIRST) + 1, mode
    return (PAID_FIRST.index(mode), "") if mode in PAID_FIRST else (len(PAID_FIRST), mode)


class _Contest:
    """Events of which one can be paid at a time, asked moment by moment, in order."""

    def __init__(self, candidates: Iterable[Event]) -> None:
        self.candidates = list(candidates)
        self.gone: set[str] = set()

    def at(self, at: datetime) -> tuple[Event | None, Event | None, str | None]:
        """The event that is paid; where there is none, the one that is named instead, and why."""
        running = [event for event in self.candidates if event.runs(at)]
        able = [e for e in running if e.said.against(at) is None and e.id not in self.gone]
        self.gone |= {e.id for e in able if any(_replaces(other, e) for other in able)}
        able = [event for event in able if event.id not in self.gone]
        if able:
            wanted = {mode for event in able for mode in event.said.modes} or {ANY_MODE}
            mode = min(wanted, key=_place)
            return (
                _first(e for e in able if not e.said.modes or mode in e.said.modes),
                None,
                None,
            )
        named = _first(running)
        return None, named, None if named is None else named.said.against(at) or EVENT_SUPERSEDED


def _replaces(one: Event, other: Event) -> bool:
    """Whether an event ends another one for good: by the edition of 2018, in all that it asks for."""
    if other.said.resumes or one is other or one.primacy != other.primacy:
        return False
    if _first([one, other]) is other:
        return False
    if not one.said.modes:
        return True
    return bool(other.said.modes) and all(mode in one.said.modes for mode in other.said.modes)


def stretches(all_events: Sequence[Event], addressed: frozenset[str]) -> list[Stretch]:
    """All time of a program's events, in order, for a vehicle that some of them address, by id."""
    edges: set[datetime] = set()
    for event in all_events:
        edges |= event.edges()
        edges.update(seasons.edges(event.terms, event.started_at, event.ended_at))
    ours = _Contest(event for event in all_events if event.id in addressed)
    foreign = _Contest(event for event in all_events if event.id not in addressed)
    found: list[Stretch] = []
    for started_at, ended_at in pairwise(sorted(edges)):
        paid, named, why = ours.at(started_at)
        elsewhere, _, _ = foreign.at(started_at)
        if paid is not None:
            season = seasons.inside(paid.terms, started_at)
            found.append(Stretch(started_at, ended_at, paid, None if season else OUTSIDE_SEASON))
        elif named is not None:
            found.append(Stretch(started_at, ended_at, named, why))
        elif elsewhere is not None:
            found.append(Stretch(started_at, ended_at, elsewhere, OUTSIDE_GROUP))
    return joined(_capped(found))


def _capped(found: Iterable[Stretch]) -> list[Stretch]:
    """Time beyond the event's and the season's hours, cut exactly where they are used up."""
    by_event: dict[str, int] = {}
    by_season: dict[int, int] = {}
    result = []
    for stretch in found:
        if stretch.why is not None:
            result.append(stretch)
            continue
        terms, event = stretch.event.terms, stretch.event.id
        year = seasons.season_year(terms, stretch.event.started_at)
        length = between(stretch.started_at, stretch.ended_at)
        left = length
        if terms.event_us is not None:
            left = min(left, max(0, terms.event_us - by_event.get(event, 0)))
        if terms.season_us is not None:
            left = min(left, max(0, terms.season_us - by_season.get(year, 0)))
        by_event[event] = by_event.get(event, 0) + left
        by_season[year] = by_season.get(year, 0) + left
        edge = stretch.started_at + timedelta(microseconds=left)
        if left:
            result.append(replace(stretch, ended_at=edge))
        if left < length:
            result.append(replace(stretch, started_at=edge, why=OVER_CAP))
    return result


def joined(found: Iterable[Stretch]) -> list[Stretch]:
    """Neighbours that say the same as one."""
    result: list[Stretch] = []
    for stretch in found:
        last = result[-1] if result else None
        if (
            last is not None
            and last.ended_at == stretch.started_at
            and (last.event.id, last.why) == (stretch.event.id, stretch.why)
        ):
            result[-1] = replace(last, ended_at=stretch.ended_at)
        else:
            result.append(stretch)
    return result
