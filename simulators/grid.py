"""The utility's side of the evening: two grid stress events, and a price for every half hour."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Final

from simulators.signing import decimal, rfc3339

PROGRAM: Final = "example-energy"
CURRENCY: Final = "USD"
OPENS: Final = time(16, 30)
CLOSES: Final = time(20, 0)
WINDOWS: Final = ((time(17, 0), time(18, 0)), (time(18, 30), time(19, 30)))
PRICE_LENGTH: Final = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class GridEvent:
    """One grid stress event, half-open, as the utility announces it."""

    event_id: str
    program: str
    started_at: datetime
    ended_at: datetime
    created_at: datetime
    status: str = "scheduled"

    def as_json(self) -> dict[str, str]:
        """As ``GET /v1/events`` shows it."""
        return {
            "event_id": self.event_id,
            "program": self.program,
            "started_at": rfc3339(self.started_at),
            "ended_at": rfc3339(self.ended_at),
            "created_at": rfc3339(self.created_at),
            "status": self.status,
        }


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one half-open interval, millionths of the currency unit per kWh."""

    program: str
    started_at: datetime
    ended_at: datetime
    price_micros_per_kwh: int
    currency: str = CURRENCY

    def as_json(self) -> dict[str, str]:
        """As ``GET /v1/prices`` shows it: the price is decimal text."""
        return {
            "program": self.program,
            "started_at": rfc3339(self.started_at),
            "ended_at": rfc3339(self.ended_at),
            "price_per_kwh": decimal(self.price_micros_per_kwh, 6),
            "currency": self.currency,
        }


def at(day: date, clock: time) -> datetime:
    """That time of that day, UTC."""
    return datetime.combine(day, clock, tzinfo=UTC)


def events(day: date) -> list[GridEvent]:
    """The evening's events, announced at noon."""
    return [
        GridEvent(
            f"GRID-{day:%Y%m%d}-{number}", PROGRAM, at(day, start), at(day, end), at(day, time(12))
        )
        for number, (start, end) in enumerate(WINDOWS, 1)
    ]


def prices(seed: int, day: date) -> list[Price]:
    """A price for every half hour of the evening, 0.18 to 0.62 per kWh, dearer in events."""
    rng = Random(f"prices {seed} {day}")
    table, start = [], at(day, OPENS)
    stressed = events(day)
    while start < at(day, CLOSES):
        dear = any(event.started_at <= start < event.ended_at for event in stressed)
        hundredths_of_cents = rng.randrange(4_000, 6_200) if dear else rng.randrange(1_800, 3_000)
        table.append(Price(PROGRAM, start, start + PRICE_LENGTH, hundredths_of_cents * 100))
        start += PRICE_LENGTH
    return table


def feed(seed: int, day: date) -> dict[str, list[dict[str, str]]]:
    """Everything ``simulators.utility`` serves on that evening."""
    return {
        "events": [event.as_json() for event in events(day)],
        "prices": [price.as_json() for price in prices(seed, day)],
    }
