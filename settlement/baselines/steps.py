"""The energy that baseline rows come to over an interval."""

from typing import Final

import polars as pl

from settlement import units
from settlement.bounds import assert_fits
from settlement.rounding import RoundingMode, divide

_ZERO: Final = pl.lit(0, dtype=pl.Int128)


def energy(baselines: pl.DataFrame, intervals: pl.DataFrame) -> pl.DataFrame:
    """What the vehicle would have imported in each interval, over the time that readings cover.

    Σ (baseline_w × overlap) × covered_us ÷ (interval × 3,600,000 W·µs per mWh), exact, and rounded
    once, half away from zero. The rows must speak of all of the interval. Where two rows of a
    vehicle overlap, even alike ones, which of them is meant is not for a rule to guess: that time
    counts as not spoken of.

    Args:
        baselines: ``schemas.BASELINE``, in any order.
        intervals: vehicle_id, started_at, ended_at, covered_us, and whatever else.

    Returns:
        The same rows in the same order with baseline_milliwh (Int64, import positive; null where the
        baseline does not cover the whole interval).

    Raises:
        BoundExceededError: a power or time outside its declared range.
    """
    steps = _steps(baselines)
    rows = intervals.with_row_index("_row").with_columns(
        _interval_us=(pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()
    )
    start, end = (_until(steps, rows, edge) for edge in ("started_at", "ended_at"))
    rows = rows.with_columns(
        _spoken_us=end["until_us"] - start["until_us"],
        _watt_us=end["until_watt_us"] - start["until_watt_us"],
    )
    assert_fits(rows, ("_watt_us", "covered_us"))
    whole = pl.col("_spoken_us") == pl.col("_interval_us")
    milliwh = divide(
        pl.col("_watt_us") * pl.col("covered_us").cast(pl.Int128),
        pl.col("_interval_us").cast(pl.Int128) * units.W_US_PER_MILLIWH,
        RoundingMode.HALF_AWAY,
    )
    return rows.with_columns(
        baseline_milliwh=pl.when(whole).then(milliwh).cast(pl.Int64),
    ).drop("_row", "_interval_us", "_spoken_us", "_watt_us")


def _steps(baselines: pl.DataFrame) -> pl.DataFrame:
    """Per vehicle the moments at which its baseline changes, and what it has come to by then.

    Sums from the first row on, so that an interval is the difference of two of them, however many
    rows and intervals a vehicle has.
    """
    edges = pl.concat(
        baselines.select(
            "vehicle_id",
            at=pl.col(edge),
            rows=pl.lit(sign, dtype=pl.Int64),
            watts=pl.col("baseline_w") * sign,
        )
        for edge, sign in (("started_at", 1), ("ended_at", -1))
    )
    steps = (
        edges.group_by("vehicle_id", "at")
        .agg(pl.col("rows", "watts").sum())
        .sort("vehicle_id", "at")
        .with_columns(
            pl.col("rows", "watts").cum_sum().over("vehicle_id"),
            length_us=(pl.col("at").shift(-1) - pl.col("at"))
            .over("vehicle_id")
            .dt.total_microseconds()
            .fill_null(0),
        )
        # Only where exactly one row speaks.
        .with_columns(
            clear=(pl.col("rows") == 1).cast(pl.Int64),
            watts=pl.when(pl.col("rows") == 1).then("watts").otherwise(0),
        )
    )
    assert_fits(steps, ("watts", "length_us"), limit=units.INT128_MAX // max(1, steps.height))
    gained_us = pl.col("clear") * pl.col("length_us")
    gained_watt_us = pl.col("watts").cast(pl.Int128) * pl.col("length_us").cast(pl.Int128)
    return steps.select(
        "vehicle_id",
        "at",
        "clear",
        "watts",
        before_us=(gained_us.cum_sum() - gained_us).over("vehicle_id"),
        before_watt_us=(gained_watt_us.cum_sum() - gained_watt_us).over("vehicle_id"),
    ).sort("at")


def _until(steps: pl.DataFrame, rows: pl.DataFrame, edge: str) -> pl.DataFrame:
    """What each row's vehicle has come to by an edge of it, in the order of the rows."""
    since = (pl.col(edge) - pl.col("at")).dt.total_microseconds().fill_null(0)
    return (
        rows.select("_row", "vehicle_id", edge)
        .sort(edge)
        .join_asof(steps, left_on=edge, right_on="at", by="vehicle_id", check_sortedness=False)
        .sort("_row")
        .select(
            until_us=(pl.col("before_us") + pl.col("clear") * since).fill_null(0),
            until_watt_us=(
                pl.col("before_watt_us") + pl.col("watts").cast(pl.Int128) * since.cast(pl.Int128)
            ).fill_null(_ZERO),
        )
    )
