"""What the contracts say of a vehicle at a time: rating, capacity and site.

A vehicle may have several contracts at one time (in several programs) and others at other times.
Its time is cut where any of them begins or ends; within one such stretch everything is fixed, and a
reading belongs to the stretch in which it starts. Where several are in force, the strictest counts:
the lowest rating, the smallest capacity; but any of the sites will do for the position, because a
vehicle can be at one of them only.
"""

from dataclasses import dataclass

import polars as pl

from settlement.metering.order import Ordered


@dataclass(frozen=True)
class Enrolment:
    """Attributes:
    stretch: UInt32, for each reading.
    terms: one row per stretch, in order: vehicle, rated_w, capacity_milliwh; null: not known.
    positions: stretch, site_latitude, site_longitude (millionths of a degree): those of the sites
        that are known; none where nobody has declared any.
    """

    stretch: pl.Series
    terms: pl.DataFrame
    positions: pl.DataFrame


def enrolment(ordered: Ordered, contracts: pl.DataFrame, sites: pl.DataFrame | None) -> Enrolment:
    """Find the stretch of each reading.

    Args:
        ordered: the readings.
        contracts: ``schemas.CONTRACT``.
        sites: ``schemas.SITE``, or None.
    """
    frame, span = ordered.frame, ordered.span
    lowest, highest = frame["started_at"].min(), frame["started_at"].max()
    numbers = pl.DataFrame({"vehicle_id": ordered.vehicles}).with_row_index("vehicle")
    mine = contracts.join(numbers, on="vehicle_id").filter(
        (pl.col("valid_from") <= highest)
        & (pl.col("valid_to").is_null() | (pl.col("valid_to") > lowest))
    )
    cuts = (
        pl.concat(
            [
                numbers.select("vehicle", cut=pl.lit(lowest, dtype=frame["started_at"].dtype)),
                mine.select("vehicle", cut="valid_from"),
                mine.select("vehicle", cut="valid_to"),
            ]
        )
        .filter(pl.col("cut").is_between(lowest, highest))
        .unique()
        .sort("vehicle", "cut")
        .with_row_index("stretch")
    )
    held = cuts.join(mine, on="vehicle", how="left").filter(
        (pl.col("valid_from") <= pl.col("cut"))
        & (pl.col("valid_to").is_null() | (pl.col("cut") < pl.col("valid_to")))
    )
    strictest = held.group_by("stretch").agg(
        pl.col("rated_w").min(), pl.col("capacity_milliwh").min()
    )
    terms = cuts.join(strictest, on="stretch", how="left", maintain_order="left").select(
        "vehicle", "rated_w", "capacity_milliwh"
    )
    if cuts.height == len(ordered.vehicles):
        # Nothing begins or ends meanwhile: the stretches are the vehicles.
        stretch = frame["vehicle"]
    else:
        keys = cuts.select(span.key("vehicle", "cut")).to_series()
        at = frame.select(span.key("vehicle", "started_at")).to_series()
        stretch = (keys.search_sorted(at, side="right") - 1).cast(pl.UInt32)
    return Enrolment(stretch, terms, _positions(held, sites))


def _positions(held: pl.DataFrame, sites: pl.DataFrame | None) -> pl.DataFrame:
    empty = pl.DataFrame(
        schema={"stretch": pl.UInt32, "site_latitude": pl.Int64, "site_longitude": pl.Int64}
    )
    if sites is None:
        return empty
    known = sites.filter(
        pl.col("latitude_microdeg").is_not_null() & pl.col("longitude_microdeg").is_not_null()
    ).select("site_id", site_latitude="latitude_microdeg", site_longitude="longitude_microdeg")
    return held.join(known, on="site_id").select(empty.columns).unique()
