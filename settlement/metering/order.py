"""Readings in the order of their EVSE and start, with whole numbers in place of names.

Every rule that compares readings with their neighbours wants this order, and wants it once. EVSE and
start become one integer, so that one sort of integers orders both, and a running maximum over the
ends, made into integers in the same way, never carries over from one EVSE to the next.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from settlement.bounds import BoundExceededError

INT64_MAX: Final = 2**63 - 1

_NAMES: Final = ("evse_id", "vehicle_id")
_TIME: Final = pl.Datetime("us", "UTC")


def numbered(names: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Numbers in place of names: the number of each row, and the name of each number.

    They count by first appearance, so that a frame that is in order by blocks of a name stays so.
    """
    distinct = names.unique(maintain_order=True)
    return names.cast(pl.Enum(distinct)).to_physical().cast(pl.UInt32), distinct


@dataclass(frozen=True, slots=True)
class Span:
    """The time that a frame of readings reaches over: from its earliest start to just past its latest
    end, which is ``us`` later.
    """

    first: datetime
    us: int

    @classmethod
    def of(cls, readings: pl.DataFrame) -> "Span":
        """Of readings, of which there is at least one."""
        first, last = readings.select(pl.col("started_at").min(), pl.col("ended_at").max()).row(0)
        return cls(first, (last - first) // timedelta(microseconds=1) + 1)

    def key(self, group: str, moment: str) -> pl.Expr:
        """One integer that orders by group, then by time. ``assert_fits`` comes first."""
        passed = pl.col(moment) - pl.lit(self.first, dtype=_TIME)
        return pl.col(group).cast(pl.Int64) * self.us + passed.dt.total_microseconds()

    def assert_fits(self, groups: int) -> None:
        """Raise BoundExceededError when keys of so many groups leave 63 bits."""
        if (reach := groups * self.us) > INT64_MAX:
            raise BoundExceededError(("names", "time"), reach, INT64_MAX)


@dataclass(frozen=True, slots=True)
class Ordered:
    """Readings in the order of EVSE and start.

    Attributes:
        frame: with ``evse`` and ``vehicle`` (numbers) in place of ``evse_id`` and ``vehicle_id``.
        evses: names by number.
        vehicles: names by number.
        span: the time they reach over.
    """

    frame: pl.DataFrame
    evses: pl.Series
    vehicles: pl.Series
    span: Span


def by_evse(readings: pl.DataFrame) -> Ordered:
    """The readings, of which there is at least one, in the order of EVSE and start.

    Readings of one EVSE that start together stand in any order: they overlap, and no rule looks at
    the order of readings that do.

    Raises:
        BoundExceededError: when EVSEs × time, or vehicles × time, leave 63 bits.
    """
    evse, evses = numbered(readings["evse_id"])
    vehicle, vehicles = numbered(readings["vehicle_id"])
    frame = readings.drop(_NAMES).with_columns(evse=evse, vehicle=vehicle)
    span = Span.of(frame)
    span.assert_fits(max(len(evses), len(vehicles)))
    # Whether they are in order already costs one pass; it saves a copy of the whole frame.
    rows = unordered(frame.select(span.key("evse", "started_at")).to_series())
    if rows is not None:
        frame = frame.select(pl.all().gather(rows))
    return Ordered(frame, evses, vehicles, span)


def unordered(keys: pl.Series) -> pl.Series | None:
    """The rows in ascending order; None where they are so already."""
    falls = keys.to_frame("key").select((pl.col("key").shift(-1) < pl.col("key")).any()).item()
    return keys.arg_sort() if falls else None
