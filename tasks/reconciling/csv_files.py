"""A partner's statement as CSV (RFC 4180), row by row: a bad row never stops the good ones.

    posting_id    ours, as posted; empty in a fee
    account       as posted; empty in a fee
    currency      ISO 4217
    amount_minor  whole minor units; or, instead, ``amount``, a decimal. The header says which.
    paid_at       time with its zone
    reference     the partner's own
    status        paid, pending, returned, refused, fee; without the column, all are paid
    detail        the partner's words

Separated by commas or semicolons, with or without a byte order mark. Money that came back is negative.
"""

import csv
from collections.abc import Iterator, Mapping
from typing import Final

from iso20022 import Iso20022Error, minor_of
from settlement.reconciling import Status
from storage.partner_statements import Line, Refusal
from tasks.key_files import moment
from tasks.reconciling.rows import FILE_MAX_BYTES, Read, UnreadableStatementError, wrong_in_text

ROWS_MAX: Final = 200_000
REQUIRED: Final = ("posting_id", "currency", "paid_at")
AMOUNTS: Final = ("amount_minor", "amount")
COLUMNS: Final = (*REQUIRED, *AMOUNTS, "account", "reference", "status", "detail")
_ALIASES: Final = {"rejected": "refused"}
_MINOR_MAX: Final = 10**15
_DIGITS_MAX: Final = 17


class _Wrong(Exception):  # noqa: N818 - caught within this module, never an error of the program
    """A row that cannot be read."""

    def __init__(self, column: str, found: str, expected: str) -> None:
        super().__init__(column)
        self.column = column
        self.found = found
        self.expected = expected


def read_csv(name: str, data: bytes) -> Read:
    """Every line of a statement, and every row that is none.

    Raises:
        UnreadableStatementError: too large, no UTF-8, or no header that says what the columns are.
    """
    if len(data) > FILE_MAX_BYTES:
        raise UnreadableStatementError(name, f"{len(data)} bytes", f"at most {FILE_MAX_BYTES}")
    try:
        rows = [line.rstrip("\r") for line in data.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise UnreadableStatementError(
            name, f"byte {error.start} is no UTF-8", "CSV in UTF-8"
        ) from error
    if len(rows) > ROWS_MAX + 2:
        raise UnreadableStatementError(name, f"{len(rows)} rows", f"at most {ROWS_MAX}")
    separator = ";" if rows[0].count(";") > rows[0].count(",") else ","
    header = _header(name, rows[0], separator)
    lines: list[Line] = []
    refusals: list[Refusal] = []
    for number, cells in _rows(rows, separator):
        try:
            if len(cells) != len(header):
                raise _Wrong("row", f"{len(cells)} columns", f"{len(header)}, as in the header")
            lines.append(_line(number, dict(zip(header, cells, strict=True))))
        except _Wrong as wrong:
            refusals.append(Refusal(number, wrong.column, wrong.found[:200], wrong.expected))
    return Read("csv", "api", "", None, tuple(lines), tuple(refusals))


def _header(name: str, row: str, separator: str) -> list[str]:
    try:
        header = [cell.strip().lower() for cell in next(csv.reader([row], delimiter=separator), [])]
    except csv.Error:  # beyond what one cell may hold, or lines that end by a carriage return alone
        header = []
    missing = [column for column in REQUIRED if column not in header]
    amounts = [column for column in AMOUNTS if column in header]
    unknown = [column for column in header if column not in COLUMNS]
    if missing or unknown or len(amounts) != 1 or len(set(header)) < len(header):
        raise UnreadableStatementError(
            f"{name} line 1",
            ascii(", ".join(header)[:200]) or "nothing",
            f"a header with {', '.join(REQUIRED)}, and either amount_minor or amount; and where wanted"
            " account, reference, status, detail",
        )
    return header


def _rows(rows: list[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Each line on its own, so that a quotation mark without its other cannot swallow the next."""
    for number, row in enumerate(rows[1:], start=2):
        try:
            cells = next(csv.reader([row], delimiter=separator, strict=True), [])
        except csv.Error:
            cells = ["a quotation mark that has no other"]
        stripped = [cell.strip() for cell in cells]
        if any(stripped):
            yield number, stripped


def _line(number: int, row: Mapping[str, str]) -> Line:
    for column, value in row.items():
        wrong = wrong_in_text(value)
        if wrong:
            raise _Wrong(column, wrong, "printable text")
    status = _status(row.get("status", "") or "paid")
    if not row["posting_id"] and status is not Status.FEE:
        raise _Wrong("posting_id", "nothing", "the id of our posting, in all but fees")
    currency = row["currency"]
    if not (len(currency) == 3 and currency.isascii() and currency.isupper()):  # noqa: PLR2004
        raise _Wrong("currency", repr(currency), "three capitals (ISO 4217)")
    try:
        booked_at = moment(row["paid_at"])
    except ValueError as error:
        raise _Wrong("paid_at", repr(row["paid_at"][:40]), str(error)) from error
    amount = _amount(row)
    if status is Status.RETURNED and amount > 0:
        raise _Wrong("amount", str(amount), "a negative amount: money that came back")
    return Line(
        number,
        status,
        row.get("reference", ""),
        row["posting_id"],
        row.get("account", ""),
        currency,
        amount,
        booked_at,
        row.get("detail", ""),
    )


def _status(text: str) -> Status:
    word = _ALIASES.get(text.lower(), text.lower())
    if word not in list(Status):
        raise _Wrong("status", repr(text), f"one of {', '.join(Status)}")
    return Status(word)


def _amount(row: Mapping[str, str]) -> int:
    if "amount" in row:
        try:
            return minor_of(row["amount"], row["currency"])
        except Iso20022Error as error:
            raise _Wrong("amount", error.found, error.expected) from error
    text = row["amount_minor"]
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS_MAX):
        raise _Wrong("amount_minor", repr(text[:40]), "whole minor units, such as 1234 or -77")
    if int(digits) > _MINOR_MAX:
        raise _Wrong("amount_minor", text, f"at most {_MINOR_MAX} either way")
    return int(text)
