"""Checks of one reading by itself: registers that run backwards, registers against powers, rating.

Each check gives the numbers of the rows at fault; in honest data they are few, and everything that
costs more than one pass is done on these alone.
"""

from typing import Final

import polars as pl

from settlement import units
from settlement.metering.enrolment import Enrolment
from settlement.metering.order import INT64_MAX
from settlement.rounding import RoundingMode, divide

REGISTER_STEP_MILLIWH: Final = 1_000
"""A meter that counts whole watt-hours is off by up to this much over any interval; that is its
resolution, not an inconsistency."""

RATING_MARGIN_PCT: Final = 102
"""What a rated power may deliver in a time, in hundredths: an allowance for the meter's class."""

RESTART_MARGIN_PCT: Final = 110
"""The same where only a bound is wanted for what flowed unseen (reliability reference, F28)."""

ROWS: Final = pl.Series("row", [], dtype=pl.UInt32)

_US = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()


def largest(frame: pl.DataFrame, expressions: dict[str, pl.Expr]) -> dict[str, int]:
    """The largest absolute value of each; 0 where there is none."""
    edges = frame.select(
        **{f"{name} high": e.max() for name, e in expressions.items()},
        **{f"{name} low": e.min() for name, e in expressions.items()},
    ).row(0, named=True)
    return {
        name: max(abs(edges[f"{name} high"] or 0), abs(edges[f"{name} low"] or 0))
        for name in expressions
    }


def energy_within(power_w: pl.Expr, us: pl.Expr, margin_pct: int) -> pl.Expr:
    """The most energy (mWh, floored, Int128) that flows at a power in a time with a margin, and one
    register step: a whole number above it is above the exact bound, and one at it is not.
    """
    wide = power_w.cast(pl.Int128) * us.cast(pl.Int128) * margin_pct
    return wide // (100 * units.W_US_PER_MILLIWH) + REGISTER_STEP_MILLIWH


def backwards(frame: pl.DataFrame, enrolled: Enrolment) -> pl.DataFrame:
    """Readings in which a register runs backwards.

    If every register that does ends as near to zero as one that was restarted within the reading
    would, at the rated power of the contract (or, where that is not known, the highest power of a
    reading), then the meter was exchanged or the register rolled over. What flowed meanwhile is not
    known. It is then put at what the powers say, which is never paid, so that it can be named.

    Args:
        frame: exported, imported (mWh, register differences), the registers, powers and times.
        enrolled: contracts of each row.

    Returns:
        row (UInt32), exported, imported (mWh, not negative), exchanged (bool).
    """
    rows = (
        frame.lazy()
        .select("exported", "imported")
        .with_row_index("row")
        .filter((pl.col("exported") < 0) | (pl.col("imported") < 0))
        .select("row")
        .collect()
        .to_series()
    )
    found = frame.select(pl.all().gather(rows)).with_columns(
        row=rows, rated=_rated(enrolled, rows).fill_null(units.POWER_MAX_W)
    )
    bound = energy_within(pl.col("rated"), _US, RESTART_MARGIN_PCT)
    restarted = [
        (pl.col(way) >= 0) | (pl.col(f"{register}_end_milliwh") <= bound)
        for way, register in (("exported", "export"), ("imported", "import"))
    ]
    # 2e7 W × 8.64e10 µs = 1.7e18 < 2^63, and then 128 bits.
    trapezoid = divide(
        (pl.col("power_start_w") + pl.col("power_end_w")) * _US,
        2 * units.W_US_PER_MILLIWH,
        RoundingMode.DOWN,
    ).cast(pl.Int64)
    return found.select(
        "row",
        exported=pl.when(pl.col("exported") >= 0)
        .then("exported")
        .otherwise(pl.max_horizontal(trapezoid, pl.lit(0))),
        imported=pl.when(pl.col("imported") >= 0)
        .then("imported")
        .otherwise(pl.max_horizontal(0 - trapezoid, pl.lit(0))),
        exchanged=restarted[0] & restarted[1],
    )


def disagreeing(frame: pl.DataFrame, tolerance_pct: int) -> pl.Series:
    """Rows in which the registers and the trapezoid of the powers disagree.

    They do when they are apart by more than a step of the register and by more than the tolerance of
    the larger of the two. A reading without powers cannot disagree (settlement rules §3).
    """
    size = largest(
        frame,
        {
            "energy": pl.col("exported") - pl.col("imported"),
            "power": pl.col("power_start_w") + pl.col("power_end_w"),
            "us": _US,
        },
    )
    factor = max(100, tolerance_pct)
    # What is compared is twice the energy in W·µs, 100 times, once from either side.
    doubled = 2 * units.W_US_PER_MILLIWH
    reach = max(size["energy"] * doubled + size["power"] * size["us"], doubled * 1_000) * factor
    kind = pl.Int64 if reach <= INT64_MAX else pl.Int128
    by_registers = (pl.col("exported") - pl.col("imported")).cast(kind) * doubled
    by_powers = (pl.col("power_start_w") + pl.col("power_end_w")).cast(kind) * _US.cast(kind)
    apart = (by_registers - by_powers).abs()
    allowed = pl.max_horizontal(by_registers.abs(), by_powers.abs()) * tolerance_pct
    return _where(frame, (apart > doubled * REGISTER_STEP_MILLIWH) & (apart * 100 > allowed))


def above_rating(frame: pl.DataFrame, enrolled: Enrolment) -> pl.Series:
    """Rows that exported more than the rated power of the contract delivers in their time."""
    lowest = enrolled.terms["rated_w"].min()
    if not isinstance(lowest, int):
        return ROWS
    # First by the lowest rating of all, which needs nothing but the reading.
    size = largest(frame, {"us": _US, "energy": pl.col("exported")})
    bare = 100 * units.W_US_PER_MILLIWH
    reach = max(lowest * size["us"] * RATING_MARGIN_PCT, size["energy"] * bare)
    kind = pl.Int64 if reach <= INT64_MAX else pl.Int128
    suspects = _where(
        frame, pl.col("exported").cast(kind) * bare > _US.cast(kind) * (lowest * RATING_MARGIN_PCT)
    )
    return (
        frame.select("exported", "started_at", "ended_at")
        .select(pl.all().gather(suspects))
        .with_columns(row=suspects, rated=_rated(enrolled, suspects))
        .filter(pl.col("exported") > energy_within(pl.col("rated"), _US, RATING_MARGIN_PCT))["row"]
    )


def _rated(enrolled: Enrolment, rows: pl.Series) -> pl.Series:
    return enrolled.terms["rated_w"].gather(enrolled.stretch.gather(rows))


def _where(frame: pl.DataFrame, holds: pl.Expr) -> pl.Series:
    return frame.select(row=holds.fill_null(value=False).arg_true().cast(pl.UInt32)).to_series()
