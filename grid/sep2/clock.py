"""How far a server's clock is from ours, though it only ever says whole seconds (IEEE 2030.5 clause 11).

An answer of c, asked for at t0 and here at t1 by our clock, proves that the server is ahead of us by at
least c - t1 and by less than c + 1 - t0. Each further answer narrows that where it is asked for so that
it arrives when the server, as far as is known, may turn to the next second: it tells on which side of
that moment the turn is. The first ones ask early in the time that is left, because an answer that says
"not yet" can be followed by the next one at once, and "already" means waiting for another second; the
last ones halve what is left, down to the time an answer takes on its way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from grid.errors import ClockOffError
from grid.records import ClockReading

__all__ = ["ASKED_MAX", "Bound", "ClockSetError", "Tick", "judge", "measure"]

ASKED_MAX: Final = 12
WIDTH_US: Final = 50_000
"""Narrow enough, once it is also clear on which side of what is agreed it lies."""
EARLY: Final = 5
"""So many aim at the first quarter of what is left; the rest, at its middle."""
_SECOND_US: Final = 1_000_000


class ClockSetError(ClockOffError):
    """The server's clock was set while it was read: what it says before and after does not fit together.

    Attributes:
        before: how far it was ahead of ours at first.
    """

    def __init__(
        self, where: str, before: ClockReading, after: ClockReading, tolerance_us: int
    ) -> None:
        super().__init__(where, after, tolerance_us)
        self.before = before
        shown = [
            f"{one.offset_us / 1e6:+.3f} ± {one.uncertainty_us / 1e6:.3f} s"
            for one in (before, after)
        ]
        words = (
            f"{where}: its clock was set during the reading, from {shown[0]} to {shown[1]} of ours;"
            " expected one clock for all of its documents. Nothing of it is put in force, it is read"
            " again; tell the utility if it happens more than once"
        )
        self.args = (words,)


@dataclass(frozen=True, slots=True)
class Tick:
    """One answer: the server's seconds since 1970; when it was asked for and came, our microseconds."""

    seconds: int
    sent_us: int
    received_us: int


@dataclass(frozen=True, slots=True)
class Bound:
    """The server is ahead of us by ``low_us`` at least and by less than ``high_us``."""

    low_us: int
    high_us: int

    @classmethod
    def of(cls, tick: Tick) -> "Bound":
        """What one answer proves."""
        said = tick.seconds * _SECOND_US
        return cls(said - tick.received_us, said + _SECOND_US - tick.sent_us)

    def within(self, other: "Bound") -> "Bound":
        """What both prove; nothing, ``width_us`` below 1, where they contradict each other."""
        return Bound(max(self.low_us, other.low_us), min(self.high_us, other.high_us))

    @property
    def width_us(self) -> int:
        """How much is left open."""
        return self.high_us - self.low_us

    @property
    def reading(self) -> ClockReading:
        """The middle, and half the width."""
        half = -(-abs(self.width_us) // 2)
        return ClockReading((self.low_us + self.high_us) // 2, half)

    def beyond(self, tolerance_us: int) -> bool:
        """Whether every offset that is possible is more than agreed."""
        return self.low_us > tolerance_us or self.high_us <= -tolerance_us

    def clear(self, tolerance_us: int) -> bool:
        """Whether it is known on which side of what is agreed it lies."""
        inside = self.low_us >= -tolerance_us and self.high_us <= tolerance_us
        return inside or self.beyond(tolerance_us)


def measure(
    ask: Callable[[], Tick],
    *,
    tolerance_us: int,
    our_us: Callable[[], int],
    sleep: Callable[[float], None],
    where: str,
) -> Bound:
    """Ask until it is known, twelve times at most, within some three seconds.

    Args:
        ask: for the server's time, once.
        tolerance_us: how far the clocks may be apart.
        our_us: our clock, microseconds since 1970, which is not set meanwhile.
        sleep: waits so many seconds.
        where: the Time's address, for messages.

    Raises:
        ClockOffError: it is further off than agreed, or it was set meanwhile.
    """
    tick = ask()
    bound = Bound.of(tick)
    way_us = tick.received_us - tick.sent_us
    for number in range(ASKED_MAX - 1):
        if bound.beyond(tolerance_us):
            break
        if bound.width_us <= WIDTH_US and bound.clear(tolerance_us):
            break
        part = bound.width_us // (4 if number < EARLY else 2)
        ahead_us = bound.high_us - max(part, min(way_us, bound.width_us // 2))
        # So that it arrives as a server that is ahead by so much turns to the next second.
        sleep(-(our_us() + way_us // 2 + ahead_us) % _SECOND_US / _SECOND_US)
        tick = ask()
        way_us = min(way_us, tick.received_us - tick.sent_us)
        before, bound = bound, bound.within(Bound.of(tick))
        if bound.width_us < 1:
            raise ClockSetError(where, before.reading, Bound.of(tick).reading, tolerance_us)
    judge(bound, tolerance_us=tolerance_us, where=where)
    return bound


def judge(bound: Bound, *, tolerance_us: int, where: str) -> None:
    """Raises ClockOffError: it is provably further off than agreed."""
    if bound.beyond(tolerance_us):
        raise ClockOffError(where, bound.reading, tolerance_us)
