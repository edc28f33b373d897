"""Readings divided over the cells of a timeline.

A reading that straddles an edge is divided in proportion to time, in whole milliwatt-hours: each part
is the floor of its proportion, and the last one has the remainder, so that the parts sum to the whole
exactly (settlement rules §4). Windows are half-open: what ends as a cell starts is not in it.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from settlement.bounds import BoundExceededError
from settlement.metering.checks import largest
from settlement.metering.order import INT64_MAX

_US: Final = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()


def divide_over(
    discharges: pl.LazyFrame | pl.DataFrame, cells: pl.DataFrame, by: Sequence[str]
) -> pl.DataFrame:
    """Divide discharges over the cells of a timeline and sum them up.

    Args:
        discharges: ``by`` columns, started_at, ended_at, energy_milliwh (positive).
        cells: interval, started_at, ended_at; in time order, without gaps.
        by: what to keep apart.

    Returns:
        ``by`` columns, interval, energy_milliwh, discharged_us, readings; unordered. A part without
        energy is no discharge: neither its interval nor its time counts.
    """
    rows = discharges.lazy().collect()
    at = first_cell(rows["started_at"], cells)
    rows = rows.with_columns(cell=at, covered_from="started_at")
    straddles = beyond(rows["ended_at"], at, cells)
    columns = [*by, "cell", "energy_milliwh", "part_us"]
    parts = pl.concat(
        [
            rows.filter(~straddles).with_columns(part_us=_US).select(columns),
            split(rows.filter(straddles), cells, ["energy_milliwh"]).select(columns),
        ]
    )
    summed = (
        parts.lazy()
        .filter(pl.col("energy_milliwh") > 0)
        .group_by(*by, "cell")
        .agg(
            pl.col("energy_milliwh").sum(),
            discharged_us=pl.col("part_us").sum(),
            readings=pl.len().cast(pl.Int64),
        )
        .collect()
    )
    return summed.with_columns(interval=cells["interval"].gather(summed["cell"])).select(
        *by, "interval", "energy_milliwh", "discharged_us", "readings"
    )


def first_cell(started_at: pl.Series, cells: pl.DataFrame) -> pl.Series:
    """The position (UInt32) of the cell in which each time lies."""
    return (cells["started_at"].search_sorted(started_at, side="right") - 1).cast(pl.UInt32)


def beyond(ended_at: pl.Series, cell: pl.Series, cells: pl.DataFrame) -> pl.Series:
    """Whether each interval reaches beyond the cell in which it starts."""
    return ended_at > cells["ended_at"].gather(cell)


def split(rows: pl.DataFrame, cells: pl.DataFrame, energies: Sequence[str]) -> pl.DataFrame:
    """Each row in its parts, one per cell that it touches.

    Args:
        rows: started_at, ended_at, cell (of the start), covered_from (between the two), the energies
            (mWh, not negative), and whatever else.
        cells: as for ``divide_over``.
        energies: columns to divide, each by itself.

    Returns:
        The columns of ``rows``, ``cell`` and the energies being the part's, and part_us, covered_us
        (the part from ``covered_from`` on); parts without energy too.
    """
    last = (cells["started_at"].search_sorted(rows["ended_at"], side="left") - 1).cast(pl.UInt32)
    size = largest(rows, {"us": _US, **{name: pl.col(name) for name in energies}})
    reach = size["us"] * max(size[name] for name in energies)
    kind = pl.Int64 if reach <= INT64_MAX else pl.Int128
    edges = cells.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("cell"),
        cell_start="started_at",
        cell_end="ended_at",
    )
    is_last = pl.col("cell") == pl.col("last")
    part_start = pl.max_horizontal("started_at", "cell_start")
    part_end = pl.min_horizontal("ended_at", "cell_end")
    covered = part_end - pl.max_horizontal(part_start, "covered_from")
    proportion = {
        name: (pl.col(name).cast(kind) * pl.col("part_us") // _US).cast(pl.Int64)
        for name in energies
    }
    return (
        rows.with_columns(last=last)
        .with_row_index("whole")
        .with_columns(cell=pl.int_ranges(pl.col("cell"), pl.col("last") + 1, dtype=pl.UInt32))
        .explode("cell")
        .join(edges, on="cell", how="left", maintain_order="left")
        .with_columns(
            part_us=(part_end - part_start).dt.total_microseconds(),
            covered_us=covered.dt.total_microseconds().clip(lower_bound=0),
        )
        .with_columns(
            pl.when(is_last)
            .then(pl.col(name) - pl.when(is_last).then(0).otherwise(part).sum().over("whole"))
            .otherwise(part)
            .alias(name)
            for name, part in proportion.items()
        )
        .drop("last", "whole", "cell_start", "cell_end")
    )


def assert_sums_fit(frame: pl.DataFrame, columns: Sequence[str]) -> None:
    """Refuse a frame whose sums over these columns (not negative) could leave 63 bits.

    Raises:
        BoundExceededError: nothing has been computed.
    """
    for name in columns:
        if largest(frame, {name: pl.col(name)})[name] * frame.height <= INT64_MAX:
            continue
        total = frame.select(pl.col(name).cast(pl.Int128).sum()).item()
        if total > INT64_MAX:
            raise BoundExceededError((name, "rows"), total, INT64_MAX)
