"""Derating by battery temperature: a first-order filter, a piecewise linear curve, and a limit.

The measured temperature T holds from one sample to the next; the filtered temperature F approaches
it as dF/dt = (T − F)/τ, starting at the vehicle's first sample with what it says. So, a time d after
a sample at which the filter stood at F₀, F = T + (F₀ − T)·exp(−d/τ), and F = T where τ is 0. Where a
vehicle has two samples at one time (two chargers), the higher one counts.

Between samples F only rises or only falls, so that the highest temperature of an interval is one of
its values at the interval's ends and at the samples within, and whether F came past the limit or the
release band on its way can be told from its values at two moments. Nothing therefore depends on
which intervals are asked for, and no step size enters. It also means that a trace can be followed one
sample at a time: what the guard decides as samples come in (``settlement.throttling``) and what is
settled months later are steps of the same ``Rule``.

F is computed as an IEEE double in milli-°C, one multiplication and two additions from sample to
sample; the curve is read at that double with exact fractions, and rounded once, to millionths, half
to even. Without a filter F is the integer that was measured, and the factor is exact.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import exp
from typing import Final, NamedTuple, Self

import polars as pl

from settlement.programs import Thermal
from settlement.reasons import UnpaidReason

RESULT: Final = pl.Schema(
    {
        "thermal_factor_ppm": pl.Int64(),
        "thermal_reason": pl.String(),
        "battery_millicelsius": pl.Int64(),
    }
)
"""What ``factors`` adds."""

_Judged = tuple[int | None, str | None, int | None]


@dataclass(frozen=True, slots=True)
class Limit:
    """The temperatures (milli-°C) at which THERMAL_LIMIT_REACHED is raised.

    Attributes:
        low: at this temperature and below; None where the curve has no zero on the cold side.
        high: at this temperature and above.
        high_included: False where the curve does not come down to 0 but ends: only beyond it.
    """

    low: int | None
    high: int
    high_included: bool

    def reached(self, temperature: float) -> bool:
        """Whether a temperature (milli-°C) is at or beyond the limit."""
        if self.low is not None and temperature <= self.low:
            return True
        return temperature > self.high or (self.high_included and temperature == self.high)


def limit(terms: Thermal) -> Limit:
    """Where the curve reaches 0, seen from its plateau, the points of its highest value.

    A curve that is 0 everywhere has no plateau; its limit is reached at any temperature.

    >>> terms = Thermal(0, ((20_000, 10**6), (45_000, 10**6), (55_000, 0)), None, 0, 20_000, 45_000)
    >>> limit(terms)
    Limit(low=None, high=55000, high_included=True)
    """
    top = max(value for _, value in terms.curve)
    plateau = [at for at, value in terms.curve if value == top]
    last = terms.curve[-1][0]
    if top == 0:
        return Limit(low=last, high=last, high_included=True)
    colder = [at for at, value in terms.curve if value == 0 and at < plateau[0]]
    hotter = [at for at, value in terms.curve if value == 0 and at > plateau[-1]]
    return Limit(
        low=colder[-1] if colder else None,
        high=hotter[0] if hotter else last,
        high_included=bool(hotter),
    )


def curve_ppm(curve: Sequence[tuple[int, int]], temperature: float) -> int:
    """The curve at a temperature (milli-°C), in millionths, rounded half to even.

    The first value below the first point, 0 above the last one.

    >>> curve = ((20_000, 1_000_000), (45_000, 1_000_000), (55_000, 0))
    >>> [curve_ppm(curve, at) for at in (-5_000, 44_000, 47_000, 55_000, 60_000)]
    [1000000, 1000000, 800000, 0, 0]
    """
    if temperature <= curve[0][0]:
        return curve[0][1]
    for (left, at_left), (right, at_right) in pairwise(curve):
        if temperature <= right:
            way = Fraction(temperature) - left
            return round(at_left + (at_right - at_left) * way / (right - left))
    return 0


class Standing(NamedTuple):
    """Where the filter stood at a sample.

    Attributes:
        at: when the sample was measured, µs since the epoch.
        measured: what it said, milli-°C; it holds until the next one.
        filtered: F then, milli-°C.
        stands: whether THERMAL_LIMIT_REACHED stood then.
    """

    at: int
    measured: int
    filtered: float
    stands: bool


@dataclass(frozen=True, slots=True)
class Rule:
    """How a battery goes from one sample to the next under a program's terms."""

    terms: Thermal
    limit: Limit

    @classmethod
    def of(cls, terms: Thermal) -> Self:
        return cls(terms, limit(terms))

    def begin(self, at: int, measured: int, *, stood: bool = False) -> Standing:
        """The first sample that is known. ``stood``: whether the limit is known to have stood before."""
        stands = self.limit.reached(measured) or (stood and not self.releases(measured))
        return Standing(at, measured, measured, stands)

    def follow(self, last: Standing | None, at: int, measured: int) -> Standing:
        """The next sample, later than the last one."""
        if last is None:
            return self.begin(at, measured)
        reached = measured if self.terms.time_constant_us == 0 else self.filtered_at(last, at)
        return Standing(at, measured, reached, self.stands_at(last, reached))

    def filtered_at(self, last: Standing, moment: int) -> float:
        """F at a moment of the time from a sample to the next one, both included: at the next one
        it is the limit from the left.
        """
        if self.terms.time_constant_us == 0:
            return last.measured
        above = last.filtered - last.measured
        return last.measured + above * exp((last.at - moment) / self.terms.time_constant_us)

    def stated_at(self, last: Standing, moment: int) -> int:
        """The same in whole milli-°C, rounded half to even, for people."""
        return round(self.filtered_at(last, moment))

    def stands_at(self, last: Standing, reached: float) -> bool:
        """Whether the limit stands once F, coming from a sample, has reached a temperature."""
        if self.limit.reached(reached):
            return True
        if not last.stands:
            return False
        # A filtered temperature passes through all between; a measured one jumps.
        came_from = reached if self.terms.time_constant_us == 0 else last.filtered
        return not self._within(min(came_from, reached), max(came_from, reached))

    def releases(self, filtered: float) -> bool:
        """Whether a filtered temperature (milli-°C) is within the release band."""
        return self._within(filtered, filtered)

    def _within(self, lowest: float, highest: float) -> bool:
        """Whether a way between two temperatures touches the release band."""
        low, high = self.terms.release_low_millicelsius, self.terms.release_high_millicelsius
        return lowest <= high and highest >= low


@dataclass(frozen=True, slots=True)
class Trace:
    """One vehicle's samples: their times (µs), and where the filter stood at each."""

    rule: Rule
    times: Sequence[int]
    points: Sequence[Standing]

    @classmethod
    def of(cls, times: Sequence[int], measured: Sequence[int], terms: Thermal) -> Self:
        """Samples by time, each time once."""
        rule = Rule.of(terms)
        points: list[Standing] = []
        last: Standing | None = None
        for at, temperature in zip(times, measured, strict=True):
            last = rule.follow(last, at, temperature)
            points.append(last)
        return cls(rule, times, points)

    def stands(self, moment: int) -> bool:
        """Whether THERMAL_LIMIT_REACHED stands at a moment; never before the first sample."""
        latest = bisect_right(self.times, moment) - 1
        if latest < 0:
            return False
        last = self.points[latest]
        return self.rule.stands_at(last, self.rule.filtered_at(last, moment))

    def judge(self, start: int, end: int) -> _Judged:
        """Factor, reason and temperature of [start, end)."""
        rule, points = self.rule, self.points
        first = max(bisect_right(self.times, start) - 1, 0)
        after = bisect_left(self.times, end)
        if first >= after:  # no sample before the end
            return self.missing()
        known_from = max(start, self.times[first])
        at_start = rule.filtered_at(points[first], known_from)
        at_end = rule.filtered_at(points[after - 1], end)
        inside = points[first + 1 : after]
        highest = max(at_start, at_end, *(point.filtered for point in inside))
        if (
            rule.stands_at(points[first], at_start)
            or any(point.stands for point in inside)
            or rule.stands_at(points[after - 1], at_end)
        ):
            return 0, UnpaidReason.THERMAL_LIMIT_REACHED, round(highest)
        latest = [*self.times[first:after], end]
        oldest = max(later - earlier for earlier, later in pairwise(latest))
        if known_from > start or oldest > rule.terms.fresh_us:
            return self.missing()
        return curve_ppm(rule.terms.curve, highest), None, round(highest)

    def missing(self) -> _Judged:
        """What the program says where no temperature is fresh enough."""
        stated = self.rule.terms.missing_factor_ppm
        return stated, UnpaidReason.THERMAL_MISSING if stated is None else None, None


def factors(temperatures: pl.DataFrame, intervals: pl.DataFrame, terms: Thermal) -> pl.DataFrame:
    """The thermal factor of each interval.

    Its temperature is the highest of F at its start, at the samples inside and at its end; the end
    is not part of it, so that a sample exactly then belongs to the next interval.

    THERMAL_LIMIT_REACHED stands from the moment at which F reaches the ``limit`` until F is within
    the release band; an interval in which it stood at any moment has the factor 0. What was last
    known goes on standing: it comes before THERMAL_MISSING, because a sensor that falls silent at
    the limit must not turn "nothing earned" into "not known yet".

    A temperature is missing where at any moment of the interval the latest sample is older than
    ``fresh_us`` (exactly as old is fresh) or there is none: the factor that the program states for
    that, or null and THERMAL_MISSING.

    Args:
        temperatures: ``schemas.TEMPERATURE``; vehicle_id, measured_at and battery_millicelsius are
            read. From early enough for the filter to have settled.
        intervals: vehicle_id, started_at, ended_at, each a row once, and whatever else.
        terms: the program's.

    Returns:
        The same rows in the same order, with thermal_factor_ppm (null only where missing and held),
        thermal_reason (THERMAL_LIMIT_REACHED, THERMAL_MISSING or null) and battery_millicelsius (the
        interval's temperature, rounded half to even; null where it is missing, unless the limit
        stands and some of it is known).
    """
    traces = traces_of(temperatures, intervals, terms)
    silent = Trace.of([], [], terms)
    judged = [
        traces.get(vehicle, silent).judge(start, end)
        for vehicle, start, end in intervals.select(
            "vehicle_id", *(pl.col(edge).dt.epoch("us") for edge in ("started_at", "ended_at"))
        ).iter_rows()
    ]
    return intervals.hstack(pl.DataFrame(judged, schema=RESULT, orient="row"))


def traces_of(
    temperatures: pl.DataFrame, intervals: pl.DataFrame, terms: Thermal
) -> Mapping[str, Trace]:
    samples = (
        temperatures.lazy()
        .join(intervals.lazy().select("vehicle_id").unique(), on="vehicle_id", how="semi")
        .group_by("vehicle_id", "measured_at")
        .agg(pl.col("battery_millicelsius").max())
        .sort("vehicle_id", "measured_at")
        .group_by("vehicle_id", maintain_order=True)
        .agg(pl.col("measured_at").dt.epoch("us"), "battery_millicelsius")
        .collect()
    )
    return {
        vehicle: Trace.of(times, measured, terms)
        for vehicle, times, measured in samples.iter_rows()
    }
