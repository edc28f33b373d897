"""Tiers: which multiplier the energy of an interval earns, by power and by duration.

Brackets are half-open. Comparisons are exact: a power is never divided out, but energy is compared
with bracket edge × time. A multiplier has three places at most (``settlement.programs``), so that
the product of two has six and is exact in millionths.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import polars as pl

from settlement import units
from settlement.bounds import assert_fits
from settlement.programs import Bracket, Program, TierMode
from settlement.rounding import RoundingMode, divide

_INT64_MAX: Final = 2**63 - 1


def tiered(matched: pl.DataFrame, program: Program) -> pl.DataFrame:
    """Add ``tier_multiplier_ppm`` and ``tiered_nanowh``, the energy times its multipliers, exactly.

    Args:
        matched: ``schemas.MATCHED_DISCHARGE`` and ``us``, the length of the interval.
        program: its brackets and whether they apply as ``slab`` or ``graduated``.

    Raises:
        BoundExceededError: an energy outside its declared range would wrap a product.
    """
    power = pl.col("power_milliwh").cast(pl.Int128) * units.W_US_PER_MILLIWH
    by_power = _bracket(power, program.power_tiers, pl.col("us").cast(pl.Int128))
    by_duration = _bracket(pl.col("event_discharged_us"), program.duration_tiers)
    slab = matched.with_columns(tier_multiplier_ppm=by_power * by_duration // units.PPM)
    if program.tier_mode is TierMode.GRADUATED:
        return _graduated(slab, program)
    assert_fits(slab, ("energy_milliwh", "tier_multiplier_ppm"), limit=_INT64_MAX)
    return slab.with_columns(tiered_nanowh=pl.col("energy_milliwh") * pl.col("tier_multiplier_ppm"))


def _bracket(value: pl.Expr, brackets: Sequence[Bracket], scale: pl.Expr | int = 1) -> pl.Expr:
    """The multiplier of the bracket that holds ``value / scale``; the first one below zero too."""
    multiplier = pl.lit(brackets[0].multiplier_ppm, dtype=pl.Int64)
    for bracket in brackets[1:]:
        multiplier = (
            pl.when(value >= bracket.start * scale)
            .then(pl.lit(bracket.multiplier_ppm, dtype=pl.Int64))
            .otherwise(multiplier)
        )
    return multiplier


def _graduated(slab: pl.DataFrame, program: Program) -> pl.DataFrame:
    """Divide each interval's energy over the brackets and sum part × multiplier.

    First over the power brackets: below an edge lies edge × time, rounded down to mWh, of the energy
    as it was before caps and deductions; a cap cuts every part alike, as it cuts time and not power.
    Then each part over the duration brackets, in proportion to the time discharged in each, rounded
    down. Both times the last part that there is takes the remainder, so the parts sum to the whole.
    Energy taken in lies in the first power bracket, and in the duration bracket reached by then.
    """
    largest = max(bracket.multiplier_ppm for bracket in program.power_tiers)
    largest = largest * max(bracket.multiplier_ppm for bracket in program.duration_tiers)
    assert_fits(slab, ("energy_milliwh",), limit=_INT64_MAX // max(1, largest // units.PPM))
    assert_fits(slab, ("energy_milliwh", "power_milliwh"))
    assert_fits(slab, ("energy_milliwh", "discharged_us"))
    divided = slab.with_columns(_power_parts(program.power_tiers)).with_columns(
        _duration_parts(program.duration_tiers)
    )
    size = pl.col("energy_milliwh").cast(pl.Int128).abs()
    sums: list[pl.Expr] = []
    for j, by_power in enumerate(program.power_tiers):
        rest = pl.col(f"_part_{j}")
        for k, by_duration in enumerate(program.duration_tiers):
            share = pl.col(f"_part_{j}") * pl.col(f"_time_{k}") // _at_least_one("discharged_us")
            part = pl.when(pl.col(f"_last_{k}")).then(rest).otherwise(share)
            rest = rest - part
            sums.append(part * (by_power.multiplier_ppm * by_duration.multiplier_ppm // units.PPM))
    total = sum(sums[1:], start=sums[0])
    mean = divide(total, pl.max_horizontal(size, pl.lit(1, pl.Int128)), RoundingMode.HALF_EVEN)
    return divided.with_columns(
        tier_multiplier_ppm=pl.when(size > 0)
        .then(mean)
        .otherwise(pl.col("tier_multiplier_ppm"))
        .cast(pl.Int64),
        # Parts are counted without a sign, so that energy taken back mirrors energy given.
        tiered_nanowh=(total * pl.col("energy_milliwh").sign()).cast(pl.Int64),
    ).select(*slab.columns, "tiered_nanowh")


def _at_least_one(column: str) -> pl.Expr:
    """A divisor where there is nothing to divide either."""
    return pl.max_horizontal(pl.col(column).cast(pl.Int128), pl.lit(1, pl.Int128))


def _power_parts(brackets: Sequence[Bracket]) -> list[pl.Expr]:
    """``_part_0`` …: the energy in each power bracket, without its sign."""
    size = pl.col("energy_milliwh").cast(pl.Int128).abs()
    whole = pl.col("power_milliwh").cast(pl.Int128)
    us = pl.col("us").cast(pl.Int128)
    # Taken, or taken back: nothing of it was power, and all of it lies in the first bracket.
    has_power = (pl.col("energy_milliwh") > 0) & (whole > 0)
    below: list[pl.Expr] = [pl.lit(0, pl.Int128)]
    for bracket in brackets[1:]:
        under_edge = pl.min_horizontal(bracket.start * us // units.W_US_PER_MILLIWH, whole)
        cut = size * under_edge // _at_least_one("power_milliwh")
        below.append(pl.when(has_power).then(cut).otherwise(size))
    below.append(size)
    return [(high - low).alias(f"_part_{j}") for j, (low, high) in enumerate(pairwise(below))]


def _duration_parts(brackets: Sequence[Bracket]) -> list[pl.Expr]:
    """``_time_0`` …: the time discharged in each duration bracket; ``_last_0`` …: whether it is the
    last one reached.
    """
    begin = pl.col("discharged_before_us")
    # What was taken in was not discharged over any time, whatever else the interval saw.
    end = begin + pl.when(pl.col("energy_milliwh") < 0).then(0).otherwise(pl.col("discharged_us"))
    # Where nothing was discharged, the bracket that the vehicle stands in.
    reached = pl.when(end > begin).then(end - 1).otherwise(begin)
    edges = [*(bracket.start for bracket in brackets), None]
    found: list[pl.Expr] = []
    for k, (low, high) in enumerate(pairwise(edges)):
        assert low is not None
        upper = end if high is None else pl.min_horizontal(end, pl.lit(high, pl.Int64))
        time = upper - pl.max_horizontal(begin, pl.lit(low, pl.Int64))
        last = reached >= low if high is None else (reached >= low) & (reached < high)
        found += [
            pl.max_horizontal(time, pl.lit(0, pl.Int64)).cast(pl.Int128).alias(f"_time_{k}"),
            last.alias(f"_last_{k}"),
        ]
    return found
