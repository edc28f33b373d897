"""A statement as one table of comma-separated values (RFC 4180) that a spreadsheet opens safely.

One row per settlement, line and unpaid interval, told apart by ``record``. Decimals are exact, in plain
digits. Text that a spreadsheet would take for a formula gets an apostrophe in front of it.
"""

import csv
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any, Final

from statements.numerals import MINUS, exact
from statements.pack import Pack
from statements.shown import programs_of
from statements.texts import time_text

COLUMNS: Final = (
    "record", "vehicle_id", "event_id", "program", "settlement_id", "revision", "state", "started_at",
    "ended_at", "term", "energy_kwh", "price_per_kwh", "price_per_kw", "over_s", "incentive_rate",
    "tier_multiplier", "thermal_factor", "amount", "currency", "reason", "would_have_been",
)  # fmt: skip
_PLACES: Final = 6
_FORMULA: Final = frozenset("=+-@\t\r\n＝＋－＠")


def render(pack: Pack) -> bytes:
    """The table, in UTF-8, lines ended by CRLF."""
    stream = StringIO()
    rows = csv.DictWriter(stream, COLUMNS, restval="")
    rows.writeheader()
    rows.writerows(_rows(pack))
    return stream.getvalue().encode()


def _rows(pack: Pack) -> Iterator[dict[str, str]]:
    places = {
        (program.program, program.version): program.minor_units
        for versions in programs_of(pack).values()
        for program in versions
    }
    currencies: dict[str, str] = {}
    for booking in sorted(pack.bookings, key=lambda one: (one.key[2], one.key[1], one.key[0])):
        row = booking.row.row(0, named=True)
        shared = {
            "vehicle_id": _safe(row["vehicle_id"]),
            "event_id": _safe(row["event_id"]),
            "program": _safe(row["program"]),
            "settlement_id": booking.settlement_id,
            "revision": str(booking.settlement.get("revision", "")),
            "currency": _safe(row["currency"]),
        }
        currencies[row["program"]] = row["currency"]
        minor = places.get((row["program"], row["program_version"]), 2)
        yield shared | {
            "record": "settlement",
            "state": row["state"],
            "energy_kwh": _decimal(row["energy_milliwh"]),
            "amount": _decimal(row["amount_minor"], minor, least=minor),
            "reason": row["reason"],
        }
        for line in booking.line_rows.iter_rows(named=True):
            yield shared | _line(line)
    for programs in programs_of(pack).values():
        currencies.setdefault(programs[-1].program, programs[-1].currency)
    for row in pack.unpaid.iter_rows(named=True):
        yield {
            "record": "unpaid",
            "vehicle_id": _safe(row["vehicle_id"]),
            "event_id": _safe(row["event_id"]),
            "program": _safe(row["program"]),
            "started_at": time_text(row["started_at"]) or "",
            "ended_at": time_text(row["ended_at"]) or "",
            "energy_kwh": _decimal(row["energy_milliwh"]),
            "currency": _safe(currencies.get(row["program"], "")),
            "reason": row["reason"],
            "would_have_been": _decimal(row["would_have_been_micros"]),
        }


def _line(line: Mapping[str, Any]) -> dict[str, str]:
    return {
        "record": "line",
        "started_at": time_text(line["started_at"]) or "",
        "ended_at": time_text(line["ended_at"]) or "",
        "term": line["term"],
        "energy_kwh": _decimal(line["energy_milliwh"]),
        "price_per_kwh": _decimal(line["price_micros_per_kwh"]),
        "price_per_kw": _decimal(line["price_micros_per_kw"]),
        "over_s": _decimal(line["over_us"]),
        "incentive_rate": _decimal(line["incentive_rate_ppm"]),
        "tier_multiplier": _decimal(line["tier_multiplier_ppm"]),
        "thermal_factor": _decimal(line["thermal_factor_ppm"]),
        "amount": _decimal(line["amount_micros"]),
    }


def _decimal(value: int | None, places: int = _PLACES, *, least: int = _PLACES) -> str:
    if value is None:
        return ""
    return exact(value, places, least=least).replace(",", "").replace(MINUS, "-")


def _safe(value: str) -> str:
    return f"'{value}" if value[:1] in _FORMULA and value else value
