"""Baselines computed from readings that were received before the event's notice.

What is measured, or reported, after a window was created moves nothing: a vehicle that charges more
once it knows of the event has the baseline that it had before. (Inflating a baseline after the notice
is the best-known way of being paid for nothing.)
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Final

import polars as pl

from settlement import units
from settlement.baselines.days import compared, event_days
from settlement.bounds import assert_fits
from settlement.periods import Period
from settlement.programs import Absent, BaselineMethod, Program
from settlement.rounding import RoundingMode, divide
from settlement.schemas import BASELINE
from settlement.windows import Window, effective, rank

_US: Final = timedelta(microseconds=1)

_VALUE: Final = pl.Schema(
    {
        "vehicle_id": pl.String(),
        "net_milliwh": pl.Int64(),
        "covered_us": pl.Int64(),
    }
)
"""What readings say of a vehicle over one period."""


def history_needed(program: Program, windows: Sequence[Window]) -> list[Period]:
    """The past periods whose readings ``compute`` may look at: in UTC, ascending, not touching.

    Empty where the program needs no baseline, or has it provided.
    """
    needed = sorted(
        period for window in _own(windows, program) for period in _periods(window, program)
    )
    merged: list[Period] = []
    for period in needed:
        if merged and period.started_at <= merged[-1].ended_at:
            last = merged.pop()
            merged.append(Period(last.started_at, max(last.ended_at, period.ended_at)))
        else:
            merged.append(period)
    return merged


def compute(
    history: pl.DataFrame,
    windows: Sequence[Window],
    all_windows: Sequence[Window],
    program: Program,
    vehicles: Sequence[str],
    *,
    competing: Sequence[Window] | None = None,
) -> pl.DataFrame:
    """The baselines of vehicles for events of a program, by its method.

    ``like_days``: the average power over the same hours of the last ``days`` like days (see
    ``days.compared``). ``highest_days``: of the last ``of`` like days the ``days`` on which the
    vehicle's net import in those hours was highest, of equal ones the later. Where fewer days than
    that are found there is no baseline. A like day on which the vehicle has no reading in those
    hours counts as zero, or is passed over for an earlier one, as the program says (``absent``);
    hours that readings cover in part count as nothing drawn in the rest.

    ``before_event``: the average power over the ``before_us`` before the event began, or before its
    notice was given where that was earlier, over the time in it that readings cover.

    Net import is import minus export by the registers; of a reading that straddles an edge the part
    in proportion to time, rounded to mWh. Only readings received by the window's ``told_at``
    count, and of those none that cannot stand by itself: registers that run backwards or jump, time
    that two readings of the charger or of the vehicle claim, an identity with two contents. (The
    last, ``conflicted``, is the one thing that is looked at as it is known now.) The average is
    rounded to whole watts, half away from zero.

    Args:
        history: ``schemas.READING``, and ``conflicted`` where that is known; all that overlap
            ``history_needed``, in any order.
        windows: that all of the vehicles are addressed by, and for which this version of the
            program is in force.
        all_windows: every event of the program that touches the last ``search_days``.
        program: its ``baseline`` says how.
        vehicles: whose baselines are wanted.
        competing: all that the vehicles are addressed by, whatever settles it; None: ``windows``.

    Returns:
        ``schemas.BASELINE``, by vehicle and time: a row per vehicle and effective window.
    """
    events = event_days(all_windows, program)
    own = _own(windows, program)
    frames = [BASELINE.empty()]
    for window, pieces in _in_force(own, own if competing is None else competing):
        frozen = _frozen(history, window, vehicles)
        if program.baseline.method is BaselineMethod.BEFORE_EVENT:
            averages = _before(frozen, _periods(window, program))
        else:
            days = [day.period for day in compared(window, program, events)]
            averages = _over_days(frozen, days, program, vehicles)
        rows = averages.filter(pl.col("baseline_w").abs() <= units.POWER_MAX_W)
        frames.extend(
            rows.select(
                "vehicle_id",
                started_at=pl.lit(piece.started_at, dtype=BASELINE.schema["started_at"]),
                ended_at=pl.lit(piece.ended_at, dtype=BASELINE.schema["ended_at"]),
                baseline_w=pl.col("baseline_w").cast(pl.Int64),
            )
            for piece in pieces
        )
    return pl.concat(frames).sort("vehicle_id", "started_at")


def _own(windows: Iterable[Window], program: Program) -> list[Window]:
    """Windows of the program that were in force at any time and need a computed baseline."""
    if not program.needs_baseline or program.baseline.method is BaselineMethod.PROVIDED:
        return []
    return [w for w in windows if w.program == program.program and w.started_at < w.until]


def _periods(window: Window, program: Program) -> list[Period]:
    """The periods that may be averaged for a window."""
    if program.baseline.method is BaselineMethod.BEFORE_EVENT:
        told = min(window.told_at, window.started_at)
        return [Period(told - program.baseline.before_us * _US, told)]
    return [day.period for day in compared(window, program, {})]


def _in_force(
    windows: Sequence[Window], competing: Sequence[Window]
) -> list[tuple[Window, list[Period]]]:
    """Each window with the time in which it is in force, if there is any."""
    pieces: dict[str, list[Period]] = defaultdict(list)
    for one in effective(competing):
        pieces[one.event_id].append(Period(one.started_at, one.ended_at))
    return [(w, pieces[w.event_id]) for w in sorted(windows, key=rank) if w.event_id in pieces]


def _frozen(history: pl.DataFrame, window: Window, vehicles: Sequence[str]) -> pl.DataFrame:
    """The readings that count for a window, with what they drew, by start."""
    drawn = pl.col("import_end_milliwh") - pl.col("import_start_milliwh")
    given = pl.col("export_end_milliwh") - pl.col("export_start_milliwh")
    known = history.lazy().filter(pl.col("received_at") <= window.told_at)
    for key in ("evse_id", "vehicle_id"):
        known = known.sort(key, "started_at", "ended_at").with_columns(
            (
                (pl.col("ended_at").cum_max().shift(1) > pl.col("started_at"))
                | (pl.col("started_at").shift(-1) < pl.col("ended_at"))
            )
            .over(key)
            .fill_null(value=False)
            .alias(f"_{key}_twice")
        )
    usable = known.filter(
        ~pl.col("_evse_id_twice"),
        ~pl.col("_vehicle_id_twice"),
        drawn.is_between(0, units.READING_MAX_MILLIWH),
        given.is_between(0, units.READING_MAX_MILLIWH),
        pl.col("vehicle_id").is_in(list(vehicles)),
    )
    if "conflicted" in history.columns:
        usable = usable.filter(~pl.col("conflicted"))
    return (
        usable.select("vehicle_id", "started_at", "ended_at", net_milliwh=drawn - given)
        .sort("started_at")
        .collect()
    )


def _value(frozen: pl.DataFrame, period: Period) -> pl.DataFrame:
    """``_VALUE`` of the vehicles that have any reading in the period."""
    start, end = (
        pl.lit(edge, dtype=pl.Datetime("us", "UTC"))
        for edge in (period.started_at, period.ended_at)
    )
    inside = frozen.filter(pl.col("started_at") < end, pl.col("ended_at") > start).with_columns(
        covered_us=(
            pl.min_horizontal("ended_at", end) - pl.max_horizontal("started_at", start)
        ).dt.total_microseconds(),
        length_us=(pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds(),
    )
    assert_fits(inside, ("net_milliwh", "covered_us"))
    whole = inside.filter(pl.col("covered_us") == pl.col("length_us"))
    straddling = inside.filter(pl.col("covered_us") < pl.col("length_us")).with_columns(
        net_milliwh=divide(
            pl.col("net_milliwh").cast(pl.Int128) * pl.col("covered_us").cast(pl.Int128),
            pl.col("length_us"),
            RoundingMode.HALF_AWAY,
        ).cast(pl.Int64)
    )
    return (
        pl.concat([whole, straddling])
        .group_by("vehicle_id")
        .agg(pl.col("net_milliwh", "covered_us").sum())
        .match_to_schema(_VALUE)
    )


def _before(frozen: pl.DataFrame, periods: Sequence[Period]) -> pl.DataFrame:
    """vehicle_id, baseline_w: the average over the time that readings cover."""
    (period,) = periods
    return _average(_value(frozen, period), pl.col("covered_us"))


def _over_days(
    frozen: pl.DataFrame, days: Sequence[Period], program: Program, vehicles: Sequence[str]
) -> pl.DataFrame:
    """vehicle_id, baseline_w: the average over the days that the method takes."""
    terms = program.baseline
    highest = terms.method is BaselineMethod.HIGHEST_DAYS
    wanted = terms.of if highest else terms.days
    zero = terms.absent is Absent.ZERO
    if zero:  # no vehicle passes over a day
        days = days[:wanted]
    values = pl.concat(
        [
            pl.DataFrame(schema={**_VALUE, "back": pl.Int64()}),
            *(
                _value(frozen, day).with_columns(back=pl.lit(back, dtype=pl.Int64))
                for back, day in enumerate(days)
            ),
        ]
    )
    if zero:
        every = pl.DataFrame(
            {"vehicle_id": sorted(set(vehicles))}, schema={"vehicle_id": pl.String()}
        ).join(pl.DataFrame({"back": range(len(days))}, schema={"back": pl.Int64()}), how="cross")
        values = every.join(values, on=["vehicle_id", "back"], how="left").with_columns(
            pl.col("net_milliwh").fill_null(0)
        )
    last = values.sort("vehicle_id", "back").group_by("vehicle_id").head(wanted)
    last = last.filter(pl.len().over("vehicle_id") == wanted)
    if highest:
        last = (
            last.sort("net_milliwh", "back", descending=[True, False])
            .group_by("vehicle_id")
            .head(terms.days)
        )
    averaged_us = terms.days * (days[0].ended_at - days[0].started_at) // _US if days else 1
    return _average(
        last.group_by("vehicle_id").agg(pl.col("net_milliwh").sum()),
        pl.lit(averaged_us, dtype=pl.Int64),
    )


def _average(sums: pl.DataFrame, over_us: pl.Expr) -> pl.DataFrame:
    """vehicle_id, baseline_w (Int128) of net energies over a time."""
    return sums.select(
        "vehicle_id",
        baseline_w=divide(
            pl.col("net_milliwh").cast(pl.Int128) * units.W_US_PER_MILLIWH,
            over_us,
            RoundingMode.HALF_AWAY,
        ),
    )
