"""What a statement is made from: frames of ``settlement.schemas``, wherever they were kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from settlement.programs import Program
from settlement.timeline import Price, Window


@dataclass(frozen=True)
class Statement:
    """The content of a statement.

    Attributes:
        title: what it is about.
        settlements: ``schemas.SETTLEMENT``; its id may be left out.
        lines: ``schemas.LINE``, of these settlements.
        unpaid: ``schemas.UNPAID``.
        readings: ``schemas.READING``, for the charts; powers may be null.
        temperatures: ``schemas.TEMPERATURE``, for the charts.
        programs: all versions of each program, ascending, by name.
        windows: the events, for the charts.
        prices: for the charts.
        known_at: what was known by then is in it; None: everything.
        notes: sentences that stand below the summary.
    """

    title: str
    settlements: pl.DataFrame
    lines: pl.DataFrame
    unpaid: pl.DataFrame
    readings: pl.DataFrame
    temperatures: pl.DataFrame
    programs: Mapping[str, Sequence[Program]]
    windows: Sequence[Window] = ()
    prices: Sequence[Price] = ()
    known_at: datetime | None = None
    notes: Sequence[str] = ()

    def program_of(self, name: str, version: int) -> Program | None:
        """That version of the program; the last one where it is not there; None where none is."""
        versions = self.programs.get(name, ())
        return next(
            (v for v in versions if v.version == version), versions[-1] if versions else None
        )
