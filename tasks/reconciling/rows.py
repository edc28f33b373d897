"""What every way of reading a statement gives: its lines, the rows that cannot be read, its period."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from settlement.periods import Period
from storage.partner_statements import Line, Refusal

FILE_MAX_BYTES: Final = 16 * 2**20
TEXT_MAX_CHARS: Final = 200
"""Of an id, an account or a reference."""

_DAY: Final = timedelta(days=1)


class UnreadableStatementError(ValueError):
    """A file of which no line can be read: ``found`` and what was ``expected``."""

    def __init__(self, name: str, found: str, expected: str) -> None:
        super().__init__(f"{name}: {found}; expected {expected}")
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Read:
    """A statement as it was read.

    Attributes:
        way: how what it lists was ordered: "api" or "file".
        reference: what its sender calls it; may be empty.
        period: what it says it covers; None where it does not say.
    """

    format: str
    way: str
    reference: str
    period: Period | None
    lines: tuple[Line, ...]
    refusals: tuple[Refusal, ...]


def days_of(lines: Sequence[Line]) -> Period | None:
    """The whole days, in UTC, from the first to the last line; None where there is none."""
    if not lines:
        return None
    first = min(line.booked_at for line in lines)
    last = max(line.booked_at for line in lines)
    return Period(_midnight(first), _midnight(last) + _DAY)


def _midnight(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def wrong_in_text(value: str) -> str:
    """Why a foreign text cannot be kept; empty where it can."""
    if len(value) > TEXT_MAX_CHARS:
        return f"{len(value)} characters, more than {TEXT_MAX_CHARS}"
    return "" if value.isprintable() else f"unprintable characters ({value[:40]!a})"
