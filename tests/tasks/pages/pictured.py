"""A picture read back: its curves as values at times, by the labels on its axes alone."""

import re
from dataclasses import dataclass
from typing import NamedTuple
from xml.etree import ElementTree as ET

SVG = "{http://www.w3.org/2000/svg}"


class Level(NamedTuple):
    """A level stretch of a curve: from and to in parts of the picture's width, and its value."""

    start: float
    end: float
    value: float


@dataclass
class Picture:
    """What a reader sees.

    Attributes:
        power: in kW.
        price: per kWh.
        effective: shaded stretches, in parts of the width.
    """

    title: str
    desc: str
    power: list[Level]
    price: list[Level]
    effective: list[tuple[float, float]]
    texts: list[str]


def read(svg: str) -> Picture:
    """Parse a picture that this project drew."""
    root = ET.fromstring(svg)  # noqa: S314 - our own drawing
    texts = root.findall(f"{SVG}text")
    axis = next(
        line
        for line in root.findall(f"{SVG}line")
        if line.get("stroke") == "#111827" and line.get("y1") == line.get("y2")
    )
    left, right = float(axis.get("x1", "")), float(axis.get("x2", ""))
    paths = {path.get("class"): path for path in root.findall(f"{SVG}path")}

    def curve(name: str) -> list[Level]:
        path = paths[name]
        scale = _scale([text for text in texts if text.get("fill") == path.get("stroke")])
        return _levels(path.get("d", ""), left, right, scale)

    shaded = [one for one in root.findall(f"{SVG}rect") if one.get("class") == "effective"]
    return Picture(
        title=root.findtext(f"{SVG}title", ""),
        desc=root.findtext(f"{SVG}desc", ""),
        power=curve("power"),
        price=curve("price"),
        effective=[_edges(one, left, right) for one in shaded],
        texts=[text.text or "" for text in texts],
    )


def _scale(labels: list[ET.Element]) -> tuple[float, float]:
    """Value = a × y + b, from the lowest and the highest number on an axis."""
    numbers = [
        (float(one.get("y", "")) - 4, float(one.text or ""))
        for one in labels
        if re.fullmatch(r"-?[0-9.]+", one.text or "")
    ]
    (low_y, low), (high_y, high) = max(numbers), min(numbers)
    slope = (high - low) / (high_y - low_y)
    return slope, low - slope * low_y


def _levels(path: str, left: float, right: float, scale: tuple[float, float]) -> list[Level]:
    found = []
    x = y = 0.0
    for letter, first, second in re.findall(r"([MHV])(-?[0-9.]+)(?: (-?[0-9.]+))?", path):
        if letter == "M":
            x, y = float(first), float(second)
        elif letter == "V":
            y = float(first)
        else:
            start, x = x, float(first)
            width = right - left
            value = scale[0] * y + scale[1]
            found.append(Level((start - left) / width, (x - left) / width, value))
    return found


def _edges(rect: ET.Element, left: float, right: float) -> tuple[float, float]:
    x, width = float(rect.get("x", "")), float(rect.get("width", ""))
    return (x - left) / (right - left), (x + width - left) / (right - left)
