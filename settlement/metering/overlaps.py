"""The same time twice: at one EVSE, of one vehicle at two EVSEs, and in what readings cover.

Which of two readings is true is not for a rule to guess (settlement rules §4): both are at fault. The
same energy signed again under a new epoch comes here, and so does a car in two places.
"""

from typing import Final

import polars as pl

from settlement.metering.checks import ROWS
from settlement.metering.order import INT64_MAX, Span, unordered

_NEVER: Final = -INT64_MAX
_EVER: Final = INT64_MAX


def at_one_evse(frame: pl.DataFrame, span: Span) -> pl.Series:
    """Rows over the same time as another of their EVSE.

    Args:
        frame: by EVSE and start: evse (number), started_at, ended_at.
        span: the time they reach over.
    """
    return _claimed_twice(frame, "evse", span)


def between_stays(frame: pl.DataFrame, span: Span) -> pl.Series:
    """Rows over the same time as another of their vehicle in another stay, that is, at another EVSE or
    before or after another vehicle at the same one.

    A vehicle's stays rarely meet, and then nothing has to be sorted by vehicle. Of a vehicle whose stays
    do, rows that share time within one stay are given too.

    Args:
        frame: by EVSE and start: evse, vehicle (numbers), started_at, ended_at.
        span: the time they reach over.
    """
    stays = _stays(frame)
    meeting = stays.gather(_claimed_twice(stays, "vehicle", span))["vehicle"].unique()
    if meeting.is_empty():
        return ROWS
    rows = frame["vehicle"].is_in(meeting.implode()).arg_true().cast(pl.UInt32)
    theirs = frame.select(pl.col("vehicle", "started_at", "ended_at").gather(rows))
    return rows.gather(_claimed_twice(theirs, "vehicle", span))


def in_two_places(frame: pl.DataFrame, rows: pl.Series) -> pl.Series:
    """Of rows that share time with another of their vehicle, those that do so at another EVSE.

    Only readings that moved energy count: a car leaves an open session behind more often than it is
    cloned. A row shares time with an earlier one elsewhere if the latest end among those lies after
    its start, and with a later one elsewhere if the earliest start among those lies before its end.

    Args:
        frame: evse, vehicle (numbers), started_at, ended_at, exported, imported (mWh; not 0: moved).
        rows: as ``between_stays`` gives them.
    """
    claims = list(
        frame.select(
            pl.col("vehicle", "started_at", "ended_at", "evse", "exported", "imported").gather(rows)
        )
        .with_columns(pl.col("started_at", "ended_at").to_physical(), row=rows)
        .filter((pl.col("exported") != 0) | (pl.col("imported") != 0))
        .drop("exported", "imported")
        .sort("vehicle", "started_at")
        .iter_rows()
    )
    twice: set[int] = set()
    # The latest end so far, and the latest end so far at any other EVSE than that one's.
    vehicle, latest, latest_at, latest_elsewhere = -1, _NEVER, -1, _NEVER
    for car, start, end, evse, row in claims:
        if car != vehicle:
            vehicle, latest, latest_at, latest_elsewhere = car, _NEVER, -1, _NEVER
        if start < (latest_elsewhere if evse == latest_at else latest):
            twice.add(row)
        if evse == latest_at:
            latest = max(latest, end)
        elif end > latest:
            latest, latest_at, latest_elsewhere = end, evse, latest
        else:
            latest_elsewhere = max(latest_elsewhere, end)
    # The next start, and the next start at any other EVSE than that one's.
    vehicle, following, following_at, following_elsewhere = -1, _EVER, -1, _EVER
    for car, start, end, evse, row in reversed(claims):
        if car != vehicle:
            vehicle, following, following_at, following_elsewhere = car, _EVER, -1, _EVER
        if (following_elsewhere if evse == following_at else following) < end:
            twice.add(row)
        if evse != following_at:
            following_at, following_elsewhere = evse, following
        following = start
    return pl.Series(sorted(twice), dtype=pl.UInt32)


def covered_from(frame: pl.DataFrame, rows: pl.Series, evses: pl.Series) -> pl.DataFrame:
    """From when on each of these rows covers time that no earlier one of its vehicle has covered.

    Readings at fault and readings that stand are looked at apart, each fault by itself: what a doubted
    reading covers must not take the time away from one that stands.

    Args:
        frame: evse, vehicle (numbers), started_at, ended_at, fault (number).
        rows: all that share time with another of their vehicle and are kept; others do no harm.
        evses: names by number; of equal times the first by name covers them.

    Returns:
        row (UInt32), covered_from: between the row's start and its end, both included; only rows that
        do not cover the whole of their time.
    """
    alike = ("vehicle", "fault")
    theirs = frame.select(pl.col(*alike, "evse", "started_at", "ended_at").gather(rows))
    before = pl.col("ended_at").cum_max().shift(1).over(alike).fill_null(pl.col("started_at"))
    return (
        theirs.with_columns(row=rows, evse_id=evses.gather(theirs["evse"]))
        .sort(*alike, "started_at", "ended_at", "evse_id")
        .with_columns(covered_from=pl.min_horizontal(before, "ended_at"))
        .filter(pl.col("covered_from") > pl.col("started_at"))
        .select("row", "covered_from")
    )


def _stays(frame: pl.DataFrame) -> pl.DataFrame:
    """From when to when a vehicle was seen at an EVSE with no other between: a first, coarse look."""
    changes = (pl.col("evse") != pl.col("evse").shift(1)) | (
        pl.col("vehicle") != pl.col("vehicle").shift(1)
    )
    return (
        frame.lazy()
        .select(
            "vehicle",
            "started_at",
            "ended_at",
            stay=changes.fill_null(value=False).cast(pl.UInt32).cum_sum(),
        )
        .group_by("stay")
        .agg(pl.col("vehicle").first(), pl.col("started_at").min(), pl.col("ended_at").max())
        .collect()
    )


def _claimed_twice(frame: pl.DataFrame, key: str, span: Span) -> pl.Series:
    """Rows that share time with another of their key."""
    keys = frame.select(start=span.key(key, "started_at"), end=span.key(key, "ended_at"))
    rows = unordered(keys["start"])
    if rows is not None:
        keys = keys.select(pl.all().gather(rows))
    with_later = pl.col("start").shift(-1) < pl.col("end")
    if not keys.select(with_later.any()).item():
        return ROWS
    with_earlier = pl.col("end").cum_max().shift(1) > pl.col("start")
    either = with_later.fill_null(value=False) | with_earlier.fill_null(value=False)
    found = keys.select(either.arg_true().cast(pl.UInt32)).to_series()
    return found if rows is None else rows.gather(found).cast(pl.UInt32)
