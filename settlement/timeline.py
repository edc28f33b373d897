"""A program's timeline: time cut into intervals in which neither event nor price changes.

Half-open throughout. Where events overlap, the one created last is in force (IEEE 2030.5 clause
10.2.2.3, within one program); where prices overlap, the one received last. Neighbours alike in both
are one interval, so that a price feed's grid does not multiply lines: the settlement interval is the
*largest* piece of time inside one effective window in which the price does not change.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import Final, TypeVar

import polars as pl

from settlement import units
from settlement.periods import Period


@dataclass(frozen=True, slots=True)
class Window:
    """An event as it is in force: its effective window."""

    event_id: str
    program: str
    started_at: datetime
    ended_at: datetime
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Price:
    """A price in force over a half-open interval, in micros of the currency per kWh."""

    program: str
    started_at: datetime
    ended_at: datetime
    price_micros_per_kwh: int
    received_at: datetime


class Place(StrEnum):
    """Where an interval lies, seen from a run over one period."""

    EVENT = "event"
    """In an event that ends in the period: this run settles it."""
    OUTSIDE = "outside"
    """In the period, in no event."""
    ELSEWHERE = "elsewhere"
    """In another run's period, or in an event that another run settles."""


T = TypeVar("T", Window, Price)

SCHEMA: Final = pl.Schema(
    {
        "interval": pl.UInt32(),
        "place": pl.String(),
        "event_id": pl.String(),
        "event_started_at": pl.Datetime("us", "UTC"),
        "started_at": pl.Datetime("us", "UTC"),
        "ended_at": pl.Datetime("us", "UTC"),
        "price_micros_per_kwh": pl.Int64(),
    }
)


@dataclass(frozen=True, slots=True)
class _Cell:
    started_at: datetime
    ended_at: datetime
    place: Place
    window: Window | None
    price: int | None

    def continues(self, other: "_Cell") -> bool:
        return (self.place, self.window, self.price) == (other.place, other.window, other.price)


def build(windows: Iterable[Window], prices: Iterable[Price], period: Period) -> pl.DataFrame:
    """The timeline of one program, without gaps from ``units.EARLIEST`` to ``units.LATEST``.

    Returns:
        ``SCHEMA``, in time order; ``interval`` counts from 0; ``event_id`` is empty and
        ``event_started_at`` null outside of events; the price is null where none is known.
    """
    by_creation = sorted(windows, key=lambda w: (w.created_at, w.event_id))
    by_receipt = sorted(prices, key=lambda p: (p.received_at, p.started_at))
    edges = {units.EARLIEST, units.LATEST, period.started_at, period.ended_at}
    edges.update(edge for w in by_creation for edge in (w.started_at, w.ended_at))
    edges.update(edge for p in by_receipt for edge in (p.started_at, p.ended_at))
    cuts = sorted(edge for edge in edges if units.EARLIEST <= edge <= units.LATEST)
    in_force = _cover(cuts, by_creation)
    priced = _cover(cuts, by_receipt)
    cells: list[_Cell] = []
    for (start, end), window, price in zip(pairwise(cuts), in_force, priced, strict=True):
        place = _place(start, end, window, period)
        cell = _Cell(start, end, place, window, price.price_micros_per_kwh if price else None)
        if cells and cells[-1].continues(cell):
            cell = _Cell(cells.pop().started_at, end, place, window, cell.price)
        cells.append(cell)
    return pl.DataFrame(
        [
            (
                number,
                cell.place.value,
                cell.window.event_id if cell.window else "",
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


def _cover(cuts: Sequence[datetime], ascending: Iterable[T]) -> list[T | None]:
    """For each piece between two cuts the last of the items that covers it."""
    covering: list[T | None] = [None] * (len(cuts) - 1)
    for item in ascending:
        first, last = bisect_left(cuts, item.started_at), bisect_left(cuts, item.ended_at)
        covering[first:last] = [item] * (last - first)
    return covering


def _place(start: datetime, end: datetime, window: Window | None, period: Period) -> Place:
    if window is not None:
        ends_here = period.started_at < window.ended_at <= period.ended_at
        return Place.EVENT if ends_here else Place.ELSEWHERE
    inside = period.started_at <= start and end <= period.ended_at
    return Place.OUTSIDE if inside else Place.ELSEWHERE
