"""When a battery is throttled: decided as temperatures come in, by the very steps that settle them.

A battery is followed from moment to moment. Each device that measures it holds its last word until it
says another, and the hottest counts: read by one device, that is the series that is settled; read by
several, it is at least as hot. Under each program's terms it goes through ``thermal.Rule``, so
THERMAL_LIMIT_REACHED stands here exactly where the settlement will say so, and ends within the release
band and nowhere else.

Two reasons come on top, which no settlement knows: a device that gave no temperature for too long, and
a temperature as measured that no filter may smooth away. Nothing is ever released because something
is missing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final

from settlement.programs import Thermal
from settlement.thermal import Rule, Standing

PPM: Final = 1_000_000
AHEAD_US: Final = 10_000_000
"""A device asked further in the future than this has another clock: nobody knows how old its word is."""


class Reason(StrEnum):
    """Why a limit is commanded, or taken back; the first that applies."""

    LIMIT = "THERMAL_LIMIT_REACHED"
    """The filtered temperature reached the limit and is not back within the release band; or the
    measured one reached the hard limit, where one is set."""
    LOST = "THERMAL_SENSOR_LOST"
    """A device that measures the battery gave no temperature for too long, or by another clock."""
    RELEASED = "THERMAL_RELEASED"
    """Back within the release band, and every device gives temperatures."""


def plain_terms(*, limit: int, low: int, high: int, time_constant_us: int) -> Thermal:
    """Terms for a battery that no program speaks of: a limit and a release band, in milli-°C.

    >>> plain_terms(limit=55_000, low=20_000, high=45_000, time_constant_us=0).curve
    ((45000, 1000000), (55000, 0))
    """
    return Thermal(
        time_constant_us=time_constant_us,
        curve=((high, PPM), (limit, 0)),
        missing_factor_ppm=None,
        fresh_us=0,
        release_low_millicelsius=low,
        release_high_millicelsius=high,
    )


@dataclass(frozen=True, slots=True)
class Rules:
    """What a battery is held to.

    Attributes:
        terms: of every program that the vehicle is enrolled in, at least one: each is held.
        lost_after_us: how long a device may give no temperature.
        forgotten_after_us: a device that nobody even asked for that long, while others of the same
            battery speak, has been taken away and counts no more.
        hard_millicelsius: a limit on the measured temperature; None for none. It ends once the measured
            and the filtered one are within every release band.
    """

    terms: tuple[Thermal, ...]
    lost_after_us: int
    forgotten_after_us: int
    hard_millicelsius: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a battery's state demands at a moment.

    Attributes:
        reason: why it is throttled; None where it may discharge.
        since: when that began, µs since the epoch; for None, when it was released or first heard.
        limit_reached: whether THERMAL_LIMIT_REACHED stands, whatever the first reason is.
        evidence: what it rests on, in plain values.
    """

    reason: Reason | None
    since: int
    limit_reached: bool
    evidence: Mapping[str, object]


@lru_cache(256)
def _rule(terms: Thermal) -> Rule:
    return Rule.of(terms)


@dataclass(slots=True)
class _Device:
    """One device: when it was last asked, and its last temperature (milli-°C); 0 for never."""

    asked_at: int
    said_at: int = 0
    said: int | None = None


@dataclass(slots=True)
class Battery:
    """One battery, followed. Times are µs since the epoch, temperatures milli-°C.

    Attributes:
        stood: whether THERMAL_LIMIT_REACHED is known to have stood right before the next moment, or
            before the first one.
    """

    stood: bool = False
    last_at: int = 0
    _devices: dict[str, _Device] = field(default_factory=dict)
    _standings: dict[Thermal, Standing] = field(default_factory=dict)
    _beyond_hard: bool = False
    _reason: Reason | None = None
    _since: int | None = None

    def asked(self, device: str, at: int) -> None:
        """When a device was asked last, whatever it answered: it counts from then on."""
        self._devices.setdefault(device, _Device(asked_at=at, said_at=at)).asked_at = at

    def heard(self, at: int, temperatures: Mapping[str, int], rules: Rules) -> None:
        """What the devices said at one moment, later than the last one (``last_at``)."""
        for device, temperature in temperatures.items():
            known = self._devices.setdefault(device, _Device(asked_at=at))
            known.asked_at = max(known.asked_at, at)
            known.said_at, known.said = at, temperature
        hottest = max(one.said for one in self._devices.values() if one.said is not None)
        before = self._standings
        stood = self.stood or any(one.stands for one in before.values())
        self._standings = {
            terms: self._follow(before.get(terms), _rule(terms), at, hottest, stood=stood)
            for terms in rules.terms
        }
        self.last_at = at
        self.stood = False
        if rules.hard_millicelsius is not None and hottest >= rules.hard_millicelsius:
            self._beyond_hard = True

    @property
    def stands(self) -> bool:
        """Whether THERMAL_LIMIT_REACHED stood at the last moment, or is known to have stood before."""
        return self.stood or any(one.stands for one in self._standings.values())

    def said_last(self, device: str) -> int:
        """Of which moment a device spoke last; 0 for never."""
        known = self._devices.get(device)
        return 0 if known is None or known.said is None else known.said_at

    def left(self) -> "Battery":
        """The battery is at another charger now, and what the devices of the one before said counts no
        more. What is known at the one before: its devices, silent since then, and whether the limit
        stood.
        """
        there = Battery(stood=self.stands)
        for name, one in self._devices.items():
            there.asked(name, one.said_at)
        self._devices.clear()
        return there

    def decide(self, now: int, rules: Rules) -> Decision:
        """What its state demands now."""
        self._forget(now, rules)
        limit_reached = self._limit_reached(now, rules)
        lost = [
            name
            for name, one in sorted(self._devices.items())
            if now - one.said_at > rules.lost_after_us or one.asked_at - now > AHEAD_US
        ]
        # Without any device there is nobody who could tell.
        silent = not self._devices
        reason = Reason.LIMIT if limit_reached else Reason.LOST if lost or silent else None
        if self._since is None or reason != self._reason:
            self._reason, self._since = reason, now
        return Decision(reason, self._since, limit_reached, self._evidence(now, rules, lost))

    def _follow(
        self, last: Standing | None, rule: Rule, at: int, hottest: int, *, stood: bool
    ) -> Standing:
        if last is None:
            # The first moment, or terms that are new: what stood under others goes on standing.
            return rule.begin(at, hottest, stood=stood)
        found = rule.follow(last, at, hottest)
        if self.stood and not found.stands and not rule.releases(found.filtered):
            return found._replace(stands=True)
        return found

    def _limit_reached(self, now: int, rules: Rules) -> bool:
        if not self._standings:
            return self.stood
        reached, within = False, True
        for terms in rules.terms:
            rule = _rule(terms)
            last = self._standings.get(terms)
            if last is None:
                # New terms, no moment since: taken up at what is known.
                known = next(iter(self._standings.values()))
                last = rule.begin(known.at, known.measured, stood=self.stands)
            moment = max(now, last.at)
            filtered = rule.filtered_at(last, moment)
            reached |= rule.stands_at(last, filtered)
            within &= rule.releases(filtered) and rule.releases(last.measured)
        if self._beyond_hard and within:
            self._beyond_hard = False
        return reached or self._beyond_hard

    def _forget(self, now: int, rules: Rules) -> None:
        latest = max((one.asked_at for one in self._devices.values()), default=now)
        for name, one in list(self._devices.items()):
            if latest - one.asked_at > rules.forgotten_after_us:
                del self._devices[name]

    def _evidence(self, now: int, rules: Rules, lost: list[str]) -> dict[str, object]:
        found: dict[str, object] = {
            "devices": {
                name: {"measured_at_us": one.said_at, "millicelsius": one.said}
                for name, one in sorted(self._devices.items())
                if one.said is not None
            },
            "lost": lost,
            "lost_after_us": rules.lost_after_us,
            "hard_millicelsius": rules.hard_millicelsius,
        }
        terms = [
            self._under(one, self._standings[one], now)
            for one in rules.terms
            if one in self._standings
        ]
        return found | {"terms": terms}

    @staticmethod
    def _under(terms: Thermal, last: Standing, now: int) -> dict[str, object]:
        rule = _rule(terms)
        moment = max(now, last.at)
        return {
            "measured_millicelsius": last.measured,
            "filtered_millicelsius": rule.stated_at(last, moment),
            "limit_reached": rule.stands_at(last, rule.filtered_at(last, moment)),
            "limit_low_millicelsius": rule.limit.low,
            "limit_high_millicelsius": rule.limit.high,
            "release_low_millicelsius": terms.release_low_millicelsius,
            "release_high_millicelsius": terms.release_high_millicelsius,
            "time_constant_us": terms.time_constant_us,
        }
