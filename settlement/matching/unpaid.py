"""What earned nothing: the rows of ``schemas.UNPAID``, and the money each would have been."""

from collections.abc import Sequence
from typing import Final

import polars as pl

from settlement import units
from settlement.bounds import assert_fits
from settlement.matching.intervals import INTERVAL
from settlement.reasons import HELD, UnpaidReason
from settlement.rounding import RoundingMode, divide
from settlement.schemas import UNPAID

ORDER: Final = (
    "program",
    "event_id",
    "vehicle_id",
    "evse_id",
    "started_at",
    "ended_at",
    "reason",
)

_BROKEN: Final = (
    UnpaidReason.ERR_DATA_INCONSISTENCY.value,
    UnpaidReason.METER_EXCHANGED.value,
)


def rows(
    decided: pl.DataFrame,
    refused: Sequence[pl.DataFrame],
    withheld: Sequence[pl.DataFrame],
    *,
    intervals: pl.DataFrame,
    mode: RoundingMode,
) -> pl.DataFrame:
    """Unpaid energy.

    Args:
        decided: ``reasons.DECIDED``: pieces with a reason of their own are unpaid.
        refused: ``INTERVAL`` and reason: pieces of these intervals are unpaid.
        withheld: ``INTERVAL``, energy_milliwh and reason: so much of these intervals is unpaid.
        intervals: as ``intervals.drawn`` gives them.
        mode: of the program, by which it rounds money.

    Returns:
        ``schemas.UNPAID``. What holds a settlement is there even where no energy was exported.
    """
    whole = decided
    if refused:
        said = pl.concat(refused).rename({"reason": "said"})
        whole = decided.join(said, on=INTERVAL, how="left", maintain_order="left").with_columns(
            reason=pl.coalesce("reason", "said")
        )
    holding = [reason.value for reason in HELD]
    # What a broken meter counted has no energy to show, and is shown all the same.
    pieces = whole.filter(
        pl.col("reason").is_not_null()
        & ((pl.col("exported_milliwh") > 0) | pl.col("reason").is_in([*holding, *_BROKEN]))
    ).with_columns(energy_milliwh="exported_milliwh")
    wanted = [name for name in UNPAID.schema if name != "would_have_been_micros"]
    factors = ["price_micros_per_kwh", "incentive_rate_ppm"]
    evses = decided.group_by(INTERVAL).agg(pl.col("evse_id").min())
    terms = intervals.select(*INTERVAL, "ended_at", *factors)
    parts = [pieces.select(*wanted, *factors)]
    silent = [
        frame.filter(pl.col("reason").is_in(holding))
        .join(evses, on=INTERVAL, how="anti")
        .with_columns(energy_milliwh=pl.lit(0, dtype=pl.Int64))
        for frame in refused
    ]
    parts.extend(
        frame.join(terms, on=INTERVAL, how="left")
        .join(evses, on=INTERVAL, how="left")
        .with_columns(pl.col("evse_id").fill_null(""))
        .select(*wanted, *factors)
        for frame in (*withheld, *silent)
    )
    found = pl.concat(parts)
    assert_fits(found, ("energy_milliwh", *factors))
    return (
        found.group_by(*ORDER)
        .agg(pl.col("energy_milliwh").sum(), pl.col(factors).first())
        .with_columns(would_have_been(mode))
        .select(UNPAID.schema.names())
        .cast(UNPAID.schema)
        .sort(ORDER)
    )


def would_have_been(mode: RoundingMode) -> pl.Expr:
    """Energy × price × contract rate in micros; the rate counts as 1 where no contract states one,
    tier and thermal factor as 1 always. Null where no price is known.
    """
    rate = pl.col("incentive_rate_ppm").fill_null(units.PPM)
    exact = pl.col("energy_milliwh").cast(pl.Int128) * pl.col("price_micros_per_kwh") * rate
    return (
        divide(exact, units.MILLIWH_PER_KWH * units.PPM, mode)
        .cast(pl.Int64)
        .alias("would_have_been_micros")
    )
