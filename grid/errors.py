"""What can go wrong with the grid's feeds. Every message says where, what was found, and what to do.

    GridFeedError
    ├── GridConfigError        the file of the feeds cannot be used: nothing is read until it can
    ├── FeedUnavailableError   no whole answer in time, or 5xx or 429: it is asked again by itself
    ├── FeedRefusedError       the other side answers, but not to us: somebody must change something
    │   └── AuthExpiredError   ERR_AUTH_EXPIRED: a certificate or key that cannot be used, of either side
    ├── FeedUnreadableError    an answer, or one item of it, that is not what was agreed
    └── ClockOffError          its clock is provably too far from ours: nothing of it is put in force

What concerns one item of a document is no exception for long: the feed catches it and hands it on as
a ``grid.records.Refusal``, and the other items count.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from grid.records import ClockReading, Refusal

__all__ = [
    "AuthExpiredError",
    "ClockOffError",
    "FeedRefusedError",
    "FeedUnavailableError",
    "FeedUnreadableError",
    "GridConfigError",
    "GridFeedError",
]

_US_PER_MS: Final = 1_000


class GridFeedError(Exception):
    """Root of what goes wrong with the grid's feeds."""


class GridConfigError(GridFeedError, ValueError):
    """The file of the feeds cannot be used.

    Attributes:
        path: the file.
        problems: each with its place, what was found, and what was expected.
    """

    def __init__(self, path: Path, problems: Sequence[str]) -> None:
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))
        self.path = path
        self.problems = tuple(problems)


class FeedUnavailableError(GridFeedError):
    """No whole answer this time; it is asked again by itself.

    Attributes:
        where: what was asked for, such as ``GET /v1/events``.
        found: what came instead.
    """

    def __init__(self, where: str, found: str) -> None:
        super().__init__(f"{where}: {found}; nothing of it is stored, it is asked again")
        self.where = where
        self.found = found


class FeedRefusedError(GridFeedError):
    """The other side answers, but not to this question from us: asking again will not help.

    Attributes:
        where: what was asked for, such as ``GET /v1/events``.
        found: the answer, such as ``HTTP 401``.
        repair: what somebody has to look at.
    """

    def __init__(self, where: str, found: str, repair: str) -> None:
        super().__init__(f"{where}: {found}; {repair}")
        self.where = where
        self.found = found
        self.repair = repair


class AuthExpiredError(FeedRefusedError):
    """A certificate or key that cannot be used: expired, not yet valid, unreadable, open to others, of
    an unknown authority. Its first word is ERR_AUTH_EXPIRED, as everywhere in this system.

    Attributes:
        expected: what should be there instead, and how to come by it.
    """

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"ERR_AUTH_EXPIRED: {where}", found, f"expected {expected}")
        self.expected = expected


class FeedUnreadableError(GridFeedError):
    """Not what was agreed: ``where`` it stood, what was ``found``, what was ``expected``."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected

    @property
    def refusal(self) -> Refusal:
        """The same as data, for one item among others."""
        return Refusal(self.where, self.found, self.expected)


class ClockOffError(GridFeedError):
    """The server's clock is further from ours than agreed, whatever its uncertainty.

    Attributes:
        clock: what was measured.
        tolerance_us: what was agreed, microseconds.
    """

    def __init__(self, where: str, clock: ClockReading, tolerance_us: int) -> None:
        ahead = "ahead of" if clock.offset_us > 0 else "behind"
        super().__init__(
            f"{where}: its clock is {abs(clock.offset_us) / _US_PER_MS:.1f} ms"
            f" ± {clock.uncertainty_us / _US_PER_MS:.1f} ms {ahead} ours; expected at most"
            f" {tolerance_us / _US_PER_MS:.0f} ms. Nothing of it is put in force; look at the time of"
            " this machine (chronyc tracking) first, then tell the utility"
        )
        self.where = where
        self.clock = clock
        self.tolerance_us = tolerance_us
