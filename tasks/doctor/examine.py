"""Runs checks side by side. One that hangs or breaks is told as such and holds up none of the others."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from tasks.doctor.finding import Finding, State

Check = Callable[[], Sequence[Finding]]

DEADLINE_S: Final = 15.0
"""Longest that all checks together may take; each has shorter bounds of its own."""


def examine(checks: Mapping[str, Check], *, deadline_s: float = DEADLINE_S) -> list[Finding]:
    """What the checks say, in their order.

    Each runs in a thread of its own that nobody waits for at the end of the program: a library that
    hangs in a system call cannot be stopped, only left behind.

    Args:
        checks: by name, which stands in the finding where a check says nothing itself.
        deadline_s: for all of them together.
    """
    said: dict[str, Sequence[Finding]] = {}
    threads = [
        threading.Thread(target=_run, args=(name, check, said), name=f"doctor-{name}", daemon=True)
        for name, check in checks.items()
    ]
    give_up_at = time.monotonic() + deadline_s
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, give_up_at - time.monotonic()))
    silent = f"no answer within {deadline_s:g} s"
    return [
        finding
        for name in checks
        for finding in said.get(
            name, (Finding(name, State.UNKNOWN, silent, "an answer", "look at it by hand"),)
        )
    ]


def _run(name: str, check: Check, said: dict[str, Sequence[Finding]]) -> None:
    try:
        said[name] = check()
    except Exception as error:  # noqa: BLE001 - a broken check must not hide what the others found
        # Its words are not shown: they might quote an address with a password.
        found = f"the check itself broke ({type(error).__name__})"
        repair = "report it; look at it by hand meanwhile"
        said[name] = (Finding(name, State.UNKNOWN, found, "an answer", repair),)
