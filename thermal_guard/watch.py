"""Which EVSE must be limited now, and why: batteries followed through what has landed.

A look reads, of every EVSE, the temperatures since the last one, with some overlap; once in a while
with much, for those that land late. A battery is followed by its vehicle, from charger to charger, as
it is settled; where nobody knows the vehicle, by its EVSE. At the start, and where something landed
late, it is followed again from ``look_back`` ago, with what had been commanded by then.

Samples ahead of the guard's clock are not heard: as long as clocks differ nobody knows how old they are,
and their devices count as lost.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from typing import Final

from settlement.programs import Thermal
from settlement.throttling import AHEAD_US, Battery, Decision, Rules
from storage import thermal_terms, throttling
from storage.engine import Connection
from storage.thermal_samples import battery_moments

KNOWN_FOR: Final = timedelta(days=7)
"""An EVSE of which nothing was measured for longer is not watched from the start."""
OVERLAP: Final = timedelta(seconds=15)
LONG_OVERLAP: Final = timedelta(minutes=5)
LONG_EVERY: Final = timedelta(minutes=1)
DISCOVER_EVERY: Final = timedelta(seconds=5)
TERMS_EVERY: Final = timedelta(seconds=30)
AT_ONCE: Final = 50
"""EVSE whose past is read in one query."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
AHEAD: Final = _MICROSECOND * AHEAD_US
HORIZON: Final = timedelta(hours=1)
"""Samples that are ahead of the guard's clock say that a clock is wrong; so far ahead they are looked for."""


def micros(at: datetime) -> int:
    """A time as µs since the epoch."""
    return (at - _EPOCH) // _MICROSECOND


def moment(us: int) -> datetime:
    """The time of µs since the epoch."""
    return _EPOCH + timedelta(microseconds=us)


@dataclass(slots=True)
class Place:
    """One EVSE: whose battery was measured there last, and what was heard lately, by device and time."""

    evse_id: str
    subject: str
    last_at: datetime
    left_by: str = ""
    """Who is known to have gone elsewhere from here, since when nobody else was measured here."""
    heard: set[tuple[str, datetime]] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What an EVSE's battery demands now."""

    evse_id: str
    vehicle_id: str
    decision: Decision


@dataclass(slots=True)
class Watch:
    """Every battery of which something was measured lately.

    Args:
        otherwise: the terms of a battery that no program speaks of.
        rules: limits beside the terms; its terms are put in per vehicle.
        look_back: how far back a battery is followed at the start.
    """

    otherwise: Thermal
    rules: Rules
    look_back: timedelta
    unusable: Callable[[Exception], None]
    _places: dict[str, Place] = field(default_factory=dict)
    _batteries: dict[str, Battery] = field(default_factory=dict)
    _terms: dict[str, Rules] = field(default_factory=dict)
    _vehicles: dict[str, str] = field(default_factory=dict)
    _where: dict[str, str] = field(default_factory=dict)
    _stood: dict[str, bool] = field(default_factory=dict)
    _late: dict[str, None] = field(default_factory=dict)
    _terms_at: datetime | None = None
    _long_at: datetime | None = None
    _discovered_at: datetime | None = None

    @property
    def places(self) -> Iterable[str]:
        """Every EVSE that is watched."""
        return self._places

    def look(self, conn: Connection, now: datetime) -> None:
        """Read what is new. The caller ends the transaction."""
        if _passed(self._terms_at, now, TERMS_EVERY):
            self._learn(conn, now)
            self._terms_at = now
        overlap = OVERLAP
        if _passed(self._long_at, now, LONG_EVERY):
            self._long_at, overlap = now, LONG_OVERLAP
        if overlap == LONG_OVERLAP or _passed(self._discovered_at, now, DISCOVER_EVERY):
            self._discovered_at = now
            self._discover(conn, now)
            self._ask(_last_asked(conn, list(self._places), now, overlap))
        late = self._hear(
            conn,
            [(one.evse_id, one.last_at - overlap, now + AHEAD) for one in self._places.values()],
        )
        self._late.update(dict.fromkeys(sorted(late)))
        if some := list(islice(self._late, AT_ONCE)):
            for evse in some:
                del self._late[evse]
            self._follow_again(conn, some, now)

    def decide(self, now: datetime) -> list[Verdict]:
        """What every EVSE's battery demands now."""
        found = []
        for place in self._places.values():
            rules = self._rules_of(place.subject, place.evse_id)
            decision = self._batteries[place.subject].decide(micros(now), rules)
            found.append(Verdict(place.evse_id, self._vehicle(place.subject), decision))
        return found

    def _learn(self, conn: Connection, now: datetime) -> None:
        """Contracts and programs, as they are in force now."""
        try:
            enrolled = thermal_terms.enrolled(conn, now=now)
        except (
            ValueError
        ) as error:  # a stored program that cannot be used: the terms known before stand
            self.unusable(error)
            return
        terms: dict[str, set[Thermal]] = {}
        vehicles: dict[str, set[str]] = {}
        for one in enrolled:
            for subject in (one.vehicle_id, _at(one.evse_id)):
                terms.setdefault(subject, set()).add(one.thermal or self.otherwise)
            vehicles.setdefault(one.evse_id, set()).add(one.vehicle_id)
        self._terms = {
            subject: Rules(
                tuple(sorted(some, key=repr)),
                self.rules.lost_after_us,
                self.rules.forgotten_after_us,
                self.rules.hard_millicelsius,
            )
            for subject, some in terms.items()
        }
        self._vehicles = {
            evse: next(iter(some)) for evse, some in vehicles.items() if evse and len(some) == 1
        }

    def _discover(self, conn: Connection, now: datetime) -> None:
        known = set(self._places)
        new = [
            evse
            for evse in thermal_terms.measured(conn, since=now - KNOWN_FOR)
            if evse not in known
        ]
        for start in range(0, len(new), AT_ONCE):
            self._follow_again(conn, new[start : start + AT_ONCE], now)

    def _follow_again(self, conn: Connection, evses: list[str], now: datetime) -> None:
        """Follow batteries from ``look_back`` ago, or from their last moment before."""
        asked = _last_asked(conn, evses, now, LONG_OVERLAP)
        latest: dict[str, datetime] = {}
        for one in asked:
            latest[one.evse_id] = max(one.asked_at, latest.get(one.evse_id, one.asked_at))
        since = now - self.look_back
        commands = throttling.standing(conn, until=since, evses=list(latest)).values()
        for standing in sorted(commands, key=lambda one: one.command.raised_at):
            command = standing.command
            vehicle = str(command.evidence.get("vehicle_id", ""))
            stood = command.evidence.get("limit_reached") is True
            # Of the place too: whether the same vehicle will be measured there, nobody knows yet.
            self._stood[_at(command.evse_id)] = stood
            if vehicle:
                self._stood[vehicle] = stood
        for subject in [one for one, where in self._where.items() if where in latest]:
            del self._where[subject], self._batteries[subject]
        for evse, last_at in latest.items():
            subject = _at(evse)
            self._places[evse] = Place(evse, subject, min(since, last_at - LONG_OVERLAP))
            self._batteries[subject] = Battery(stood=self._stood.get(subject, False))
        self._hear(conn, [(evse, self._places[evse].last_at, now + AHEAD) for evse in latest])
        self._ask(asked)

    def _ask(self, asked: Iterable[thermal_terms.Asked]) -> None:
        for one in asked:
            battery = self._batteries[self._places[one.evse_id].subject]
            battery.asked(_name(one.evse_id, one.device_id), micros(one.asked_at))

    def _hear(self, conn: Connection, spans: list[tuple[str, datetime, datetime]]) -> set[str]:
        """Follow batteries through what was not heard yet. The EVSE of what came too late for that."""
        late: set[str] = set()
        moments = battery_moments(conn, spans).sort("measured_at", "evse_id", "device_id")
        rows = moments.select(
            "measured_at", "evse_id", "vehicle_id", "device_id", "battery_millicelsius"
        ).iter_rows()
        for (at, evse, vehicle), some in groupby(rows, key=lambda row: row[:3]):
            place = self._places[evse]
            said = {_name(evse, row[3]): row[4] for row in some}
            new = {name: value for name, value in said.items() if (name, at) not in place.heard}
            if not new:
                continue
            place.heard.update((name, at) for name in new)
            at_us = micros(at)
            if where := self._elsewhere(place, vehicle, at_us):
                late |= {evse, where}
                continue
            battery = self._arrive(place, vehicle)
            if at_us <= battery.last_at:
                overtaken = battery.last_at - at_us <= OVERLAP // _MICROSECOND
                if not overtaken or any(battery.said_last(name) >= at_us for name in new):
                    late.add(evse)
                    continue
                # Another device of the same battery was a little quicker: heard right after it.
                at_us = battery.last_at + 1
            battery.heard(at_us, new, self._rules_of(place.subject, evse))
            place.last_at = max(place.last_at, at)
        for evse, *_ in spans:
            place = self._places[evse]
            kept = place.last_at - 2 * LONG_OVERLAP
            place.heard = {key for key in place.heard if key[1] >= kept}
        return late

    def _elsewhere(self, place: Place, vehicle: str, at_us: int) -> str:
        """The EVSE at which a battery has been measured since; empty where there is none."""
        subject = self._subject(vehicle, place.evse_id)
        where = self._where.get(subject, place.evse_id)
        gone = where != place.evse_id and at_us <= self._batteries[subject].last_at
        return where if gone else ""

    def _arrive(self, place: Place, vehicle: str) -> Battery:
        """The battery that is measured at a place now. What leaves another charger for this one leaves
        behind there what was known of it.

        Where it becomes known whose battery it is, or no longer is, it may well be the one that was there
        before: a limit that stood there goes on standing.
        """
        evse, subject = place.evse_id, self._subject(vehicle, place.evse_id)
        there = self._batteries[place.subject]
        if subject == place.subject:
            return there
        nobody = subject == _at(evse)
        if nobody or subject not in self._batteries:
            self._batteries[subject] = Battery(stood=self._stood.get(subject, False) and not nobody)
        battery = self._batteries[subject]
        if (before := self._where.get(subject, evse)) != evse:
            behind, left = self._places[before], battery.left()
            if behind.subject == subject:
                behind.subject, behind.left_by = _at(before), subject
                self._batteries[_at(before)] = left
        maybe_the_same = nobody or place.subject == _at(evse)
        if maybe_the_same and place.left_by in {"", subject} and there.stands:
            battery.stood = True
        if not nobody:
            self._where[subject] = evse
        place.subject, place.left_by = subject, ""
        return battery

    def _subject(self, vehicle: str, evse: str) -> str:
        return vehicle or self._vehicles.get(evse) or _at(evse)

    def _rules_of(self, subject: str, evse: str) -> Rules:
        found = self._terms.get(subject) or self._terms.get(_at(evse))
        return found or self.rules

    @staticmethod
    def _vehicle(subject: str) -> str:
        return "" if subject.startswith(_AT) else subject


def _passed(last: datetime | None, now: datetime, every: timedelta) -> bool:
    """Whether it is time again, also where the clock was set back."""
    return last is None or abs(now - last) >= every


def _last_asked(
    conn: Connection, evses: list[str], now: datetime, within: timedelta
) -> list[thermal_terms.Asked]:
    return thermal_terms.last_asked(
        conn, evses, since=now - KNOWN_FOR, until=now + HORIZON, within=within
    )


_AT: Final = "\0at "


def _at(evse_id: str) -> str:
    """Whom a battery belongs to where nobody knows the vehicle; no vehicle is called so."""
    return _AT + evse_id


def _name(evse_id: str, device_id: str) -> str:
    """A device at its place: the same device elsewhere is another one."""
    return f"{device_id} at {evse_id}"


def plain(verdict: Verdict) -> dict[str, object]:
    """What a command is stored with."""
    return {
        "vehicle_id": verdict.vehicle_id,
        "limit_reached": verdict.decision.limit_reached,
        **verdict.decision.evidence,
    }
