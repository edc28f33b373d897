"""An independent settlement, slow and plain: one reading at a time, in decimals and fractions.

Written from the text of the rules (docs/settlement.md), sharing no code with ``settlement``: it takes
dictionaries and gives dictionaries, and knows only Python's own numbers.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, localcontext
from fractions import Fraction
from itertools import pairwise
from typing import Any

POWER_TIERS = [
    (Decimal(0), Decimal("1.00")),
    (Decimal(5), Decimal("1.15")),
    (Decimal(10), Decimal("1.30")),
]
DURATION_TIERS = [(Decimal(0), Decimal("1.00")), (Decimal(60), Decimal("1.10"))]


@dataclass
class Result:
    """Payable minor units per (event, vehicle); held ones; energy per (vehicle, reason or "PAID")."""

    payable: dict[tuple[str, str], int] = field(default_factory=dict)
    held: set[tuple[str, str]] = field(default_factory=set)
    energy: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))


def settle(
    readings: Iterable[Mapping[str, Any]],
    events: Sequence[Mapping[str, Any]],
    prices: Sequence[Mapping[str, Any]],
    contracts: Sequence[Mapping[str, Any]],
    period: tuple[datetime, datetime],
) -> Result:
    """Settle. Overlapping events: the last created counts. Overlapping prices: the last received."""

    def state(moment: datetime) -> tuple[Any, ...]:
        """What is in force at a moment: event, price, and whether it lies in the period."""
        running = [e for e in events if e["started_at"] <= moment < e["ended_at"]]
        event = max(running, key=lambda e: (e["created_at"], e["event_id"]), default=None)
        known = [p for p in prices if p["started_at"] <= moment < p["ended_at"]]
        price = max(known, key=lambda p: (p["received_at"], p["started_at"]), default=None)
        inside = period[0] <= moment < period[1]
        return (
            event["event_id"] if event else None,
            price["price"] if price else None,
            inside if event is None else None,
        )

    edges = sorted(
        {t for x in (*events, *prices) for t in (x["started_at"], x["ended_at"])} | set(period)
    )
    # Only edges at which something changes divide time.
    changes: list[datetime] = []
    for edge in edges:
        before = state(changes[-1]) if changes else (None, None, False)
        if state(edge) != before:
            changes.append(edge)
    by_id = {e["event_id"]: e for e in events}
    # (vehicle, event, the interval's start and end, price, rate) → energy, µs
    cells: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
    result = Result()

    for reading in readings:
        start, end, vehicle = reading["started_at"], reading["ended_at"], str(reading["vehicle_id"])
        energy = reading["export_end_milliwh"] - reading["export_start_milliwh"]
        if energy <= 0:
            continue
        inside = [start, *(c for c in changes if start < c < end), end]
        given = 0
        for a, b in pairwise(inside):
            share = int(Fraction(energy * _us(b - a), _us(end - start)))
            part = energy - given if b == end else share
            given += part
            if part == 0:
                continue
            event_id, price, in_period = state(a)
            event = by_id.get(event_id)
            if event is None and not in_period:
                continue
            if event is not None and not period[0] < event["ended_at"] <= period[1]:
                continue
            rates = [
                c["rate"]
                for c in contracts
                if event is not None
                and c["vehicle_id"] == vehicle
                and c["valid_from"] <= event["started_at"]
                and (c["valid_to"] is None or event["started_at"] < c["valid_to"])
            ]
            if reading["conflicted"] or _inconsistent(reading, energy):
                reason = "ERR_DATA_INCONSISTENCY"
            elif event is None:
                reason = "OUTSIDE_WINDOW"
            elif len(rates) != 1:
                reason = "DOUBLE_ENROLMENT" if rates else "NO_CONTRACT"
            elif price is None:
                reason = "PRICE_MISSING"
                result.held.add((event_id, vehicle))
            elif price < 0:
                reason = "NEGATIVE_PRICE"
            else:
                reason = "PAID"
            result.energy[vehicle, reason] += part
            if reason in ("PAID", "PRICE_MISSING", "NEGATIVE_PRICE"):
                begins = max([c for c in changes if c <= a])
                ends = min([c for c in changes if c > a])
                cell = cells[vehicle, event_id, begins, ends, price, rates[0]]
                cell[0] += part
                cell[1] += _us(b - a)
    _pay(cells, result)
    return result


def _us(span: timedelta) -> int:
    return span // timedelta(microseconds=1)


def _inconsistent(reading: Mapping[str, Any], energy: int) -> bool:
    seconds = Fraction(_us(reading["ended_at"] - reading["started_at"]), 10**6)
    metered = energy - (reading["import_end_milliwh"] - reading["import_start_milliwh"])
    estimated = (
        Fraction(reading["power_start_w"] + reading["power_end_w"], 2) * seconds / Fraction(36, 10)
    )
    apart = abs(metered - estimated)
    return bool(apart > 1000 and apart * 100 > 5 * max(abs(metered), abs(estimated)))


def _pay(cells: Mapping[tuple[Any, ...], list[int]], result: Result) -> None:
    durations: dict[Any, Decimal] = defaultdict(Decimal)
    for (vehicle, event, *_), (_, us) in cells.items():
        durations[event, vehicle] += Decimal(us) / 60_000_000
    sums: dict[Any, Decimal] = defaultdict(Decimal)
    with localcontext() as context:
        context.prec = 60
        for (vehicle, event, begins, ends, price, rate), (energy, _) in cells.items():
            if price is None or price < 0:
                continue
            hours = Decimal(_us(ends - begins)) / 3_600_000_000
            kwh = Decimal(energy) / 1_000_000
            tier = _tier(kwh / hours, POWER_TIERS) * _tier(
                durations[event, vehicle], DURATION_TIERS
            )
            exact = kwh * price * rate * tier
            sums[event, vehicle] += exact.quantize(Decimal("0.000001"), ROUND_HALF_UP)
        for key, total in sums.items():
            payable = int((total * 100).quantize(Decimal(1), ROUND_HALF_UP))
            result.payable[key] = 0 if key in result.held else payable


def _tier(value: Decimal, brackets: Sequence[tuple[Decimal, Decimal]]) -> Decimal:
    return next(multiplier for start, multiplier in reversed(brackets) if value >= start)
