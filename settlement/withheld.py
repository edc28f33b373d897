"""What a period that is held would have paid, as energy that is not paid."""

from collections.abc import Collection
from typing import Final

import polars as pl

from settlement.pricing import Term
from settlement.reasons import UnpaidReason
from settlement.schemas import UNPAID

_KEY: Final = ("program", "event_id", "vehicle_id")
_KEYS: Final = pl.Schema(dict.fromkeys(_KEY, pl.String()))


def withheld(
    lines: pl.DataFrame,
    settlements: pl.DataFrame,
    *,
    standing: Collection[tuple[str, str, str]] = (),
) -> pl.DataFrame:
    """The lines of a period's settlements as rows of ``schemas.UNPAID``, for ``PERIOD_HELD``.

    What each would have been is what its lines come to, all their factors and terms included. A line
    is of a vehicle and not of an EVSE, so none is named. Settlements that are held by themselves would
    have paid nothing, and are left out.

    Args:
        lines: ``schemas.LINE``.
        settlements: ``schemas.SETTLEMENT`` with or without its id.
        standing: (program, event, vehicle) with money in the books already, which is not taken back.
    """
    keys = settlements.filter(pl.col("state") == "booked").select(_KEY)
    booked = pl.DataFrame(sorted(standing), schema=_KEYS, orient="row")
    delivered = pl.col("term") != Term.SHORTFALL.value
    return (
        lines.join(keys.join(booked, on=_KEY, how="anti"), on=_KEY, how="semi")
        .group_by(*_KEY, "started_at", "ended_at")
        .agg(
            energy_milliwh=pl.col("energy_milliwh").filter(delivered).sum().clip(0),
            would_have_been_micros=pl.col("amount_micros").sum(),
        )
        .with_columns(evse_id=pl.lit(""), reason=pl.lit(UnpaidReason.PERIOD_HELD.value))
        .select(UNPAID.schema.names())
        .cast(UNPAID.schema)
        .sort(*_KEY, "started_at", "ended_at")
    )
