"""The engine: everything one run knows in, everything it decides out. ``v2g replay`` and the running
system call this same function.

    facts + period → timelines → readings measured over them → matched → priced
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import polars as pl

from settlement import matching, metering, pricing, seasons, timeline, units
from settlement.facts import Facts
from settlement.matching import Measured
from settlement.matching.scopes import Bucket, buckets
from settlement.periods import Period
from settlement.programs import Product, Program, Quantity
from settlement.timeline import Place, Window

Readings = Callable[[Period], pl.DataFrame]
"""Gives the readings that overlap a period: ``schemas.READING`` and ``conflicted`` (bool: its identity
carries two contents). Asked for one stretch of time after the other, so that memory stays bounded."""

EVENT_MAX: Final = timedelta(days=7)
"""Longest event; it bounds how far back a run looks for events that its period settles."""


@dataclass(frozen=True)
class Computed:
    """What a run decides.

    Attributes:
        matched: ``schemas.MATCHED_DISCHARGE``.
        unpaid: ``schemas.UNPAID``.
        lines: ``schemas.LINE``.
        settlements: ``schemas.SETTLEMENT`` without its id.
    """

    matched: pl.DataFrame
    unpaid: pl.DataFrame
    lines: pl.DataFrame
    settlements: pl.DataFrame


def compute(
    readings: Readings, facts: Facts, period: Period, *, stretch: timedelta | None = None
) -> Computed:
    """Settle a period: the events, and of capacity programs the seasons, that end in it; and account
    for the discharge outside of every event in it.

    Args:
        readings: see ``Readings``.
        facts: of all programs, as known at one time.
        period: half-open.
        stretch: about how much time is measured at once; an event is never torn. None for all of it.

    Returns:
        Frames in a fixed order, so that equal input in any order gives equal bytes.

    Raises:
        BoundExceededError: a value outside its declared range would wrap a product.
    """
    measured = _measure(readings, facts, buckets(facts, period), _stretches(facts, period, stretch))
    matched = matching.match(measured, facts)
    priced = pricing.price(matched.matched, matched.unpaid, facts.programs)
    return Computed(matched.matched, matched.unpaid, priced.lines, priced.settlements)


def horizon(programs: Mapping[str, Sequence[Program]], period: Period) -> Period:
    """The time over which events must be known: back to the start of every season that counts."""
    start = period.started_at - EVENT_MAX
    for versions in programs.values():
        for program in versions:
            if program.product is Product.CAPACITY or program.caps.season_us is not None:
                start = min(start, seasons.season_of(program, start).started_at)
    return Period(max(start, units.EARLIEST), period.ended_at)


def reach(
    programs: Mapping[str, Sequence[Program]], windows: Sequence[Window], period: Period
) -> Period:
    """The time over which readings, prices and all else are needed: the period, extended back to the
    start of the earliest event that it settles, and by the longest look-back.

    Args:
        programs: all versions of each, by name.
        windows: that touch ``horizon``.
        period: the run's.
    """
    start, end = period.started_at, period.ended_at
    for program, window in _settled(programs, windows, period):
        start = min(start, window.started_at - timedelta(microseconds=program.checks.lookback_us))
        end = max(end, window.ended_at + timedelta(microseconds=program.checks.lookahead_us))
    return Period(max(start, units.EARLIEST), min(end, units.LATEST))


def _settled(
    programs: Mapping[str, Sequence[Program]], windows: Sequence[Window], period: Period
) -> Iterator[tuple[Program, Window]]:
    for window in windows:
        versions = programs.get(window.program)
        if versions is not None:
            program = seasons.governing(versions, window.started_at)
            if timeline.settles(program, window, period):
                yield program, window


def _stretches(facts: Facts, period: Period, length: timedelta | None) -> list[Period]:
    """The parts of the reach in which something counts, ascending, each about ``length`` at most.

    No event is torn. Between the events of a season that a capacity program settles nothing counts,
    and nothing is read.
    """
    if length is None:
        return [reach(facts.programs, facts.windows, period)]
    events = _union(
        Period(
            max(w.started_at - timedelta(microseconds=p.checks.lookback_us), units.EARLIEST),
            w.ended_at + timedelta(microseconds=p.checks.lookahead_us),
        )
        for p, w in _settled(facts.programs, facts.windows, period)
    )
    parts = []
    for needed in _union([*events, period]):
        start = needed.started_at
        while start < needed.ended_at:
            end = min(start + length, needed.ended_at)
            end = next((e.ended_at for e in events if e.started_at < end < e.ended_at), end)
            parts.append(Period(start, end))
            start = end
    return parts


def _union(spans: Iterable[Period]) -> list[Period]:
    joined: list[Period] = []
    for span in sorted(spans):
        if joined and span.started_at <= joined[-1].ended_at:
            last = joined.pop()
            joined.append(Period(last.started_at, max(last.ended_at, span.ended_at)))
        else:
            joined.append(span)
    return joined


def _measure(
    readings: Readings, facts: Facts, scopes: Sequence[Bucket], parts: Sequence[Period]
) -> list[Measured]:
    """Measure part by part, and sum up. A reading counts in the part in which it starts."""
    pieces: list[list[pl.DataFrame]] = [[] for _ in scopes]
    charged: list[list[pl.DataFrame]] = [[CHARGED.clear()] for _ in scopes]
    since = units.EARLIEST
    for part in parts:
        counted = Period(since, part.ended_at)
        since = part.ended_at
        frame = readings(_with_neighbours(part))
        for number, bucket in enumerate(scopes):
            mine = _of(frame, bucket, facts.contracts)
            if mine is None:
                continue
            vehicles, seen = mine
            pieces[number].append(
                _meter(seen, bucket.cells, bucket, facts, counted).filter(vehicles)
            )
            charged[number].extend(
                _charged(seen, bucket, window, facts, counted).filter(vehicles)
                for window in bucket.windows
                if part.started_at < window.ended_at <= part.ended_at
            )
    return [
        Measured(bucket, _summed(pieces[number]), pl.concat(charged[number]))
        for number, bucket in enumerate(scopes)
    ]


def _with_neighbours(part: Period) -> Period:
    """Wide enough to hold every reading that overlaps, or directly precedes, one that counts: whichever
    part looks at a pair of readings over the same time, it sees both.
    """
    return Period(
        max(part.started_at - units.INTERVAL_MAX, units.EARLIEST),
        min(part.ended_at + units.INTERVAL_MAX, units.LATEST),
    )


def _of(
    frame: pl.DataFrame, bucket: Bucket, contracts: pl.DataFrame
) -> tuple[pl.Expr, pl.DataFrame] | None:
    """A condition on a bucket's vehicles, and the readings to look at for them: theirs, and those of
    others at the same EVSEs. None where there is none.
    """
    seen = set(frame["vehicle_id"].unique())
    enrolled = set(contracts["vehicle_id"])
    mine = seen - enrolled if bucket.vehicles is None else seen & bucket.vehicles
    if not mine:
        return None
    condition = pl.col("vehicle_id").is_in(sorted(mine))
    if mine == seen:
        return pl.lit(value=True), frame
    evses = frame.filter(condition)["evse_id"].unique()
    return condition, frame.filter(condition | pl.col("evse_id").is_in(evses.implode()))


def _meter(
    frame: pl.DataFrame,
    cells: pl.DataFrame,
    bucket: Bucket,
    facts: Facts,
    counted: Period,
    *,
    imports: bool = False,
) -> pl.DataFrame:
    program = bucket.program
    return metering.measure(
        frame,
        cells,
        program.checks,
        facts.contracts,
        facts.sites,
        counted=counted,
        imports=imports or program.needs_baseline or program.quantity is Quantity.NET,
        idle=program.needs_baseline or program.product is Product.CAPACITY,
    )


CHARGED: Final = pl.DataFrame(
    schema={"event_id": pl.String(), "vehicle_id": pl.String(), "charged_milliwh": pl.Int64()}
)


def _charged(
    frame: pl.DataFrame, bucket: Bucket, window: Window, facts: Facts, counted: Period
) -> pl.DataFrame:
    """What vehicles imported within the look-back and the look-ahead of an event.

    They reach to the part of the event that can be paid: what is charged while devices may still draw
    their starts is charged before it.
    """
    checks, certain = bucket.program.checks, window.certain
    if certain is None:
        return CHARGED
    spans = []
    if checks.lookback_us:
        before = window.started_at - timedelta(microseconds=checks.lookback_us)
        spans.append((max(before, units.EARLIEST), certain.started_at))
    if checks.lookahead_us:
        after = window.until + timedelta(microseconds=checks.lookahead_us)
        spans.append((certain.ended_at, min(after, units.LATEST)))
    if not spans:
        return CHARGED
    edges = sorted({units.EARLIEST, units.LATEST, *(edge for span in spans for edge in span)})
    around = [any(start <= edge < end for start, end in spans) for edge in edges]
    cells = pl.DataFrame(
        [
            (
                number,
                (Place.EVENT if counts else Place.ELSEWHERE).value,
                None,
                window.event_id if counts else "",
                None,
                start,
                end,
                None,
            )
            for number, (start, end, counts) in enumerate(
                zip(edges, edges[1:], around, strict=False)
            )
        ],
        schema=timeline.SCHEMA,
        orient="row",
    )
    pieces = _meter(frame, cells, bucket, facts, counted, imports=True)
    inside = [number for number, counts in enumerate(around) if counts]
    return (
        pieces.filter(pl.col("fault").is_null() & pl.col("interval").is_in(inside))
        .group_by("vehicle_id")
        .agg(charged_milliwh=pl.col("imported_milliwh").sum())
        .filter(pl.col("charged_milliwh") > 0)
        .select(pl.lit(window.event_id).alias("event_id"), "vehicle_id", "charged_milliwh")
    )


def _summed(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    if len(parts) == 1:
        return parts[0]
    return (
        pl.concat([pl.DataFrame(schema=metering.PIECES), *parts])
        .group_by("vehicle_id", "evse_id", "interval", "fault")
        .agg(
            pl.col(
                "exported_milliwh", "imported_milliwh", "covered_us", "discharged_us", "readings"
            ).sum()
        )
    )
