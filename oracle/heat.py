"""Battery temperature, filtered, and the factor of an interval.

Between samples the filtered temperature F approaches the measured one: F(t) = T + (F₀ − T)·e^(−t/τ),
from the first sample on; with τ = 0 it is the measured one. All in decimals of 60 digits. The value
at an interval's end is the limit from before: a sample exactly then belongs to the next interval.

Plainest readings taken: the limit is reached at the first temperature above the curve's highest point
at which the curve gives 0 (a curve that ends above 0: at any temperature beyond its end), or, where
its first value is 0, at or below the last such temperature before the highest point. A missing
temperature does not lift a limit that stands. A factor stated for missing temperatures counts for the
whole interval.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from oracle.case import Row
from oracle.numbers import MINUTE_US, WIDE, between, nearest
from oracle.terms import Thermal

THERMAL_LIMIT_REACHED = "THERMAL_LIMIT_REACHED"
THERMAL_MISSING = "THERMAL_MISSING"


class Battery:
    """One vehicle's temperatures under one program's terms."""

    def __init__(self, rows: Iterable[Row], terms: Thermal) -> None:
        self._terms = terms
        self._tau_us = terms.tau_min * MINUTE_US
        samples = sorted((row["measured_at"], Decimal(row["battery_c"])) for row in rows)
        self._times = [at for at, _ in samples]
        self._measured = [value for _, value in samples]
        self._filtered: list[Decimal] = []
        for position, (at, value) in enumerate(samples):
            if position == 0 or not self._tau_us:
                self._filtered.append(value)
            else:
                length = between(self._times[position - 1], at)
                self._filtered.append(self._after(position - 1, length))
        self._zero_high, self._zero_low, self._open_high = _limits(terms)
        self._standing = self._limited()

    def _after(self, position: int, length_us: int) -> Decimal:
        """F so long after a sample, before the next one counts."""
        target = self._measured[position]
        if not self._tau_us:
            return target
        decay = WIDE.exp(WIDE.divide(Decimal(-length_us), self._tau_us))
        return WIDE.add(target, WIDE.multiply(self._filtered[position] - target, decay))

    def factor(self, started_at: datetime, ended_at: datetime) -> tuple[int | None, str | None]:
        """The factor in millionths, or the reason why there is none."""
        if any(start < ended_at and started_at < end for start, end in self._standing):
            return None, THERMAL_LIMIT_REACHED
        first = bisect_right(self._times, started_at) - 1
        after = bisect_left(self._times, ended_at)
        if first < 0 or not self._fresh(first, after, started_at, ended_at):
            if self._terms.missing is None:
                return None, THERMAL_MISSING
            return int(self._terms.missing.scaleb(6)), None
        highest = max(
            self._after(first, between(self._times[first], started_at)),
            *self._filtered[first + 1 : after],
            self._after(after - 1, between(self._times[after - 1], ended_at)),
        )
        return nearest(Fraction(curve(self._terms, highest)) * 1_000_000, "half_even"), None

    def _fresh(self, first: int, after: int, started_at: datetime, ended_at: datetime) -> bool:
        moments = [*self._times[first:after], ended_at]
        gaps = [between(*pair) for pair in pairwise(moments)]
        return started_at < ended_at and all(gap <= self._terms.fresh_us for gap in gaps)

    def _limited(self) -> list[tuple[datetime, datetime]]:
        """Every stretch in which the limit stands."""
        found = []
        since: datetime | None = None
        end = datetime.max.replace(tzinfo=self._times[0].tzinfo) if self._times else None
        for position, at in enumerate(self._times):
            until = self._times[position + 1] if position + 1 < len(self._times) else end
            assert until is not None
            now = at
            while now is not None and now < until:
                if since is None:
                    now = since = self._reached(position, at, now, until)
                else:
                    released = self._released(position, at, now, until)
                    if released is not None:
                        if released > since:
                            found.append((since, released))
                        # a limit within the release range stands for no time at all
                        now = released if released > since else None
                        since = None
                    else:
                        now = None
        if since is not None:
            assert end is not None
            found.append((since, end))
        return found

    def _at(self, position: int, at: datetime, now: datetime) -> Decimal:
        # exactly at its sample F is known as such: no rounding of an exponential in between
        if now == at:
            return self._filtered[position]
        return self._after(position, between(at, now))

    def _reached(
        self, position: int, at: datetime, now: datetime, until: datetime
    ) -> datetime | None:
        value, target = self._at(position, at, now), self._measured[position]
        high, low = self._zero_high, self._zero_low
        if value > high or (value == high and not self._open_high):
            return now
        if low is not None and value <= low:
            return now
        if value <= high < target:
            return self._crossing(position, at, high, until)
        if low is not None and target < low < value:
            return self._crossing(position, at, low, until)
        return None

    def _released(
        self, position: int, at: datetime, now: datetime, until: datetime
    ) -> datetime | None:
        value, target = self._at(position, at, now), self._measured[position]
        low, high = self._terms.release_low, self._terms.release_high
        if low <= value <= high:
            return now
        if value > high > target:
            return self._crossing(position, at, high, until)
        if value < low < target:
            return self._crossing(position, at, low, until)
        return None

    def _crossing(
        self, position: int, at: datetime, level: Decimal, until: datetime
    ) -> datetime | None:
        """When F passes a level on its way from one sample's value to its target."""
        target, start = self._measured[position], self._filtered[position]
        ratio = WIDE.divide(start - target, level - target)
        length_us = WIDE.multiply(self._tau_us, WIDE.ln(ratio))
        when = _later(at, int(length_us) + 1)
        return when if when is not None and when < until else None


def _later(at: datetime, microseconds: int) -> datetime | None:
    try:
        return at + timedelta(microseconds=microseconds)
    except OverflowError:
        return None


def curve(terms: Thermal, at: Decimal) -> Decimal:
    """Linear between points; the first value below them, 0 above."""
    points = terms.curve
    if at <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in pairwise(points):
        if at <= right:
            rise = WIDE.multiply(high - low, at - left)
            return WIDE.add(low, WIDE.divide(rise, right - left))
    return Decimal(0)


def _limits(terms: Thermal) -> tuple[Decimal, Decimal | None, bool]:
    """The upper limit, the lower one if there is one, and whether the upper one itself still pays."""
    top = max(factor for _, factor in terms.curve)
    plateau = [at for at, factor in terms.curve if factor == top]
    above = [at for at, factor in terms.curve if at > plateau[-1] and factor == 0]
    below = [at for at, factor in terms.curve if at < plateau[0] and factor == 0]
    low = max(below) if below and terms.curve[0][1] == 0 else None
    if above:
        return min(above), low, False
    return terms.curve[-1][0], low, True
