"""How many retries may go out while first attempts wait.

Without a bound, a partner that fails half of its calls is sent every posting twice, then three times:
its own trouble doubles its load, and whoever was booked last waits behind retries. So retries live on
what calls pay in: each call pays a share of one retry, and each second a little more, so that a short
queue is retried too.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

_PERCENT: Final = 100
_MICROS: Final = 10**6
_WHOLE: Final = _PERCENT * _MICROS
"""One retry: hundredths of a call, by microseconds of a second."""
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(slots=True, kw_only=True)
class RetryBudget:
    """A bucket that calls and time fill and retries empty; it starts with what a second gives.

    Attributes:
        share_percent: of the calls that may be retries, while first attempts wait.
        per_second: retries that every second gives, however few calls there are.
        most: retries that can be saved up, so that a quiet night does not end in a burst.

    Raises:
        ValueError: a share above 100, or a bound below 0 (``most``: below 1).
    """

    share_percent: int = 20
    per_second: int = 1
    most: int = 100
    _saved: int = field(init=False)
    _filled_at: timedelta | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not 0 <= self.share_percent <= _PERCENT or self.per_second < 0 or self.most < 1:
            raise ValueError(
                f"retry budget: {self.share_percent} %, {self.per_second} a second, {self.most} at"
                " most; expected 0 to 100 %, at least 0 a second, at least 1 at most"
            )
        self._saved = min(self.per_second, self.most) * _WHOLE

    def allows(self, at: timedelta) -> int:
        """How many retries may go out at ``at``, on a clock that nobody sets back."""
        since = timedelta() if self._filled_at is None else max(at - self._filled_at, timedelta())
        self._filled_at = at
        self._save(self.per_second * _PERCENT * (since // _MICROSECOND))
        return self._saved // _WHOLE

    def spend(self, *, first: int, retries: int) -> None:
        """Take note of calls that go out. Retries beyond what is saved leave the bucket empty.

        They go out beyond it only where no first attempt waits: then nobody is kept waiting.
        """
        self._saved = max(self._saved - retries * _WHOLE, 0)
        self._save((first + retries) * self.share_percent * _MICROS)

    def _save(self, more: int) -> None:
        self._saved = min(self._saved + more, self.most * _WHOLE)
