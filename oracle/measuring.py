"""A vehicle's readings, divided over its slots.

Plainest readings taken: the parts of a reading that exported anything discharged for their whole time; a
part that comes to nothing discharged nothing. Time that several accepted readings cover is covered once.
A reading is judged by the terms of the slot's event, outside every event by the version that speaks of it.
What a broken meter counted is shown also where it exported nothing: if a register ran backwards, or if it
would count all the same (charging, where that is netted; any time, against a baseline and for capacity).
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from oracle.meters import BROKEN
from oracle.numbers import between
from oracle.readings import Reading, divided
from oracle.slots import Slot
from oracle.terms import Terms

Fault = Callable[[Reading, Terms], str | None]


@dataclass(slots=True)
class Measured:
    """What the accepted readings of one slot say, and the exported energy of refused ones.

    Energies in milliwatt-hours, exported ones by EVSE and refused ones by EVSE and reason; times in
    microseconds.
    """

    exported: dict[str, int] = field(default_factory=dict)
    imported: int = 0
    covered_us: int = 0
    discharged_us: int = 0
    refused: dict[tuple[str, str], int] = field(default_factory=dict)
    covered_until: datetime | None = None


def measure(readings: Sequence[Reading], slots: Sequence[Slot], fault: Fault) -> list[Measured]:
    """One `Measured` for each slot; readings come in time order."""
    result = [Measured() for _ in slots]
    starts = [slot.started_at for slot in slots]
    for reading in readings:
        position = bisect_right(starts, reading.started_at) - 1
        touched = []
        while position < len(slots) and slots[position].started_at < reading.ended_at:
            touched.append(position)
            position += 1
        lengths = [_overlap(reading, slots[p].started_at, slots[p].ended_at) for p in touched]
        exported = divided(reading.exported, lengths)
        imported = divided(reading.imported, lengths)
        evse = reading.row["evse_id"]
        for p, length, out, back in zip(touched, lengths, exported, imported, strict=True):
            slot, cell = slots[p], result[p]
            reason = fault(reading, slot.terms)
            if reason is not None:
                version = slot.terms
                if out or (reason in BROKEN and _would_count(reading, version, back)):
                    key = (evse, reason)
                    cell.refused[key] = cell.refused.get(key, 0) + out
                continue
            if out:
                cell.exported[evse] = cell.exported.get(evse, 0) + out
                cell.discharged_us += length
            cell.imported += back
            since = max(reading.started_at, slot.started_at, cell.covered_until or slot.started_at)
            until = min(reading.ended_at, slot.ended_at)
            if until > since:
                cell.covered_us += between(since, until)
                cell.covered_until = until
    return result


def _would_count(reading: Reading, terms: Terms, imported: int) -> bool:
    """Whether a part that exported nothing would say something, were it not for a broken meter."""
    against_baseline = terms.quantity == "against_baseline"
    if reading.backwards or against_baseline or terms.product == "capacity":
        return True
    return terms.quantity == "net" and imported > 0


def imported_around(
    readings: Sequence[Reading],
    times: Sequence[tuple[datetime, datetime]],
    terms: Terms,
    fault: Fault,
) -> int:
    """Energy charged in stretches of time, in order, by accepted readings."""
    edges = sorted({edge for pair in times for edge in pair})
    total = 0
    for reading in readings:
        if not reading.imported or fault(reading, terms) is not None:
            continue
        cuts = [at for at in edges if reading.started_at < at < reading.ended_at]
        starts, ends = [reading.started_at, *cuts], [*cuts, reading.ended_at]
        lengths = [between(*pair) for pair in zip(starts, ends, strict=True)]
        for at, energy in zip(starts, divided(reading.imported, lengths), strict=True):
            total += energy if any(start <= at < end for start, end in times) else 0
    return total


def _overlap(reading: Reading, started_at: datetime, ended_at: datetime) -> int:
    return between(max(reading.started_at, started_at), min(reading.ended_at, ended_at))
