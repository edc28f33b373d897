"""The chart of a settlement: power, price and battery temperature over time, and what was paid.

Drawn from left to right in time, three panels one above the other, with the paid intervals as a band
along the top and the unpaid ones hatched. Lines differ by their dashes and bands by their hatching,
so that it reads without colour. Floats are for the drawing only.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Final
from zoneinfo import ZoneInfo

from statements.numerals import MINUS, local

WIDTH: Final = 960
LEFT: Final = 70
RIGHT: Final = 15
BAND: Final = 18
PANEL: Final = 90
GAP: Final = 30
TOP: Final = 22

POINTS_MAX: Final = 800
"""Of one curve; beyond that each point stands for several."""

_HOURS: Final = timedelta(days=1)
_DAYS: Final = timedelta(days=30)
"""Up to these lengths the time axis says the time of day, and the day with it."""

Points = Sequence[tuple[datetime, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """One panel.

    Attributes:
        name: what it shows, with its unit.
        kind: the class that its line is styled by.
        parts: points by time; where nothing is known, between two parts, nothing is drawn.
        steps: whether values hold until the next one; else they are joined.
    """

    name: str
    kind: str
    parts: Sequence[Points]
    steps: bool

    @property
    def low(self) -> float:
        """The lowest value."""
        return min(value for part in self.parts for _, value in part)

    @property
    def high(self) -> float:
        """The highest value."""
        return max(value for part in self.parts for _, value in part)


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn, from ``started_at`` to ``ended_at``, in local time."""

    label: str
    started_at: datetime
    ended_at: datetime
    zone: ZoneInfo
    curves: Sequence[Curve]
    paid: Sequence[tuple[datetime, datetime]]
    unpaid: Sequence[tuple[datetime, datetime]]

    def svg(self) -> Iterator[str]:
        """The chart as an SVG element, in pieces."""
        curves = [curve for curve in self.curves if any(curve.parts)]
        height = TOP + BAND + len(curves) * (PANEL + GAP) + GAP
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">'
            f"<title>{escape(self.label)}</title><desc>{escape(self._described(curves))}</desc>"
        )
        yield f'<text x="{LEFT}" y="{TOP - 7}">paid: solid; not paid: hatched</text>'
        for kind, spans in (("unpaid", self.unpaid), ("paid", self.paid)):
            for start, end in spans:
                left, right = self._across(start), self._across(end)
                if left < right:
                    yield (
                        f'<rect class="{kind}" x="{left:.1f}" y="{TOP}"'
                        f' width="{right - left:.1f}" height="{BAND}"/>'
                    )
        for place, curve in enumerate(curves):
            yield from self._panel(curve, TOP + BAND + GAP + place * (PANEL + GAP))
        yield from self._time_axis(height - GAP)
        yield "</svg>"

    def _described(self, curves: Sequence[Curve]) -> str:
        parts = [
            f"{curve.name} from {_figure(curve.low)} to {_figure(curve.high)}" for curve in curves
        ]
        return (
            f"From {local(self.started_at, self.zone)} to {local(self.ended_at, self.zone)}: "
            + "; ".join([*parts, f"{len(self.paid)} paid and {len(self.unpaid)} unpaid intervals"])
        )

    def _across(self, at: datetime) -> float:
        share = (at - self.started_at) / (self.ended_at - self.started_at)
        return LEFT + min(1.0, max(0.0, share)) * (WIDTH - LEFT - RIGHT)

    def _panel(self, curve: Curve, top: int) -> Iterator[str]:
        low = curve.low if curve.kind == "heat" else min(0.0, curve.low)
        high = curve.high if curve.kind == "heat" else max(0.0, curve.high)
        high = high if high > low else low + 1.0
        scale = PANEL / (high - low)

        def down(value: float) -> float:
            return top + PANEL - (value - low) * scale

        yield f'<text x="{LEFT}" y="{top - 6}">{escape(curve.name)}</text>'
        yield f'<path class="axis" d="M{LEFT} {top}V{top + PANEL}H{WIDTH - RIGHT}"/>'
        if low < 0 < high:
            yield f'<path class="axis" d="M{LEFT} {down(0.0):.1f}H{WIDTH - RIGHT}"/>'
        for value in (low, high):
            yield (
                f'<text x="{LEFT - 6}" y="{down(value) + 4:.1f}" text-anchor="end">'
                f"{_figure(value)}</text>"
            )
        path: list[str] = []
        for part in curve.parts:
            points = _thinned(part, POINTS_MAX // len(curve.parts))
            path.extend(f"M{self._across(at):.1f} {down(value):.1f}" for at, value in points[:1])
            for at, value in points[1:]:
                across = f"{self._across(at):.1f}"
                path.append(
                    f"H{across}V{down(value):.1f}"
                    if curve.steps
                    else f"L{across} {down(value):.1f}"
                )
        yield f'<path class="{curve.kind}" d="{"".join(path)}"/>'

    def _time_axis(self, top: int) -> Iterator[str]:
        length = self.ended_at - self.started_at
        form = "%m-%d %H:%M" if length > _HOURS else "%H:%M:%S"
        form = "%Y-%m-%d" if length > _DAYS else form
        for quarter in range(5):
            at = self.started_at + length * quarter / 4
            anchor = ("start", "middle", "middle", "middle", "end")[quarter]
            shown = f"{at.astimezone(self.zone):{form}}"
            yield (
                f'<text x="{self._across(at):.1f}" y="{top + 14}" text-anchor="{anchor}">{shown}</text>'
            )


def _figure(value: float) -> str:
    text = f"{abs(value):.3f}".rstrip("0").rstrip(".")
    return f"{MINUS}{text}" if value < 0 and text != "0" else text


def _thinned(points: Points, most: int) -> Points:
    """At most about so many points: of each stretch the lowest and the highest, in order."""
    if len(points) <= max(most, 2):
        return points
    stretch = -(-2 * len(points) // max(most, 2))
    kept: list[tuple[datetime, float]] = []
    for first in range(0, len(points), stretch):
        part = points[first : first + stretch]
        kept.extend(sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}))
    return kept
