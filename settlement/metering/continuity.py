"""Registers from one reading of an EVSE to the next: nothing counted twice, nothing from nowhere.

A meter's registers only ever rise. Each reading should begin where the one before ended, or higher
where readings are missing between them. Per EVSE and register the readings are walked through in the
order of time, keeping the running maximum of the register:

* A reading that starts below the running maximum claims a range that has been counted already. So do
  those that follow it, until the maximum is reached again: a replayed series is unpaid entirely.
* A reading that starts above it by more than could have flowed since (rated power × gap × 1.1 and one
  step of the register) has jumped. The register counts on from there.
* A reading that starts lower than the one before ended, and as near to zero as a restarted register
  would (by the same bound), comes from an exchanged meter or a register that rolled over. It is paid
  by its own difference, and the running maximum starts anew. But a range that has been counted since
  the last restart is no restart, however wide the bound after a long gap: only a start lower than all
  of it is, or one within a step of zero.

The bound of the export register is the rating of the vehicle's contract (``units.POWER_MAX_W`` where
it is not known); that rating speaks of discharge, so the import register's is always the latter.

A reading that is at fault by itself (its identity carries two contents, its time is claimed twice, its
registers and powers disagree or run backwards) proves nothing about where the register stood, and is
left out of the walk.

Sources: settlement rules §3; reliability reference F28 (rollover, reset, replacement).
"""

from array import array
from typing import Final, NamedTuple

import polars as pl

from settlement import units
from settlement.metering.checks import (
    REGISTER_STEP_MILLIWH,
    RESTART_MARGIN_PCT,
    ROWS,
    energy_within,
)
from settlement.metering.enrolment import Enrolment

_REGISTERS: Final = ("export", "import")
_START: Final = "{}_start_milliwh"
_END: Final = "{}_end_milliwh"
_CHAIN: Final = (
    "evse",
    "started_at",
    "ended_at",
    *(f"{r}_{edge}_milliwh" for r in _REGISTERS for edge in ("start", "end")),
)


class _Run(NamedTuple):
    """Readings of an EVSE that follow each other without any oddity, seen by one register."""

    before: int | None
    """Where the reading before the run ended; None: the run is its EVSE's first."""
    start: int
    end: int
    bound: int


class _State(NamedTuple):
    """Where a register has been.

    Attributes:
        counted: readings of the run that start below it claim a range again.
        jumped: the run's first reading comes from too far above.
        highest: the running maximum after the run.
        lowest: where the register started, or was restarted; or was replayed from.
    """

    counted: int
    jumped: bool
    highest: int
    lowest: int


def broken(frame: pl.DataFrame, enrolled: Enrolment, excluded: pl.Series) -> pl.Series:
    """Rows whose registers do not follow from those before.

    Args:
        frame: by EVSE and start: evse, the times and the registers.
        enrolled: contracts of each row.
        excluded: rows (UInt32, distinct) that are at fault by themselves.
    """
    odd = _odd(frame.select(_CHAIN), enrolled.stretch, enrolled)
    # An EVSE in whose readings nothing is odd, and from which none is left out, needs no walk.
    touched = pl.concat([frame["evse"].gather(odd), frame["evse"].gather(excluded)]).unique()
    if touched.is_empty():
        return ROWS
    kept = frame["evse"].is_in(touched.implode()).scatter(excluded, values=False)
    rows = kept.arg_true().cast(pl.UInt32)
    if rows.is_empty():
        return ROWS
    chain = frame.select(pl.col(_CHAIN).gather(rows))
    return rows.gather(_walked(chain, enrolled.stretch.gather(rows), enrolled))


def _odd(chain: pl.DataFrame, stretch: pl.Series, enrolled: Enrolment) -> pl.Series:
    """Rows of which a register starts below where the one before ended, or too far above."""
    same = pl.col("evse") == pl.col("evse").shift(1)
    rises = [pl.col(_START.format(r)) - pl.col(_END.format(r)).shift(1) for r in _REGISTERS]
    uneven = pl.any_horizontal((rise < 0) | (rise > REGISTER_STEP_MILLIWH) for rise in rises)
    suspects = chain.select(
        row=(same & uneven).fill_null(value=False).arg_true().cast(pl.UInt32)
    ).to_series()
    if suspects.is_empty():
        return ROWS
    steps = _steps(chain, suspects, stretch, enrolled)
    unusual = pl.any_horizontal(
        (pl.col(f"{r}_start") < pl.col(f"{r}_before"))
        | (pl.col(f"{r}_start") - pl.col(f"{r}_before") > pl.col(f"{r}_bound"))
        for r in _REGISTERS
    )
    return steps.filter(unusual)["row"]


def _steps(
    chain: pl.DataFrame, rows: pl.Series, stretch: pl.Series, enrolled: Enrolment
) -> pl.DataFrame:
    """For some rows: where each register starts, where it stood before, and how far it may rise."""
    numbers = pl.DataFrame({"row": rows}).select(
        "row", previous=(pl.col("row").cast(pl.Int64) - 1).clip(lower_bound=0)
    )
    here = chain.select(pl.col("started_at", *map(_START.format, _REGISTERS)).gather(rows))
    before = chain.select(
        pl.col("ended_at", *map(_END.format, _REGISTERS)).gather(numbers["previous"])
    )
    rated = enrolled.terms["rated_w"].gather(stretch.gather(rows)).alias("rated")
    # Neighbours that overlap leave no gap; nothing is decided by them.
    gap = (pl.col("started_at") - pl.col("ended_at")).dt.total_microseconds().clip(lower_bound=0)
    powers = {
        "export": pl.col("rated").fill_null(units.POWER_MAX_W),
        "import": pl.lit(units.POWER_MAX_W),
    }
    return pl.concat(
        [numbers.select("row"), here, before, rated.to_frame()], how="horizontal"
    ).select(
        "row",
        *(pl.col(_START.format(r)).alias(f"{r}_start") for r in _REGISTERS),
        *(pl.col(_END.format(r)).alias(f"{r}_before") for r in _REGISTERS),
        *(
            energy_within(powers[r], gap, RESTART_MARGIN_PCT)
            .clip(upper_bound=2 * units.REGISTER_MAX_MILLIWH)
            .cast(pl.Int64)
            .alias(f"{r}_bound")
            for r in _REGISTERS
        ),
    )


def _walked(chain: pl.DataFrame, stretch: pl.Series, enrolled: Enrolment) -> pl.Series:
    """Rows of a chain of disjoint readings that claim a range again, or jump."""
    firsts = chain.select((pl.col("evse") != pl.col("evse").shift(1)).fill_null(value=True))
    breaks = pl.concat(
        [firsts.to_series().arg_true().cast(pl.UInt32), _odd(chain, stretch, enrolled)]
    )
    heads = breaks.unique().sort()
    is_head = pl.zeros(chain.height, pl.Boolean, eager=True).scatter(heads, values=True)
    run = (is_head.cast(pl.UInt32).cum_sum() - 1).alias("run")
    lasts = pl.concat([heads.slice(1) - 1, pl.Series([chain.height - 1], dtype=pl.UInt32)])
    steps = _steps(chain, heads, stretch, enrolled)
    first_of_evse = firsts.to_series().gather(heads)
    wrong = pl.zeros(chain.height, pl.Boolean, eager=True)
    for register in _REGISTERS:
        runs = pl.DataFrame(
            {
                "before": steps[f"{register}_before"],
                "first": first_of_evse,
                "start": steps[f"{register}_start"],
                "end": chain[f"{register}_end_milliwh"].gather(lasts),
                "bound": steps[f"{register}_bound"],
            }
        ).select(pl.when(~pl.col("first")).then("before"), "start", "end", "bound")
        # Plain arrays: should every reading be odd, objects would take a gigabyte.
        counted, jumped = array("q"), array("b")
        state: _State | None = None
        for row in runs.iter_rows():
            state = _after(state, _Run(*row))
            counted.append(state.counted)
            jumped.append(state.jumped)
        wrong |= chain[f"{register}_start_milliwh"] < pl.Series(counted, dtype=pl.Int64).gather(run)
        wrong |= is_head & pl.Series(jumped, dtype=pl.Int8).cast(pl.Boolean).gather(run)
    return wrong.arg_true().cast(pl.UInt32)


def _after(state: _State | None, run: _Run) -> _State:
    """One step of the walk: what a run is, after what came before it."""
    if state is None or run.before is None:
        return _State(run.start, jumped=False, highest=run.end, lowest=run.start)
    near_zero = run.start <= run.bound and (
        run.start <= REGISTER_STEP_MILLIWH or run.start < state.lowest
    )
    if run.start < run.before and near_zero:
        return _State(run.start, jumped=False, highest=run.end, lowest=run.start)
    return _State(
        counted=state.highest,
        jumped=run.start - state.highest > run.bound,
        highest=max(state.highest, run.end),
        lowest=min(state.lowest, run.start),
    )
