"""Values as the text that a pack holds: no number in it that two readers of JSON could read differently.

Integers in digits; times as RFC 3339 §5.6 in UTC with microseconds; digests in hexadecimal, other
bytes in base64 (RFC 4648 §4); nothing as null.
"""

import base64
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

_TIMES: Final = "%Y-%m-%dT%H:%M:%S%.6fZ"
_TIME: Final = "%Y-%m-%dT%H:%M:%S.%fZ"
_INTEGER_MAX_DIGITS: Final = 40


class PackError(ValueError):
    """What is no evidence pack: ``where``, what was ``found``, what was ``expected``."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


def time_text(at: datetime | None) -> str | None:
    """A time as text.

    >>> time_text(datetime(2026, 7, 1, 17, tzinfo=UTC))
    '2026-07-01T17:00:00.000000Z'
    """
    return None if at is None else at.astimezone(UTC).strftime(_TIME)


def bytes_text(value: bytes) -> str:
    """Bytes in base64."""
    return base64.b64encode(value).decode("ascii")


class Fields:
    """One JSON object of a pack, read name by name; whatever it lacks, or has too much, is refused."""

    def __init__(self, value: object, where: str, names: Sequence[str]) -> None:
        self.where = where
        if not isinstance(value, dict):
            raise PackError(where, f"a {type(value).__name__}", "an object")
        odd = sorted(set(value) ^ set(names))
        if odd:
            what = "missing" if odd[0] in names else "not known here"
            raise PackError(f"{where}.{odd[0]}", what, f"the names {', '.join(names)}")
        self._values: Mapping[str, Any] = value

    def text(self, name: str) -> str:
        """Text, which may be empty."""
        value = self._values[name]
        if not isinstance(value, str):
            raise self._wrong(name, "text")
        return value

    def text_or_none(self, name: str) -> str | None:
        """Text or null."""
        return None if self._values[name] is None else self.text(name)

    def integer(self, name: str) -> int:
        """An integer from its digits."""
        text = self.text(name)
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and len(digits) <= _INTEGER_MAX_DIGITS):
            raise self._wrong(name, "an integer as text")
        return int(text)

    def time(self, name: str) -> datetime:
        """A time in UTC."""
        try:
            return datetime.strptime(self.text(name), _TIME).replace(tzinfo=UTC)
        except ValueError as error:
            raise self._wrong(name, "a time such as 2026-07-01T17:00:00.000000Z") from error

    def time_or_none(self, name: str) -> datetime | None:
        """A time or null."""
        return None if self._values[name] is None else self.time(name)

    def digest(self, name: str) -> bytes:
        """Bytes from hexadecimal."""
        try:
            return bytes.fromhex(self.text(name))
        except ValueError as error:
            raise self._wrong(name, "hexadecimal digits") from error

    def bytes(self, name: str) -> bytes:
        """Bytes from base64."""
        try:
            return base64.b64decode(self.text(name), validate=True)
        except (Base64Error, ValueError) as error:
            raise self._wrong(name, "base64") from error

    def items(self, name: str) -> list[tuple[object, str]]:
        """The items of a list, each with where it stands."""
        value = self._values[name]
        if not isinstance(value, list):
            raise self._wrong(name, "a list")
        return [(item, f"{self.where}.{name}[{place}]") for place, item in enumerate(value)]

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        values = self.items(name)
        for value, where in values:
            if not isinstance(value, str):
                raise PackError(where, f"a {type(value).__name__}", "text")
        return [str(value) for value, _ in values]

    def raw(self, name: str) -> Any:
        """The value as JSON gave it."""
        return self._values[name]

    def _wrong(self, name: str, expected: str) -> PackError:
        found = ascii(self._values[name])
        return PackError(f"{self.where}.{name}", found[:60], expected)


def frame_text(frame: pl.DataFrame) -> dict[str, object]:
    """A frame as its columns and its rows of text."""
    columns = []
    for name, kind in frame.schema.items():
        column = pl.col(name)
        if isinstance(kind, pl.Datetime):
            column = column.dt.strftime(_TIMES)
        elif kind == pl.Binary():
            column = column.bin.encode("hex")
        columns.append(column.cast(pl.String))
    rows = frame.select(columns).rows()
    return {"columns": frame.columns, "rows": [list(row) for row in rows]}


def frame_of(value: object, schema: Mapping[str, Any], where: str) -> pl.DataFrame:
    """The frame of ``frame_text``.

    Raises:
        PackError: other columns, or a value that is not of its column's type.
    """
    fields = Fields(value, where, ("columns", "rows"))
    if fields.texts("columns") != list(schema):
        raise PackError(f"{where}.columns", "other columns", ", ".join(schema))
    rows = [item for item, _ in fields.items("rows")]
    for place, row in enumerate(rows):
        if not (
            isinstance(row, list)
            and len(row) == len(schema)
            and all(cell is None or isinstance(cell, str) for cell in row)
        ):
            raise PackError(
                f"{where}.rows[{place}]", "another row", f"{len(schema)} texts or nulls"
            )
    texts = pl.DataFrame(rows, schema=dict.fromkeys(schema, pl.String()), orient="row")
    return rows_typed(texts, schema, where)


def rows_typed(texts: pl.DataFrame, schema: Mapping[str, Any], where: str) -> pl.DataFrame:
    """Columns of text in their types.

    Raises:
        PackError: a value that is not of its column's type.
    """
    columns = []
    for name, kind in schema.items():
        column = pl.col(name)
        if isinstance(kind, pl.Datetime):
            column = column.str.strptime(pl.Datetime("us"), _TIMES).dt.replace_time_zone("UTC")
        elif kind == pl.Binary():
            column = column.str.decode("hex")
        elif kind != pl.String():
            column = column.cast(kind)
        columns.append(column.alias(name))
    try:
        return texts.select(columns)
    except pl.exceptions.PolarsError as error:
        first = str(error).splitlines()[0]
        raise PackError(
            where, f"values of another type ({first})", "those of its columns"
        ) from error
