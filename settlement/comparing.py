"""Comparing: one period settled twice, under two sets of terms, and who gains and who loses.

Money is what is payable, in micros of the currency, so that results with different minor units can be
held against each other; a settlement that is held pays nothing. Energy is what is paid for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import polars as pl

from settlement.programs import Program

BOTH: Final = pl.Schema(
    {
        "before_milliwh": pl.Int64(),
        "after_milliwh": pl.Int64(),
        "before_micros": pl.Int64(),
        "after_micros": pl.Int64(),
        "difference_micros": pl.Int64(),
    }
)
"""Energy paid and money payable under either terms, and money after minus money before."""

SETTLEMENTS: Final = pl.Schema(
    {
        "vehicle_id": pl.String(),
        "event_id": pl.String(),
        "program": pl.String(),
        "currency": pl.String(),
        **BOTH,
        "before_state": pl.String(),
        "after_state": pl.String(),
        "before_reason": pl.String(),
        "after_reason": pl.String(),
    }
)
"""``state`` as in ``schemas.SETTLEMENT``, empty where there is no settlement; ``reason``: why held."""

VEHICLES: Final = pl.Schema({"vehicle_id": pl.String(), "currency": pl.String(), **BOTH})

CURRENCIES: Final = pl.Schema(
    {
        "currency": pl.String(),
        "winners": pl.Int64(),
        "losers": pl.Int64(),
        "unchanged": pl.Int64(),
        **BOTH,
    }
)

PROGRAMS: Final = pl.Schema(
    {
        "program": pl.String(),
        "currency": pl.String(),
        "before_settlements": pl.Int64(),
        "after_settlements": pl.Int64(),
        "before_held": pl.Int64(),
        "after_held": pl.Int64(),
        **BOTH,
    }
)

REASONS: Final = pl.Schema(
    {
        "program": pl.String(),
        "reason": pl.String(),
        "before_milliwh": pl.Int64(),
        "after_milliwh": pl.Int64(),
        "difference_milliwh": pl.Int64(),
        "before_micros": pl.Int64(),
        "after_micros": pl.Int64(),
    }
)
"""Unpaid energy, and the money that it would have been as far as that is known; null: not at all."""

_KEY: Final = ("vehicle_id", "event_id", "program", "currency")
_SIDES: Final = ("before", "after")
_HELD: Final = "held"


class Computed(Protocol):
    """What a computation decides, as far as it is compared; ``settlement.engine.Computed`` is one."""

    @property
    def settlements(self) -> pl.DataFrame:
        """``schemas.SETTLEMENT``, its id left aside."""
        ...

    @property
    def unpaid(self) -> pl.DataFrame:
        """``schemas.UNPAID``."""
        ...


class CurrencyChangedError(ValueError):
    """Amounts in two currencies cannot be compared: ``program`` pays in both."""

    def __init__(self, program: str, before: str, after: str) -> None:
        super().__init__(
            f"{program}: {before} as it is, {after} under the other terms; expected one currency"
        )
        self.program = program
        self.before = before
        self.after = after


@dataclass(frozen=True)
class Comparison:
    """What two computations of the same facts come to.

    Attributes:
        settlements: ``SETTLEMENTS``, by vehicle, event and program: every one of either side.
        vehicles: ``VEHICLES``, who gains most first, who loses most last.
        currencies: ``CURRENCIES``: vehicles that gain, lose and neither, and totals.
        programs: ``PROGRAMS``, by name.
        reasons: ``REASONS``, by program and reason.
    """

    settlements: pl.DataFrame
    vehicles: pl.DataFrame
    currencies: pl.DataFrame
    programs: pl.DataFrame
    reasons: pl.DataFrame


def require_same_currencies(
    before: Mapping[str, Sequence[Program]], after: Mapping[str, Sequence[Program]]
) -> None:
    """Refuse a program of which a version pays in another currency than one on the other side.

    Raises:
        CurrencyChangedError: naming the program and two currencies.
    """
    for name in sorted(before.keys() & after.keys()):
        for mine in before[name]:
            for other in after[name]:
                if mine.currency != other.currency:
                    raise CurrencyChangedError(name, mine.currency, other.currency)


def compare(before: Computed, after: Computed) -> Comparison:
    """Hold two computations against each other.

    The sum of all differences is the difference of the sums, in every frame: nothing that either side
    settles is left out.

    Args:
        before: as it is.
        after: under the other terms, from the same facts otherwise.

    Raises:
        CurrencyChangedError: a program pays in two currencies.
    """
    _require_same_currency(before.settlements, after.settlements)
    settlements = _settlements(before.settlements, after.settlements)
    vehicles = _total(settlements, "vehicle_id", "currency", schema=VEHICLES).sort(
        "difference_micros", "vehicle_id", "currency", descending=[True, False, False]
    )
    gain = pl.col("difference_micros")
    currencies = _total(
        vehicles,
        "currency",
        schema=CURRENCIES,
        winners=(gain > 0).sum(),
        losers=(gain < 0).sum(),
        unchanged=(gain == 0).sum(),
    ).sort("currency")
    programs = _total(
        settlements,
        "program",
        "currency",
        schema=PROGRAMS,
        **{f"{side}_settlements": (pl.col(f"{side}_state") != "").sum() for side in _SIDES},
        **{f"{side}_held": (pl.col(f"{side}_state") == _HELD).sum() for side in _SIDES},
    ).sort("program", "currency")
    return Comparison(
        settlements, vehicles, currencies, programs, _reasons(before.unpaid, after.unpaid)
    )


def _require_same_currency(before: pl.DataFrame, after: pl.DataFrame) -> None:
    both = (
        before.select("program", "currency")
        .unique()
        .join(after.select("program", "currency").unique(), on="program", suffix="_after")
        .filter(pl.col("currency") != pl.col("currency_after"))
        .sort("program")
    )
    for program, mine, other in both.iter_rows():
        raise CurrencyChangedError(program, mine, other)


def _settlements(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    both = _side(before, "before").join(
        _side(after, "after"), on=list(_KEY), how="full", coalesce=True
    )
    return (
        both.with_columns(
            *(pl.col(f"{s}_{n}").fill_null(0) for s in _SIDES for n in ("milliwh", "micros")),
            *(pl.col(f"{s}_{n}").fill_null("") for s in _SIDES for n in ("state", "reason")),
        )
        .with_columns(difference_micros=pl.col("after_micros") - pl.col("before_micros"))
        .select(SETTLEMENTS.names())
        .cast(SETTLEMENTS)
        .sort("vehicle_id", "event_id", "program")
    )


def _side(settlements: pl.DataFrame, side: str) -> pl.DataFrame:
    """One side's settlements, one row for each vehicle, event and program."""
    held = pl.col("state") == _HELD
    nothing = pl.lit(0, dtype=pl.Int64)
    # What is payable is the sum of the lines and what rounding made of it, whatever the minor unit.
    payable = pl.col("lines_micros") + pl.col("rounding_difference_micros")
    return (
        settlements.with_columns(
            milliwh=pl.when(held).then(nothing).otherwise(pl.col("energy_milliwh")),
            micros=pl.when(held).then(nothing).otherwise(payable),
        )
        .group_by(_KEY)
        .agg(
            _sum("milliwh").alias(f"{side}_milliwh"),
            _sum("micros").alias(f"{side}_micros"),
            pl.when(held.any())
            .then(pl.lit(_HELD))
            .otherwise(pl.col("state").min())
            .alias(f"{side}_state"),
            pl.col("reason").max().alias(f"{side}_reason"),
        )
    )


def _sum(name: str) -> pl.Expr:
    """In 128 bits, which no number of settlements fills; a strict cast takes it back, or refuses."""
    return pl.col(name).cast(pl.Int128).sum().cast(pl.Int64)


def _total(rows: pl.DataFrame, *by: str, schema: pl.Schema, **counts: pl.Expr) -> pl.DataFrame:
    return (
        rows.group_by(by)
        .agg(*(_sum(name) for name in BOTH), **counts)
        .select(schema.names())
        .cast(schema)
    )


def _reasons(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    return (
        _unpaid(before, "before")
        .join(_unpaid(after, "after"), on=["program", "reason"], how="full", coalesce=True)
        .with_columns(pl.col("before_milliwh", "after_milliwh").fill_null(0))
        .with_columns(difference_milliwh=pl.col("after_milliwh") - pl.col("before_milliwh"))
        .select(REASONS.names())
        .cast(REASONS)
        .sort("program", "reason")
    )


def _unpaid(unpaid: pl.DataFrame, side: str) -> pl.DataFrame:
    known = pl.col("would_have_been_micros").is_not_null().any()
    return unpaid.group_by("program", "reason").agg(
        _sum("energy_milliwh").alias(f"{side}_milliwh"),
        pl.when(known).then(_sum("would_have_been_micros")).alias(f"{side}_micros"),
    )
