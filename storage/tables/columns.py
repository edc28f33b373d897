"""What tables are made of: the metadata they share, columns and CHECKs from the frames."""

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeEngine

from settlement.schemas import Frame, Kind

metadata: Final = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    }
)

SQL_TYPES: Final[dict[Kind, TypeEngine[Any]]] = {
    Kind.TEXT: Text(),
    Kind.BYTES: LargeBinary(),
    Kind.INTEGER: BigInteger(),
    Kind.TIME: DateTime(timezone=True),
}


def time(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, DateTime(timezone=True), nullable=nullable)


def text(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, Text, nullable=nullable)


def bigint(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=nullable)


def digest(name: str) -> Column[Any]:
    return Column(name, LargeBinary, nullable=False)


def columns_of(frame: Frame, *, without: Iterable[str] = ()) -> list[Column[Any]]:
    """SQL columns of a frame, in its order."""
    return [
        Column(c.name, SQL_TYPES[c.kind], nullable=c.nullable)
        for c in frame.columns
        if c.name not in set(without)
    ]


def checks_of(frame: Frame, *, without: Iterable[str] = ()) -> list[CheckConstraint]:
    """One CHECK per column with a declared range."""
    return [
        CheckConstraint(f"{c.name} between {c.low} and {c.high}", name=f"{c.name}_range")
        for c in frame.columns
        if c.low is not None and c.name not in set(without)
    ]


def frame_table(
    frame: Frame,
    *constraints: PrimaryKeyConstraint | UniqueConstraint | CheckConstraint,
    name: str = "",
    extra: Iterable[Column[Any]] = (),
    without: Iterable[str] = (),
) -> Table:
    """The table of a frame, under the frame's name unless another is given."""
    return Table(
        name or frame.name,
        metadata,
        *columns_of(frame, without=without),
        *extra,
        *constraints,
        *checks_of(frame, without=without),
    )
