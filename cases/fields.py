"""Fields: text of a table as exact values, a column at a time, each with its permitted range.

Digits become integers as text, never through a float, and nothing is rounded: more places than a
quantity is counted in are refused, unless they are zeros. The first value that does not fit, by row
and then by column, is named.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import polars as pl

from cases.errors import CaseError, quoted
from cases.tables import Piece, read_table
from settlement import units
from settlement.decimals import MAX_WHOLE_DIGITS

TIME: Final = pl.Datetime("us", "UTC")

_CLOCK: Final = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME: Final = (
    rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[T ]{_CLOCK}(?::[0-5][0-9](?:\.[0-9]{{1,6}})?)?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3]):?[0-5][0-9])$"
)
_WHOLE_SECONDS: Final = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T{_CLOCK}:[0-5][0-9](?:Z|\+00:00)$"
_DIGITS: Final = 38
TIME_EXPECTED: Final = (
    "a time as ISO 8601 with its offset, such as 2026-07-01T17:00:00Z,"
    f" from {units.EARLIEST.year} to {units.LATEST.year}"
)


class Kind(StrEnum):
    """What a field holds."""

    TEXT = "text"
    """Printable characters on one line."""
    LINES = "lines"
    """Any characters, on any number of lines."""
    TIME = "time"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a file.

    Attributes:
        name: in the file.
        into: in the frame, in the unit of ``settlement.schemas``.
        kind: what it holds.
        blank: whether it may be blank, and its column left out; null then.
        places: how many digits after the point are counted: one unit of the frame is 10^-places of
            the file's.
        low: least permitted value, in the frame's unit.
        high: largest permitted value; of text, the most characters.
        unit: the file's unit, for messages.
    """

    name: str
    into: str
    kind: Kind
    blank: bool = False
    places: int = 0
    low: int = 0
    high: int = 0
    unit: str = ""

    @property
    def expected(self) -> str:
        """What may stand there, in words."""
        match self.kind:
            case Kind.TEXT:
                what = f"1 to {self.high} printable characters"
            case Kind.LINES:
                what = f"1 to {self.high} characters"
            case Kind.TIME:
                what = TIME_EXPECTED
            case Kind.NUMBER:
                low, high = (_plain(edge, self.places) for edge in (self.low, self.high))
                form = f"with at most {self.places} places" if self.places else "without a fraction"
                what = f"a number {form} from {low} to {high}{self.unit and ' ' + self.unit}"
        return f"{what}, or nothing" if self.blank else what


def text(name: str, *, into: str = "", blank: bool = False) -> Field:
    return Field(name, into or name, Kind.TEXT, blank, high=units.ID_MAX_CHARS)


def time(name: str, *, into: str = "", blank: bool = False) -> Field:
    return Field(name, into or name, Kind.TIME, blank)


def number(
    name: str, into: str, places: int, low: int, high: int, unit: str, *, blank: bool = False
) -> Field:
    return Field(name, into, Kind.NUMBER, blank, places, low, high, unit)


def position() -> tuple[Field, Field]:
    """Latitude and longitude, degrees WGS 84, which may both be blank."""

    def degrees(name: str, into: str, bound: int) -> Field:
        return number(name, into, 6, -bound, bound, "degrees", blank=True)

    return (
        degrees("lat", "latitude_microdeg", units.LATITUDE_MAX_MICRODEG),
        degrees("lon", "longitude_microdeg", units.LONGITUDE_MAX_MICRODEG),
    )


def read_fields(path: Path, file: str, fields: Sequence[Field]) -> pl.DataFrame:
    """A whole CSV file: a column per field, and ``row`` (Int64), its number in the file.

    Raises:
        CaseError: see ``cases.tables.read_table``; or the first value that does not fit.
    """
    return pl.concat(list(_parsed(path, file, fields)) or [_empty(fields)])


def _parsed(path: Path, file: str, fields: Sequence[Field]) -> Iterator[pl.DataFrame]:
    required = [field.name for field in fields if not field.blank]
    optional = [field.name for field in fields if field.blank]
    for piece in read_table(path, file, required=required, optional=optional):
        yield parse(piece, file, fields)


def _empty(fields: Sequence[Field]) -> pl.DataFrame:
    columns = dict.fromkeys((field.name for field in fields), pl.String())
    return parse(Piece(2, pl.DataFrame(schema=columns)), "", fields)


def parse(piece: Piece, file: str, fields: Sequence[Field]) -> pl.DataFrame:
    """The rows of a piece as exact values, with ``row``.

    Raises:
        CaseError: the first value that does not fit, by row, then by column.
    """
    texts = piece.frame
    values = texts.select(
        (pl.int_range(pl.len(), dtype=pl.Int64) + piece.first_row).alias("row"),
        *(_value(field, texts).alias(field.into) for field in fields),
    )
    found = []
    for place, field in enumerate(fields):
        wrong = values[field.into].is_null()
        if field.blank:
            wrong &= texts[field.name] != ""
        if wrong.any():
            found.append((wrong.arg_true()[0], place))
    if found:
        at, place = min(found)
        field = fields[place]
        raise CaseError(
            file,
            quoted(texts[field.name][at]) if texts[field.name][at] else "nothing",
            field.expected,
            row=piece.first_row + at,
            column=field.name,
        )
    return values


def refuse(file: str, rows: pl.DataFrame, column: str, found: str, expected: str) -> None:
    """Refuse the first of these rows, where there is one.

    Args:
        file: for the message.
        rows: with ``row``, the ones that are wrong.
        column: where it is wrong.
        found: what stands there; ``{name}`` is replaced by the row's value of that column.
        expected: what was expected, likewise.

    Raises:
        CaseError: if there is any row.
    """
    if rows.is_empty():
        return
    (one,) = rows.sort("row").head(1).iter_rows(named=True)
    shown = {name: _shown(value) for name, value in one.items()}
    raise CaseError(
        file, found.format_map(shown), expected.format_map(shown), row=one["row"], column=column
    )


def _shown(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    return "nothing" if value is None else str(value)


def _unfit(field: Field, column: pl.Series) -> list[str]:
    """Texts that do not fit: few are different, so that each is looked at once."""
    return [
        value
        for value in column.unique()
        if not 0 < len(value) <= field.high or (field.kind is Kind.TEXT and not value.isprintable())
    ]


def _value(field: Field, texts: pl.DataFrame) -> pl.Expr:
    match field.kind:
        case Kind.TEXT | Kind.LINES:
            column = pl.col(field.name)
            return pl.when(~column.is_in(_unfit(field, texts[field.name]))).then(column)
        case Kind.TIME:
            return pl.lit(_moments(texts[field.name]))
        case Kind.NUMBER:
            value = decimal_column(pl.col(field.name), field.places)
            return pl.when(value.is_between(field.low, field.high)).then(value)


def decimal_column(column: pl.Expr, places: int) -> pl.Expr:
    """Decimal text as exact integer counts of 10^-places (Int64), as ``decimals.decimal_text`` reads
    it, but that zeros beyond the places lose nothing; null where the text is none.

    >>> pl.DataFrame({"a": ["12345.678", "-0.5", "7.0000", "0.0001", "1e3"]}).select(
    ...     decimal_column(pl.col("a"), 3)
    ... ).to_series().to_list()
    [12345678, -500, 7000, None, None]
    """
    fraction = rf"[0-9]{{1,{places}}}0*" if places else "0+"
    fits = column.str.contains(rf"^-?[0-9]{{1,{MAX_WHOLE_DIGITS}}}(?:\.{fraction})?$")
    # A decimal of that scale is an integer count of its last place. What does not fit into it, or
    # then into 63 bits, is null, as any number that is out of every range.
    count = column.cast(pl.Decimal(_DIGITS, places), strict=False).to_physical()
    return pl.when(fits).then(count.cast(pl.Int64, strict=False))


def moments(texts: Iterable[str]) -> list[datetime | None]:
    """Times as ``parse`` reads them; None where a text is none, or out of range."""
    return _moments(pl.Series("at", list(texts), pl.String())).to_list()


def _moments(column: pl.Series) -> pl.Series:
    """ISO 8601 text with an offset as UTC; null where it is none, no day of the calendar, or out of
    range.
    """
    whole = pl.col(column.name)
    if column.str.contains(_WHOLE_SECONDS).all():
        moment = (
            whole.str.head(19)
            .str.to_datetime("%Y-%m-%dT%H:%M:%S", strict=False, time_unit="us")
            .dt.replace_time_zone("UTC")
        )
    else:
        moment = (
            pl.when(whole.str.contains(_TIME))
            .then(whole)
            .str.replace(" ", "T", literal=True)
            .str.replace("Z", "+00:00", literal=True)
            .str.replace(r"([+-][0-9]{2})([0-9]{2})$", "${1}:${2}")
            .str.replace(r"^(.{16})([+-])", "${1}:00${2}")
            .str.to_datetime(
                "%Y-%m-%dT%H:%M:%S%.f%:z", strict=False, time_unit="us", time_zone="UTC"
            )
        )
    known = pl.col("at")
    return (
        column.to_frame()
        .select(at=moment)
        .select(pl.when(known.is_between(units.EARLIEST, units.LATEST)).then(known))
        .to_series()
    )


def _plain(edge: int, places: int) -> str:
    """An integer count of 10^-places as decimal text, without zeros at its end."""
    digits = str(abs(edge)).rjust(places + 1, "0")
    whole, fraction = (digits[:-places], digits[-places:].rstrip("0")) if places else (digits, "")
    return f"{'-' if edge < 0 else ''}{whole}{'.' + fraction if fraction else ''}"
