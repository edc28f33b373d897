"""Facts: everything but the readings that one run knows, as known at one time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from settlement.programs import Program
from settlement.schemas import BASELINE, ORDER, TEMPERATURE
from settlement.timeline import Price, Window

SEASON_USED = pl.Schema(
    {
        "program": pl.String(),
        "vehicle_id": pl.String(),
        "season": pl.Int32(),
        "energy_milliwh": pl.Int64(),
    }
)
"""Energy that earlier events of a season have been paid for, per vehicle."""


@dataclass(frozen=True)
class Facts:
    """What the grid's side, the contracts and the sensors say.

    Attributes:
        programs: all versions of each program, ascending by version, by name.
        windows: events that touch the run's reach, and, where a program caps the hours of a season,
            all of that season before it; the latest known version of each.
        prices: that touch the reach.
        contracts: ``schemas.CONTRACT``.
        sites: ``schemas.SITE``; None where nobody has declared any, and then neither groups nor
            positions are checked.
        temperatures: ``schemas.TEMPERATURE``, from early enough for the filter to have settled.
        baselines: ``schemas.BASELINE``, provided or computed.
        orders: ``schemas.ORDER``.
        season_used: ``SEASON_USED``, of events that this run does not settle.
    """

    programs: Mapping[str, Sequence[Program]]
    windows: Sequence[Window]
    prices: Sequence[Price]
    contracts: pl.DataFrame
    sites: pl.DataFrame | None = None
    temperatures: pl.DataFrame = field(default_factory=TEMPERATURE.empty)
    baselines: pl.DataFrame = field(default_factory=BASELINE.empty)
    orders: pl.DataFrame = field(default_factory=ORDER.empty)
    season_used: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=SEASON_USED))
