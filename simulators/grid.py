"""The utility's side of the evening: two grid stress events in each of two programs, one of them called
off in flight, one superseded by a third; and a price for every half hour, one of them revised days later.
"""

from collections.abc import Sequence
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

SUPERSEDING: Final = (PROGRAM, time(17, 20), time(17, 40), time(18, 0))
"""Program of a third event, when it is announced, when it starts and ends. It lies within the first event
of that program, is of equal primacy and sets the same control, and was created later: so it supersedes
the first (IEEE 2030.5 clause 10.2.2.3: among events of equal primacy the one of the latest creationTime).
Its end is that of the first, so that it does not matter whether a superseded event goes on afterwards,
which the editions of 2018 and 2023 say differently. It is announced before it starts: no late notice."""

REVISED: Final = (PROGRAM, time(18, 30), -50_000)
"""Program and start of the price that is revised after the first settlement, and by how many micros."""

MAKER: Final = 32_473
"""The private enterprise number that is set aside for examples (RFC 5612)."""

PRICE_LENGTH: Final = timedelta(minutes=30)
PRICE_STEP_MICROS: Final = 100
"""Prices have four decimal places."""


@dataclass(frozen=True, slots=True)
class GridEvent:
    """One grid stress event, half-open, as the utility announces it; ``cancelled_at`` None: it stands.

    All are of equal primacy and set the same control: of those of one program that overlap, the one
    created last is in force.
    """

    event_id: str
    """Its mRID: 128 bits in hexadecimal, the last 32 of them the maker's number (IEEE 2030.5, mRIDType)."""
    name: str
    """Short, for people: its description."""
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

    @property
    def text(self) -> str:
        """Currency units per kWh, as decimal text."""
        return decimal(self.price_micros_per_kwh, 6)

    def as_json(self) -> dict[str, str]:
        """As ``GET /v1/prices`` shows it: the price is decimal text."""
        return {
            "program": self.program,
            "started_at": rfc3339(self.started_at),
            "ended_at": rfc3339(self.ended_at),
            "price_per_kwh": self.text,
            "currency": self.currency,
        }


def at(day: date, clock: time) -> datetime:
    """That time of that day, UTC."""
    return datetime.combine(day, clock, tzinfo=UTC)


def mrid(day: date, program: str, number: int) -> str:
    """The mRID of an event, or with number 0 of its program.

    >>> mrid(date(2026, 7, 1), PROGRAM, 3)
    '20260701000000010000000300007ed9'
    """
    return f"{day:%Y%m%d}{list(EVENT_NAMES).index(program) + 1:08x}{number:08x}{MAKER:08x}"


def events(day: date) -> list[GridEvent]:
    """The evening's events: the same two windows in both programs, announced at noon; then the one that
    supersedes a part of another.
    """
    planned = [
        _called_off(
            GridEvent(
                mrid(day, program, number),
                f"{name}-{number}",
                program,
                at(day, start),
                at(day, end),
                at(day, time(12)),
            )
        )
        for program, name in EVENT_NAMES.items()
        for number, (start, end) in enumerate(WINDOWS, 1)
    ]
    return [*planned, _superseding(day)]


def planned_for(program: str, day: date) -> list[GridEvent]:
    """The events for which the drivers of a program have planned: those announced at noon."""
    noon = at(day, time(12))
    return [one for one in events(day) if one.program == program and one.created_at == noon]


def superseded(day: date) -> tuple[GridEvent, GridEvent]:
    """The event that loses a part of its time to another, and that other one."""
    other = _superseding(day)
    return next(
        one
        for one in planned_for(other.program, day)
        if one.started_at <= other.started_at < one.ended_at
    ), other


def _superseding(day: date) -> GridEvent:
    program, created, start, end = SUPERSEDING
    number = len(WINDOWS) + 1
    return GridEvent(
        mrid(day, program, number),
        f"{EVENT_NAMES[program]}-{number}",
        program,
        at(day, start),
        at(day, end),
        at(day, created),
    )


def _called_off(event: GridEvent) -> GridEvent:
    program, starts, cancelled = CALLED_OFF
    day = event.started_at.date()
    if (event.program, event.started_at) != (program, at(day, starts)):
        return event
    return replace(event, status="cancelled", cancelled_at=at(day, cancelled))


def prices(seed: int, day: date) -> list[Price]:
    """A price for every half hour of the evening, 0.18 to 0.62 per kWh, dearer in events, the same in
    both programs, as first published. Neighbours differ, so that each half hour of an event is settled by
    itself.
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
            micros += PRICE_STEP_MICROS
        table.append(Price(PROGRAM, start, start + PRICE_LENGTH, micros))
        start += PRICE_LENGTH
    return [replace(price, program=program) for program in EVENT_NAMES for price in table]


def revised(first: Sequence[Price]) -> list[Price]:
    """The prices after the revision of one of them; it still differs from its neighbours."""
    out = list(first)
    number = revised_at(first)
    old = out[number].price_micros_per_kwh
    neighbours = {
        out[beside].price_micros_per_kwh
        for beside in (number - 1, number + 1)
        if 0 <= beside < len(out)
    }
    new = old + REVISED[2]
    while new in neighbours:
        new -= PRICE_STEP_MICROS
    out[number] = replace(out[number], price_micros_per_kwh=new)
    return out


def revised_at(prices: Sequence[Price]) -> int:
    """Which of the prices is revised."""
    program, start, _ = REVISED
    return next(
        number
        for number, one in enumerate(prices)
        if one.program == program and one.started_at.time() == start
    )


def feed(events: Sequence[GridEvent], prices: Sequence[Price]) -> dict[str, list[dict[str, str]]]:
    """What ``simulators.utility`` serves."""
    return {
        "events": [event.as_json() for event in events],
        "prices": [price.as_json() for price in prices],
    }
