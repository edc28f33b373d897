"""How long to wait before trying again: longer each time, never the same for two chargers."""

import random


class Backoff:
    """Waits that double from ``first_s`` to ``longest_s`` seconds, each cut by up to half at random.

    >>> waits = Backoff(first_s=1, longest_s=30, rng=random.Random(7))
    >>> all(0.5 * full <= waits.next_s() <= full for full in (1, 2, 4, 8, 16, 30, 30))
    True
    """

    def __init__(self, *, first_s: float, longest_s: float, rng: random.Random) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._rng = rng
        self._full_s = first_s

    def next_s(self) -> float:
        """Seconds to wait now. The next answer is about twice as long."""
        wait_s = self._full_s * self._rng.uniform(0.5, 1.0)
        self._full_s = min(2 * self._full_s, self._longest_s)
        return wait_s

    def reset(self) -> None:
        """It worked: begin with the shortest wait next time."""
        self._full_s = self._first_s
