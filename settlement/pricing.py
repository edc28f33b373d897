"""Pricing: energy × price × incentive rate × tier multiplier × thermal factor, line by line.

All five factors are integers, their product is exact in 128 bits, and it is rounded once to micros;
the settlement is the sum of its lines as shown, rounded once to minor units (settlement rules §5,
``docs/settlement.md`` with the worked example).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from settlement import units
from settlement.bounds import assert_fits
from settlement.programs import Bracket, Program, RoundingStage
from settlement.reasons import HELD
from settlement.rounding import divide
from settlement.schemas import LINE, SETTLEMENT

_LINE_DIVISOR: Final = units.MILLIWH_PER_KWH * units.PPM**3
"""mWh × micros/kWh × ppm × ppm × ppm counts 10^-24 of the currency unit's millionth."""

_FACTORS: Final = (
    "energy_milliwh",
    "price_micros_per_kwh",
    "incentive_rate_ppm",
    "tier_multiplier_ppm",
    "thermal_factor_ppm",
)

_W_US_PER_MILLIWH: Final = 3_600_000

_SETTLEMENT_KEY: Final = ("program", "event_id", "vehicle_id")


@dataclass(frozen=True)
class Priced:
    """``lines``: ``schemas.LINE``. ``settlements``: program, program_version, event_id, vehicle_id,
    currency, energy_milliwh, lines_micros, amount_minor, rounding_difference_micros, state, reason;
    both sorted by program, event and vehicle.
    """

    lines: pl.DataFrame
    settlements: pl.DataFrame


def price(matched: pl.DataFrame, unpaid: pl.DataFrame, programs: Mapping[str, Program]) -> Priced:
    """Price matched discharge.

    Args:
        matched: ``schemas.MATCHED_DISCHARGE``.
        unpaid: ``schemas.UNPAID``; the reasons in ``reasons.HELD`` hold the settlement of their
            vehicle and event, which is then shown but pays nothing.
        programs: by name; every program of ``matched``.

    Raises:
        BoundExceededError: a factor outside its declared range would wrap the product.
    """
    parts = [
        _settle(_lines(matched.filter(pl.col("program") == name), program), program)
        for name, program in sorted(programs.items())
    ]
    lines = pl.concat([part.lines for part in parts]) if parts else LINE.empty()
    settlements = pl.concat([part.settlements for part in parts]) if parts else _no_settlements()
    return Priced(lines, _hold(settlements, unpaid, programs))


def tier(value: pl.Expr, brackets: Sequence[Bracket], scale: pl.Expr | int = 1) -> pl.Expr:
    """The multiplier of the half-open bracket that holds ``value / scale``, compared without division."""
    multiplier = pl.lit(brackets[0].multiplier_ppm, dtype=pl.Int64)
    for bracket in brackets[1:]:
        reached = value >= bracket.start * scale
        multiplier = (
            pl.when(reached)
            .then(pl.lit(bracket.multiplier_ppm, dtype=pl.Int64))
            .otherwise(multiplier)
        )
    return multiplier


def _lines(matched: pl.DataFrame, program: Program) -> pl.DataFrame:
    us = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()
    # Average power over the settlement interval: energy × 3.6e6 / µs. 1e9 × 3.6e6 = 3.6e15, and
    # 1e7 W × the µs of a hundred days = 8.6e19 would wrap: both sides are 128 bits wide.
    power = pl.col("energy_milliwh").cast(pl.Int128) * _W_US_PER_MILLIWH
    by_power = tier(power, program.power_tiers, us.cast(pl.Int128))
    by_duration = tier(pl.col("event_discharged_us"), program.duration_tiers)
    factored = matched.with_columns(
        avg_w=_rounded_ratio(power, us),
        # Multipliers have three places each (settlement.programs), so this division is exact.
        tier_multiplier_ppm=by_power * by_duration // units.PPM,
        thermal_factor_ppm=pl.lit(units.PPM, dtype=pl.Int64),
    )
    assert_fits(factored, _FACTORS)
    exact = pl.col(_FACTORS[0]).cast(pl.Int128)
    for factor in _FACTORS[1:]:
        exact = exact * pl.col(factor)
    amount = divide(exact, _LINE_DIVISOR, program.rounding_mode)
    if program.rounding_stage is RoundingStage.LINE:
        minor = micros_per_minor(program)
        amount = divide(exact, _LINE_DIVISOR * minor, program.rounding_mode) * minor
    return factored.with_columns(amount_micros=amount.cast(pl.Int64)).select(LINE.schema.names())


def _rounded_ratio(numerator: pl.Expr, denominator: pl.Expr) -> pl.Expr:
    """For display only: tiers compare exactly."""
    return ((numerator + denominator // 2) // denominator).cast(pl.Int64)


def micros_per_minor(program: Program) -> int:
    """How many micros one minor unit of the program's currency holds."""
    return int(10 ** (6 - program.minor_units))


def _settle(lines: pl.DataFrame, program: Program) -> Priced:
    minor = micros_per_minor(program)
    settlements = (
        lines.group_by(_SETTLEMENT_KEY)
        .agg(
            pl.col("energy_milliwh").sum(),
            lines_micros=pl.col("amount_micros").cast(pl.Int128).sum(),
        )
        .with_columns(
            program_version=pl.lit(program.version, dtype=pl.Int64),
            currency=pl.lit(program.currency),
            amount_minor=divide(pl.col("lines_micros"), minor, program.rounding_mode),
            state=pl.lit("booked"),
            reason=pl.lit(""),
        )
        .with_columns(
            rounding_difference_micros=pl.col("amount_minor") * minor - pl.col("lines_micros")
        )
        .select(_no_settlements().columns)
        .cast(_no_settlements().schema)
        .sort(_SETTLEMENT_KEY)
    )
    return Priced(lines.sort([*_SETTLEMENT_KEY, "started_at"]), settlements)


def _no_settlements() -> pl.DataFrame:
    own = ("settlement_id",)
    return pl.DataFrame(
        schema={name: kind for name, kind in SETTLEMENT.schema.items() if name not in own}
    )


def _hold(
    settlements: pl.DataFrame, unpaid: pl.DataFrame, programs: Mapping[str, Program]
) -> pl.DataFrame:
    """Settlements with energy in a holding reason: shown, not payable, the reason named."""
    held = (
        unpaid.filter(pl.col("reason").is_in([reason.value for reason in HELD]))
        .select(*_SETTLEMENT_KEY, holding="reason")
        .unique(_SETTLEMENT_KEY)
        .join(_facts(programs), on="program", how="inner")
    )
    known = settlements.join(
        held.select(*_SETTLEMENT_KEY, "holding"), on=_SETTLEMENT_KEY, how="left"
    )
    lineless = held.join(settlements, on=_SETTLEMENT_KEY, how="anti").with_columns(
        energy_milliwh=0,
        lines_micros=0,
        amount_minor=0,
        rounding_difference_micros=0,
        state=pl.lit("booked"),
        reason=pl.lit(""),
    )
    columns = [*settlements.columns, "holding"]
    both = pl.concat(
        [known.select(columns), lineless.select(columns).cast(known.select(columns).schema)]
    )
    is_held = pl.col("holding").is_not_null()
    return (
        both.with_columns(
            pl.when(is_held).then(0).otherwise(pl.col(name)).alias(name)
            for name in ("amount_minor", "rounding_difference_micros")
        )
        .with_columns(
            state=pl.when(is_held).then(pl.lit("held")).otherwise(pl.col("state")),
            reason=pl.when(is_held).then(pl.col("holding")).otherwise(pl.col("reason")),
        )
        .drop("holding")
        .sort(_SETTLEMENT_KEY)
    )


def _facts(programs: Mapping[str, Program]) -> pl.DataFrame:
    return pl.DataFrame(
        [(name, p.version, p.currency) for name, p in sorted(programs.items())],
        schema={"program": pl.String(), "program_version": pl.Int64(), "currency": pl.String()},
        orient="row",
    )
