"""Where SunSpec models have their temperatures: read from pysunspec2's model files, never copied.

A point is a temperature where its unit is °C. Offsets count from the model's ID register.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from sunspec2 import device, mb  # type: ignore[import-untyped] # it carries no types

MODELS: Final = (101, 102, 103, 111, 112, 113, 701, 714, 803, 804, 805)
"""Models whose temperatures are read; others with a °C are not a battery's, nor its converter's."""

BATTERIES: Final = (803, 804, 805)


@dataclass(frozen=True, slots=True)
class Point:
    """A temperature: its name, offset, type, and the name of its scale factor (empty: none)."""

    name: str
    offset: int
    kind: str
    scale_factor: str


@dataclass(frozen=True, slots=True)
class Group:
    """Points that repeat: from an offset on, every ``length`` registers, as often as a point says.

    Attributes:
        counted_by: the offset of that point; None where the model's own length says it.
    """

    name: str
    start: int
    length: int
    counted_by: int | None
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Definition:
    """A model's temperatures, and the offsets of its scale factors."""

    model_id: int
    points: tuple[Point, ...]
    group: Group | None
    scale_factors: dict[str, int]


@cache
def definition(model_id: int) -> Definition:
    """Of one of ``MODELS``."""
    # The library looks into the working directory first: a file there must not say where registers are.
    device.set_model_defs_path([device.models_dir])
    root = device.get_model_def(model_id)["group"]
    offsets, end = _offsets(root, 0)
    scale_factors = {
        one["name"]: offsets[one["name"]] for one in root["points"] if one["type"] == "sunssf"
    }
    groups = root.get("groups", [])
    group = None
    for one in groups:
        inner, after = _offsets(one, 0)
        points = _temperatures(one, inner)
        if points:
            # More than one group, or a group within a group, would need their counts to be placed.
            assert len(groups) == 1, model_id
            assert not one.get("groups"), model_id
            counter = one.get("count")
            group = Group(one["name"], end, after, offsets.get(str(counter)), points)
    return Definition(model_id, _temperatures(root, offsets), group, scale_factors)


def is_battery(model_id: int, name: str) -> bool:
    """Whether a temperature is the battery's, unless the configuration says otherwise.

    The highest of a bank, a string, a module; and a DC port, which is where the battery is connected.
    """
    if model_id in BATTERIES:
        return name.rpartition(".")[2].endswith("TmpMax")
    return model_id == 714 and name.startswith("Prt[")  # noqa: PLR2004 - the model's number


def _offsets(group: Any, start: int) -> tuple[dict[str, int], int]:
    """Offset of each point by its name, and where the points end."""
    offsets = {}
    for one in group["points"]:
        offsets[one["name"]] = start
        start += int(one.get("size") or mb.point_type_info[one["type"]].len)
    return offsets, start


def _temperatures(group: Any, offsets: dict[str, int]) -> tuple[Point, ...]:
    return tuple(
        Point(one["name"], offsets[one["name"]], one["type"], str(one.get("sf") or ""))
        for one in group["points"]
        if one.get("units") == "C"
    )
