"""Matching: which energy falls into which settlement interval, and what of it is to be paid.

Every discharged milliwatt-hour in the run's reach ends in ``matched`` or in ``unpaid`` with a reason
and, where a price is known, the money it would have been.

    standing   where vehicles are enrolled, and which events address them
    scopes     which vehicles are looked at under which version and timeline
    reasons    under which contract each piece is, payable or not, and why
    intervals  the quantity of each settlement interval: netting, thermal limits, minimums, caps
    seasonal   capacity programs: one row per event of the season
    unpaid     what earned nothing, and what it would have been
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from settlement.facts import Facts
from settlement.matching import intervals as steps
from settlement.matching import reasons, seasonal, unpaid
from settlement.matching.scopes import Bucket
from settlement.programs import Product
from settlement.schemas import MATCHED_DISCHARGE, UNPAID

ORDER = ("program", "event_id", "vehicle_id", "event_started_at", "started_at", "ended_at")


@dataclass(frozen=True)
class Measured:
    """What the meters say of one bucket.

    Attributes:
        pieces: as ``metering.measure`` gives them.
        charged: event_id, vehicle_id, charged_milliwh: imported around events, where the program
            looks back or ahead.
    """

    bucket: Bucket
    pieces: pl.DataFrame
    charged: pl.DataFrame


@dataclass(frozen=True)
class Matched:
    """``matched``: ``schemas.MATCHED_DISCHARGE``; ``unpaid``: ``schemas.UNPAID``."""

    matched: pl.DataFrame
    unpaid: pl.DataFrame


def match(measured: Sequence[Measured], facts: Facts) -> Matched:
    """Match measured energy to contracts and rules.

    Returns:
        Frames sorted by (program, event, vehicle, start), so that equal input in any order gives
        equal bytes.
    """
    found = [
        _bucket(
            reasons.decide(one.pieces, one.bucket, facts.contracts, facts.orders),
            one,
            facts,
        )
        for one in measured
    ]
    return Matched(
        pl.concat([MATCHED_DISCHARGE.empty(), *(one.matched for one in found)]).sort(ORDER),
        pl.concat([UNPAID.empty(), *(one.unpaid for one in found)]).sort(unpaid.ORDER),
    )


def _bucket(decided: pl.DataFrame, measured: Measured, facts: Facts) -> Matched:
    bucket = measured.bucket
    program = bucket.program
    drawn = steps.drawn(decided)
    if program.product is Product.ORDER:
        drawn = pl.concat([drawn, _undelivered(drawn, bucket, facts)]).sort(steps.INTERVAL)
    found = steps.quantities(drawn, bucket, facts, measured.charged)
    lengths = bucket.paid.group_by("event_id").agg(
        event_us=(pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds().sum()
    )
    payable = found.payable.join(
        lengths, on="event_id", how="left", maintain_order="left"
    ).with_columns(program_version=pl.lit(program.version, dtype=pl.Int64))
    rows = unpaid.rows(
        decided, found.refused, found.withheld, intervals=drawn, mode=program.rounding_mode
    )
    if program.product is Product.CAPACITY:
        payable = seasonal.per_event(payable, bucket, facts.contracts, decided)
        rows = seasonal.rename(rows, bucket)
    return Matched(
        payable.select(MATCHED_DISCHARGE.schema.names()).cast(MATCHED_DISCHARGE.schema), rows
    )


def _undelivered(drawn: pl.DataFrame, bucket: Bucket, facts: Facts) -> pl.DataFrame:
    """Intervals of orders for which there is no reading at all: nothing was delivered."""
    vehicles = pl.DataFrame(
        {"vehicle_id": sorted(bucket.vehicles or ())}, schema={"vehicle_id": pl.String()}
    )
    asked = reasons.with_orders(
        vehicles.join(bucket.paid, how="cross").filter(
            pl.struct("vehicle_id", "event_id").is_in(
                facts.orders.select("vehicle_id", "event_id").unique().to_struct().implode()
            )
        ),
        facts.orders,
    ).filter(pl.col("ordered_w").is_not_null())
    moments = asked.with_columns(moment="event_started_at", until="event_started_at")
    mine = facts.contracts.filter(pl.col("program") == bucket.program.program)
    terms = reasons.contracts_in_force(moments, mine)
    absent = (
        moments.join(terms, on=["vehicle_id", "moment", "until"], how="left")
        .filter(pl.col("contracts") == 1)
        .with_columns(program=pl.lit(bucket.program.program), reason=pl.lit(None, dtype=pl.String))
        .join(drawn, on=steps.INTERVAL, how="anti")
    )
    zero = ("exported_milliwh", "imported_milliwh", "covered_us", "discharged_us", "readings")
    return (
        absent.with_columns(
            *(pl.lit(0, dtype=pl.Int64).alias(name) for name in zero),
            event_discharged_us=pl.lit(0, dtype=pl.Int64),
            discharged_before_us=pl.lit(0, dtype=pl.Int64),
        )
        .select(drawn.columns)
        .cast(drawn.schema)
    )
