"""Small evenings for the tests, made once."""

from datetime import UTC, date, datetime
from functools import cache
from typing import Any

from simulators.evening import Evening

DAY = date(2026, 7, 1)
RECEIVED_BY = datetime(2026, 7, 2, tzinfo=UTC)


def fresh(seed: int = 7, **changes: Any) -> Evening:
    """A small evening, made anew."""
    arguments: dict[str, Any] = {
        "seed": seed,
        "day": DAY,
        "received_by": RECEIVED_BY,
        "evses": 12,
        "step_s": 30,
    }
    return Evening(**(arguments | changes))


@cache
def small() -> Evening:
    """The same small evening for all who only look."""
    return fresh()


@cache
def tiny() -> Evening:
    """The smallest evening that has everything, for what is published."""
    return fresh(evses=10, step_s=60)
