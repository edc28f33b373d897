"""Effective windows: which event counts for a vehicle at each moment, and why one does not.

Of the events of a program that address the vehicle's group, at each moment the one with the lowest
primacy is in force, then the one created last, then the highest id. A status is not asked.

Plainest readings taken: several rows with one event_id are versions of it, and the one created last
counts; a vehicle belongs to the sites of its contracts in force as the event starts, so without one to
none; without sites, groups are not asked; an event that begins while no version of its program is valid
does not exist; time that `event_hours` already refuses does not use up `season_hours`; the hours of an
event are of the season in which it began.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from oracle import seasons
from oracle.case import Row
from oracle.numbers import between
from oracle.terms import Terms, in_force

EVENT_CANCELLED = "EVENT_CANCELLED"
OUTSIDE_GROUP = "OUTSIDE_GROUP"
OUTSIDE_SEASON = "OUTSIDE_SEASON"
OVER_CAP = "OVER_CAP"


@dataclass(frozen=True, slots=True)
class Event:
    """One event with the program version that rules it."""

    id: str
    started_at: datetime
    ended_at: datetime
    created_at: datetime
    primacy: int
    group: str | None
    cancelled_at: datetime | None
    terms: Terms

    @property
    def until(self) -> datetime:
        """Where it stops being in force: its end, or its cancellation, which may precede its start."""
        return self.ended_at if self.cancelled_at is None else min(self.ended_at, self.cancelled_at)

    def runs(self, at: datetime) -> bool:
        return self.started_at <= at < self.ended_at

    def stands(self, at: datetime) -> bool:
        return self.runs(at) and (self.cancelled_at is None or at < self.cancelled_at)


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time that belongs to an event; `why` None: in force, so it may be paid."""

    started_at: datetime
    ended_at: datetime
    event: Event
    why: str | None


def events(rows: Iterable[Row], versions: Sequence[Terms], as_of: datetime | None) -> list[Event]:
    """The events of one program that were known, each once."""
    latest: dict[str, Row] = {}
    for row in rows:
        if as_of is not None and row["created_at"] > as_of:
            continue
        known = latest.get(row["event_id"])
        if known is None or row["created_at"] >= known["created_at"]:
            latest[row["event_id"]] = row
    found = []
    for row in latest.values():
        terms = in_force(versions, row["started_at"])
        cancelled = row.get("superseded_or_cancelled_at")
        if as_of is not None and cancelled is not None and cancelled > as_of:
            cancelled = None
        if terms is not None:
            found.append(
                Event(
                    id=row["event_id"],
                    started_at=row["started_at"],
                    ended_at=row["ended_at"],
                    created_at=row["created_at"],
                    primacy=int(row.get("primacy") or 0),
                    group=row.get("group") or None,
                    cancelled_at=cancelled,
                    terms=terms,
                )
            )
    return found


def _first(candidates: list[Event]) -> Event | None:
    if not candidates:
        return None
    lowest = min(event.primacy for event in candidates)
    return max(
        (event for event in candidates if event.primacy == lowest),
        key=lambda event: (event.created_at, event.id),
    )


def stretches(all_events: Sequence[Event], addressed: frozenset[str]) -> list[Stretch]:
    """All time of a program's events, in order, for a vehicle that some of them address, by id."""
    edges: set[datetime] = set()
    for event in all_events:
        edges |= {event.started_at, event.ended_at}
        if event.cancelled_at is not None:
            edges.add(event.cancelled_at)
        edges.update(seasons.edges(event.terms, event.started_at, event.ended_at))
    found: list[Stretch] = []
    times = sorted(edges)
    for started_at, ended_at in pairwise(times):
        running = [event for event in all_events if event.runs(started_at)]
        ours = [event for event in running if event.id in addressed]
        standing = _first([event for event in ours if event.stands(started_at)])
        cancelled = _first(ours)
        foreign = _first([e for e in running if e not in ours and e.stands(started_at)])
        if standing is not None:
            season = seasons.inside(standing.terms, started_at)
            why = None if season else OUTSIDE_SEASON
            found.append(Stretch(started_at, ended_at, standing, why))
        elif cancelled is not None:
            found.append(Stretch(started_at, ended_at, cancelled, EVENT_CANCELLED))
        elif foreign is not None:
            found.append(Stretch(started_at, ended_at, foreign, OUTSIDE_GROUP))
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
