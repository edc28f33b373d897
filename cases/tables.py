"""Tables of a case: CSV files as frames of text, a piece at a time, each row with its number.

RFC 4180 with a header, in UTF-8 (a byte order mark is allowed), lines ended by LF or CRLF. A piece
without a single quotation mark leaves nothing to interpretation and is taken by Polars' reader; from
the first quotation mark on the csv module reads, strictly. Both count the fields of every row.
"""

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from io import BytesIO
from itertools import chain, count, islice
from pathlib import Path
from typing import BinaryIO, Final

import polars as pl

from cases.errors import CaseError, quoted

FILE_MAX_BYTES: Final = 2**30
ROWS_MAX: Final = 20_000_000

_PIECE_BYTES: Final = 2**25
_BATCH_ROWS: Final = 50_000
_HEADER_MAX_BYTES: Final = 2**16
_BOM: Final = b"\xef\xbb\xbf"
_WIDE_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a table, every column text: ``first_row`` is the number of the first, the header
    being row 1.
    """

    first_row: int
    frame: pl.DataFrame


def size_of(path: Path, file: str, longest: int) -> int:
    """The size of a regular file. Raises CaseError where it is none, or too large."""
    try:
        size, regular = path.stat().st_size, path.is_file()
    except OSError as error:
        raise CaseError(file, f"{error.strerror}", "a file that can be read") from error
    if not regular:
        raise CaseError(file, "no regular file", "a file that can be read")
    if size > longest:
        raise CaseError(file, f"{size} bytes", f"at most {longest}")
    return size


def read_bytes(path: Path, file: str, longest: int) -> bytes:
    """A whole file. Raises CaseError where it cannot be read, or is longer than ``longest`` bytes."""
    size_of(path, file, longest)
    try:
        with path.open("rb") as stream:
            return stream.read(longest)
    except OSError as error:
        raise CaseError(file, f"{error.strerror}", "a file that can be read") from error


def decoded(data: bytes, file: str, *, first_row: int = 1) -> str:
    """UTF-8 bytes as text. Raises CaseError with the line of the first byte that is none."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        row = first_row + data.count(b"\n", 0, error.start)
        raise CaseError(
            file, f"the byte 0x{data[error.start]:02x}", "text in UTF-8", row=row
        ) from error


def read_table(
    path: Path, file: str, *, required: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[Piece]:
    """The rows of a CSV file, all columns as text; a column that may be left out, and is, is blank.

    Args:
        path: the file.
        file: its name for messages.
        required: columns that it must have.
        optional: columns that it may have.

    Raises:
        CaseError: no file, too large, not UTF-8, no header, a column missing, twice or unknown, or a
            row that has not as many fields as the header.
    """
    size_of(path, file, FILE_MAX_BYTES)
    try:
        with path.open("rb") as stream:
            header = _header(stream, file, required, optional)
            for piece in _pieces(stream, file, header):
                if piece.first_row + piece.frame.height > ROWS_MAX + 1:
                    raise CaseError(file, f"more than {ROWS_MAX} rows", "a case in several parts")
                absent = [name for name in optional if name not in header]
                yield Piece(
                    piece.first_row, piece.frame.with_columns(pl.lit("").alias(n) for n in absent)
                )
    except OSError as error:
        raise CaseError(file, f"{error.strerror}", "a file that can be read") from error


def _header(
    stream: BinaryIO, file: str, required: Sequence[str], optional: Sequence[str]
) -> list[str]:
    line = stream.readline(_HEADER_MAX_BYTES)
    if line.startswith(_WIDE_BOMS):
        raise CaseError(file, "text in UTF-16", "text in UTF-8")
    text = decoded(line.removeprefix(_BOM), file).rstrip("\r\n")
    wanted = f"a header with {', '.join(required)}"
    if not text.strip():
        raise CaseError(file, "empty", wanted)
    try:
        (names,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        raise CaseError(file, "a header that cannot be read", wanted, row=1) from error
    known = (*required, *optional)
    for place, name in enumerate(names):
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = (
                f"{close[0]}, or one of {', '.join(known)}"
                if close
                else f"one of {', '.join(known)}"
            )
            raise CaseError(file, f"the unknown column {quoted(name)}", hint, row=1)
        if name in names[:place]:
            raise CaseError(file, f"the column {name} twice", "each column once", row=1)
    for name in required:
        if name not in names:
            raise CaseError(file, f"no column {name}", wanted, row=1)
    return names


def _pieces(stream: BinaryIO, file: str, header: Sequence[str]) -> Iterator[Piece]:
    row = 2
    while data := stream.read(_PIECE_BYTES):
        data += stream.readline()
        plain = data.replace(b"\r\n", b"\n")
        if any(mark in plain for mark in (b'"', b"\r", b"\n\n")) or plain.startswith(b"\n"):
            yield from _carefully(chain(BytesIO(data), stream), file, header, row)
            return
        frame = _quickly(plain, file, header, row)
        yield Piece(row, frame)
        row += frame.height


def _quickly(data: bytes, file: str, header: Sequence[str], first_row: int) -> pl.DataFrame:
    """Rows that hold no quotation mark, by Polars' reader, which refuses rows that are too long;
    with the right number of commas in all there is then none that is too short.
    """
    decoded(data, file, first_row=first_row)
    rows = data.count(b"\n") + (not data.endswith(b"\n"))
    try:
        if data.count(b",") == rows * (len(header) - 1):
            return pl.read_csv(
                data,
                has_header=False,
                schema=dict.fromkeys(header, pl.String()),
                infer_schema=False,
                quote_char=None,
                empty_string_is_null=False,
            )
    except pl.exceptions.PolarsError:
        pass
    # One row has not as many fields as the header: the careful reader knows which one.
    return pl.concat(p.frame for p in _carefully(BytesIO(data), file, header, first_row))


def _carefully(
    lines: Iterable[bytes], file: str, header: Sequence[str], first_row: int
) -> Iterator[Piece]:
    row = first_row
    rows = _rows(lines, file, header, first_row)
    while batch := list(islice(rows, _BATCH_ROWS)):
        columns = dict(zip(header, zip(*batch, strict=True), strict=True))
        yield Piece(row, pl.DataFrame(columns, schema=dict.fromkeys(header, pl.String())))
        row += len(batch)


def _rows(
    lines: Iterable[bytes], file: str, header: Sequence[str], first_row: int
) -> Iterator[list[str]]:
    line = count(first_row)
    reader = csv.reader((decoded(text, file, first_row=next(line)) for text in lines), strict=True)
    expected = f"{len(header)} fields, as in the header"
    row, blank = first_row, 0
    try:
        for fields in reader:
            if not fields:
                blank = blank or row
            elif blank:
                raise CaseError(file, "an empty line", expected, row=blank)
            elif len(fields) != len(header):
                raise CaseError(file, f"{len(fields)} fields", expected, row=row)
            else:
                yield fields
            row += 1
    except csv.Error as error:
        raise CaseError(file, f"{error}", "CSV as in RFC 4180, in UTF-8", row=row) from error
