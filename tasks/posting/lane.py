"""The way to one partner: how many calls may be out, and when none may."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from settlement.posting import Backoff, Outcome, Random

FAILURES_PER_WIDTH: Final = 2
"""The lane narrows after twice as many failures in a row as calls fit into it."""

TOO_MANY_REQUESTS: Final = 429

_FAILURES: Final = frozenset(
    {
        Outcome.REFUSED_TEMPORARILY,
        Outcome.SERVER_FAILED,
        Outcome.NO_ANSWER,
        Outcome.CONNECTION_FAILED,
        Outcome.LOST,
    }
)
"""Outcomes that say something about the partner rather than about the posting."""


@dataclass(slots=True)
class Lane:
    """Counts failures in a row, and rests when the partner asks for it or is down.

    Asked to wait (429, or Retry-After), nobody is sent until then. After ``FAILURES_PER_WIDTH``
    × ``width`` failures in a row, or where it does not serve us, the lane rests under its backoff
    and then lets one call through at a time, until one succeeds.

    Attributes:
        width: calls that may be out at once.
        rests_until: on the caller's monotonic clock, in seconds; 0 before the first rest.
    """

    width: int
    backoff: Backoff
    random: Random
    rests_until: float = 0.0
    failures: int = 0

    def room(self, out: int, now: float) -> int:
        """How many more calls may go out at ``now`` (monotonic seconds) while ``out`` are out."""
        if now < self.rests_until:
            return 0
        return max((1 if self._narrow else self.width) - out, 0)

    def ahead(self, now: float) -> int:
        """How many postings may wait, claimed, for the calls that are out to end.

        None while the lane rests or is narrow: what cannot go out soon is left to others.
        """
        return 0 if now < self.rests_until or self._narrow else self.width

    def told(self, rests_until: float) -> None:
        """Take over until when all posters let the partner rest, be it longer or shorter than here."""
        self.rests_until = rests_until

    def heard(
        self, outcome: Outcome, status: int | None, asked: timedelta | None, now: float
    ) -> None:
        """Take note of an outcome at ``now`` (monotonic seconds).

        Args:
            outcome: what a call came to.
            status: the HTTP status; None where no answer came.
            asked: how long the partner asks us to wait, where it does.
            now: monotonic seconds.
        """
        if outcome is Outcome.NOT_SERVED:
            self.failures = max(self.failures + 1, self._many)
        elif outcome in _FAILURES:
            self.failures += 1
        elif outcome is not Outcome.NOT_SENT:  # the partner has no part in that
            self.failures = 0
        if asked:
            self._rest(now, asked)
        elif status == TOO_MANY_REQUESTS or self._narrow:
            beyond = max(self.failures - self._many, 0)
            self._rest(now, self.backoff.wait(beyond + 1, self.random))

    def _rest(self, now: float, wait: timedelta) -> None:
        self.rests_until = max(self.rests_until, now + wait.total_seconds())

    @property
    def _many(self) -> int:
        return FAILURES_PER_WIDTH * self.width

    @property
    def _narrow(self) -> bool:
        return self.failures >= self._many
