"""Matching: which energy of which reading falls into which interval, and what is not paid, and why.

Windows are half-open; a reading that straddles an edge is divided in proportion to time, in whole
milliwatt-hours, the remainder to its last part, so that the parts sum to the whole exactly. Every
discharged milliwatt-hour in the run's reach ends either in ``matched`` or in ``unpaid`` with a
reason and, where a price is known, the money it would have been.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from settlement import timeline, units
from settlement.bounds import assert_fits
from settlement.overlaps import flag_overlaps
from settlement.periods import Period
from settlement.programs import NegativePrice, Program
from settlement.reasons import UnpaidReason
from settlement.rounding import RoundingMode, divide
from settlement.schemas import MATCHED_DISCHARGE, UNPAID
from settlement.timeline import Place, Price, Window

REGISTER_STEP_MILLIWH: Final = 1_000
"""A meter that counts whole watt-hours is off by up to this much over any interval; that is its
resolution, not an inconsistency."""

_MILLIWH_PER_W_US: Final = 3_600_000
"""1 mWh is 3.6e6 W·µs."""

_PIECE: Final = ("vehicle_id", "evse_id", "inconsistent")


@dataclass(frozen=True)
class Grid:
    """What the grid's side and the contracts say, as known to one run.

    Attributes:
        programs: by name.
        windows: effective windows of all programs.
        prices: of all programs.
        contracts: columns vehicle_id, program, incentive_rate_ppm, valid_from, valid_to (null: open).
    """

    programs: Mapping[str, Program]
    windows: Sequence[Window]
    prices: Sequence[Price]
    contracts: pl.DataFrame

    def timeline(self, program: str, period: Period) -> pl.DataFrame:
        """``timeline.build`` for one program."""
        return timeline.build(
            [w for w in self.windows if w.program == program],
            [p for p in self.prices if p.program == program],
            period,
        )

    def homes(self) -> dict[str, list[str]]:
        """Programs and the vehicles to look at in each: those with a contract in it."""
        listed = self.contracts.group_by("program").agg(pl.col("vehicle_id").unique())
        by_program = dict(listed.iter_rows())
        return {name: sorted(by_program.get(name, [])) for name in sorted(self.programs)}


@dataclass(frozen=True)
class Matched:
    """``matched``: ``schemas.MATCHED_DISCHARGE``; ``unpaid``: ``schemas.UNPAID``."""

    matched: pl.DataFrame
    unpaid: pl.DataFrame


def match(readings: pl.DataFrame, grid: Grid, period: Period) -> Matched:
    """Match readings to events and prices.

    Args:
        readings: ``schemas.READING`` and ``conflicted`` (bool: its identity carries two contents).
        grid: events, prices, contracts, programs.
        period: the run's period: events that end in it are settled, and discharge outside of every
            event in it is accounted for.

    Returns:
        Frames sorted by (event, vehicle, start), so that equal input in any order gives equal bytes.
    """
    parts = []
    homes = grid.homes()
    homeless = _without_contract(readings, grid)
    for number, (name, vehicles) in enumerate(homes.items()):
        # A vehicle without any contract is looked at in one program, to say what it would have got.
        wanted = vehicles + (homeless if number == 0 else [])
        cells = grid.timeline(name, period)
        program = grid.programs[name]
        mine = (
            readings.lazy().filter(pl.col("vehicle_id").is_in(wanted))
            if len(homes) > 1
            else readings.lazy()
        )
        discharges = flag_overlaps(_discharges(mine, program).collect())
        pieces = divide_over(discharges.lazy(), cells, _PIECE)
        parts.append(_decide(pieces, cells, program, grid.contracts))
    decided = pl.concat(parts) if parts else _decided_empty()
    if len(parts) > 1:
        decided = _refuse_twice(decided)
    return Matched(_matched(decided), _unpaid(decided))


def _without_contract(readings: pl.DataFrame, grid: Grid) -> list[str]:
    seen = readings["vehicle_id"].unique()
    return sorted(set(seen) - set(grid.contracts["vehicle_id"]))


def _discharges(readings: pl.LazyFrame, program: Program) -> pl.LazyFrame:
    """Readings that exported energy: interval, energy, and whether registers and powers disagree."""
    us = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()
    exported = pl.col("export_end_milliwh") - pl.col("export_start_milliwh")
    imported = pl.col("import_end_milliwh") - pl.col("import_start_milliwh")
    # Twice the energy, in W·µs, once from the registers and once from the trapezoid of the powers.
    # Largest value: 1e9 mWh × 7.2e6 × 100 = 7.2e17 and 2e7 W × 3.6e9 µs × 100 = 7.2e18 < 2^63.
    by_registers = (exported - imported) * (2 * _MILLIWH_PER_W_US)
    by_powers = (pl.col("power_start_w") + pl.col("power_end_w")) * us
    apart = (by_registers - by_powers).abs()
    allowed = (
        pl.max_horizontal(by_registers.abs(), by_powers.abs()) * program.register_tolerance_pct
    )
    step = 2 * _MILLIWH_PER_W_US * REGISTER_STEP_MILLIWH
    disagree = (apart > step) & (apart * 100 > allowed)
    return readings.select(
        "vehicle_id",
        "evse_id",
        "started_at",
        "ended_at",
        energy_milliwh=exported,
        inconsistent=pl.col("conflicted") | disagree,
    ).filter(pl.col("energy_milliwh") > 0)


def divide_over(discharges: pl.LazyFrame, cells: pl.DataFrame, by: Sequence[str]) -> pl.DataFrame:
    """Divide discharges over the cells of a timeline and sum them up.

    Args:
        discharges: ``by`` columns, started_at, ended_at, energy_milliwh (positive).
        cells: ``timeline.SCHEMA``, without gaps.
        by: what to keep apart.

    Returns:
        ``by`` columns, interval, energy_milliwh, discharged_us, readings; unordered.
    """
    starts = cells["started_at"]
    first = pl.col("started_at").map_batches(
        lambda s: starts.search_sorted(s, side="right") - 1,
        return_dtype=pl.UInt32,
        is_elementwise=True,
    )
    last = pl.col("ended_at").map_batches(
        lambda s: starts.search_sorted(s, side="left") - 1,
        return_dtype=pl.UInt32,
        is_elementwise=True,
    )
    us = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()
    placed = discharges.with_columns(interval=first, last=last).collect()
    whole = (
        placed.lazy().filter(pl.col("interval") == pl.col("last")).with_columns(discharged_us=us)
    )
    straddling = placed.filter(pl.col("interval") != pl.col("last"))
    columns = [*by, "interval", "energy_milliwh", "discharged_us"]
    both = pl.concat([whole.select(columns), _split(straddling, cells).lazy().select(columns)])
    return (
        both.group_by(*by, "interval")
        .agg(
            pl.col("energy_milliwh").sum(),
            pl.col("discharged_us").sum(),
            readings=pl.len().cast(pl.Int64),
        )
        .collect()
    )


def _split(straddling: pl.DataFrame, cells: pl.DataFrame) -> pl.DataFrame:
    """Each straddling discharge in its parts: floor of the proportion, the remainder to the last."""
    edges = cells.select("interval", cell_start="started_at", cell_end="ended_at")
    whole_us = (pl.col("ended_at") - pl.col("started_at")).dt.total_microseconds()
    # 1e9 mWh × 3.6e9 µs = 3.6e18 < 2^63.
    proportion = pl.col("energy_milliwh") * pl.col("discharged_us") // whole_us
    is_last = pl.col("interval") == pl.col("last")
    before = pl.when(is_last).then(0).otherwise(proportion).sum().over("row")
    return (
        straddling.with_row_index("row")
        .with_columns(
            interval=pl.int_ranges(pl.col("interval"), pl.col("last") + 1, dtype=pl.UInt32)
        )
        .explode("interval")
        .join(edges, on="interval", how="left", maintain_order="left")
        .with_columns(
            discharged_us=(
                pl.min_horizontal("ended_at", "cell_end")
                - pl.max_horizontal("started_at", "cell_start")
            ).dt.total_microseconds()
        )
        .with_columns(
            energy_milliwh=pl.when(is_last)
            .then(pl.col("energy_milliwh") - before)
            .otherwise(proportion)
        )
        # A part without energy is no discharge: neither its interval nor its time counts.
        .filter(pl.col("energy_milliwh") > 0)
    )


def _decide(
    pieces: pl.DataFrame, cells: pl.DataFrame, program: Program, contracts: pl.DataFrame
) -> pl.DataFrame:
    """Give every piece its contract and, unless it is paid, its reason."""
    located = (
        pieces.join(cells, on="interval", how="left")
        .filter(pl.col("place") != Place.ELSEWHERE)
        .with_columns(
            program=pl.lit(program.program), moment=pl.coalesce("event_started_at", "started_at")
        )
    )
    judged = located.join(
        _contracts_in_force(located, contracts), on=["vehicle_id", "moment"], how="left"
    ).filter(
        # One timeline accounts for a piece: that of the program whose contract is in force, or,
        # where that is none or several, that of the vehicle's first program.
        pl.when(pl.col("contracts") == 1)
        .then(pl.col("contract_program") == program.program)
        .otherwise(pl.col("first_program").fill_null(program.program) == program.program)
    )
    price = pl.col("price_micros_per_kwh")
    reason = (
        pl.when(pl.col("inconsistent") | (pl.col("energy_milliwh") > units.PIECE_MAX_MILLIWH))
        .then(pl.lit(UnpaidReason.ERR_DATA_INCONSISTENCY.value))
        .when(pl.col("place") == Place.OUTSIDE)
        .then(pl.lit(UnpaidReason.OUTSIDE_WINDOW.value))
        .when(pl.col("contracts") == 0)
        .then(pl.lit(UnpaidReason.NO_CONTRACT.value))
        .when(pl.col("contracts") > 1)
        .then(pl.lit(UnpaidReason.DOUBLE_ENROLMENT.value))
        .when(price.is_null())
        .then(pl.lit(UnpaidReason.PRICE_MISSING.value))
    )
    if program.negative_price is NegativePrice.ZERO:
        reason = reason.when(price < 0).then(pl.lit(UnpaidReason.NEGATIVE_PRICE.value))
    return judged.with_columns(reason=reason.otherwise(None)).select(_decided_empty().columns)


def _refuse_twice(decided: pl.DataFrame) -> pl.DataFrame:
    """What two programs would pay for the same time of one vehicle, neither pays."""
    numbered = decided.with_row_index("piece")
    paid = numbered.filter(pl.col("reason").is_null()).select(
        "piece", "vehicle_id", "program", "started_at", "ended_at"
    )
    twice = paid.join(paid, on="vehicle_id", suffix="_other").filter(
        (pl.col("program") != pl.col("program_other"))
        & (pl.col("started_at") < pl.col("ended_at_other"))
        & (pl.col("started_at_other") < pl.col("ended_at"))
    )
    double = pl.lit(UnpaidReason.DOUBLE_ENROLMENT.value)
    in_both = pl.col("piece").is_in(twice["piece"].implode())
    return numbered.with_columns(
        reason=pl.when(in_both).then(double).otherwise(pl.col("reason"))
    ).drop("piece")


def _decided_empty() -> pl.DataFrame:
    columns = {c: t for c, t in UNPAID.schema.items() if c != "would_have_been_micros"}
    return pl.DataFrame(
        schema=columns
        | {
            "place": pl.String(),
            "event_started_at": pl.Datetime("us", "UTC"),
            "discharged_us": pl.Int64(),
            "readings": pl.Int64(),
            "price_micros_per_kwh": pl.Int64(),
            "incentive_rate_ppm": pl.Int64(),
        }
    )


def _contracts_in_force(located: pl.DataFrame, contracts: pl.DataFrame) -> pl.DataFrame:
    """Per vehicle and moment: how many contracts are in force, the rate and program if it is one, and
    the first program by name of all the vehicle's contracts.
    """
    moments = located.select("vehicle_id", "moment").unique()
    in_force = (pl.col("valid_from") <= pl.col("moment")) & (
        pl.col("valid_to").is_null() | (pl.col("moment") < pl.col("valid_to"))
    )
    return (
        moments.join(contracts.rename({"program": "contract_program"}), on="vehicle_id", how="left")
        .with_columns(counts=in_force.fill_null(value=False))
        .group_by("vehicle_id", "moment")
        .agg(
            contracts=pl.col("counts").sum(),
            contract_program=pl.col("contract_program").filter("counts").first(),
            first_program=pl.col("contract_program").min(),
            incentive_rate_ppm=pl.col("incentive_rate_ppm").filter("counts").first(),
        )
    )


def _matched(decided: pl.DataFrame) -> pl.DataFrame:
    """Paid pieces, one row per vehicle and settlement interval, whatever EVSE it stood at."""
    # Time discharged at a negative or unknown price is still time discharged in the event.
    physical = [UnpaidReason.PRICE_MISSING.value, UnpaidReason.NEGATIVE_PRICE.value]
    in_event = decided.filter(
        (pl.col("place") == Place.EVENT)
        & (pl.col("reason").is_null() | pl.col("reason").is_in(physical))
    ).with_columns(
        event_discharged_us=pl.col("discharged_us").sum().over("program", "event_id", "vehicle_id")
    )
    keys = ["program", "event_id", "vehicle_id", "event_started_at", "started_at", "ended_at"]
    same = ["event_discharged_us", "price_micros_per_kwh", "incentive_rate_ppm"]
    return (
        in_event.filter(pl.col("reason").is_null())
        .group_by(keys)
        .agg(pl.col("energy_milliwh", "readings").sum(), pl.col(same).first())
        .select(MATCHED_DISCHARGE.schema.names())
        .sort(keys)
    )


def _unpaid(decided: pl.DataFrame) -> pl.DataFrame:
    rows = decided.filter(pl.col("reason").is_not_null()).with_columns(would_have_been())
    order = ["program", "event_id", "vehicle_id", "evse_id", "started_at", "ended_at", "reason"]
    assert_fits(rows, ("energy_milliwh", "price_micros_per_kwh", "incentive_rate_ppm"))
    return rows.select(UNPAID.schema.names()).sort(order)


def would_have_been() -> pl.Expr:
    """Energy × price × contract rate in micros; the rate counts as 1 where no contract states one,
    tier and thermal factor as 1 always. Null where no price is known.
    """
    rate = pl.col("incentive_rate_ppm").fill_null(units.PPM)
    exact = pl.col("energy_milliwh").cast(pl.Int128) * pl.col("price_micros_per_kwh") * rate
    return (
        divide(exact, units.MILLIWH_PER_KWH * units.PPM, RoundingMode.HALF_AWAY)
        .cast(pl.Int64)
        .alias("would_have_been_micros")
    )
