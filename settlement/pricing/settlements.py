"""Settlements: the sum of lines, rounded once to minor units, and what holds one."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from settlement.pricing.lines import KEY, micros_per_minor
from settlement.pricing.terms import Term
from settlement.programs import Program
from settlement.reasons import HELD, UnpaidReason
from settlement.rounding import divide
from settlement.schemas import SETTLEMENT

SCHEMA: Final = pl.Schema(
    {name: kind for name, kind in SETTLEMENT.schema.items() if name != "settlement_id"}
)
_SHOWN: Final = ("program", "event_id", "vehicle_id")
"""What holds: a reason belongs to a vehicle and an event, whatever the contract."""

_RANK: Final[Mapping[str, int]] = {
    reason.value: rank for rank, reason in enumerate(UnpaidReason) if reason in HELD
}


def settle(lines: pl.DataFrame, program: Program) -> pl.DataFrame:
    """Sum the lines of one version and round each sum once.

    Args:
        lines: ``schemas.LINE`` with ``program_version`` and ``contract_id``.
        program: the version.

    Returns:
        ``SCHEMA``, unordered. The energy of an order's shortfall was never delivered: it is left out.
    """
    minor = micros_per_minor(program)
    delivered = pl.col("term") != Term.SHORTFALL.value
    return (
        lines.group_by(KEY)
        .agg(
            energy_milliwh=pl.col("energy_milliwh").filter(delivered).sum(),
            lines_micros=pl.col("amount_micros").cast(pl.Int128).sum(),
        )
        .with_columns(
            currency=pl.lit(program.currency),
            amount_minor=divide(pl.col("lines_micros"), minor, program.rounding_mode),
            state=pl.lit("booked"),
            reason=pl.lit(""),
        )
        .with_columns(
            rounding_difference_micros=pl.col("amount_minor") * minor - pl.col("lines_micros")
        )
        .select(SCHEMA.names())
        .cast(SCHEMA)
    )


def hold(
    settlements: pl.DataFrame,
    unpaid: pl.DataFrame,
    matched: pl.DataFrame,
    programs: Mapping[str, Sequence[Program]],
) -> pl.DataFrame:
    """Hold the settlements with energy in a holding reason: shown, not payable, the reason named.

    A held settlement without any line is shown with nothing in it: under no contract, and under the
    version that others of its event follow, or the latest one where there are none.
    """
    held = _held(unpaid)
    held_now = pl.col("_holding").is_not_null()
    nothing = pl.lit(0, pl.Int64)
    known = settlements.join(held, on=_SHOWN, how="left").with_columns(
        pl.when(held_now).then(nothing).otherwise(pl.col(name)).alias(name)
        for name in ("amount_minor", "rounding_difference_micros")
    )
    empty = held.join(settlements, on=_SHOWN, how="anti").join(
        _versions(held, matched, programs), on=("program", "event_id"), how="inner"
    )
    lineless = empty.with_columns(
        *(
            nothing.alias(name)
            for name in (
                "energy_milliwh",
                "lines_micros",
                "amount_minor",
                "rounding_difference_micros",
            )
        ),
        contract_id=pl.lit(""),
        state=pl.lit("held"),
        reason=pl.col("_holding"),
    )
    decided = known.with_columns(
        state=pl.when(held_now).then(pl.lit("held")).otherwise(pl.col("state")),
        reason=pl.when(held_now).then(pl.col("_holding")).otherwise(pl.col("reason")),
    )
    names = SCHEMA.names()
    return pl.concat([decided.select(names), lineless.select(names)])


def _held(unpaid: pl.DataFrame) -> pl.DataFrame:
    """Vehicle and event with the first of their holding reasons, in order of precedence."""
    rank = pl.col("reason").replace_strict(_RANK, default=None, return_dtype=pl.Int64)
    return (
        unpaid.select(*_SHOWN, rank=rank, _holding="reason")
        .filter(pl.col("rank").is_not_null())
        .group_by(_SHOWN)
        .agg(pl.col("_holding").sort_by("rank").first())
    )


def _versions(
    held: pl.DataFrame, matched: pl.DataFrame, programs: Mapping[str, Sequence[Program]]
) -> pl.DataFrame:
    """program, event_id, program_version and currency of each event in ``held``."""
    latest = pl.DataFrame(
        [(name, versions[-1].version) for name, versions in programs.items()],
        schema={"program": pl.String(), "_latest": pl.Int64()},
        orient="row",
    )
    currencies = pl.DataFrame(
        [(name, v.version, v.currency) for name, versions in programs.items() for v in versions],
        schema={
            "program": pl.String(),
            "program_version": pl.Int64(),
            "currency": pl.String(),
        },
        orient="row",
    )
    seen = matched.group_by("program", "event_id").agg(pl.col("program_version").max())
    return (
        held.select("program", "event_id")
        .unique()
        .join(latest, on="program", how="inner")
        .join(seen, on=("program", "event_id"), how="left")
        .with_columns(program_version=pl.coalesce("program_version", "_latest"))
        .join(currencies, on=("program", "program_version"), how="inner")
        .drop("_latest")
    )
