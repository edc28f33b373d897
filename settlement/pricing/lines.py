"""Lines: what each product makes of matched discharge, one product of named integers each.

    energy    tiered_nanowh × price_micros_per_kwh × incentive_rate_ppm × thermal_factor_ppm / 10^24
    power     energy_milliwh × 3600 × price_micros_per_kw × incentive_rate_ppm / (over_us × 10^6)

The product is exact in 128 bits and is rounded once.
"""

from typing import Final

import polars as pl

from settlement import units
from settlement.bounds import assert_fits
from settlement.pricing.terms import MissingFactorError, NoTimeError, Term
from settlement.pricing.tiers import tiered
from settlement.programs import (
    Absent,
    AverageOver,
    CapacityTerms,
    OrderTerms,
    Program,
    RoundingStage,
)
from settlement.rounding import RoundingMode, divide
from settlement.schemas import LINE
from settlement.units import INT128_MAX

KEY: Final = ("program", "program_version", "event_id", "vehicle_id", "contract_id")
"""One settlement."""

COLUMNS: Final = (*LINE.schema.names(), "program_version", "contract_id")

ENERGY_FACTORS: Final = (
    "tiered_nanowh",
    "price_micros_per_kwh",
    "incentive_rate_ppm",
    "thermal_factor_ppm",
)
ENERGY_DIVISOR: Final = 10**24
"""nWh × micros/kWh × ppm × ppm counts so many parts of a micro of the currency unit."""

POWER_FACTORS: Final = ("energy_milliwh", "price_micros_per_kw", "incentive_rate_ppm")
MILLIWH_PER_KW_US: Final = 3_600
"""mWh / µs × 3600 are kW (3.6 million are W)."""


def lines(matched: pl.DataFrame, program: Program) -> pl.DataFrame:
    """The lines of one version of a program.

    Args:
        matched: ``schemas.MATCHED_DISCHARGE`` of that version; of a capacity program one row per
            vehicle and event of the season.
        program: the version.

    Returns:
        ``schemas.LINE`` with ``program_version`` and ``contract_id``; unordered.

    Raises:
        BoundExceededError: a factor outside its declared range would wrap a product.
        MissingFactorError: a price, or an order, is missing.
        NoTimeError: an interval, or the time to average over, is empty.
    """
    us = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()
    timed = matched.with_columns(us=us)
    _require_time(timed, "us", program)
    if program.capacity is not None:
        return _capacity(timed, program, program.capacity)
    if program.order is not None:
        return _order(timed, program, program.order)
    return _energy(timed, program)


def micros_per_minor(program: Program) -> int:
    """How many micros one minor unit of the program's currency holds."""
    return int(10 ** (6 - program.minor_units))


def _energy(timed: pl.DataFrame, program: Program) -> pl.DataFrame:
    factored = tiered(timed, program)
    amount = _rounded(factored, ENERGY_FACTORS, 1, ENERGY_DIVISOR, program)
    return factored.with_columns(
        amount_micros=amount,
        avg_w=_average(factored, "power_milliwh", "us"),
        term=pl.lit(Term.ENERGY.value),
        price_micros_per_kw=pl.lit(None, pl.Int64),
        over_us=pl.lit(None, pl.Int64),
    ).select(COLUMNS)


def _capacity(timed: pl.DataFrame, program: Program, terms: CapacityTerms) -> pl.DataFrame:
    """Each event's share of the season's average: its energy over the time of all events."""
    counted = timed.filter(pl.col("readings") > 0) if terms.absent is Absent.EXCLUDED else timed
    _require_time(counted, "event_us", program)
    assert_fits(counted, ("event_us",), limit=(2**63 - 1) // max(1, counted.height))
    if terms.average_over is AverageOver.EVENTS:
        over = pl.col("event_us") * pl.len().over(KEY).cast(pl.Int64)
    else:
        over = pl.col("event_us").sum().over(KEY)
    shared = counted.with_columns(
        over_us=over,
        price_micros_per_kw=pl.lit(terms.per_avg_kw_micros, pl.Int64),
        term=pl.lit(Term.CAPACITY.value),
    )
    return _power(
        shared.with_columns(avg_w=_average(shared, "energy_milliwh", "event_us")), program
    )


def _order(timed: pl.DataFrame, program: Program, terms: OrderTerms) -> pl.DataFrame:
    """Up to two lines per order: what was delivered of it, and what it was left short of.

    An order of which only a part is in the event has that part of its price, and of its penalty.
    """
    for name in ("ordered_w", "ordered_us"):
        _require(timed, name, program)
    _require_time(timed, "ordered_us", program)
    assert_fits(timed, ("ordered_w", "us"))
    ordered = divide(
        pl.col("ordered_w").cast(pl.Int128) * pl.col("us"),
        units.W_US_PER_MILLIWH,
        RoundingMode.HALF_AWAY,
    )
    weighed = timed.with_columns(_ordered=ordered.cast(pl.Int64), over_us=pl.col("ordered_us"))
    delivered = pl.col("energy_milliwh")
    counted = pl.min_horizontal("_ordered", delivered) if terms.cap_at_order else delivered
    nothing = pl.lit(0, pl.Int64)
    parts = (
        (Term.DELIVERY, counted, terms.price_micros_per_kw),
        (Term.SHORTFALL, pl.col("_ordered") - delivered, -terms.penalty_micros_per_kw),
    )
    priced: list[pl.DataFrame] = []
    for term, energy, price in parts:
        part = weighed.with_columns(
            energy_milliwh=pl.max_horizontal(nothing, energy),
            price_micros_per_kw=pl.lit(price, pl.Int64),
            term=pl.lit(term.value),
        ).filter(pl.col("energy_milliwh") > 0)
        priced.append(
            _power(part.with_columns(avg_w=_average(part, "energy_milliwh", "us")), program)
        )
    return pl.concat(priced)


def _power(shared: pl.DataFrame, program: Program) -> pl.DataFrame:
    """Price lines that pay by power. Neither tiers nor derating apply to them."""
    scale = micros_per_minor(program) * units.PPM
    assert_fits(shared, ("over_us",), limit=INT128_MAX // scale)
    over = pl.col("over_us").cast(pl.Int128) * units.PPM
    assert_fits(shared, ("energy_milliwh",), limit=(2**63 - 1) // units.PPM)
    return shared.with_columns(
        amount_micros=_rounded(shared, POWER_FACTORS, MILLIWH_PER_KW_US, over, program),
        price_micros_per_kwh=pl.lit(None, pl.Int64),
        tier_multiplier_ppm=pl.lit(units.PPM, pl.Int64),
        tiered_nanowh=pl.col("energy_milliwh") * units.PPM,
        thermal_factor_ppm=pl.lit(units.PPM, pl.Int64),
    ).select(COLUMNS)


def _rounded(
    frame: pl.DataFrame,
    factors: tuple[str, ...],
    scale: int,
    divisor: int | pl.Expr,
    program: Program,
) -> pl.Expr:
    """The product of the factors × scale / divisor, rounded once, in micros."""
    for factor in factors:
        _require(frame, factor, program)
    assert_fits(frame, factors, limit=INT128_MAX // scale)
    exact = pl.lit(scale, pl.Int128)
    for factor in factors:
        exact = exact * pl.col(factor)
    if program.rounding_stage is RoundingStage.SETTLEMENT:
        return divide(exact, divisor, program.rounding_mode).cast(pl.Int64)
    minor = micros_per_minor(program)
    return (divide(exact, divisor * minor, program.rounding_mode) * minor).cast(pl.Int64)


def _average(frame: pl.DataFrame, milliwh: str, us: str) -> pl.Expr:
    """Average power in W, half away from zero, for reading: tiers compare exactly."""
    assert_fits(frame, (milliwh,), limit=INT128_MAX // units.W_US_PER_MILLIWH)
    energy = pl.col(milliwh).cast(pl.Int128) * units.W_US_PER_MILLIWH
    return divide(energy, pl.col(us), RoundingMode.HALF_AWAY).cast(pl.Int64)


def _require(frame: pl.DataFrame, column: str, program: Program) -> None:
    missing = frame[column].null_count()
    if missing:
        raise MissingFactorError(program.program, column, missing)


def _require_time(frame: pl.DataFrame, column: str, program: Program) -> None:
    empty = frame.filter(pl.col(column) <= 0).height
    if empty:
        raise NoTimeError(program.program, column, empty)
