"""What the charts show, taken from the frames: power, price and temperature around a settlement."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

import polars as pl

from settlement import units
from settlement.programs import Program
from settlement.timeline import Price
from statements.chart import Chart, Curve, Points
from statements.content import Statement

LONGEST: Final = timedelta(days=2)
"""A longer time than this (a season) is drawn from its lines, not from its readings."""

_WATTS_PER_KW: Final = 1000
_MILLICELSIUS: Final = 1000
_WATTS_PER_MILLIWH_PER_S: Final = 3.6

Spans = list[tuple[datetime, datetime]]


def chart(
    statement: Statement,
    program: Program,
    vehicle: str,
    event: str,
    lines: pl.DataFrame,
    unpaid: pl.DataFrame,
) -> Chart | None:
    """The chart of one settlement; None where there is no time to draw.

    Args:
        statement: all of it.
        program: the version by which it was settled.
        vehicle: whose it is.
        event: the event, or season.
        lines: of the settlement.
        unpaid: of the settlement.
    """
    paid, not_paid = _spans(lines), _spans(unpaid)
    event_spans = [
        (w.started_at, w.ended_at)
        for w in statement.windows
        if w.event_id == event and w.program == program.program
    ]
    spans = [*paid, *not_paid, *event_spans]
    if not spans:
        return None
    start, end = min(s for s, _ in spans), max(e for _, e in spans)
    margin = (end - start) / 12
    start, end = start - margin, end + margin
    label = f"Power, price and battery temperature of {vehicle} in {event}"
    if end - start > LONGEST:
        power = _power_of_lines(lines)
    else:
        power = _power(statement.readings, vehicle, start, end)
    curves = [
        Curve("power in kW, discharge positive", "power", power, steps=False),
        Curve(
            f"price in {program.currency} per kWh",
            "price",
            _price(program, statement.prices, start, end),
            steps=True,
        ),
        Curve(
            "battery temperature as measured, in °C",
            "heat",
            _heat(statement.temperatures, vehicle, start, end),
            steps=True,
        ),
    ]
    return Chart(label, start, end, program.timezone, curves, paid, not_paid)


def _spans(rows: pl.DataFrame) -> Spans:
    return list(rows.select("started_at", "ended_at").unique().sort("started_at").iter_rows())


def _power(
    readings: pl.DataFrame, vehicle: str, start: datetime, end: datetime
) -> Sequence[Points]:
    """Start and end of every reading; where a reading says no power, the average by its registers."""
    rows = (
        readings.filter(
            pl.col("vehicle_id") == vehicle, pl.col("started_at") < end, pl.col("ended_at") > start
        )
        .sort("started_at", "evse_id")
        .select(
            "started_at",
            "ended_at",
            "power_start_w",
            "power_end_w",
            net=pl.col("export_end_milliwh")
            - pl.col("export_start_milliwh")
            - pl.col("import_end_milliwh")
            + pl.col("import_start_milliwh"),
        )
    )
    parts: list[list[tuple[datetime, float]]] = []
    reached: datetime | None = None
    for started, ended, first, last, net in rows.iter_rows():
        average = net * _WATTS_PER_MILLIWH_PER_S / (ended - started).total_seconds()
        if reached is None or started > reached:
            parts.append([])
        parts[-1].append((started, (average if first is None else first) / _WATTS_PER_KW))
        parts[-1].append((ended, (average if last is None else last) / _WATTS_PER_KW))
        reached = ended
    return parts


def _power_of_lines(lines: pl.DataFrame) -> Sequence[Points]:
    rows = lines.sort("started_at").select("started_at", "ended_at", "avg_w")
    return [
        [(started, watts / _WATTS_PER_KW), (ended, watts / _WATTS_PER_KW)]
        for started, ended, watts in rows.iter_rows()
    ]


def _price(
    program: Program, prices: Sequence[Price], start: datetime, end: datetime
) -> Sequence[Points]:
    fixed = program.fixed_price_micros_per_kwh
    if fixed is not None:
        value = fixed / units.MICROS_PER_UNIT
        return [[(start, value), (end, value)]]
    mine = sorted(
        (
            p
            for p in prices
            if p.program == program.program and p.started_at < end and p.ended_at > start
        ),
        key=lambda p: (p.received_at, p.started_at),
    )
    cuts = sorted({min(max(edge, start), end) for p in mine for edge in (p.started_at, p.ended_at)})
    parts: list[list[tuple[datetime, float]]] = []
    reached: datetime | None = None
    for first, last in pairwise(cuts):
        covering = [p for p in mine if p.started_at <= first and last <= p.ended_at]
        if not covering:
            continue
        value = covering[-1].price_micros_per_kwh / units.MICROS_PER_UNIT
        if reached != first:
            parts.append([])
        parts[-1].extend(((first, value), (last, value)))
        reached = last
    return parts


def _heat(
    temperatures: pl.DataFrame, vehicle: str, start: datetime, end: datetime
) -> Sequence[Points]:
    rows = (
        temperatures.filter(
            pl.col("vehicle_id") == vehicle, pl.col("measured_at").is_between(start, end)
        )
        .sort("measured_at", "battery_millicelsius")
        .select("measured_at", "battery_millicelsius")
    )
    points = [(at, value / _MILLICELSIUS) for at, value in rows.iter_rows()]
    return [[*points, (end, points[-1][1])]] if points else []
