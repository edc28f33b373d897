"""What other terms would have paid: as tables for people, as JSON, and as CSV."""

from collections.abc import Callable
from errno import ENOTDIR
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from cli.output import console, table

if TYPE_CHECKING:
    from tasks.what_if import WhatIf

_ENERGY_PLACES = 6
_MICROS_PLACES = 6

CSV_COLUMNS = (
    "vehicle_id",
    "event_id",
    "program",
    "currency",
    "now",
    "then",
    "difference",
    "energy_kwh_now",
    "energy_kwh_then",
    "status_now",
    "status_then",
)


class CsvExistsError(FileExistsError):
    """Something stands where the CSV is to be written, and nobody asked to replace it: ``path``."""

    def __init__(self, path: Path, expected: str) -> None:
        super().__init__(f"{path} exists; expected {expected}")
        self.path = path


def require_free(path: Path, *, force: bool) -> None:
    """Raise CsvExistsError, or another OSError, unless a CSV can be put there."""
    if not path.parent.is_dir():
        raise NotADirectoryError(ENOTDIR, "no such folder", str(path.parent))
    if path.is_dir():
        raise CsvExistsError(path, "a file's name")
    if path.exists() and not force:
        raise CsvExistsError(path, "a new file's name, or --force to replace it")


def document(found: "WhatIf") -> dict[str, Any]:
    """All of it but the single events, for JSON: integers of mWh and micros."""
    comparison = found.comparison
    return {
        "source": found.source,
        "known_at": found.known_at.isoformat() if found.known_at else None,
        "totals": comparison.currencies.to_dicts(),
        "programs": comparison.programs.to_dicts(),
        "unpaid": comparison.reasons.to_dicts(),
        "vehicles": comparison.vehicles.to_dicts(),
        "notes": list(found.notes),
    }


def show(found: "WhatIf", top: int) -> None:
    """Print totals per program, the vehicles with the largest differences, and what is unpaid why."""
    money = _money(found.places)
    known = f", as known at {found.known_at.isoformat()}" if found.known_at else ""
    sides = ("now", "then", "difference")
    console.print(
        table(
            f"What if: {found.source}{known}",
            ("program", "settlements", "held", "energy paid now", "then", *sides),
            [
                (
                    row["program"],
                    _both(row["before_settlements"], row["after_settlements"]),
                    _both(row["before_held"], row["after_held"]),
                    _kwh(row["before_milliwh"]),
                    _kwh(row["after_milliwh"]),
                    *_sides(row, money),
                )
                for row in found.comparison.programs.iter_rows(named=True)
            ],
            numbers=7,
        )
    )
    _show_vehicles(found, top, money)
    _show_reasons(found)
    for row in found.comparison.currencies.iter_rows(named=True):
        now, then, difference = _sides(row, money)
        typer.echo(
            f"{row['winners']:,} vehicles win, {row['losers']:,} lose, {row['unchanged']:,} are"
            f" unchanged: {now} now, {then} then, {difference}"
        )
    if found.comparison.currencies.is_empty():
        typer.echo("nothing is settled, neither now nor then")
    for note in found.notes:
        typer.echo(note)


def _show_vehicles(found: "WhatIf", top: int, money: Callable[[int, str], str]) -> None:
    import polars as pl

    vehicles = found.comparison.vehicles
    if vehicles.is_empty():
        return
    largest = (
        vehicles.with_row_index("place")
        .sort(pl.col("difference_micros").abs(), "place", descending=[True, False])
        .head(top)
        .sort("place")
    )
    console.print(
        table(
            "Vehicles, who wins most first",
            ("vehicle", "energy paid now", "then", "now", "then", "difference"),
            [
                (
                    row["vehicle_id"],
                    _kwh(row["before_milliwh"]),
                    _kwh(row["after_milliwh"]),
                    *_sides(row, money),
                )
                for row in largest.iter_rows(named=True)
            ],
            numbers=5,
        )
    )
    if left := vehicles.height - largest.height:
        typer.echo(
            f"{left:,} more vehicles have smaller differences: see --top, and --csv for all of them"
        )


def _show_reasons(found: "WhatIf") -> None:
    reasons = found.comparison.reasons
    if reasons.is_empty():
        return
    currency = dict(found.comparison.programs.select("program", "currency").iter_rows())
    exact = _money(_MICROS_PLACES)

    def would(row: dict[str, Any], side: str) -> str:
        micros = row[f"{side}_micros"]
        return "" if micros is None else exact(micros, currency.get(row["program"], ""))

    console.print(
        table(
            "Discharged, verified, and not paid",
            (
                *("program", "reason", "now", "then", "difference"),
                *("would have been now", "then"),
            ),
            [
                (
                    row["program"],
                    row["reason"],
                    _kwh(row["before_milliwh"]),
                    _kwh(row["after_milliwh"]),
                    _plus(row["difference_milliwh"]) + _kwh(row["difference_milliwh"]),
                    would(row, "before"),
                    would(row, "after"),
                )
                for row in reasons.iter_rows(named=True)
            ],
            numbers=5,
        )
    )


def write(found: "WhatIf", path: Path) -> None:
    """Write every settlement of either side as CSV, harmless in a spreadsheet, whole or not at all.

    Raises:
        OSError: it cannot be written there.
    """
    import polars as pl

    from cases.write import decimals, safe

    def status(side: str) -> pl.Expr:
        state, reason = pl.col(f"{side}_state"), pl.col(f"{side}_reason")
        held = pl.lit("held: ") + reason
        return pl.when(state == "held").then(held).when(state != "").then(state).otherwise(None)

    def money(name: str) -> pl.Expr:
        # Every amount is a whole number of minor units, so this division leaves nothing over.
        minor = pl.col(name) // 10 ** (_MICROS_PLACES - found.places)
        return decimals(minor, found.places)

    rows = found.comparison.settlements.with_columns(
        now=money("before_micros"),
        then=money("after_micros"),
        difference=money("difference_micros"),
        energy_kwh_now=decimals(pl.col("before_milliwh"), _ENERGY_PLACES),
        energy_kwh_then=decimals(pl.col("after_milliwh"), _ENERGY_PLACES),
        status_now=status("before"),
        status_then=status("after"),
    ).select(*map(safe, CSV_COLUMNS[:4]), *CSV_COLUMNS[4:])
    with TemporaryDirectory(prefix=".what-if-", dir=path.parent) as beside:
        whole = Path(beside) / "rows.csv"
        rows.write_csv(whole, line_terminator="\n", quote_style="necessary")
        whole.replace(path)


def _money(places: int) -> Callable[[int, str], str]:
    """Micros as an amount, with at least so many places."""
    from statements.numerals import exact

    return lambda micros, currency: (
        f"{exact(micros, _MICROS_PLACES, least=places)} {currency}".rstrip()
    )


def _sides(row: dict[str, Any], money: Callable[[int, str], str]) -> tuple[str, str, str]:
    before, after, difference = (
        money(row[f"{name}_micros"], row["currency"]) for name in ("before", "after", "difference")
    )
    return before, after, _plus(row["difference_micros"]) + difference


def _kwh(milliwh: int) -> str:
    from statements.numerals import exact

    return f"{exact(milliwh, _ENERGY_PLACES, least=3)} kWh"


def _both(before: int, after: int) -> str:
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"


def _plus(value: int) -> str:
    return "+" if value > 0 else ""
