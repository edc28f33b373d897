"""Case folders as plain rows for the oracle, and its rows as the text of the three output files.

A reader of its own: a mistake in the package that the command uses must not hide itself here.
"""

import csv
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Any

import yaml

from oracle import Case, Result

_TIMES = {
    "started_at", "ended_at", "received_at", "measured_at", "created_at", "valid_from", "valid_to",
    "superseded_or_cancelled_at",
}  # fmt: skip
_WORDS = {
    "vehicle_id", "evse_id", "site_id", "session_id", "program", "event_id", "status", "group",
    "currency", "modes", "resumes", "approval",
}  # fmt: skip
_WHOLE = {"sequence", "primacy", "randomize_start_s", "randomize_duration_s"}

COLUMNS = {
    "settlements": (
        "vehicle_id", "event_id", "program", "currency", "energy_kwh", "amount", "lines_total",
        "rounding_difference", "status",
    ),
    "lines": (
        "vehicle_id", "event_id", "started_at", "ended_at", "energy_kwh", "avg_kw",
        "price_per_kwh", "incentive_rate", "tier_multiplier", "thermal_factor", "amount", "term",
        "price_per_kw", "over_hours",
    ),
    "unpaid": (
        "vehicle_id", "event_id", "started_at", "ended_at", "energy_kwh", "reason",
        "would_have_been",
    ),
}  # fmt: skip


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    assert moment.tzinfo is not None, f"{text} has no offset"
    return moment.astimezone(UTC)


def _value(column: str, text: str) -> Any:
    if not text:
        return None
    if column in _TIMES:
        return _time(text)
    if column in _WORDS:
        return text
    return int(text) if column in _WHOLE else Decimal(text)


def _rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        return [
            {column: _value(column, text) for column, text in row.items()}
            for row in csv.DictReader(lines)
        ]


def read(folder: Path) -> Case:
    """A case folder, whole."""
    bodies = sorted(folder.glob("programs/*.yaml")) or [folder / "program.yaml"]
    as_of = folder / "as_of"
    return Case(
        programs=[yaml.safe_load(body.read_text("utf-8")) for body in bodies],
        contracts=_rows(folder / "contracts.csv"),
        readings=_rows(folder / "readings.csv"),
        events=_rows(folder / "events.csv"),
        thermal=_rows(folder / "thermal.csv"),
        prices=_rows(folder / "prices.csv"),
        baselines=_rows(folder / "baselines.csv"),
        orders=_rows(folder / "orders.csv"),
        sites=_rows(folder / "sites.csv") if (folder / "sites.csv").exists() else None,
        as_of=_time(as_of.read_text("utf-8").strip()) if as_of.exists() else None,
    )


def _text(column: str, value: Any, row: Mapping[str, Any]) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if not isinstance(value, Decimal):
        return str(value)
    places = 6
    if column == "avg_kw":
        places = 3
    elif column == "tier_multiplier":
        places = row["tier_places"]
    elif column == "amount" and "minor_units" in row:
        places = row["minor_units"]
    text = f"{value:.{places}f}"
    assert Decimal(text) == value, f"{column} {value} does not fit {places} decimals"
    return text.removeprefix("-") if not value else text


def written(result: Result) -> dict[str, str]:
    """The text of each output file, by its name without ending."""
    tables: dict[str, Iterable[Mapping[str, Any]]] = {
        "settlements": result.settlements,
        "lines": result.lines,
        "unpaid": result.unpaid,
    }
    texts = {}
    for name, rows in tables.items():
        out = StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS[name])
        for row in rows:
            writer.writerow([_text(column, row[column], row) for column in COLUMNS[name]])
        texts[name] = out.getvalue()
    return texts
