"""Booking: what a priced settlement adds to the books, under ids that follow from content.

A settlement is never changed. A run whose result is the one already booked adds nothing; a run
whose result differs adds the next revision, which books the difference on the original period and
names what it supersedes. So runs may repeat, overlap and arrive in any order: the booked total is
what one run with all the data would have given.

Ids are UUIDv5 over the content and the superseded id: the same content after the same history has
the same id on every machine, so a unique key is all that keeps it single.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID, uuid5

import polars as pl

NAMESPACE: Final = UUID("5b0b3f7e-4d0a-5c3e-9a57-1d6f5f0f2c11")
"""Fixed for ever: every settlement id depends on it."""

Key = tuple[str, str, str]
"""(program, event_id, vehicle_id)."""


@dataclass(frozen=True, slots=True)
class Booked:
    """What the books hold of one vehicle × event.

    Attributes:
        settlement_id: the latest revision.
        supersedes: the one before it, if any.
        revision: counts from 1.
        booked_minor: sum of everything booked so far.
    """

    settlement_id: str
    supersedes: str | None
    revision: int
    booked_minor: int
    currency: str
    program_version: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal entry; debit positive."""

    account: str
    currency: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Revision:
    """A settlement that the books do not hold yet, and what it books."""

    settlement_id: str
    supersedes: str | None
    revision: int
    adjustment_minor: int
    settlement: Mapping[str, object]
    lines: Sequence[Mapping[str, object]]
    entries: Sequence[Entry]


def settlement_id(
    settlement: Mapping[str, object], lines: Iterable[Mapping[str, object]], supersedes: str | None
) -> str:
    """The id of a settlement with this content after this predecessor."""
    content = {"settlement": settlement, "lines": list(lines), "supersedes": supersedes}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), default=_text)
    return str(uuid5(NAMESPACE, canonical))


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} in a settlement; expected integers, text and times")


def revisions(
    settlements: pl.DataFrame, lines: pl.DataFrame, books: Mapping[Key, Booked]
) -> list[Revision]:
    """What a run adds to the books.

    Args:
        settlements: ``schemas.SETTLEMENT`` without its id, one row per vehicle × event.
        lines: ``schemas.LINE``.
        books: what is booked for the events of the run, whether or not they are in ``settlements``;
            what has vanished is revised to nothing.

    Returns:
        One revision per settlement whose content differs from the books, in the order of its key.
    """
    lines_of: dict[Key, list[dict[str, object]]] = {}
    for row in lines.sort("program", "event_id", "vehicle_id", "started_at").iter_rows(named=True):
        lines_of.setdefault(_key(row), []).append(row)
    wanted = {_key(row): row for row in settlements.iter_rows(named=True)}
    for key in books.keys() - wanted.keys():
        wanted[key] = _nothing(key, books[key])
    found = (
        _revision(wanted[key], lines_of.get(key, []), books.get(key)) for key in sorted(wanted)
    )
    return [one for one in found if one is not None]


def _key(row: Mapping[str, object]) -> Key:
    return str(row["program"]), str(row["event_id"]), str(row["vehicle_id"])


def _nothing(key: Key, booked: Booked) -> dict[str, object]:
    """The content of a settlement whose energy is gone: corrected, moved or in conflict."""
    program, event_id, vehicle_id = key
    return {
        "program": program,
        "program_version": booked.program_version,
        "event_id": event_id,
        "vehicle_id": vehicle_id,
        "currency": booked.currency,
        "energy_milliwh": 0,
        "lines_micros": 0,
        "amount_minor": 0,
        "rounding_difference_micros": 0,
        "state": "booked",
        "reason": "",
    }


def _revision(
    settlement: Mapping[str, object], lines: Sequence[Mapping[str, object]], booked: Booked | None
) -> Revision | None:
    if booked is not None and booked.settlement_id == settlement_id(
        settlement, lines, booked.supersedes
    ):
        return None
    supersedes = booked.settlement_id if booked else None
    before = booked.booked_minor if booked else 0
    amount = settlement["amount_minor"]
    assert isinstance(amount, int)
    # A held settlement books nothing and takes nothing back: what was booked stands until it is decided.
    adjustment = amount - before if settlement["state"] == "booked" else 0
    return Revision(
        settlement_id=settlement_id(settlement, lines, supersedes),
        supersedes=supersedes,
        revision=booked.revision + 1 if booked else 1,
        adjustment_minor=adjustment,
        settlement=settlement,
        lines=lines,
        entries=_entries(settlement, adjustment),
    )


def _entries(settlement: Mapping[str, object], adjustment: int) -> tuple[Entry, ...]:
    """Double entry: the utility owes us what we owe the owner (settlement rules §6)."""
    if adjustment == 0:
        return ()
    currency = str(settlement["currency"])
    return (
        Entry(f"receivable:utility:{settlement['program']}", currency, adjustment),
        Entry(f"payable:vehicle:{settlement['vehicle_id']}", currency, -adjustment),
    )
