"""Discharges that claim the same time twice."""

import polars as pl

from settlement.bounds import BoundExceededError

_INT64_MAX = 2**63 - 1


def flag_overlaps(discharges: pl.DataFrame) -> pl.DataFrame:
    """Discharges over the same time at one EVSE, or of one vehicle at two: each is inconsistent.

    The same energy signed again under a new epoch comes here, and so does a car in two places.
    Which of them is true is not for a rule to guess (settlement rules §4).

    Args:
        discharges: evse_id, vehicle_id, started_at, ended_at, inconsistent, and whatever else.

    Returns:
        The same rows in the same order, ``inconsistent`` also where the time is claimed twice.
    """
    if discharges.is_empty():
        return discharges
    keys = ["evse_id"]
    pairs = discharges.select("evse_id", "vehicle_id").unique()
    # Where each vehicle keeps to its EVSE, the second look would find what the first has found.
    if (
        pairs.height != pairs["evse_id"].n_unique()
        or pairs.height != pairs["vehicle_id"].n_unique()
    ):
        keys.append("vehicle_id")
    twice = pl.concat([_overlapping(discharges, key) for key in keys]).unique()
    if twice.is_empty():
        return discharges
    row = pl.int_range(pl.len(), dtype=pl.UInt32)
    return discharges.with_columns(inconsistent=pl.col("inconsistent") | row.is_in(twice.implode()))


def _overlapping(discharges: pl.DataFrame, key: str) -> pl.Series:
    """Rows that overlap another of their key.

    Key and time become one integer, so that one sort of integers orders both, and a running
    maximum never carries over from one key to the next.
    """
    first = discharges["started_at"].min()
    length = (
        discharges.select((pl.col("ended_at").max() - first).dt.total_microseconds()).item() + 1
    )
    codes = discharges[key].cast(pl.Categorical).to_physical().cast(pl.Int64)
    highest = codes.max()
    assert isinstance(highest, int)
    if (highest + 1) * length > _INT64_MAX:
        raise BoundExceededError((key, "time"), (highest + 1) * length, _INT64_MAX)
    starts, ends = (
        codes * length + (discharges[edge] - first).dt.total_microseconds()
        for edge in ("started_at", "ended_at")
    )
    order = starts.arg_sort()
    starts, ends = starts.gather(order), ends.gather(order)
    with_earlier = (ends.cum_max().shift(1) > starts).fill_null(value=False)
    with_later = (starts.shift(-1) < ends).fill_null(value=False)
    overlapping: pl.Series = order.filter(with_earlier | with_later)
    return overlapping
