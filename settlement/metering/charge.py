"""The state of charge against the energy: a battery that gave 20 kWh has lost about as much.

Of each reading by itself, which tells where readings are long, and of what is left per vehicle, EVSE
and event, because short readings move the state of charge by less than its coarse steps. A cross-check
only: what is paid is the meter's energy, never a state of charge, which the vehicle reports about
itself (settlement rules §3; reliability reference S9).
"""

from typing import Final

import polars as pl

from settlement.metering.checks import ROWS
from settlement.metering.enrolment import Enrolment
from settlement.units import PPM

_GROUP: Final = ("evse", "vehicle", "event")

RESOLUTION_PCT: Final = 2
"""A state of charge in whole per cent is off by up to one at either end."""


def contradicting(
    frame: pl.DataFrame,
    cells: pl.DataFrame,
    enrolled: Enrolment,
    doubted: pl.Series,
    tolerance_pct: int,
) -> pl.Series:
    """Rows of which energy and change of charge, their own or those of their event, are apart by more
    than the tolerance of the larger of the two, and by more than the resolution of the state of charge.

    Readings without a state of charge, or while no capacity is known, are left out on both sides; so
    are those at fault by themselves, which would drag the others of their event with them. A group at
    fault is so with all its readings.

    Args:
        frame: evse, vehicle, cell (numbers), exported, imported, soc_start_ppm, soc_end_ppm.
        cells: event_id.
        enrolled: contracts of each row.
        doubted: rows at fault by themselves.
        tolerance_pct: of the larger.
    """
    if enrolled.terms["capacity_milliwh"].null_count() == enrolled.terms.height:
        return ROWS
    event = _events(cells).gather(frame["cell"])
    alone = _by_itself(frame, enrolled, tolerance_pct)
    # Whoever is at fault already keeps that fault: a meter exchanged stays one.
    alone = alone.filter(~alone.is_in(doubted.implode()))
    doubted = pl.concat([doubted, alone]).unique()
    moved = (
        frame.select("evse", "vehicle", "exported", "imported", "soc_start_ppm", "soc_end_ppm")
        .with_columns(
            event=event,
            stretch=enrolled.stretch,
            stands=pl.repeat(value=True, n=frame.height, dtype=pl.Boolean, eager=True).scatter(
                doubted, values=False
            ),
        )
        .lazy()
        .filter(
            pl.col("event").is_not_null()
            & pl.col("stands")
            & pl.col("soc_start_ppm").is_not_null()
            & pl.col("soc_end_ppm").is_not_null()
        )
        .group_by(*_GROUP, "stretch")
        .agg(
            lost=(pl.col("soc_start_ppm") - pl.col("soc_end_ppm")).sum(),
            given=(pl.col("exported") - pl.col("imported")).sum(),
        )
        .collect()
    )
    wrong = (
        moved.with_columns(capacity=enrolled.terms["capacity_milliwh"].gather(moved["stretch"]))
        .filter(pl.col("capacity").is_not_null())
        .group_by(_GROUP)
        .agg(
            # Millionths of a mWh: 1e6 ppm × readings × 1e10 mWh, in 128 bits.
            by_charge=(pl.col("lost").cast(pl.Int128) * pl.col("capacity")).sum(),
            by_meter=(pl.col("given").cast(pl.Int128) * PPM).sum(),
            capacity=pl.col("capacity").min().cast(pl.Int128) * PPM,
        )
        .filter(_apart(tolerance_pct))
        .select(_GROUP)
    )
    if wrong.is_empty():
        return alone
    together = (
        frame.select("evse", "vehicle")
        .with_columns(event=event)
        .with_row_index("row")
        .join(wrong, on=_GROUP, how="semi")["row"]
    )
    return pl.concat([alone, together]).unique()


def _by_itself(frame: pl.DataFrame, enrolled: Enrolment, tolerance_pct: int) -> pl.Series:
    """Rows whose own energy and change of charge are apart."""
    return (
        frame.lazy()
        .select(
            # 1e6 ppm × 1e10 mWh and 2.4e10 mWh × 1e6 both fit 63 bits, times 100 they do not.
            lost=pl.col("soc_start_ppm") - pl.col("soc_end_ppm"),
            given=pl.col("exported") - pl.col("imported"),
            capacity=enrolled.terms["capacity_milliwh"].gather(enrolled.stretch),
        )
        .with_row_index("row")
        # Cheap first: at most the resolution apart, give or take what the division leaves.
        .filter(
            (pl.col("given") - pl.col("lost") * pl.col("capacity") // PPM).abs() + 1
            > pl.col("capacity") * RESOLUTION_PCT // 100
        )
        .with_columns(
            by_charge=pl.col("lost").cast(pl.Int128) * pl.col("capacity"),
            by_meter=pl.col("given").cast(pl.Int128) * PPM,
            capacity=pl.col("capacity").cast(pl.Int128) * PPM,
        )
        .filter(_apart(tolerance_pct))
        .collect()["row"]
    )


def _events(cells: pl.DataFrame) -> pl.Series:
    """The number of each cell's event; null outside of events. An event may have many cells."""
    names = cells["event_id"]
    inside = cells.select(pl.when(pl.col("event_id") != "").then("event_id")).to_series()
    known = names.filter(names != "").unique(maintain_order=True)
    return inside.cast(pl.Enum(known)).to_physical().cast(pl.UInt32)


def _apart(tolerance_pct: int) -> pl.Expr:
    by_charge, by_meter = pl.col("by_charge"), pl.col("by_meter")
    apart = (by_charge - by_meter).abs() * 100
    return (apart > pl.max_horizontal(by_charge.abs(), by_meter.abs()) * tolerance_pct) & (
        apart > pl.col("capacity") * RESOLUTION_PCT
    )
