"""From events and prices to the intervals of ``settlement.timeline``."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, TypeVar

import polars as pl

from settlement import seasons, units
from settlement.periods import Period
from settlement.programs import Product, Program
from settlement.reasons import UnpaidReason
from settlement.timeline.scope import Beside, Place, Price, Rival, Scope, accounts, place
from settlement.windows import Piece, State, Window, sweep

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

NOT_IN_FORCE: Final = {
    State.CANCELLED: UnpaidReason.EVENT_CANCELLED,
    State.OVER: UnpaidReason.EVENT_SUPERSEDED,
    State.RANDOMISED: UnpaidReason.EVENT_RANDOMISED,
    State.LATE_NOTICE: UnpaidReason.LATE_NOTICE,
}
"""Why nothing is paid in an event's interval where none is in force. Of several events at one time the
one of the best rank says it."""


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
        windows: of the program, all versions, each event once; of the whole season where hours are
            capped.
        prices: of the program; ignored where the program's price is fixed or it pays by power.
        scope: see ``Scope``.

    Returns:
        ``SCHEMA``, in time order; ``interval`` counts from 0; ``event_id`` is empty where no event is
        in force, unless one would be but for ``NOT_IN_FORCE`` or its group; ``event_started_at`` is
        null where none is in force; the price is null where none is known.
    """
    events = list(windows)
    addressed = [w for w in events if w.event_id not in scope.not_addressed]
    others = [w for w in events if w.event_id in scope.not_addressed]
    pieces = list(sweep(addressed))
    foreign = [piece for piece in sweep(others) if piece.paid is not None]
    known = sorted(prices, key=lambda p: (p.received_at, p.started_at)) if _by_rtp(scope) else []
    spans = _paid_spans(scope, addressed)
    rivals = _rivals(scope.rivals)
    cuts = _cuts(
        scope,
        ((one.started_at, one.ended_at) for one in (*pieces, *foreign)),
        ((p.started_at, p.ended_at) for p in known),
        ((s.started_at, s.ended_at) for s in spans or ()),
        ((start, end) for of_program in rivals for _, start, end in of_program),
    )
    here = _cover(cuts, [(piece, piece.started_at, piece.ended_at) for piece in pieces])
    elsewhere = _cover(cuts, [(p.paid, p.started_at, p.ended_at) for p in foreign])
    priced = _cover(cuts, [(p, p.started_at, p.ended_at) for p in known])
    rivalling = [_cover(cuts, of_program) for of_program in rivals]
    fixed = scope.program.fixed_price_micros_per_kwh
    by_id = {w.event_id: w for w in addressed}
    cells = []
    for number, (start, end) in enumerate(pairwise(cuts)):
        piece, price = here[number], priced[number]
        window, missed = piece.paid if piece else None, None
        named, why = window, None
        if window is None:
            named, why = elsewhere[number], UnpaidReason.OUTSIDE_WINDOW
            if piece is not None:
                event_id, standing = next(iter(piece.standing.items()))
                named = missed = by_id[event_id]
                why = NOT_IN_FORCE[standing.state]
            elif named is not None:
                why = UnpaidReason.OUTSIDE_GROUP
        elif spans is not None and not _within(spans, start):
            why = UnpaidReason.OUTSIDE_SEASON
        where = place(scope, start, end, window)
        beside = [one for covering in rivalling if (one := covering[number]) is not None]
        if not accounts(scope, window, missed, beside):
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
                and any(one.in_force and one.rival.enrolled for one in beside),
            )
        )
    return _frame(_merged(_capped(cells, scope.program), scope.edges))


def _rivals(rivals: Sequence[Rival]) -> list[list[tuple[Beside, datetime, datetime]]]:
    """Of each other program which event is in force when, and which one's time it is where none is."""
    by_program: dict[str, dict[str, Rival]] = defaultdict(dict)
    for rival in rivals:
        by_program[rival.window.program][rival.window.event_id] = rival
    return [
        [
            (_beside(piece, of_program), piece.started_at, piece.ended_at)
            for piece in sweep([rival.window for rival in of_program.values()])
        ]
        for _, of_program in sorted(by_program.items())
    ]


def _beside(piece: Piece, of_program: Mapping[str, Rival]) -> Beside:
    if piece.paid is not None:
        return Beside(of_program[piece.paid.event_id], in_force=True)
    return Beside(of_program[next(iter(piece.standing))], in_force=False)


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
        if w.started_at < w.until
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
