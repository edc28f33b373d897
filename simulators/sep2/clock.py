"""The server's clock: the standard's seconds since 1970, off, drifting and jumping as wanted.

Everything a world serves is a function of this clock: a control appears at its creation time and a
cancellation at its own. So a script needs no timers, and a test moves the clock instead of waiting.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import floor
from typing import Final

Now = Callable[[], datetime]
PER_MILLION: Final = 1_000_000


class ServerClock:
    """What the server takes for the time.

    Args:
        now: the true time, with its zone; the machine's by default.
        offset_s: how far ahead of it the server is, seconds; negative: behind.
        drift_ppm: how many millionths it gains.
    """

    def __init__(
        self, now: Now | None = None, *, offset_s: float = 0.0, drift_ppm: float = 0.0
    ) -> None:
        self._now = now or (lambda: datetime.now(UTC))
        self._lock = threading.Lock()
        self._offset_s = offset_s
        self._drift_ppm = drift_ppm
        self._since = self._now()

    def now(self) -> datetime:
        """The server's time, UTC."""
        with self._lock:
            true = self._now()
            return true.astimezone(UTC) + timedelta(seconds=self._error_s(true))

    def seconds(self) -> int:
        """The server's time as ``currentTime`` has it: whole seconds since 1970, cut off."""
        return floor(self.now().timestamp())

    @property
    def error_s(self) -> float:
        """How far ahead of the true time the server is now, seconds."""
        with self._lock:
            return self._error_s(self._now())

    def jump(self, seconds: float) -> None:
        """Set the clock ahead by so much, or back."""
        with self._lock:
            self._offset_s += seconds

    def correct(self) -> None:
        """Set the clock to the true time; it no longer drifts."""
        with self._lock:
            self._offset_s, self._drift_ppm = 0.0, 0.0

    def _error_s(self, true: datetime) -> float:
        return self._offset_s + (true - self._since).total_seconds() * self._drift_ppm / PER_MILLION


def epoch(moment: datetime) -> int:
    """A time as the standard writes it. Raises ValueError without a zone or between two seconds."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()}: expected a time with its zone")
    if moment.microsecond:
        raise ValueError(f"{moment.isoformat()}: expected whole seconds, which is all TimeType has")
    return round(moment.timestamp())
