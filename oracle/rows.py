"""The rows of a result: settlements and unpaid energy. What would have been is money too, and is rounded for
each EVSE by itself.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from oracle.numbers import kwh, product, rounded, whole
from oracle.terms import Terms

Worth = tuple[Decimal | None, Decimal, str]
"""Price per kWh, rate and rounding mode of energy that is not paid."""


def settlement(
    vehicle: str,
    event_id: str,
    version: Terms,
    lines: Sequence[Mapping[str, Any]],
    held: Sequence[str],
) -> dict[str, Any]:
    """One settlement: the sum of its lines, rounded once; nothing while it is held."""
    total = sum((line["amount"] for line in lines), Decimal(0))
    energy = sum(line["energy_milliwh"] for line in lines if line["term"] != "shortfall")
    payable = rounded(Decimal(0) if held else total, version.minor_units, version.rounding)
    return {
        "vehicle_id": vehicle,
        "event_id": event_id,
        "program": version.name,
        "currency": version.currency,
        "energy_kwh": kwh(energy),
        "energy_milliwh": energy,
        "amount": payable,
        "amount_minor": whole(payable, version.minor_units, "amount"),
        "lines_total": total,
        "rounding_difference": Decimal(0) if held else payable - total,
        "status": f"held: {held[0]}" if held else "booked",
        "minor_units": version.minor_units,
    }


def unpaid(
    vehicle: str,
    event_id: str | None,
    times: tuple[datetime, datetime],
    reason: str,
    parts: Sequence[int],
    worth: Worth,
) -> dict[str, Any]:
    """Energy that is not paid, of one vehicle in one interval for one reason, in parts by EVSE."""
    energy = sum(parts)
    price, rate, mode = worth
    would_have_been = None
    if price is not None:
        money = [rounded(product(kwh(part), price, rate), 6, mode) for part in parts]
        would_have_been = sum(money, Decimal("0.000000"))
    micros = None if would_have_been is None else whole(would_have_been, 6, "unpaid")
    return {
        "vehicle_id": vehicle,
        "event_id": event_id,
        "started_at": times[0],
        "ended_at": times[1],
        "energy_kwh": kwh(energy),
        "energy_milliwh": energy,
        "reason": reason,
        "would_have_been": would_have_been,
        "would_have_been_micros": micros,
    }
