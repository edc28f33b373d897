"""What the parts of the daemon know about themselves; read by /readyz and by the main thread."""

import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """One part: whether it works, and if not, what it said."""

    up: bool
    detail: str


class Health:
    """The latest word of each part; safe to use from every thread.

    Ready means: a packet that comes now will be stored. Alive means only: the process answers.
    """

    def __init__(self, *parts: str) -> None:
        self._lock = threading.Lock()
        self._checks = {part: Check(up=False, detail="starting") for part in parts}

    def set(self, part: str, *, up: bool, detail: str) -> bool:
        """Store the word of one part. True when it says something new."""
        with self._lock:
            before = self._checks[part]
            self._checks[part] = Check(up, detail)
            return before != Check(up, detail)

    def checks(self) -> dict[str, Check]:
        """The latest word of every part."""
        with self._lock:
            return dict(self._checks)
