"""What one check says."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How bad it is, from good to bad, but for what could not be looked at."""

    OK = "ok"
    """As it should be."""
    WARN = "warn"
    """Works today; somebody should look at it."""
    BAD = "bad"
    """Something stops, is refused, or is open to others."""
    UNKNOWN = "unknown"
    """Could not be looked at from here."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The word of one check.

    Attributes:
        check: its name; stable, for whoever reads the JSON.
        state: how bad it is.
        found: what there is.
        expected: what there should be.
        repair: what to do; empty when nothing is to be done.
    """

    check: str
    state: State
    found: str
    expected: str
    repair: str = ""


def fit(findings: Iterable[Finding]) -> bool:
    """Whether nothing is bad; a warning, and what could not be looked at, do not stop anybody.

    >>> fit([Finding("disk", State.WARN, "8 % free", "10 % free")])
    True
    """
    return all(one.state is not State.BAD for one in findings)
