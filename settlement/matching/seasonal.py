"""Capacity programs: one row per vehicle and event of the season, absent vehicles included."""

import polars as pl

from settlement import seasons
from settlement.matching.reasons import contracts_in_force
from settlement.matching.scopes import Bucket
from settlement.programs import Absent
from settlement.timeline import Place

_EVENT = ("program", "event_id", "vehicle_id")


def per_event(
    payable: pl.DataFrame, bucket: Bucket, contracts: pl.DataFrame, decided: pl.DataFrame
) -> pl.DataFrame:
    """Intervals summed up to events, renamed to their season.

    Args:
        payable: intervals with their quantity, ``event_us`` and ``program_version``.
        bucket: where they were measured.
        contracts: ``schemas.CONTRACT``.
        decided: pieces, which tell an absent vehicle from one that delivered nothing.

    Returns:
        The same columns; ``started_at`` and ``ended_at`` of an event are the hull of its paid time,
        ``event_started_at`` is the season's start.
    """
    events = _events(bucket)
    attending = _enrolled(events, bucket, contracts)
    terms = bucket.program.capacity
    # Who was there was there, also where what it delivered is refused.
    present = (
        decided.filter((pl.col("place") == Place.EVENT) & pl.col("reason").is_null())
        .group_by(_EVENT)
        .agg(pl.col("readings").sum())
    )
    if terms is not None and terms.absent is Absent.EXCLUDED:
        attending = attending.join(present, on=_EVENT, how="semi")
    sums = [
        "exported_milliwh",
        "imported_milliwh",
        "baseline_milliwh",
        "energy_milliwh",
        "power_milliwh",
        "discharged_us",
    ]
    delivered = payable.group_by(_EVENT).agg(pl.col(sums).sum())
    zero = pl.lit(0, dtype=pl.Int64)
    # A season is settled under one contract, the one of its last event; each event at its own rate.
    last = pl.col("contract_id").sort_by("started_at").last().over("season", "vehicle_id")
    rows = (
        attending.with_columns(contract_id=last)
        .join(delivered, on=_EVENT, how="left")
        .join(present, on=_EVENT, how="left")
        .with_columns(
            pl.col(*sums, "readings").fill_null(0),
            discharged_before_us=zero,
            price_micros_per_kwh=pl.lit(None, dtype=pl.Int64),
            thermal_factor_ppm=pl.lit(1_000_000, dtype=pl.Int64),
            ordered_w=pl.lit(None, dtype=pl.Int64),
            ordered_us=pl.lit(None, dtype=pl.Int64),
            program_version=pl.lit(bucket.program.version, dtype=pl.Int64),
        )
    )
    if not bucket.program.needs_baseline:
        rows = rows.with_columns(baseline_milliwh=pl.lit(None, dtype=pl.Int64))
    return rows.with_columns(
        event_discharged_us="discharged_us",
        event_id="season",
        event_started_at="season_started_at",
    )


def rename(unpaid: pl.DataFrame, bucket: Bucket) -> pl.DataFrame:
    """Unpaid rows of events in force under the name of their season, which is what is settled. Of an event
    that was cancelled, or is another group's, there is nothing to settle: it keeps its own name.
    """
    cells = bucket.cells.filter(pl.col("place") == Place.EVENT)
    seasons_of = [seasons.season_of(bucket.program, at).name for at in cells["event_started_at"]]
    names = cells.select("event_id", "started_at", pl.Series("season", seasons_of, dtype=pl.String))
    return (
        unpaid.join(names, on=["event_id", "started_at"], how="left", maintain_order="left")
        .with_columns(event_id=pl.coalesce("season", "event_id"))
        .drop("season")
    )


def _events(bucket: Bucket) -> pl.DataFrame:
    """Events that the run settles: hull and length of their paid time, their season and its start."""
    hulls = (
        bucket.paid.with_columns(
            us=(pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()
        )
        .group_by("event_id")
        .agg(
            pl.col("event_started_at").first(),
            pl.col("started_at").min(),
            pl.col("ended_at").max(),
            event_us=pl.col("us").sum(),
        )
        .sort("started_at", "event_id")
    )
    spans = [seasons.season_of(bucket.program, at) for at in hulls["event_started_at"]]
    return hulls.with_columns(
        pl.Series("season", [s.name for s in spans], dtype=pl.String),
        pl.Series(
            "season_started_at", [s.started_at for s in spans], dtype=pl.Datetime("us", "UTC")
        ),
    )


def _enrolled(events: pl.DataFrame, bucket: Bucket, contracts: pl.DataFrame) -> pl.DataFrame:
    """Every vehicle of the bucket under contract as the event starts, for each event."""
    vehicles = pl.DataFrame(
        {"vehicle_id": sorted(bucket.vehicles or ())}, schema={"vehicle_id": pl.String()}
    )
    moments = vehicles.join(events, how="cross").with_columns(
        moment="event_started_at", until="event_started_at"
    )
    mine = contracts.filter(pl.col("program") == bucket.program.program)
    terms = contracts_in_force(moments, mine)
    return (
        moments.join(terms, on=["vehicle_id", "moment", "until"], how="left")
        .filter(pl.col("contracts") == 1)
        .with_columns(program=pl.lit(bucket.program.program))
    )
