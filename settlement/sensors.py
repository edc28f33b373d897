"""What a battery's sensor said, and whether it may be believed: one quality word per reading.

Only GOOD carries a temperature. Whatever else a device answers, or does not answer, is kept with its
raw registers and its word, and counts as no reading: never as 0 °C, never as the last value again.
"""

from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum


class Quality(StrEnum):
    """Why a reading has a value, or has none."""

    GOOD = "good"
    """The device answered, and the answer is a temperature that may be believed."""
    NOT_IMPLEMENTED = "not_implemented"
    """The device has no such sensor, and never had: SunSpec's word for that, such as 0x8000 or a NaN."""
    OUT_OF_RANGE = "out_of_range"
    """A temperature outside the range in which this device's battery can be."""
    JUMP = "jump"
    """A change faster than a battery can change; believed once it is said again and again."""
    STUCK = "stuck"
    """The same for too long: a sensor that has died, or a PLC that shows an old value."""
    NO_ANSWER = "no_answer"
    """No connection, or nothing within the deadline, or not to this question; or "there is none" from a
    sensor that exists: it gave temperatures before, or the file names it."""
    REFUSED = "refused"
    """The device answered with a Modbus exception."""
    GARBLED = "garbled"
    """An answer that cannot be right: too short, another device's, words in the wrong order."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What of one sensor is plausible. Temperatures in milli-°C.

    Attributes:
        low: and ``high``: the range in which this battery can be, both included.
        step: by how much two readings may differ however close they are: noise and resolution.
        rate_per_s: and by how much more for each second between them.
        confirm_polls: a jump is believed once so many readings in a row agree with each other…
        confirm_us: …over so long a time.
        stuck_polls: the same registers in so many polls in which another sensor of the device moved
            are no reading; 0: never.
        stuck_us: nor are they after so long a time, whatever the others do; 0: never.
    """

    low: int = 0
    high: int = 150_000
    step: int = 2_000
    rate_per_s: int = 500
    confirm_polls: int = 3
    confirm_us: int = 60_000_000
    stuck_polls: int = 240
    stuck_us: int = 43_200_000_000

    def near(self, value: int, at_us: int, before: "At") -> bool:
        """Whether a battery can have come from one reading to another.

        >>> Limits(step=2_000, rate_per_s=500).near(29_000, 14_000_000, At(20_000, 0))
        True
        """
        passed_us = max(0, at_us - before.at_us)
        allowed = self.step + self.rate_per_s * passed_us // 1_000_000
        return abs(value - before.value) <= allowed


@dataclass(frozen=True, slots=True)
class At:
    """A temperature (milli-°C) and its time (µs since 1970)."""

    value: int
    at_us: int


@dataclass(frozen=True, slots=True)
class Past:
    """What must be known of a sensor's earlier readings to judge the next.

    Attributes:
        good: the last that was believed.
        doubted: the last of a row that agree with each other, but not with ``good``.
        doubted_since_us: when that row began.
        doubted_polls: how long it is.
        raw: the last registers.
        raw_since_us: since when they are the same.
        others_moved: in how many polls since then another sensor of the device moved.
    """

    good: At | None = None
    doubted: At | None = None
    doubted_since_us: int = 0
    doubted_polls: int = 0
    raw: bytes = b""
    raw_since_us: int = 0
    others_moved: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """The word for a reading, its value if it is good, what was found if it is not, and the new past."""

    quality: Quality
    value: int | None
    detail: str
    past: Past


def judge(
    value: int, raw: bytes, at_us: int, *, past: Past, limits: Limits, others_moved: bool
) -> Judged:
    """Whether a temperature that a device gave may be believed.

    In this order: it is in range, it still moves, and a battery can have come to it from the last
    good one. A first reading has nothing to come from and is believed, and so is a jump that is
    confirmed; but neither of registers that are all zero: so answers a PLC that has measured nothing.

    Args:
        value: milli-°C.
        raw: the registers it was made from.
        at_us: when, µs since 1970.
        past: of this sensor.
        limits: of this sensor.
        others_moved: whether another sensor of the device has other registers than in its last poll.
    """
    past = _moved_on(past, raw, at_us, others_moved=others_moved)
    if not limits.low <= value <= limits.high:
        found = f"{celsius(value)}; expected {celsius(limits.low)} to {celsius(limits.high)}"
        return Judged(Quality.OUT_OF_RANGE, None, found, _undoubted(past))
    unmoved_us = at_us - past.raw_since_us
    if limits.stuck_polls and past.others_moved >= limits.stuck_polls:
        found = f"{celsius(value)} for {past.others_moved} polls in which others moved"
        return Judged(Quality.STUCK, None, found, _undoubted(past))
    if limits.stuck_us and unmoved_us >= limits.stuck_us:
        found = f"{celsius(value)} for {unmoved_us // 1_000_000} s"
        return Judged(Quality.STUCK, None, found, _undoubted(past))
    here = At(value, at_us)
    empty = not any(raw)
    if past.good is None and not empty:
        return Judged(Quality.GOOD, value, "", replace(_undoubted(past), good=here))
    if past.good is not None and limits.near(value, at_us, past.good):
        return Judged(Quality.GOOD, value, "", replace(_undoubted(past), good=here))
    past = _doubted(past, here, limits)
    confirmed = (
        past.doubted_polls >= limits.confirm_polls
        and at_us - past.doubted_since_us >= limits.confirm_us
    )
    if confirmed and not empty:
        return Judged(Quality.GOOD, value, "", replace(_undoubted(past), good=here))
    came_from = "nothing" if past.good is None else celsius(past.good.value)
    found = f"{celsius(value)} after {came_from}"
    return Judged(Quality.JUMP, None, f"{found}, registers all zero" if empty else found, past)


def _moved_on(past: Past, raw: bytes, at_us: int, *, others_moved: bool) -> Past:
    if raw != past.raw or not past.raw_since_us:
        return replace(past, raw=raw, raw_since_us=at_us, others_moved=0)
    return replace(past, others_moved=past.others_moved + others_moved)


def _doubted(past: Past, here: At, limits: Limits) -> Past:
    """The row of doubted readings, longer by one; or a new one."""
    goes_on = past.doubted is not None and limits.near(here.value, here.at_us, past.doubted)
    return replace(
        past,
        doubted=here,
        doubted_since_us=past.doubted_since_us if goes_on else here.at_us,
        doubted_polls=past.doubted_polls + 1 if goes_on else 1,
    )


def _undoubted(past: Past) -> Past:
    return replace(past, doubted=None, doubted_since_us=0, doubted_polls=0)


def celsius(millicelsius: int) -> str:
    """For people.

    >>> celsius(38_500), celsius(-250)
    ('38.5 °C', '-0.25 °C')
    """
    return f"{Decimal(millicelsius).scaleb(-3).normalize():f} °C"
