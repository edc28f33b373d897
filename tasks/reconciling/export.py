"""Differences as comma-separated values (RFC 4180) that a spreadsheet opens safely."""

import csv
from collections.abc import Iterable
from io import StringIO
from typing import Final

from iso20022 import Iso20022Error, decimal_of
from storage.reconciliations import Difference

COLUMNS: Final = (
    "difference_id", "kind", "partner", "posting_id", "account", "currency", "ours", "theirs_currency",
    "theirs", "at_stake", "at_stake_minor", "noted_at", "statement_id", "line", "detail",
)  # fmt: skip
_FORMULA: Final = frozenset("=+-@\t\r\n＝＋－＠")


def to_csv(differences: Iterable[Difference]) -> bytes:
    """The table, in UTF-8 with a byte order mark, which spreadsheets want, lines ended by CRLF."""
    stream = StringIO()
    rows = csv.writer(stream)
    rows.writerow(COLUMNS)
    for one in differences:
        rows.writerow(
            (
                one.difference_id, one.kind.value, _safe(one.partner), _safe(one.posting_id),
                _safe(one.account), _safe(one.currency), money(one.ours_minor, one.currency),
                _safe(one.theirs_currency), money(one.theirs_minor, one.theirs_currency),
                money(one.at_stake_minor, one.currency), one.at_stake_minor,
                one.noted_at.isoformat(), one.statement_id or "", one.number or "", _safe(one.detail),
            )
        )  # fmt: skip
    return stream.getvalue().encode("utf-8-sig")


def money(minor: int, currency: str) -> str:
    """A decimal; of a currency whose point is not known here, minor units, which says so."""
    if not currency:
        return ""
    try:
        return decimal_of(minor, currency)
    except Iso20022Error:
        return f"{minor} minor"


def _safe(value: str) -> str:
    return f"'{value}" if value[:1] in _FORMULA and value else value
