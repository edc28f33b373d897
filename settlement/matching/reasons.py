"""What each piece of a vehicle's discharge is: under which contract, payable, or not and why."""

import polars as pl

from settlement.matching.scopes import Bucket
from settlement.programs import NegativePrice, Product
from settlement.reasons import UnpaidReason
from settlement.timeline import Place

TIME = pl.Datetime("us", "UTC")

DECIDED = pl.Schema(
    {
        "program": pl.String(),
        "event_id": pl.String(),
        "vehicle_id": pl.String(),
        "evse_id": pl.String(),
        "contract_id": pl.String(),
        "place": pl.String(),
        "event_started_at": TIME,
        "started_at": TIME,
        "ended_at": TIME,
        "exported_milliwh": pl.Int64(),
        "imported_milliwh": pl.Int64(),
        "covered_us": pl.Int64(),
        "discharged_us": pl.Int64(),
        "readings": pl.Int64(),
        "price_micros_per_kwh": pl.Int64(),
        "incentive_rate_ppm": pl.Int64(),
        "ordered_w": pl.Int64(),
        "ordered_us": pl.Int64(),
        "reason": pl.String(),
    }
)
"""One row per vehicle, EVSE, settlement interval and fault."""

PHYSICAL = (
    UnpaidReason.PRICE_MISSING.value,
    UnpaidReason.NEGATIVE_PRICE.value,
)
"""Reasons that leave the discharge a discharge within the event: its time counts."""


def decide(
    pieces: pl.DataFrame, bucket: Bucket, contracts: pl.DataFrame, orders: pl.DataFrame
) -> pl.DataFrame:
    """Give every piece its contract and, unless it is payable so far, its reason.

    Args:
        pieces: as ``metering.measure`` gives them.
        bucket: where they were measured.
        contracts: ``schemas.CONTRACT``.
        orders: ``schemas.ORDER``.

    Returns:
        ``DECIDED``: pieces that the run accounts for.
    """
    program = bucket.program
    located = (
        pieces.join(bucket.cells, on="interval", how="left")
        .filter(pl.col("place") != Place.ELSEWHERE)
        .with_columns(
            program=pl.lit(program.program),
            moment=pl.coalesce("event_started_at", "started_at"),
            until=pl.coalesce("event_started_at", pl.col("ended_at") - pl.duration(microseconds=1)),
        )
    )
    judged = located.join(
        contracts_in_force(located, contracts.filter(pl.col("program") == program.program)),
        on=["vehicle_id", "moment", "until"],
        how="left",
    )
    if program.product is Product.ORDER:
        judged = with_orders(judged, orders)
    else:
        nothing = pl.lit(None, dtype=pl.Int64)
        judged = judged.with_columns(ordered_w=nothing, ordered_us=nothing)
    return judged.with_columns(reason=_reason(bucket)).select(DECIDED.names()).cast(DECIDED)


def _reason(bucket: Bucket) -> pl.Expr:
    """The first reason that holds, in the order of ``UnpaidReason``."""
    program = bucket.program

    def text(reason: UnpaidReason) -> pl.Expr:
        return pl.lit(reason.value)

    price = pl.col("price_micros_per_kwh")
    reason = (
        pl.when(pl.col("fault").is_not_null())
        .then(pl.col("fault"))
        .when(pl.col("place") == Place.OUTSIDE)
        .then(pl.col("why"))
        .when(pl.col("contracts") == 0)
        .then(text(UnpaidReason.NO_CONTRACT))
        .when(pl.col("contracts") > 1)
        .then(text(UnpaidReason.DOUBLE_ENROLMENT))
        .when(pl.col("why").is_not_null())
        .then(pl.col("why"))
    )
    match program.product:
        case Product.ORDER:
            reason = reason.when(pl.col("ordered_w").is_null()).then(text(UnpaidReason.NO_ORDER))
        case Product.ENERGY:
            reason = reason.when(price.is_null()).then(text(UnpaidReason.PRICE_MISSING))
            if program.negative_price is NegativePrice.ZERO:
                reason = reason.when(price < 0).then(text(UnpaidReason.NEGATIVE_PRICE))
        case Product.CAPACITY:
            pass
    return reason.otherwise(None)


def contracts_in_force(moments: pl.DataFrame, contracts: pl.DataFrame) -> pl.DataFrame:
    """Per vehicle and time how many contracts are in force, and the terms if it is one.

    Args:
        moments: vehicle_id, moment, until: from the one to the other, both included.
        contracts: ``schemas.CONTRACT``, of one program.
    """
    in_force = (pl.col("valid_from") <= pl.col("until")) & (
        pl.col("valid_to").is_null() | (pl.col("moment") < pl.col("valid_to"))
    )
    terms = contracts.select(
        "vehicle_id", "contract_id", "incentive_rate_ppm", "valid_from", "valid_to"
    )
    keys = ["vehicle_id", "moment", "until"]
    return (
        moments.select(keys)
        .unique()
        .join(terms, on="vehicle_id", how="left")
        .with_columns(counts=in_force.fill_null(value=False))
        .group_by(keys)
        .agg(
            contracts=pl.col("counts").sum(),
            contract_id=pl.col("contract_id").filter("counts").first(),
            incentive_rate_ppm=pl.col("incentive_rate_ppm").filter("counts").first(),
        )
        # Terms of several contracts are the terms of none.
        .with_columns(
            pl.when(pl.col("contracts") == 1).then(pl.col(name)).alias(name)
            for name in ("contract_id", "incentive_rate_ppm")
        )
    )


def with_orders(intervals: pl.DataFrame, orders: pl.DataFrame) -> pl.DataFrame:
    """Intervals with the order that holds each, and its length: the highest where orders contradict
    each other.
    """
    rows = intervals.with_row_index("row")
    ordered = (
        rows.select("row", "vehicle_id", "event_id", "started_at", "ended_at")
        .join(
            orders.select(
                "vehicle_id", "event_id", "ordered_w", start="started_at", end="ended_at"
            ),
            on=["vehicle_id", "event_id"],
        )
        .filter((pl.col("start") <= pl.col("started_at")) & (pl.col("ended_at") <= pl.col("end")))
        .with_columns(ordered_us=(pl.col("end") - pl.col("start")).dt.total_microseconds())
        .sort("ordered_w", "ordered_us")
        .group_by("row")
        .agg(pl.col("ordered_w", "ordered_us").last())
    )
    return rows.join(ordered, on="row", how="left", maintain_order="left").drop("row")
