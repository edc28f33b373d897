"""A picture of an event: the fleet's power and the price over time, as an SVG of some kilobytes.

Written by hand, for it needs two step curves and three axes; a plotting library would be a hundred
megabytes in the worker. It stands by itself: white ground, no script, no font, no address of anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

from settlement import units
from settlement.periods import Period, floor
from tasks.pages.curves import Step, longest, thinned

STEPS_MAX: Final = 400
"""Of one curve; more are thinned, with their peaks kept."""
TITLE_MAX: Final = 100

WIDTH: Final = 720
HEIGHT: Final = 420
"""The UI shows some 500 to 700 pixels across."""
LEFT: Final = 70
RIGHT: Final = WIDTH - 70
TOP: Final = 68
BOTTOM: Final = HEIGHT - 88
_TICKS_MAX: Final = 6
_TIMES_MAX: Final = 7
_TIMES: Final = (
    *(timedelta(minutes=minutes) for minutes in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=hours) for hours in (1, 2, 3, 6, 12, 24, 48, 168)),
)
_POWER: Final = "#1d4ed8"
_PRICE: Final = "#b45309"
_WINDOW: Final = "#bbf7d0"
_INK: Final = "#111827"
_GRID: Final = "#e5e7eb"


@dataclass(frozen=True)
class Scene:
    """What is drawn.

    Attributes:
        title: stands above it.
        zone: of the times on its axis.
        shown: from its left edge to its right one.
        power: of the fleet in watts, discharge positive.
        price: in micros of ``currency`` per kWh.
        event: the event's own interval.
        effective: when it counts, shaded.
    """

    title: str
    zone: ZoneInfo
    shown: Period
    power: Sequence[Step]
    price: Sequence[Step]
    currency: str
    event: Period
    effective: Sequence[Period]


@dataclass(frozen=True)
class _Axis:
    """Values from ``low`` to ``high``, drawn from the bottom to the top."""

    low: int
    high: int
    tick: int

    def y(self, value: int) -> str:
        share = Decimal(value - self.low) / (self.high - self.low)
        return f"{BOTTOM - share * (BOTTOM - TOP):.2f}"

    @property
    def ticks(self) -> range:
        return range(self.low, self.high + 1, self.tick)


def draw(scene: Scene) -> str:
    """The picture as an SVG document, ASCII only.

    Args:
        scene: what to draw; its texts may come from outside.
    """
    svg = ET.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {WIDTH} {HEIGHT}",
            "width": str(WIDTH),
            "height": str(HEIGHT),
            "role": "img",
            "aria-labelledby": "title desc",
            "font-family": "system-ui, sans-serif",
            "font-size": "14",
            "fill": _INK,
        },
    )
    title = printable(scene.title)
    ET.SubElement(svg, "title", {"id": "title"}).text = title
    ET.SubElement(svg, "desc", {"id": "desc"}).text = told(scene)
    _rect(svg, 0, 0, WIDTH, HEIGHT, {"fill": "#ffffff"})
    _text(svg, 12, 26, title, {"font-size": "17", "font-weight": "600"})
    power, price = thinned(scene.power, STEPS_MAX), thinned(scene.price, STEPS_MAX)
    power_axis, price_axis = _axis(power, 1_000), _axis(price, 1_000)
    _windows(svg, scene)
    _grid(svg, scene, power_axis, price_axis)
    _curve(svg, scene, power, power_axis, {"class": "power", "stroke": _POWER})
    dashed = {"class": "price", "stroke": _PRICE, "stroke-dasharray": "6 3"}
    _curve(svg, scene, price, price_axis, dashed)
    _legend(svg)
    return str(ET.tostring(svg, encoding="us-ascii"), "ascii")


def told(scene: Scene) -> str:
    """The picture in words: for those who do not see it, and for its text in the UI."""
    powers = [one for one in scene.power if one.value is not None]
    prices = {one.value for one in scene.price if one.value is not None}
    words = [f"{_clock(scene, scene.shown.started_at)} to {_clock(scene, scene.shown.ended_at)}"]
    if powers:
        peak = max(powers, key=lambda one: one.value or 0)
        words.append(f"highest power {_thousandth(peak.value)} kW at {_clock(scene, peak.at)}")
    else:
        words.append("no readings of its fleet")
    if prices:
        low, high = (_micros(edge) for edge in (min(prices), max(prices)))
        span = low if low == high else f"{low} to {high}"
        words.append(f"price {span} {printable(scene.currency)} per kWh")
    else:
        words.append("no price is known")
    counted = ", ".join(
        f"{_clock(scene, one.started_at)} to {_clock(scene, one.ended_at)}"
        for one in scene.effective[:_TICKS_MAX]
    )
    words.append(f"counts from {counted}" if counted else "counts at no time")
    return f"{'; '.join(words)} ({_zone(scene)})"


def printable(text: str) -> str:
    """A text from outside as it may stand in XML: no control characters, not too long."""
    shown = "".join(one if one.isprintable() else "?" for one in text)
    return shown if len(shown) <= TITLE_MAX else f"{shown[: TITLE_MAX - 1]}…"


def _windows(svg: ET.Element, scene: Scene) -> None:
    for one in scene.effective:
        start, end = (_x(scene, edge) for edge in (one.started_at, one.ended_at))
        style = {"class": "effective", "fill": _WINDOW, "fill-opacity": "0.6"}
        _rect(svg, start, TOP, end - start, Decimal(BOTTOM - TOP), style)
    for edge in (scene.event.started_at, scene.event.ended_at):
        if scene.shown.started_at <= edge <= scene.shown.ended_at:
            x = _x(scene, edge)
            _line(svg, (x, TOP), (x, BOTTOM), {"stroke": "#16a34a", "stroke-dasharray": "2 3"})


def _grid(svg: ET.Element, scene: Scene, power: _Axis, price: _Axis) -> None:
    for value in power.ticks:
        y = Decimal(power.y(value))
        _line(svg, (Decimal(LEFT), y), (Decimal(RIGHT), y), {"stroke": _GRID})
        _text(svg, LEFT - 8, y + 4, _thousandth(value), {"text-anchor": "end", "fill": _POWER})
    for value in price.ticks:
        _text(svg, RIGHT + 8, Decimal(price.y(value)) + 4, _micros(value), {"fill": _PRICE})
    step = longest(scene.shown, _TIMES, _TIMES_MAX)
    at = floor(scene.shown.started_at, step)
    while at <= scene.shown.ended_at:
        if at >= scene.shown.started_at:
            x = _x(scene, at)
            _line(svg, (x, BOTTOM), (x, BOTTOM + 5), {"stroke": _INK})
            hour = f"{at.astimezone(scene.zone):%d %b %Hh}" if step >= _TIMES[-3] else ""
            label = hour or f"{at.astimezone(scene.zone):%H:%M}"
            _text(svg, x, BOTTOM + 20, label, {"text-anchor": "middle"})
        at += step
    _line(svg, (Decimal(LEFT), BOTTOM), (Decimal(RIGHT), BOTTOM), {"stroke": _INK})
    middle = (LEFT + RIGHT) // 2
    day = f"{scene.shown.started_at.astimezone(scene.zone):%Y-%m-%d}"
    _text(svg, middle, BOTTOM + 44, f"{day}, time in {_zone(scene)}", {"text-anchor": "middle"})
    _text(svg, 12, TOP - 14, "power, kW", {"fill": _POWER})
    unit = f"price, {printable(scene.currency)}/kWh"
    _text(svg, WIDTH - 12, TOP - 14, unit, {"text-anchor": "end", "fill": _PRICE})


def _curve(
    svg: ET.Element, scene: Scene, steps: Sequence[Step], axis: _Axis, style: dict[str, str]
) -> None:
    """One path: across for as long as a value holds, then up or down to the next; a gap is not drawn."""
    ends = [*(one.at for one in steps[1:]), scene.shown.ended_at]
    path: list[str] = []
    drawing = False
    for one, end in zip(steps, ends, strict=True):
        if one.value is None:
            drawing = False
            continue
        y = axis.y(one.value)
        path.append(f"V{y}" if drawing else f"M{_x(scene, one.at):.2f} {y}")
        path.append(f"H{_x(scene, end):.2f}")
        drawing = True
    shape = {"d": "".join(path), "fill": "none", "stroke-width": "2"}
    ET.SubElement(svg, "path", shape | style)


def _legend(svg: ET.Element) -> None:
    row = HEIGHT - 14
    for number, (colour, dash, label) in enumerate(
        ((_POWER, "", "power of the fleet"), (_PRICE, "6 3", "price"))
    ):
        x = LEFT + number * 180
        style = {"stroke": colour, "stroke-width": "2"} | (
            {"stroke-dasharray": dash} if dash else {}
        )
        _line(svg, (Decimal(x), row - 4), (Decimal(x + 28), row - 4), style)
        _text(svg, x + 34, row, label, {})
    _rect(svg, LEFT + 270, row - 11, 28, 14, {"fill": _WINDOW})
    _text(svg, LEFT + 304, row, "the event counts; dotted: its own ends", {})


def _axis(steps: Sequence[Step], least: int) -> _Axis:
    """An axis that holds zero and every value, in steps of 1, 2 or 5 times a power of ten."""
    values = [0, *(one.value for one in steps if one.value is not None)]
    low, high = min(values), max(values)
    wanted = max((high - low) // (_TICKS_MAX - 1), least // 5, 1)
    power = 10 ** (len(str(wanted)) - 1)
    tick = next(size * power for size in (1, 2, 5, 10) if size * power >= wanted)
    return _Axis(low // tick * tick, max(-(-high // tick) * tick, low // tick * tick + tick), tick)


def _x(scene: Scene, at: datetime) -> Decimal:
    microsecond = timedelta(microseconds=1)
    whole = (scene.shown.ended_at - scene.shown.started_at) // microsecond
    past = min(max(at, scene.shown.started_at), scene.shown.ended_at) - scene.shown.started_at
    return LEFT + Decimal(past // microsecond) / whole * (RIGHT - LEFT)


def _clock(scene: Scene, at: datetime) -> str:
    return f"{at.astimezone(scene.zone):%Y-%m-%d %H:%M}"


def _zone(scene: Scene) -> str:
    offset = f"{scene.shown.started_at.astimezone(scene.zone):%z}"
    return f"{scene.zone.key} (UTC{offset[:3]}:{offset[3:]})"


def _thousandth(watts: int | None) -> str:
    """Watts as kilowatts."""
    return _short(Decimal(watts or 0) / 1_000)


def _micros(micros: int) -> str:
    return _short(Decimal(micros) / units.MICROS_PER_UNIT)


def _short(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _line(
    svg: ET.Element,
    start: tuple[Decimal, Decimal | int],
    end: tuple[Decimal, Decimal | int],
    style: dict[str, str],
) -> None:
    edges = {"x1": start[0], "y1": start[1], "x2": end[0], "y2": end[1]}
    ET.SubElement(svg, "line", {name: f"{value:.2f}" for name, value in edges.items()} | style)


def _rect(
    svg: ET.Element,
    x: Decimal | int,
    y: Decimal | int,
    width: Decimal | int,
    height: Decimal | int,
    style: dict[str, str],
) -> None:
    shape = {"x": x, "y": y, "width": width, "height": height}
    ET.SubElement(svg, "rect", {name: f"{value:.2f}" for name, value in shape.items()} | style)


def _text(
    svg: ET.Element, x: Decimal | int, y: Decimal | int, said: str, style: dict[str, str]
) -> None:
    ET.SubElement(svg, "text", {"x": f"{x:.2f}", "y": f"{y:.2f}"} | style).text = said
