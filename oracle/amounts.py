"""Lines and their amounts, for each product.

energy: energy × price × incentive rate × tier multiplier × thermal factor. capacity and order: the
average power of the line's energy over a stated time × a price per kW × incentive rate. Every amount
is rounded once, from its exact product, in the program's mode.

Plainest readings taken: stage `line` rounds the exact product to minor units directly. Terms paid by
power know no tier and no thermal factor. With `average_over: events` each event weighs the same,
whatever its length. `absent: excluded` leaves out events without any accepted reading of the vehicle.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

from oracle import tiers
from oracle.case import Row
from oracle.energies import MILLION, WATT_US, Interval, baseline, factor
from oracle.numbers import HOUR_US, between, kwh, nearest, product, rounded, whole
from oracle.terms import Terms

Line = dict[str, Any]


def places(terms: Terms) -> int:
    """Decimals of a line's amount."""
    return terms.minor_units if terms.stage == "line" else 6


def _kw(milliwh: int, over_us: int) -> Decimal:
    watts = nearest(Fraction(milliwh * WATT_US, over_us), "half_away")
    return Decimal(watts).scaleb(-3)


def _line(
    vehicle: str, event_id: str, started_at: datetime, ended_at: datetime, term: str, energy: int
) -> Line:
    return {
        "vehicle_id": vehicle,
        "event_id": event_id,
        "started_at": started_at,
        "ended_at": ended_at,
        "energy_kwh": kwh(energy),
        "energy_milliwh": energy,
        "tier_multiplier": Decimal("1.000000"),
        "thermal_factor": Decimal("1.000000"),
        "price_per_kwh": None,
        "price_per_kw": None,
        "over_hours": None,
        "term": term,
    }


def _paid(line: Line, amount: Decimal, terms: Terms) -> Line:
    line["amount"] = amount
    line["amount_micros"] = whole(amount, 6, "amount")
    line["_terms"] = terms
    return line


def energy_lines(vehicle: str, intervals: Sequence[Interval], event_us: int) -> list[Line]:
    """One event's lines. `event_us`: the time discharged in the event."""
    found = []
    for interval in intervals:
        if not interval.paid:
            continue
        terms, target = interval.terms, interval.target
        assert target.price is not None
        line = _line(
            vehicle,
            target.event.id,
            interval.started_at,
            interval.ended_at,
            "energy",
            interval.paid,
        )
        if terms.tier_mode == "graduated":
            tiered = tiers.graduated(interval)
            multiplier = tiers.mean(tiered, interval)
        else:
            multiplier = tiers.slab(interval, event_us)
            tiered = product(kwh(interval.paid), multiplier)
        exact = product(tiered, target.price, target.rate, factor(interval))
        line |= {
            "avg_kw": _kw(interval.power, interval.length_us),
            "price_per_kwh": target.price,
            "incentive_rate": target.rate,
            "tier_multiplier": multiplier,
            "thermal_factor": factor(interval),
        }
        found.append(_paid(line, rounded(exact, places(terms), terms.rounding), terms))
    return found


def _power_line(line: Line, terms: Terms, rate: Decimal, price: Decimal, over_us: int) -> Line:
    hours = nearest(Fraction(over_us * MILLION, HOUR_US), "half_even")
    line |= {
        "incentive_rate": rate,
        "price_per_kw": price,
        "over_hours": Decimal(hours).scaleb(-6),
    }
    exact = Fraction(line["energy_milliwh"] * 3600, over_us) * Fraction(price) * Fraction(rate)
    digits = places(terms)
    units = nearest(exact * 10**digits, terms.rounding)
    return _paid(line, Decimal(units).scaleb(-digits), terms)


def order_lines(vehicle: str, interval: Interval, row: Row, against: int) -> list[Line]:
    """Delivery and shortfall of one order. `against`: the baseline energy of the covered time."""
    terms, target = interval.terms, interval.target
    delivered = against - interval.imported + interval.exported
    ordered_w = whole(row["ordered_kw"], 3, "orders: ordered_kw")
    # An order of which the event has only a part has that part of its price.
    order_us = between(row["started_at"], row["ended_at"])
    ordered = nearest(Fraction(ordered_w * interval.length_us, WATT_US), "half_away")
    paid = min(ordered, delivered) if terms.cap_at_order else delivered
    found = []
    for term, energy, price in (
        ("delivery", max(0, paid), terms.price_per_kw),
        ("shortfall", max(0, ordered - delivered), -terms.penalty_per_kw),
    ):
        if energy:
            line = _line(
                vehicle,
                target.event.id,
                interval.started_at,
                interval.ended_at,
                term,
                energy,
            )
            line["avg_kw"] = _kw(energy, interval.length_us)
            found.append(_power_line(line, terms, target.rate, price, order_us))
    return found


def order_baseline(rows: Iterable[Row], interval: Interval) -> int | None:
    """Nothing was delivered in time that no reading covers, whatever the baseline."""
    return baseline(rows, interval) if interval.covered_us else 0


def capacity_lines(vehicle: str, season: str, events: Sequence[Sequence[Interval]]) -> list[Line]:
    """One season's lines: `events` are all its events while under contract, absent ones too."""
    counted = [
        intervals
        for intervals in events
        if intervals[0].terms.absent == "zero" or any(i.covered_us for i in intervals)
    ]
    season_us = sum(interval.length_us for intervals in counted for interval in intervals)
    found = []
    for intervals in counted:
        energy = sum(interval.paid for interval in intervals)
        terms, target = intervals[0].terms, intervals[0].target
        event_us = sum(interval.length_us for interval in intervals)
        over_us = season_us if terms.average_over == "event_hours" else event_us * len(counted)
        line = _line(
            vehicle,
            season,
            intervals[0].started_at,
            intervals[-1].ended_at,
            "capacity",
            energy,
        )
        line["avg_kw"] = _kw(energy, event_us)
        found.append(_power_line(line, terms, target.rate, terms.per_avg_kw, over_us))
    return found
