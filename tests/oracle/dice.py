"""What random cases are drawn with: a seeded generator, and times and decimals from it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

Row = dict[str, Any]
START = datetime(2026, 7, 14, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)
CHANGE = START + 30 * HOUR
"""When contracts and versions of programs change: within the second day of a case."""


class Dice(Random):
    """A generator of its own for each case."""

    def often(self, probability: float) -> bool:
        return self.random() < probability

    def decimal(self, low: int, high: int, places: int) -> Decimal:
        return Decimal(self.randint(low * 10**places, high * 10**places)).scaleb(-places)
