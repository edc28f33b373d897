"""What is wrong with a program, and where."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

_SHOWN_CHARS: Final = 80


class Found(Enum):
    """What was found where no value was."""

    MISSING = "missing"
    UNKNOWN = "unknown key"


class ProgramError(ValueError):
    """A program that cannot be used.

    Attributes:
        source: the file or table that it came from.
        key: its path, such as ``thermal.curve_c[2]``; empty for the whole.
        found: the value, or ``Found``.
        expected: what is permitted, in words.
    """

    def __init__(self, source: str, key: str, found: object, expected: str) -> None:
        super().__init__(f"{source}: {key or 'the program'}: {shown(found)}; expected {expected}")
        self.source = source
        self.key = key
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: the source, and the path of its key."""

    source: str
    key: str = ""

    def row(self, number: int) -> "Place":
        """One entry of the list that stands here, counted from 0."""
        return Place(self.source, f"{self.key}[{number}]")

    def part(self, name: str) -> "Place":
        """A key of the section that stands here."""
        return Place(self.source, f"{self.key}.{name}" if self.key else name)

    def error(self, found: object, expected: str) -> ProgramError:
        """What is wrong with the value that stands here."""
        return ProgramError(self.source, self.key, found, expected)


def shown(found: object) -> str:
    """A value as a message shows it: on one line, cut where it is long."""
    if isinstance(found, Found):
        return found.value
    try:
        text = repr(found)
    except (ValueError, RecursionError):
        # An integer of thousands of digits, or lists without end.
        text = f"a value of type {type(found).__name__}"
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
