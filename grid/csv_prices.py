"""Prices as CSV (RFC 4180): each line by itself, so that a bad one never stops the good ones.

    started_at,ended_at,price_per_kwh,currency
    2026-07-01T17:00:00Z,2026-07-01T17:30:00Z,0.42000,USD

Further columns, each optional: ``program``; ``created_at``, when the price was made; ``started_fold``
and ``ended_fold``, which of two equal local times is meant (0 the first, 1 the second). The price may
stand in ``price_per_mwh`` instead. The header names them, in any order; an unknown name is refused.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from grid import prices as price_rules
from grid.errors import FeedUnreadableError
from grid.json_items import Reader
from grid.prices import StatedPrice, Unit
from grid.records import PriceSaid
from grid.times import moment
from settlement import units

__all__ = ["stated_prices"]

_UNITS: Final = {f"price_per_{unit.lower()}": unit for unit in Unit}
_NEEDED: Final = ("started_at", "ended_at", "currency")
_COLUMNS: Final = (*_NEEDED, *_UNITS, "program", "created_at", "started_fold", "ended_fold")
_SHOWN_CHARS: Final = 60


def stated_prices(body: bytes, reader: Reader, *, where: str) -> list[StatedPrice]:
    """The prices of a CSV file; lines that cannot be understood are added to ``reader.refused``.

    Args:
        body: the file.
        reader: the feed, its program and its time zone.
        where: the file's name.

    Raises:
        FeedUnreadableError: no CSV with these columns at all.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FeedUnreadableError(where, f"no UTF-8 ({error.reason})", "text in UTF-8") from error
    source = sha256(body).digest()
    lines = text.split("\n")
    header = _header(lines[0], where)
    kept = []
    # What stands after the last line break is half a line, as far as anybody can tell: 0.4 of 0.42.
    for number, line in enumerate(lines[1:], start=2):
        if not line.strip():
            continue
        row = _Row(f"{where}:{number}", {}, reader)
        try:
            if number == len(lines):
                raise row.refused(
                    "the last line", "a line break at its end: it may be half written"
                )
            row = _Row(row.where, dict(_fields(row, header, line)), reader)
            kept.append(_price(row, header, source))
        except FeedUnreadableError as error:
            reader.refused.append(error.refusal)
    return kept


@dataclass(frozen=True, slots=True)
class _Row:
    where: str
    fields: Mapping[str, str]
    reader: Reader

    def refused(self, found: str, expected: str) -> FeedUnreadableError:
        return FeedUnreadableError(self.where, found, expected)

    def refusal(self, column: str, expected: str) -> FeedUnreadableError:
        found = repr(self.fields[column])[:_SHOWN_CHARS] if self.fields.get(column) else "nothing"
        return FeedUnreadableError(f"{self.where}.{column}", found, expected)

    def time(self, column: str, fold_column: str = "") -> datetime:
        fold = self.fields.get(fold_column, "")
        if fold not in {"", "0", "1"}:
            raise self.refusal(fold_column, "0 for the first, 1 for the second, or nothing")
        try:
            return moment(
                self.fields[column], zone=self.reader.zone, fold=int(fold) if fold else None
            )
        except ValueError as error:
            raise self.refusal(column, str(error)) from error


def _header(line: str, where: str) -> list[str]:
    expected = f"a header with {', '.join(_NEEDED)} and {' or '.join(_UNITS)}, comma-separated"
    names = [name.strip() for name in line.removesuffix("\r").split(",")]
    unknown = [name for name in names if name not in _COLUMNS]
    if unknown:
        shown = ", ".join(repr(name) for name in unknown)[:200]
        raise FeedUnreadableError(
            f"{where}:1", f"columns {shown}", f"{expected}; it may also have {_more()}"
        )
    prices = [name for name in names if name in _UNITS]
    if (
        len(set(names)) != len(names)
        or any(name not in names for name in _NEEDED)
        or len(prices) != 1
    ):
        raise FeedUnreadableError(f"{where}:1", f"columns {', '.join(names)[:200]}", expected)
    return names


def _more() -> str:
    return ", ".join(name for name in _COLUMNS if name not in (*_NEEDED, *_UNITS))


def _fields(row: _Row, header: list[str], line: str) -> Iterator[tuple[str, str]]:
    try:
        (values,) = _split(line.removesuffix("\r"))
    except (csv.Error, ValueError) as error:
        raise row.refused(repr(line)[:_SHOWN_CHARS], f"one line of CSV ({error})") from error
    if len(values) != len(header):
        decimal_comma = "; a price has a point, not a comma" if len(values) > len(header) else ""
        raise row.refused(f"{len(values)} fields", f"{len(header)}{decimal_comma}")
    for name, value in zip(header, values, strict=True):
        yield name, value.strip()


def _split(line: str) -> Iterable[list[str]]:
    return csv.reader([line], strict=True)


def _price(row: _Row, header: list[str], source: bytes) -> StatedPrice:
    started_at = row.time("started_at", "started_fold")
    ended_at = row.time("ended_at", "ended_fold")
    if started_at >= ended_at:
        raise row.refusal("ended_at", "a time after started_at")
    (column,) = (name for name in header if name in _UNITS)
    try:
        micros = price_rules.micros_per_kwh(row.fields[column], _UNITS[column])
    except ValueError as error:
        raise row.refusal(column, str(error)) from error
    try:
        currency = price_rules.currency(row.fields["currency"])
    except ValueError as error:
        raise row.refusal("currency", str(error)) from error
    return StatedPrice(
        row.where,
        PriceSaid(
            program=_program(row),
            started_at=started_at,
            ended_at=ended_at,
            price_micros_per_kwh=micros,
            currency=currency,
            digest=source,
            received_at=row.reader.received_at,
            feed=row.reader.feed,
        ),
        made_at=row.time("created_at") if row.fields.get("created_at") else None,
    )


def _program(row: _Row) -> str:
    said = row.fields.get("program") or row.reader.program or ""
    if not 0 < len(said) <= units.ID_MAX_CHARS or not said.isprintable():
        raise row.refusal("program", "a program, here or as program: in the feed's configuration")
    return said
