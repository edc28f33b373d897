"""Intervals: from the payable pieces of a vehicle to the quantity of each settlement interval.

Each step takes the intervals that are still payable and says of some of them, or of part of their
energy, why not: thermal limits, minimums, netting, charging just before the event, caps.
"""

from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from settlement import baselines, seasons, thermal, units
from settlement.bounds import assert_fits
from settlement.facts import Facts
from settlement.matching.reasons import PHYSICAL
from settlement.matching.scopes import Bucket
from settlement.programs import NetPer, Product, Program, Quantity
from settlement.reasons import UnpaidReason
from settlement.timeline import Place

INTERVAL = ("program", "event_id", "vehicle_id", "started_at")
"""Names one settlement interval of one vehicle."""
EVENT = ("program", "event_id", "vehicle_id")


@dataclass
class Steps:
    """Intervals on their way, and what has been said of the others.

    Attributes:
        payable: intervals that may still be paid.
        refused: ``INTERVAL`` and reason: nothing of these is paid.
        withheld: ``INTERVAL``, energy_milliwh and reason: that much of these is not paid.
    """

    payable: pl.DataFrame
    refused: list[pl.DataFrame] = field(default_factory=list)
    withheld: list[pl.DataFrame] = field(default_factory=list)

    def refuse(self, which: pl.Expr, reason: UnpaidReason) -> None:
        """Take whole intervals out. A null condition refuses nothing."""
        hit = which.fill_null(value=False)
        out = self.payable.filter(hit)
        if not out.is_empty():
            self.refused.append(out.select(*INTERVAL, reason=pl.lit(reason.value)))
            self.payable = self.payable.filter(~hit)

    def withhold(self, energy: pl.Expr, reason: UnpaidReason) -> None:
        """Say of part of the energy of intervals that it is not paid; leaves the quantity alone."""
        rows = self.payable.select(
            *INTERVAL, energy_milliwh=energy, reason=pl.lit(reason.value)
        ).filter(pl.col("energy_milliwh") > 0)
        if not rows.is_empty():
            self.withheld.append(rows)

    def deduct(self, energy: pl.Expr, reason: UnpaidReason) -> None:
        """Take part of the quantity of intervals away."""
        self.payable = self.payable.with_columns(deducted=energy)
        self.withhold(pl.col("deducted"), reason)
        self.payable = self.payable.with_columns(
            energy_milliwh=pl.col("energy_milliwh") - pl.col("deducted")
        ).drop("deducted")


def drawn(decided: pl.DataFrame) -> pl.DataFrame:
    """Pieces in events summed up to intervals, with the time discharged before each and in all."""
    in_event = decided.filter(
        (pl.col("place") == Place.EVENT)
        & (pl.col("reason").is_null() | pl.col("reason").is_in(PHYSICAL))
    )
    keys = [*INTERVAL, "ended_at", "event_started_at"]
    same = ["contract_id", "price_micros_per_kwh", "incentive_rate_ppm", "reason"]
    same += ["ordered_w", "ordered_us"]
    sums = ["exported_milliwh", "imported_milliwh", "covered_us", "discharged_us", "readings"]
    return (
        in_event.group_by(keys)
        .agg(pl.col(sums).sum(), pl.col(same).first())
        .sort(INTERVAL)
        .with_columns(
            event_discharged_us=pl.col("discharged_us").sum().over(EVENT),
            discharged_before_us=pl.col("discharged_us").cum_sum().over(EVENT)
            - pl.col("discharged_us"),
        )
    )


def quantities(
    intervals: pl.DataFrame, bucket: Bucket, facts: Facts, charged: pl.DataFrame
) -> Steps:
    """Find the quantity of each interval, ``energy_milliwh``, and what of it is not paid.

    Args:
        intervals: as ``drawn`` gives them, of one bucket, and those of orders without any reading.
        bucket: where they were measured.
        facts: of the run.
        charged: event_id, vehicle_id, charged_milliwh: what was charged in the event's look-back.

    Returns:
        ``payable`` with baseline_milliwh, energy_milliwh, power_milliwh and thermal_factor_ppm.
    """
    program = bucket.program
    steps = Steps(intervals.filter(pl.col("reason").is_null()).drop("reason"))
    _baseline(steps, program, facts)
    steps.payable = steps.payable.with_columns(energy_milliwh=_quantity(program))
    assert_fits(steps.payable, ("energy_milliwh",), limit=units.LINE_MAX_MILLIWH * 4)
    _thermal(steps, program, facts)
    if program.product is Product.ORDER:
        steps.payable = steps.payable.with_columns(power_milliwh=pl.col("energy_milliwh"))
        return steps
    us = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()
    # 1e11 mWh × 3.6e6 and 1e7 W × the µs of ten days = 8.64e18: both below 2^63.
    weak = pl.col("energy_milliwh") * units.W_US_PER_MILLIWH < program.minimum.avg_w * us
    steps.refuse(weak & (pl.col("energy_milliwh") >= 0), UnpaidReason.BELOW_MINIMUM)
    _minimums_per_event(steps, program)
    steps.payable = steps.payable.with_columns(power_milliwh=pl.col("energy_milliwh"))
    _net(steps, program)
    _charged_before(steps, charged)
    _caps(steps, program, facts)
    if program.product is Product.ENERGY:
        steps.payable = steps.payable.filter(pl.col("energy_milliwh") != 0)
    return steps


def _baseline(steps: Steps, program: Program, facts: Facts) -> None:
    if not program.needs_baseline:
        steps.payable = steps.payable.with_columns(baseline_milliwh=pl.lit(None, dtype=pl.Int64))
        return
    wanted = ["vehicle_id", "started_at", "ended_at", "covered_us"]
    known = baselines.energy(facts.baselines, steps.payable.select(wanted))
    # In time that no reading covers nothing was delivered, whatever the baseline.
    covered = pl.col("covered_us") > 0
    steps.payable = steps.payable.with_columns(known["baseline_milliwh"]).with_columns(
        baseline_milliwh=pl.when(covered).then("baseline_milliwh").otherwise(0)
    )
    steps.refuse(pl.col("baseline_milliwh").is_null(), UnpaidReason.BASELINE_MISSING)


def _quantity(program: Program) -> pl.Expr:
    exported, imported = pl.col("exported_milliwh"), pl.col("imported_milliwh")
    if program.needs_baseline:
        return pl.col("baseline_milliwh") + exported - imported
    if program.quantity is Quantity.NET:
        return exported - imported
    return exported


def _thermal(steps: Steps, program: Program, facts: Facts) -> None:
    """What is charged, or not below the baseline, earns nothing and is not derated."""
    terms = program.thermal
    full = pl.lit(units.PPM, dtype=pl.Int64)
    if terms is None:
        steps.payable = steps.payable.with_columns(thermal_factor_ppm=full)
        return
    earning = steps.payable.filter(pl.col("energy_milliwh") > 0)
    asked = earning.select("vehicle_id", "started_at", "ended_at").unique(maintain_order=True)
    factors = thermal.factors(facts.temperatures, asked, terms)
    idle = pl.col("energy_milliwh") <= 0
    steps.payable = steps.payable.join(
        factors.select(
            "vehicle_id", "started_at", "ended_at", "thermal_factor_ppm", "thermal_reason"
        ),
        on=["vehicle_id", "started_at", "ended_at"],
        how="left",
        maintain_order="left",
    ).with_columns(
        thermal_factor_ppm=pl.when(idle).then(full).otherwise("thermal_factor_ppm"),
        thermal_reason=pl.when(idle).then(None).otherwise("thermal_reason"),
    )
    for reason in (UnpaidReason.THERMAL_MISSING, UnpaidReason.THERMAL_LIMIT_REACHED):
        steps.refuse(pl.col("thermal_reason") == reason.value, reason)
    steps.payable = steps.payable.drop("thermal_reason")


def _minimums_per_event(steps: Steps, program: Program) -> None:
    minimum = program.minimum
    if minimum.event_milliwh:
        energy = pl.col("energy_milliwh")
        if program.net_per is NetPer.INTERVAL:
            energy = pl.max_horizontal(energy, 0)
        steps.refuse(energy.sum().over(EVENT) < minimum.event_milliwh, UnpaidReason.BELOW_MINIMUM)
    if minimum.duration_us:
        short = pl.col("event_discharged_us") < minimum.duration_us
        steps.refuse(short, UnpaidReason.BELOW_MINIMUM)


def _net(steps: Steps, program: Program) -> None:
    """Clamp at zero, per interval or per event, and say what charging has offset.

    For net energy the paid and the unpaid sum to what was exported.
    """
    if program.quantity is Quantity.EXPORT_ONLY:
        return
    energy = pl.col("energy_milliwh")
    per_interval = program.net_per is NetPer.INTERVAL
    negative = energy < 0 if per_interval else energy.sum().over(EVENT) <= 0
    if program.product is Product.CAPACITY:
        # The event counts in the season's average, with nothing.
        steps.payable = steps.payable.with_columns(
            energy_milliwh=pl.when(negative).then(0).otherwise(energy)
        )
    else:
        steps.refuse(negative, UnpaidReason.NETTED)
    if program.quantity is Quantity.NET:
        steps.withhold(pl.col("exported_milliwh") - energy, UnpaidReason.NETTED)


def _charged_before(steps: Steps, charged: pl.DataFrame) -> None:
    """Deduct what was charged around the event, from its earliest discharge on, down to nothing."""
    if charged.is_empty():
        return
    steps.payable = steps.payable.join(
        charged, on=["event_id", "vehicle_id"], how="left", maintain_order="left"
    )
    energy = pl.col("energy_milliwh")
    total = pl.max_horizontal(energy.sum().over(EVENT), 0)
    due = pl.min_horizontal(pl.col("charged_milliwh").fill_null(0), total)
    earned = pl.max_horizontal(energy, 0)
    before = earned.cum_sum().over(EVENT) - earned
    left = pl.max_horizontal(due - before, 0)
    steps.deduct(pl.min_horizontal(left, earned), UnpaidReason.CHARGED_BEFORE)
    steps.payable = steps.payable.drop("charged_milliwh")


def _caps(steps: Steps, program: Program, facts: Facts) -> None:
    """Cut the energy beyond a cap, in time order."""
    caps = program.caps
    if caps.event_milliwh is not None:
        _cap(steps, EVENT, pl.lit(caps.event_milliwh, dtype=pl.Int64))
    if caps.season_milliwh is not None:
        steps.payable = _with_season(steps.payable, program).join(
            facts.season_used.filter(pl.col("program") == program.program).select(
                "vehicle_id", "season", used="energy_milliwh"
            ),
            on=["vehicle_id", "season"],
            how="left",
            maintain_order="left",
        )
        steps.payable = steps.payable.sort("vehicle_id", "started_at")
        left = pl.max_horizontal(caps.season_milliwh - pl.col("used").fill_null(0), 0)
        _cap(steps, ("vehicle_id", "season"), left)
        steps.payable = steps.payable.drop("season", "used").sort(INTERVAL)


def _cap(steps: Steps, over: tuple[str, ...], cap: pl.Expr) -> None:
    # What is paid so far never exceeds the cap. What is charged makes room again, of what was paid. So all
    # that has been cut by then is how far the sum has ever been above the cap.
    highest = pl.col("energy_milliwh").cum_sum().cum_max().over(over)
    cut = pl.max_horizontal(highest - cap, 0)
    steps.payable = steps.payable.with_columns(cut=cut)
    before = pl.col("cut").shift(1).over(over).fill_null(0)
    steps.deduct(pl.col("cut") - before, UnpaidReason.OVER_CAP)
    steps.payable = steps.payable.drop("cut")


def _with_season(intervals: pl.DataFrame, program: Program) -> pl.DataFrame:
    starts: list[datetime] = intervals["event_started_at"].unique().to_list()
    years = pl.DataFrame(
        [(at, seasons.season_of(program, at).year) for at in starts],
        schema={"event_started_at": intervals.schema["event_started_at"], "season": pl.Int32()},
        orient="row",
    )
    return intervals.join(years, on="event_started_at", how="left", maintain_order="left")
