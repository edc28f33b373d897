"""From events and prices to the intervals of ``settlement.timeline``."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, TypeVar

import polars as pl

from settlement import seasons, units
from settlement.periods import Period
from settlement.programs import Product, Program
from settlement.reasons import UnpaidReason
from settlement.timeline.scope import Place, Price, Rival, Scope, Window, accounts, place, rank

T = TypeVar("T")

SCHEMA: Final = pl.Schema(
    {
        "interval": pl.UInt32(),
        "place": pl.String(),
        "why": pl.String(),
        "event_id": pl.String(),
        "event_started_at": pl.Datetime("us", "UTC"),
        "started_at": pl.Datetime("us", "UTC"),
        "ended_at": pl.Datetime("us", "UTC"),
        "price_micros_per_kwh": pl.Int64(),
    }
)
"""``why`` is the reason for which nothing is paid in that interval; null where it may be."""


@dataclass(frozen=True, slots=True)
class _Cell:
    started_at: datetime
    ended_at: datetime
    place: Place
    why: UnpaidReason | None
    window: Window | None
    named: Window | None
    price: int | None
    doubled: bool
    """Several of the vehicles' programs have an event in force under which they are enrolled. It is said
    instead of ``why``, which stands all the same: such time uses up a cap on hours like other time."""

    def continues(self, other: "_Cell") -> bool:
        return self.said() == other.said()

    def said(self) -> tuple[object, ...]:
        return self.place, self.why, self.window, self.named, self.price, self.doubled


def build(windows: Iterable[Window], prices: Iterable[Price], scope: Scope) -> pl.DataFrame:
    """The timeline of one version of a program, without gaps from ``units.EARLIEST`` to ``LATEST``.

    Args:
        windows: of the program, all versions; of the whole season where hours are capped.
        prices: of the program; ignored where the program's price is fixed or it pays by power.
        scope: see ``Scope``.

    Returns:
        ``SCHEMA``, in time order; ``interval`` counts from 0; ``event_id`` is empty where no event is
        in force, unless it would be but for its cancellation or its group; ``event_started_at`` is
        null where none is in force; the price is null where none is known.
    """
    events = sorted(windows, key=rank)
    addressed = [
        w for w in events if w.event_id not in scope.not_addressed and w.started_at < w.until
    ]
    cancelled = [
        replace(w, started_at=max(w.started_at, w.until))
        for w in events
        if w.event_id not in scope.not_addressed and w.until < w.ended_at
    ]
    others = [replace(w, ended_at=w.until) for w in events if w.event_id in scope.not_addressed]
    known = sorted(prices, key=lambda p: (p.received_at, p.started_at)) if _by_rtp(scope) else []
    spans = _paid_spans(scope, addressed)
    cuts = _cuts(
        scope,
        ((w.started_at, w.until) for w in addressed),
        ((w.started_at, w.ended_at) for w in (*cancelled, *others)),
        ((p.started_at, p.ended_at) for p in known),
        ((s.started_at, s.ended_at) for s in spans or ()),
        ((r.window.started_at, r.window.until) for r in scope.rivals),
    )
    in_force = _cover(cuts, [(w, w.started_at, w.until) for w in addressed])
    voided = _cover(cuts, [(w, w.started_at, w.ended_at) for w in cancelled])
    elsewhere = _cover(cuts, [(w, w.started_at, w.ended_at) for w in others])
    priced = _cover(cuts, [(p, p.started_at, p.ended_at) for p in known])
    rivals = _rivals_in_force(cuts, scope.rivals)
    fixed = scope.program.fixed_price_micros_per_kwh
    cells = []
    for number, (start, end) in enumerate(pairwise(cuts)):
        window, price = in_force[number], priced[number]
        named = window or voided[number] or elsewhere[number]
        why: UnpaidReason | None = None
        if window is None:
            why = UnpaidReason.OUTSIDE_WINDOW
            if voided[number]:
                why = UnpaidReason.EVENT_CANCELLED
            elif elsewhere[number]:
                why = UnpaidReason.OUTSIDE_GROUP
        elif spans is not None and not _within(spans, start):
            why = UnpaidReason.OUTSIDE_SEASON
        where = place(scope, start, end, window)
        if not accounts(scope, window, rivals[number]):
            where = Place.ELSEWHERE
        cells.append(
            _Cell(
                start,
                end,
                where,
                why,
                window,
                named,
                price.price_micros_per_kwh if price else fixed,
                doubled=window is not None
                and window.event_id in scope.enrolled
                and any(rival.enrolled for rival in rivals[number]),
            )
        )
    return _frame(_merged(_capped(cells, scope.program), scope.edges))


def _rivals_in_force(cuts: Sequence[datetime], rivals: Sequence[Rival]) -> list[list[Rival]]:
    """For each piece between two cuts the event in force of each other program."""
    found: list[list[Rival]] = [[] for _ in cuts[1:]]
    by_program: dict[str, list[Rival]] = defaultdict(list)
    for rival in rivals:
        by_program[rival.window.program].append(rival)
    for _, of_program in sorted(by_program.items()):
        ascending = sorted(of_program, key=lambda r: rank(r.window))
        covering = _cover(cuts, [(r, r.window.started_at, r.window.until) for r in ascending])
        for number, rival_in_force in enumerate(covering):
            if rival_in_force is not None:
                found[number].append(rival_in_force)
    return found


def _by_rtp(scope: Scope) -> bool:
    program = scope.program
    return program.product is Product.ENERGY and program.fixed_price_micros_per_kwh is None


def _paid_spans(scope: Scope, windows: Sequence[Window]) -> list[Period] | None:
    """Where the program pays, around its events; None where it always does."""
    if seasons.pays_always(scope.program):
        return None
    found = {
        span
        for w in windows
        for span in seasons.paid_spans(scope.program, Period(w.started_at, w.until))
    }
    merged: list[Period] = []
    for span in sorted(found):
        if merged and span.started_at <= merged[-1].ended_at:
            last = merged.pop()
            span = Period(last.started_at, max(last.ended_at, span.ended_at))  # noqa: PLW2901 - grown
        merged.append(span)
    return merged


def _within(spans: Sequence[Period], at: datetime) -> bool:
    number = bisect_right(spans, at, key=lambda s: s.started_at) - 1
    return number >= 0 and at < spans[number].ended_at


def _cuts(scope: Scope, *pairs: Iterable[tuple[datetime, datetime]]) -> list[datetime]:
    edges = {units.EARLIEST, units.LATEST, scope.period.started_at, scope.period.ended_at}
    edges.update(edge for _, edge in scope.edges)
    edges.update(edge for group in pairs for pair in group for edge in pair)
    return sorted(edge for edge in edges if units.EARLIEST <= edge <= units.LATEST)


def _cover(
    cuts: Sequence[datetime], ascending: Iterable[tuple[T, datetime, datetime]]
) -> list[T | None]:
    """For each piece between two cuts the last of the items that covers it."""
    covering: list[T | None] = [None] * (len(cuts) - 1)
    for item, start, end in ascending:
        first, last = bisect_left(cuts, start), bisect_left(cuts, end)
        covering[first:last] = [item] * (last - first)
    return covering


def _capped(cells: Sequence[_Cell], program: Program) -> list[_Cell]:
    """Cells with the time beyond a cap on hours marked, cut exactly where the cap is used up."""
    if program.caps.season_us is None and program.caps.event_us is None:
        return list(cells)
    left_of_season: dict[str, int] = defaultdict(lambda: program.caps.season_us or 0)
    left_of_event: dict[str, int] = defaultdict(lambda: program.caps.event_us or 0)
    capped = []
    for cell in cells:
        if cell.window is None or cell.why is not None:
            capped.append(cell)
            continue
        whole = (cell.ended_at - cell.started_at) // timedelta(microseconds=1)
        paid = whole
        season = seasons.season_of(program, cell.window.started_at).name
        if program.caps.season_us is not None:
            paid = min(paid, left_of_season[season])
        if program.caps.event_us is not None:
            paid = min(paid, left_of_event[cell.window.event_id])
        left_of_season[season] -= paid
        left_of_event[cell.window.event_id] -= paid
        cut = cell.started_at + timedelta(microseconds=paid)
        if paid > 0:
            capped.append(replace(cell, ended_at=cut))
        if paid < whole:
            capped.append(replace(cell, started_at=cut, why=UnpaidReason.OVER_CAP))
    return capped


def _merged(cells: Iterable[_Cell], edges: frozenset[tuple[str, datetime]]) -> list[_Cell]:
    merged: list[_Cell] = []
    for cell in cells:
        ends = cell.window is not None and (cell.window.event_id, cell.started_at) in edges
        if merged and merged[-1].continues(cell) and not ends:
            merged.append(replace(merged.pop(), ended_at=cell.ended_at))
        else:
            merged.append(cell)
    return merged


def _said(cell: _Cell) -> str | None:
    why = UnpaidReason.DOUBLE_ENROLMENT if cell.doubled else cell.why
    return why.value if why else None


def _frame(cells: Sequence[_Cell]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            (
                number,
                cell.place.value,
                _said(cell),
                cell.named.event_id if cell.named else "",
                cell.window.started_at if cell.window else None,
                cell.started_at,
                cell.ended_at,
                cell.price,
            )
            for number, cell in enumerate(cells)
        ],
        schema=SCHEMA,
        orient="row",
    )
