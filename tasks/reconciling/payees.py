"""Where accounts are at banks: a file of payees, read row by row, kept from everybody else.

CSV with a header: account, name, iban and, where wanted, bic; separated by commas or semicolons. Whoever
can write into it decides where money goes, so it must be readable by its owner alone, as a secret is.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from iso20022 import wrong_in_bic, wrong_in_iban, wrong_in_name
from storage.secrets import read_private

FILE_MAX_BYTES: Final = 16 * 2**20
REQUIRED: Final = ("account", "name", "iban")


class UnusablePayeesError(ValueError):
    """A file of payees of which nothing can be used: what was found, and what was expected."""

    def __init__(self, path: Path, found: str, expected: str) -> None:
        super().__init__(f"{path}: {found}; expected {expected}")
        self.found = found
        self.expected = expected


class Payee(NamedTuple):
    """Where an account is. ``bic`` may be empty."""

    account: str
    name: str
    iban: str
    bic: str


class BadPayee(NamedTuple):
    """A row that cannot be used: its line, its account, what is wrong with it."""

    line: int
    account: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Payees:
    """The payees of a file by their account, and the rows that cannot be used."""

    by_account: dict[str, Payee]
    bad: tuple[BadPayee, ...]

    @property
    def accounts_by_iban(self) -> dict[str, str]:
        """The account of each IBAN; several accounts of one IBAN have none, for it names neither."""
        found: dict[str, str] = {}
        shared: set[str] = set()
        for payee in self.by_account.values():
            if found.setdefault(payee.iban, payee.account) != payee.account:
                shared.add(payee.iban)
        return {iban: "" if iban in shared else account for iban, account in found.items()}


NOBODY: Final = Payees({}, ())


def read_payees(path: Path) -> Payees:
    """The payees of a file; a bad row never stops the good ones, and pays nobody.

    Raises:
        InsecureSecretError: missing, or others could read or write it.
        UnusablePayeesError: no CSV in UTF-8 with the header that is expected.
    """
    data = read_private(path, bytes_max=FILE_MAX_BYTES)
    try:
        rows = [line.rstrip("\r") for line in data.decode("utf-8-sig").split("\n")]
    except UnicodeDecodeError as error:
        raise UnusablePayeesError(path, f"byte {error.start} is no UTF-8", "UTF-8") from error
    separator = ";" if ";" in rows[0] else ","
    header = [column.lower() for column in _cells(rows[0], separator)]
    if not set(REQUIRED) <= set(header) <= {*REQUIRED, "bic"} or len(set(header)) < len(header):
        raise UnusablePayeesError(
            path, f"the header {rows[0][:100]!r}", f"{', '.join(REQUIRED)} and, where wanted, bic"
        )
    payees: dict[str, Payee] = {}
    seen: set[str] = set()
    bad: list[BadPayee] = []
    for number, row in enumerate(rows[1:], start=2):
        cells = _cells(row, separator)
        if not any(cells):
            continue
        named = dict(zip(header, cells, strict=False))
        payee = Payee(
            named.get("account", ""),
            named.get("name", ""),
            named.get("iban", "").replace(" ", "").upper(),
            named.get("bic", "").upper(),
        )
        wrong = _wrong(payee, len(cells), len(header), twice=payee.account in seen)
        if wrong:
            bad.append(BadPayee(number, payee.account, wrong))
            # Two rows of one account: nobody knows which is right, so neither is paid.
            payees.pop(payee.account, None)
        else:
            payees[payee.account] = payee
        seen.add(payee.account)
    return Payees(payees, tuple(bad))


def _cells(row: str, separator: str) -> list[str]:
    try:
        return [
            cell.strip() for cell in next(csv.reader([row], delimiter=separator, strict=True), [])
        ]
    except csv.Error:
        return ["a quotation mark that has no other"]


def _wrong(payee: Payee, found: int, expected: int, *, twice: bool) -> str:
    if found != expected:
        return f"{found} columns, expected {expected}"
    if not payee.account:
        return "no account"
    if twice:
        return "the account stands in it twice"
    if wrong := wrong_in_name(payee.name):
        return f"name: {wrong}"
    if wrong := wrong_in_iban(payee.iban):
        return f"iban: {wrong}"
    return f"bic: {wrong}" if payee.bic and (wrong := wrong_in_bic(payee.bic)) else ""
