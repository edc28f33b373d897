"""Readings in whole numbers, each once, and which of them contradict each other.

Plainest readings taken:

* A reading's energy is the difference of its own registers; what lies between two readings is not
  energy. Where a register fell within a reading, the energy shown is what the powers say, if anything.
* Readings of one EVSE over the same time contradict each other; so do readings that moved energy of one
  vehicle at two EVSEs.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from oracle.case import Row
from oracle.numbers import between, whole

WATT_US = 3_600_000  # W × µs in a milliwatt-hour
_REGISTERS = ("export_start_wh", "export_end_wh", "import_start_wh", "import_end_wh")


@dataclass(slots=True, eq=False)
class Reading:
    """One reading in whole numbers. `contradicted`: another one says otherwise of its identity or of its
    EVSE's time; `elsewhere`: its vehicle was at another EVSE as well.
    """

    row: Row
    started_at: datetime
    ended_at: datetime
    length_us: int
    registers: tuple[int, int, int, int]
    exported: int
    imported: int
    contradicted: bool = False
    elsewhere: bool = False

    @property
    def backwards(self) -> bool:
        export_start, export_end, import_start, import_end = self.registers
        return export_end < export_start or import_end < import_start

    @property
    def moved(self) -> bool:
        export_start, export_end, import_start, import_end = self.registers
        return (export_start, import_start) != (export_end, import_end)

    @property
    def net(self) -> int:
        return self.exported - self.imported


def trapezoid(row: Row, length_us: int) -> Fraction | None:
    """Milliwatt-hours by the powers at both ends."""
    first, last = row.get("power_start_w"), row.get("power_end_w")
    if first is None or last is None:
        return None
    return Fraction(Decimal(first) + Decimal(last)) * length_us / (2 * WATT_US)


def _reading(row: Row) -> Reading:
    where = f"readings {row['evse_id']} {row['session_id']} {row['sequence']}"
    registers = [
        whole(row[name] if row.get(name) is not None else 0, 3, f"{where}: {name}")
        for name in _REGISTERS
    ]
    length_us = between(row["started_at"], row["ended_at"])
    by_powers = math.trunc(trapezoid(row, length_us) or 0)
    exported, imported = registers[1] - registers[0], registers[3] - registers[2]
    return Reading(
        row=row,
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        length_us=length_us,
        registers=(registers[0], registers[1], registers[2], registers[3]),
        exported=exported if exported >= 0 else max(0, by_powers),
        imported=imported if imported >= 0 else max(0, -by_powers),
    )


def _content(row: Row) -> tuple[tuple[str, Any], ...]:
    return tuple(
        sorted(
            (name, value)
            for name, value in row.items()
            if name != "received_at" and value is not None
        )
    )


def known(rows: Iterable[Row], as_of: datetime | None) -> list[Reading]:
    """Every known reading once, in time order, contradictions marked."""
    contents: dict[tuple[Any, ...], dict[Any, Reading]] = defaultdict(dict)
    for row in rows:
        received_at = row.get("received_at") or row["ended_at"]
        if as_of is not None and received_at > as_of:
            continue
        identity = (row["evse_id"], row["session_id"], row["sequence"])
        contents[identity].setdefault(_content(row), _reading(row))
    readings = []
    for same in contents.values():
        for reading in same.values():
            reading.contradicted = len(same) > 1
            readings.append(reading)
    readings.sort(key=lambda r: (r.started_at, r.ended_at, r.row["evse_id"]))
    for one, other in _overlapping(readings, lambda r: r.row["evse_id"]):
        one.contradicted = other.contradicted = True
    moved = [reading for reading in readings if reading.moved]
    for one, other in _overlapping(moved, lambda r: r.row["vehicle_id"]):
        if one.row["evse_id"] != other.row["evse_id"]:
            one.elsewhere = other.elsewhere = True
    return readings


def _overlapping(
    readings: Sequence[Reading], of: Callable[[Reading], Any]
) -> Iterator[tuple[Reading, Reading]]:
    running: dict[Any, list[Reading]] = defaultdict(list)
    for reading in readings:
        beside = [one for one in running[of(reading)] if one.ended_at > reading.started_at]
        yield from ((one, reading) for one in beside)
        running[of(reading)] = [*beside, reading]


def divided(total: int, lengths_us: Sequence[int]) -> list[int]:
    """`total` in proportion to time, each part rounded down, the remainder with the last."""
    whole_us = sum(lengths_us)
    parts = [total * length // whole_us for length in lengths_us[:-1]]
    return [*parts, total - sum(parts)]
