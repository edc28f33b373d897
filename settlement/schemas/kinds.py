"""What a frame is made of: columns with their kind, unit, permitted range and meaning."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

import polars as pl

from settlement import units


class Kind(StrEnum):
    """What a column holds. Each kind has one Polars type and one SQL type."""

    TEXT = "text"
    BYTES = "bytes"
    INTEGER = "integer"
    TIME = "time"


POLARS_TYPES: Mapping[Kind, pl.DataType] = {
    Kind.TEXT: pl.String(),
    Kind.BYTES: pl.Binary(),
    Kind.INTEGER: pl.Int64(),
    Kind.TIME: pl.Datetime("us", "UTC"),
}


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its kind, unit, permitted range (both ends included) and meaning."""

    name: str
    kind: Kind
    meaning: str
    unit: str = ""
    low: int | None = None
    high: int | None = None
    nullable: bool = False


@dataclass(frozen=True)
class Frame:
    """A named, ordered set of columns."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @cached_property
    def schema(self) -> pl.Schema:
        """The Polars schema, in order."""
        return pl.Schema({c.name: POLARS_TYPES[c.kind] for c in self.columns})

    def column(self, name: str) -> Column:
        """The column of that name.

        >>> from settlement.schemas import READING
        >>> READING.column("power_start_w").unit
        'W'
        """
        return next(c for c in self.columns if c.name == name)

    def empty(self) -> pl.DataFrame:
        """A frame with these columns and no rows."""
        return pl.DataFrame(schema=self.schema)


def text(name: str, meaning: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.TEXT, meaning, nullable=nullable)


def digest(name: str, meaning: str) -> Column:
    return Column(name, Kind.BYTES, meaning, unit="SHA-256")


def time(name: str, meaning: str, *, nullable: bool = False) -> Column:
    return Column(name, Kind.TIME, meaning, unit="UTC, µs", nullable=nullable)


def integer(
    name: str, unit: str, low: int, high: int, meaning: str, *, nullable: bool = False
) -> Column:
    return Column(name, Kind.INTEGER, meaning, unit, low, high, nullable)


def milliwh(
    name: str, meaning: str, *, low: int = 0, high: int = units.READING_MAX_MILLIWH
) -> Column:
    return integer(name, "mWh", low, high, meaning)


def micros(name: str, meaning: str, *, nullable: bool = False) -> Column:
    return integer(name, "1e-6 currency", -(10**15), 10**15, meaning, nullable=nullable)


def minor(name: str, meaning: str) -> Column:
    return integer(name, "minor unit", -(10**15), 10**15, meaning)


def ppm(name: str, meaning: str, *, high: int = units.FACTOR_MAX_PPM) -> Column:
    return integer(name, "1e-6", 0, high, meaning)
