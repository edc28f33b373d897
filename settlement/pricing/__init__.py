"""Pricing: what matched discharge is worth, line by line, and each settlement rounded once.

Every factor of a line is an integer, their product is exact in 128 bits and is rounded once to
micros; the settlement is the sum of its lines as shown, rounded once to minor units
(``docs/settlement.md``, with the worked example).

    terms        what a line pays for; what cannot be priced
    tiers        multipliers by power and duration, slab and graduated
    lines        energy, capacity and order: one product of named integers each
    settlements  the sums, and what holds one

Errors:
    PricingError
    ├── UnknownVersionError   a program or version that was not given
    ├── MissingFactorError    a price or an order is missing
    └── NoTimeError           an interval that lasts no time
    bounds.BoundExceededError   a value outside its declared range would wrap a product
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from settlement.pricing import lines as of_lines
from settlement.pricing import settlements as of_settlements
from settlement.pricing.lines import micros_per_minor
from settlement.pricing.terms import (
    MissingFactorError,
    NoTimeError,
    PricingError,
    Term,
    UnknownVersionError,
)
from settlement.programs import Program
from settlement.schemas import LINE

__all__ = [
    "MissingFactorError",
    "NoTimeError",
    "Priced",
    "PricingError",
    "Term",
    "UnknownVersionError",
    "micros_per_minor",
    "price",
]


@dataclass(frozen=True)
class Priced:
    """``lines``: ``schemas.LINE``, by program, event, vehicle, time and term. ``settlements``:
    ``schemas.SETTLEMENT`` without its id, by program, event, vehicle, version and contract.
    """

    lines: pl.DataFrame
    settlements: pl.DataFrame


def price(
    matched: pl.DataFrame, unpaid: pl.DataFrame, programs: Mapping[str, Sequence[Program]]
) -> Priced:
    """Price matched discharge.

    Args:
        matched: ``schemas.MATCHED_DISCHARGE``. Of a capacity program one row per vehicle and event of
            the season, absent events included (with no energy and no readings); of an order program
            one row per order.
        unpaid: ``schemas.UNPAID``; the reasons in ``reasons.HELD`` hold the settlement of their
            vehicle and event, which is then shown but pays nothing.
        programs: all versions of each program of both frames, ascending by version, by name.

    Raises:
        PricingError: see the package.
        BoundExceededError: a factor outside its declared range would wrap the product.
    """
    parts = matched.partition_by("program", "program_version", as_dict=True)
    lines = [LINE.empty()]
    settlements = [pl.DataFrame(schema=of_settlements.SCHEMA)]
    for (name, number), part in parts.items():
        version = _version(programs, str(name), int(number))
        priced = of_lines.lines(part, version)
        lines.append(priced.select(LINE.schema.names()).cast(LINE.schema))
        settlements.append(of_settlements.settle(priced, version))
    held = of_settlements.hold(pl.concat(settlements), unpaid, matched, programs)
    return Priced(
        pl.concat(lines).sort("program", "event_id", "vehicle_id", "started_at", "term"),
        held.sort("program", "event_id", "vehicle_id", "program_version", "contract_id"),
    )


def _version(programs: Mapping[str, Sequence[Program]], name: str, number: int) -> Program:
    versions = programs.get(name, ())
    for version in versions:
        if version.version == number:
            return version
    raise UnknownVersionError(name, number, [v.version for v in versions])
