"""What a line pays for, and what cannot be priced."""

from enum import StrEnum


class Term(StrEnum):
    """What a line pays for."""

    ENERGY = "energy"
    """Energy at a price per kWh."""
    CAPACITY = "capacity"
    """One event's share of a season's average power, at a price per kW."""
    DELIVERY = "delivery"
    """What was delivered of an order, at the order's price per kW."""
    SHORTFALL = "shortfall"
    """What an order was left short of, at the penalty per kW: never above zero."""


class PricingError(ValueError):
    """Root of this package's errors."""


class UnknownVersionError(PricingError):
    """Matched discharge of a program, or of a version of it, that was not given."""

    def __init__(self, program: str, version: int, known: list[int]) -> None:
        given = ", ".join(map(str, known)) or "none"
        super().__init__(
            f"program {program}: version {version} is not among those given; expected one of: {given}"
        )
        self.program = program
        self.version = version
        self.known = known


class MissingFactorError(PricingError):
    """A row without one of the factors that make its amount; nothing counts as zero by being absent."""

    def __init__(self, program: str, column: str, rows: int) -> None:
        super().__init__(
            f"program {program}: {column} is missing in {rows} rows; expected a value in each"
        )
        self.program = program
        self.column = column
        self.rows = rows


class NoTimeError(PricingError):
    """A row that lasts no time, over which no power can be averaged."""

    def __init__(self, program: str, column: str, rows: int) -> None:
        super().__init__(
            f"program {program}: {column} is not positive in {rows} rows; expected microseconds"
        )
        self.program = program
        self.column = column
        self.rows = rows
