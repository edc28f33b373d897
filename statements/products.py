"""A line as one product of named factors, exact enough for a person to recompute it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from settlement.pricing import Term
from settlement.programs import Program, TierMode
from settlement.rounding import RoundingMode
from statements.numerals import exact, seconds

_KWH_PLACES = 6
_TIERED_PLACES = 12
_PLACES = 6


@dataclass(frozen=True, slots=True)
class Product:
    """One line in figures: what it is, its energy, its product, and its amount in micros."""

    term: str
    energy: str
    product: str
    amount_micros: int


TERMS: Mapping[Term, str] = {
    Term.ENERGY: "energy",
    Term.CAPACITY: "average power",
    Term.DELIVERY: "power delivered to order",
    Term.SHORTFALL: "penalty on power not delivered",
}

ROUNDED: Mapping[RoundingMode, str] = {
    RoundingMode.HALF_AWAY: "halves away from zero",
    RoundingMode.HALF_EVEN: "halves to the even neighbour",
    RoundingMode.DOWN: "towards zero",
}


def product(line: Mapping[str, Any], program: Program) -> Product:
    """A row of ``schemas.LINE`` as its product."""
    term = Term(line["term"])
    energy = exact(line["energy_milliwh"], _KWH_PLACES, least=3)
    currency = program.currency
    rate = f"{exact(line['incentive_rate_ppm'], _PLACES)} rate"
    if line["price_micros_per_kwh"] is None:
        per_kw = exact(line["price_micros_per_kw"], _PLACES, least=2)
        factors = [
            f"{energy} kWh × 3,600 s/h ÷ {seconds(line['over_us'])} s",
            f"{per_kw} {currency}/kW",
            rate,
        ]
    else:
        price = f"{exact(line['price_micros_per_kwh'], _PLACES, least=2)} {currency}/kWh"
        thermal = f"{exact(line['thermal_factor_ppm'], _PLACES)} thermal"
        if program.tier_mode is TierMode.GRADUATED:
            tiered = exact(line["tiered_nanowh"], _TIERED_PLACES, least=3)
            factors = [f"{tiered} kWh after tiers", price, rate, thermal]
        else:
            tier = f"{exact(line['tier_multiplier_ppm'], _PLACES)} tier"
            factors = [f"{energy} kWh", price, rate, tier, thermal]
    return Product(TERMS[term], energy, " × ".join(factors), line["amount_micros"])


def money(micros: int, currency: str) -> str:
    """Micros as money, with at least two places."""
    return f"{exact(micros, _PLACES, least=2)} {currency}"


def payable(minor: int, program: Program) -> str:
    """Minor units as money."""
    return f"{exact(minor, program.minor_units, least=program.minor_units)} {program.currency}"


def rounding(program: Program) -> str:
    """How the program rounds, in words."""
    unit = exact(1, program.minor_units, least=program.minor_units)
    what = "each line" if program.rounding_stage == "line" else "the sum of the lines"
    return f"{what} is rounded to {unit} {program.currency}, {ROUNDED[program.rounding_mode]}"
