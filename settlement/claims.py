"""What quarantined packets claim, and what it would have been worth had they been verified."""

from typing import Final

import polars as pl

from settlement.bounds import assert_fits
from settlement.facts import Facts
from settlement.matching.scopes import Bucket, buckets
from settlement.matching.unpaid import would_have_been
from settlement.metering import divide_over
from settlement.periods import Period

SCHEMA: Final = pl.Schema(
    {
        "reason": pl.String(),
        "packets": pl.Int64(),
        "energy_milliwh": pl.Int64(),
        "would_have_been_micros": pl.Int64(),
    }
)


def worth(claims: pl.DataFrame, facts: Facts, period: Period) -> pl.DataFrame:
    """Quarantined packets by reason.

    Args:
        claims: reason, vehicle_id, evse_id, started_at, ended_at, energy_milliwh; the last null
            where a packet's claim cannot be read.
        facts: events, prices, contracts, programs.
        period: the run's period.

    Returns:
        ``SCHEMA``, sorted by reason. The energy is what is claimed; the money is energy × price ×
        contract rate for the part inside events, 0 for the part outside.
    """
    counted = claims.group_by("reason").agg(
        packets=pl.len().cast(pl.Int64), energy_milliwh=pl.col("energy_milliwh").sum()
    )
    usable = claims.filter(
        (pl.col("energy_milliwh") > 0) & (pl.col("started_at") < pl.col("ended_at"))
    )
    parts = [
        _priced(usable, facts, bucket, bucket.vehicles)
        for bucket in buckets(facts, period)
        if bucket.vehicles is not None
    ]
    if not parts:
        return (
            counted.with_columns(would_have_been_micros=0)
            .cast(SCHEMA)
            .select(SCHEMA.names())
            .sort("reason")
        )
    money = pl.concat(parts).group_by("reason").agg(pl.col("would_have_been_micros").sum())
    return (
        counted.join(money, on="reason", how="left")
        .with_columns(pl.col("would_have_been_micros").fill_null(0))
        .select(SCHEMA.names())
        .cast(SCHEMA)
        .sort("reason")
    )


def _priced(
    usable: pl.DataFrame, facts: Facts, bucket: Bucket, vehicles: frozenset[str]
) -> pl.DataFrame:
    rates = (
        facts.contracts.filter(pl.col("program") == bucket.program.program)
        .group_by("vehicle_id")
        .agg(pl.col("incentive_rate_ppm").sort_by("valid_from").last())
    )
    mine = usable.lazy().filter(pl.col("vehicle_id").is_in(sorted(vehicles)))
    pieces = (
        divide_over(mine, bucket.cells, ["reason", "vehicle_id"])
        .join(bucket.paid, on="interval")
        .join(rates, on="vehicle_id", how="left")
    )
    assert_fits(pieces, ("energy_milliwh", "price_micros_per_kwh", "incentive_rate_ppm"))
    return pieces.with_columns(would_have_been(bucket.program.rounding_mode)).select(
        "reason", "would_have_been_micros"
    )
