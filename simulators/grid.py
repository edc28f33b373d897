"""The utility's side of the evening: two grid stress events in each of two programs, one of them called
off in flight, and a price for every half hour.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Final

from simulators.signing import decimal, rfc3339

PROGRAM: Final = "example-energy"
THERMAL_PROGRAM: Final = "v2g-tiered-thermal"
"""Pays by the battery's temperature, and for what was given net of what was drawn."""

EVENT_NAMES: Final = {PROGRAM: "GRID", THERMAL_PROGRAM: "HEAT"}
CURRENCY: Final = "USD"
OPENS: Final = time(16, 30)
CLOSES: Final = time(20, 0)
WINDOWS: Final = ((time(17, 0), time(18, 0)), (time(18, 30), time(19, 30)))
CALLED_OFF: Final = (PROGRAM, time(18, 30), time(19, 20))
"""Program and start of the event that the utility cancels while it is under way, and when it does."""

PRICE_LENGTH: Final = timedelta(minutes=30)


@dataclass(frozen=True, slots=True)
class GridEvent:
    """One grid stress event, half-open, as the utility announces it; ``cancelled_at`` None: it stands."""

    event_id: str
    program: str
    started_at: datetime
    ended_at: datetime
    created_at: datetime
    status: str = "scheduled"
    cancelled_at: datetime | None = None

    @property
    def until(self) -> datetime:
        """Where it stops being in force."""
        return self.cancelled_at or self.ended_at

    def as_json(self) -> dict[str, str]:
        """As ``GET /v1/events`` shows it."""
        cancelled = {"cancelled_at": rfc3339(self.cancelled_at)} if self.cancelled_at else {}
        return {
            "event_id": self.event_id,
            "program": self.program,
            "started_at": rfc3339(self.started_at),
            "ended_at": rfc3339(self.ended_at),
            "created_at": rfc3339(self.created_at),
            "status": self.status,
            **cancelled,
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
    """The evening's events, announced at noon: both programs have the same two windows."""
    return [
        _called_off(
            GridEvent(
                f"{name}-{day:%Y%m%d}-{number}",
                program,
                at(day, start),
                at(day, end),
                at(day, time(12)),
            )
        )
        for program, name in EVENT_NAMES.items()
        for number, (start, end) in enumerate(WINDOWS, 1)
    ]


def _called_off(event: GridEvent) -> GridEvent:
    program, starts, cancelled = CALLED_OFF
    day = event.started_at.date()
    if (event.program, event.started_at) != (program, at(day, starts)):
        return event
    return replace(event, status="cancelled", cancelled_at=at(day, cancelled))


def prices(seed: int, day: date) -> list[Price]:
    """A price for every half hour of the evening, 0.18 to 0.62 per kWh, dearer in events, the same in
    both programs. Neighbours differ, so that each half hour of an event is settled by itself.
    """
    rng = Random(f"prices {seed} {day}")
    table: list[Price] = []
    start = at(day, OPENS)
    stressed = events(day)
    while start < at(day, CLOSES):
        dear = any(event.started_at <= start < event.ended_at for event in stressed)
        hundredths_of_cents = rng.randrange(4_000, 6_200) if dear else rng.randrange(1_800, 3_000)
        micros = hundredths_of_cents * 100
        if table and table[-1].price_micros_per_kwh == micros:
            micros += 100
        table.append(Price(PROGRAM, start, start + PRICE_LENGTH, micros))
        start += PRICE_LENGTH
    return [replace(price, program=program) for program in EVENT_NAMES for price in table]


def feed(seed: int, day: date) -> dict[str, list[dict[str, str]]]:
    """Everything ``simulators.utility`` serves on that evening."""
    return {
        "events": [event.as_json() for event in events(day)],
        "prices": [price.as_json() for price in prices(seed, day)],
    }
