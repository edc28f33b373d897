"""What each trouble of the evening cost, from the books; and the same from what the simulators know.

Money is in micros of the currency: what was never booked has no minor units.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from cli.output import console, table
from settlement import engine
from settlement.periods import Period
from settlement.reasons import UnpaidReason
from simulators import grid
from simulators.evening import Evening
from simulators.netting import LIMIT_MILLICELSIUS, RELEASE_MILLICELSIUS
from simulators.tariff import MICROS_PER_CENT
from simulators.truth import Truth
from storage import books, troubles
from storage.engine import Connection
from storage.readings import open_readings
from tasks import computing, words

CANCELLED: Final = UnpaidReason.EVENT_CANCELLED.value
THROTTLED: Final = UnpaidReason.THERMAL_LIMIT_REACHED.value


KINDS: Final = frozenset(
    {"cancelled event", "superseded event", "revised price", "throttled vehicle"}
)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one trouble came to.

    Attributes:
        energy_milliwh: that it concerns.
        lost_micros: less money because of it; negative: more.
    """

    energy_milliwh: int
    lost_micros: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """One row of the table.

    Attributes:
        what: which kind.
        whose: event or vehicle.
        found: what the books say.
        meant: what the simulators know.
        why: one sentence.
    """

    what: str
    whose: str
    found: Cost
    meant: Cost
    why: str


def reckon(dsn: str, evening: Evening, period: Period, now: datetime) -> list[Trouble]:
    """Every trouble of the evening, in the order in which they came up.

    Args:
        dsn: the database, in which everything has been settled and trued up.
        evening: what the simulators know.
        period: that was settled.
        now: what is known by then counts.
    """
    with books.reading(dsn) as conn:
        return [
            _superseded(conn, dsn, evening, period, now),
            *_throttled(conn, evening),
            _cancelled(conn, evening),
            _revised(conn, evening),
        ]


def _superseded(
    conn: Connection, dsn: str, evening: Evening, period: Period, now: datetime
) -> Trouble:
    first, other = grid.superseded(evening.day)
    energy, booked_minor = troubles.booked_for(conn, other.event_id)
    paid = booked_minor + troubles.booked_for(conn, first.event_id)[1]
    without = _without(conn, dsn, other.event_id, first.event_id, period, now)
    money = words.money(booked_minor, 2, grid.CURRENCY)
    return Trouble(
        "superseded event",
        f"{first.name}, by {other.name}",
        Cost(energy, (without - paid) * MICROS_PER_CENT),
        _superseded_meant(evening, first.event_id, other.event_id),
        f"Announced at {other.created_at:%H:%M}, of equal primacy and created later, {other.name} is in"
        f" force from {other.started_at:%H:%M}: {money} moved to it, once; two shorter events earn"
        " other tiers by time and power.",
    )


def _superseded_meant(evening: Evening, first: str, other: str) -> Cost:
    truth, without = evening.truth, evening.truth_without_superseding
    energy = sum(milliwh for (_, event), milliwh in truth.paid.items() if event == other)
    lost = _cents(without, (first,)) - _cents(truth, (first, other))
    return Cost(energy, lost * MICROS_PER_CENT)


def _cents(truth: Truth, events: Sequence[str]) -> int:
    return sum(cents for (_, event), cents in truth.paid_cents.items() if event in events)


def _without(
    conn: Connection, dsn: str, event_id: str, first: str, period: Period, now: datetime
) -> int:
    """What an event would have paid, minor units, had another one never been announced."""
    facts = computing.facts_of(conn, period, known_at=now, vehicles=())
    alone = replace(facts, windows=[one for one in facts.windows if one.event_id != event_id])
    with open_readings(conn, dsn, known_at=now) as readings:
        found = engine.compute(readings, alone, period, stretch=computing.STRETCH)
    return sum(
        amount
        for event, amount in found.settlements.select("event_id", "amount_minor").iter_rows()
        if event == first
    )


def _throttled(conn: Connection, evening: Evening) -> list[Trouble]:
    low, high = (milli // 1_000 for milli in RELEASE_MILLICELSIUS)
    names = {one.event_id: one.name for one in evening.events}
    return [
        Trouble(
            "throttled vehicle",
            f"{one.vehicle_id}, {names[one.event_id]}",
            Cost(one.energy_milliwh, one.would_have_been_micros),
            _unpaid_meant(evening.truth, THROTTLED, one.event_id, one.vehicle_id),
            f"Its battery's filtered temperature reached {LIMIT_MILLICELSIUS // 1_000} °C: until it is"
            f" back within {low} to {high} °C nothing is paid.",
        )
        for one in troubles.unpaid_for(conn, THROTTLED)
    ]


def _cancelled(conn: Connection, evening: Evening) -> Trouble:
    [event] = [one for one in evening.events if one.cancelled_at]
    rows = [one for one in troubles.unpaid_for(conn, CANCELLED) if one.event_id == event.event_id]
    return Trouble(
        "cancelled event",
        event.name,
        Cost(sum(r.energy_milliwh for r in rows), sum(r.would_have_been_micros for r in rows)),
        _unpaid_meant(evening.truth, CANCELLED, event.event_id, *(plan.vehicle_id for plan in evening.plans)),
        f"Called off at {event.until:%H:%M}, under way since {event.started_at:%H:%M}: what was given"
        " until then is paid, what was given after is not.",
    )  # fmt: skip


def _unpaid_meant(truth: Truth, reason: str, event_id: str, *vehicles: str) -> Cost:
    return Cost(
        sum(truth.unpaid_of_event.get((one, event_id, reason), 0) for one in vehicles),
        sum(truth.worth_micros.get((one, event_id, reason), 0) for one in vehicles),
    )


def _revised(conn: Connection, evening: Evening) -> Trouble:
    number = grid.revised_at(evening.prices)
    before, after = evening.first_prices[number], evening.prices[number]
    [event] = [
        one
        for one in grid.planned_for(after.program, evening.day)
        if one.started_at <= after.started_at < one.ended_at
    ]
    energy, booked_minor = troubles.adjusted_for(conn, event.event_id, after.started_at)
    truth, first = evening.truth, (event.event_id,)
    meant = sum(
        milliwh
        for (_, one, start), milliwh in truth.paid_by_price.items()
        if (one, start) == (event.event_id, after.started_at)
    )
    lost = _cents(evening.truth_in_time, first) - _cents(truth, first)
    return Trouble(
        "revised price",
        f"{event.name}, from {after.started_at:%H:%M}",
        Cost(energy, -booked_minor * MICROS_PER_CENT),
        Cost(meant, lost * MICROS_PER_CENT),
        f"Published as {before.text} {after.currency} per kWh and settled; revised to {after.text} days"
        f" later: the difference, {words.money(booked_minor, 2, after.currency)}, was booked on the"
        " evening itself.",
    )


def show_troubles(rows: Sequence[Trouble]) -> None:
    """The table."""
    cells = [
        (
            one.what,
            one.whose,
            one.why,
            words.kwh(one.found.energy_milliwh),
            words.micros(one.found.lost_micros, grid.CURRENCY),
        )
        for one in rows
    ]
    columns = ("trouble", "of", "why", "energy", "cost")
    console.print(table("What each trouble cost", columns, cells, numbers=2))
