"""What goes in and what comes out: rows as mappings with the columns of a case folder.

Values are str, Decimal, int (sequence, primacy), timezone-aware datetime, or None for an empty cell.
Energy comes in watt-hours or kilowatt-hours as the column says, power in W or kW, temperatures in
degrees Celsius; discharge is positive, a baseline is import positive.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Row = Mapping[str, Any]


class CaseError(ValueError):
    """A case that cannot be settled as it stands: which rows, which value, what was expected."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{where}: {what}")
        self.where = where
        self.what = what


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that a settlement needs; only what was known at `as_of` (None: all of it) counts.

    `sites` None: neither positions nor groups are checked. `programs` are the bodies of program
    files; several versions of one program carry a `valid_from` each. `since` is the start of the time
    that is accounted for (None: all of it): the version in force then speaks of the time outside of
    every event.
    """

    programs: Sequence[Row]
    contracts: Sequence[Row]
    readings: Sequence[Row]
    events: Sequence[Row]
    thermal: Sequence[Row] = ()
    prices: Sequence[Row] = ()
    baselines: Sequence[Row] = ()
    orders: Sequence[Row] = ()
    sites: Sequence[Row] | None = None
    as_of: datetime | None = None
    since: datetime | None = None


@dataclass(slots=True)
class Result:
    """Rows as a replay writes them, values as Decimal and datetime.

    Beside the columns of the files, every row carries whole numbers: `energy_milliwh`, and
    `amount_micros` (line), `amount_minor` (settlement) or `would_have_been_micros` (unpaid; None
    where no amount can be named).
    """

    settlements: list[dict[str, Any]] = field(default_factory=list)
    lines: list[dict[str, Any]] = field(default_factory=list)
    unpaid: list[dict[str, Any]] = field(default_factory=list)

    def sort(self) -> None:
        """Into the order in which the files are written."""
        self.settlements.sort(key=lambda row: (row["vehicle_id"], row["event_id"]))
        self.lines.sort(
            key=lambda row: (row["vehicle_id"], row["event_id"], row["started_at"], row["term"])
        )
        self.unpaid.sort(
            key=lambda row: (
                row["vehicle_id"],
                row["event_id"] or "",
                row["started_at"],
                row["reason"],
            )
        )
