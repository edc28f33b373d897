"""A failed fetch is remembered for a while, beside what it would have made.

Without network each attempt waits for minutes, and whoever starts servers asks anew every time.
"""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RETRY_AFTER_S: Final = 600.0
"""For so long a failed fetch is not tried again."""


@dataclass(frozen=True, slots=True)
class Failures:
    """Remembers in a file why ``target`` could not be had."""

    target: Path

    @property
    def file(self) -> Path:
        """Where the reason stands."""
        return self.target.with_name(self.target.name + ".failed")

    def recent(self) -> str | None:
        """Why the last attempt failed; None when that was long ago, or it did not fail."""
        try:
            age_s = time.time() - self.file.stat().st_mtime
            reason = self.file.read_text(encoding="utf-8")
        except OSError:
            return None
        # An age below zero: the clock was set back, and the file would count for who knows how long.
        return reason if 0 <= age_s < RETRY_AFTER_S else None

    def remember(self, reason: str) -> None:
        """Keep ``reason``. Where that cannot be written, the next attempt just comes earlier."""
        with contextlib.suppress(OSError):
            self.file.parent.mkdir(parents=True, exist_ok=True)
            self.file.write_text(reason, encoding="utf-8")

    def forget(self) -> None:
        """The next attempt is made at once."""
        with contextlib.suppress(OSError):
            self.file.unlink(missing_ok=True)
