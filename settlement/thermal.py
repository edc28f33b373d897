"""Derating by battery temperature: a first-order filter, a piecewise linear curve, and a limit.

The measured temperature T holds from one sample to the next; the filtered temperature F approaches
it as dF/dt = (T − F)/τ, starting at the vehicle's first sample with what it says. So, a time d after
a sample at which the filter stood at F₀, F = T + (F₀ − T)·exp(−d/τ), and F = T where τ is 0. Where a
vehicle has two samples at one time (two chargers), the higher one counts.

Between samples F only rises or only falls, so that the highest temperature of an interval is one of
its values at the interval's ends and at the samples within, and whether F came past the limit or the
release band on its way can be told from its values at two moments. Nothing therefore depends on
which intervals are asked for, and no step size enters.

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
from typing import Final, Self

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
    traces = _traces(temperatures, intervals, terms)
    silent = _Trace.of([], [], terms)
    judged = [
        traces.get(vehicle, silent).judge(start, end)
        for vehicle, start, end in intervals.select(
            "vehicle_id", *(pl.col(edge).dt.epoch("us") for edge in ("started_at", "ended_at"))
        ).iter_rows()
    ]
    return intervals.hstack(pl.DataFrame(judged, schema=RESULT, orient="row"))


def _traces(
    temperatures: pl.DataFrame, intervals: pl.DataFrame, terms: Thermal
) -> Mapping[str, "_Trace"]:
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
        vehicle: _Trace.of(times, measured, terms)
        for vehicle, times, measured in samples.iter_rows()
    }


@dataclass(frozen=True, slots=True)
class _Trace:
    """One vehicle's samples: times (µs), measured, filtered, and whether the limit stands then."""

    terms: Thermal
    limit: Limit
    times: list[int]
    measured: list[int]
    filtered: list[float]
    stands: list[bool]

    @classmethod
    def of(cls, times: list[int], measured: list[int], terms: Thermal) -> Self:
        trace = cls(terms, limit(terms), times, measured, [], [])
        for sample, temperature in enumerate(measured):
            if sample == 0 or terms.time_constant_us == 0:
                reached: float = temperature
            else:
                reached = trace.filtered_at(sample - 1, times[sample])
            stood = trace.stands_at(sample - 1, reached) if sample else trace.limit.reached(reached)
            trace.filtered.append(reached)
            trace.stands.append(stood)
        return trace

    def filtered_at(self, sample: int, moment: int) -> float:
        """F at a moment of the time from a sample to the next one, both included: at the next one
        it is the limit from the left.
        """
        measured = self.measured[sample]
        if self.terms.time_constant_us == 0:
            return measured
        age = moment - self.times[sample]
        above = self.filtered[sample] - measured
        return measured + above * exp(-age / self.terms.time_constant_us)

    def stands_at(self, sample: int, reached: float) -> bool:
        """Whether the limit stands once F, coming from a sample, has reached a temperature."""
        if self.limit.reached(reached):
            return True
        if not self.stands[sample]:
            return False
        low, high = self.terms.release_low_millicelsius, self.terms.release_high_millicelsius
        # A filtered temperature passes through all between; a measured one jumps.
        came_from = reached if self.terms.time_constant_us == 0 else self.filtered[sample]
        return not (min(came_from, reached) <= high and max(came_from, reached) >= low)

    def judge(self, start: int, end: int) -> _Judged:
        """Factor, reason and temperature of [start, end)."""
        first = max(bisect_right(self.times, start) - 1, 0)
        after = bisect_left(self.times, end)
        if first >= after:  # no sample before the end
            return self.missing()
        known_from = max(start, self.times[first])
        at_start = self.filtered_at(first, known_from)
        at_end = self.filtered_at(after - 1, end)
        highest = max(at_start, at_end, *self.filtered[first + 1 : after])
        if (
            self.stands_at(first, at_start)
            or any(self.stands[first + 1 : after])
            or self.stands_at(after - 1, at_end)
        ):
            return 0, UnpaidReason.THERMAL_LIMIT_REACHED, round(highest)
        latest = [*self.times[first:after], end]
        oldest = max(later - earlier for earlier, later in pairwise(latest))
        if known_from > start or oldest > self.terms.fresh_us:
            return self.missing()
        return curve_ppm(self.terms.curve, highest), None, round(highest)

    def missing(self) -> _Judged:
        """What the program says where no temperature is fresh enough."""
        stated = self.terms.missing_factor_ppm
        return stated, UnpaidReason.THERMAL_MISSING if stated is None else None, None
