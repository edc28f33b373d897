"""Reading: a folder of plain files as everything that one run knows."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import polars as pl

from cases.baselines import computed, computing
from cases.errors import CaseError, quoted, shown
from cases.events import read_event_documents, read_event_rows
from cases.evidence import READINGS_SCHEMA, read_readings, read_temperatures
from cases.fields import TIME_EXPECTED, moments
from cases.packets import read_packets
from cases.programs import read_programs
from cases.tables import decoded, read_bytes
from cases.terms import read_baselines, read_contracts, read_orders, read_prices, read_sites
from settlement import units
from settlement.facts import Facts
from settlement.periods import Period
from settlement.programs import Program
from settlement.schemas import BASELINE, CONTRACT, ORDER, QUARANTINED, TEMPERATURE
from settlement.timeline import Price, Window

PERIOD: Final = Period(units.EARLIEST, units.LATEST)
"""What a case is settled over: all of it."""

OUTPUTS: Final = ("settlements.csv", "lines.csv", "unpaid.csv", "statement.html")

INPUTS: Final = (
    "program.yaml",
    "programs",
    "contracts.csv",
    "readings.csv",
    "packets",
    "keys.csv",
    "thermal.csv",
    "events.csv",
    "events",
    "prices.csv",
    "baselines.csv",
    "orders.csv",
    "sites.csv",
    "as_of",
)

_CASE_SUFFIXES: Final = frozenset({".csv", ".yaml", ".yml", ".xml", ".ndjson", ".json", ".tsv"})
_AS_OF_MAX_BYTES: Final = 100


@dataclass(frozen=True)
class Case:
    """A case as read.

    Attributes:
        name: of its folder.
        readings: ``schemas.READING`` and ``conflicted``, by start; powers, states of charge and
            positions may be null.
        facts: everything else that the engine takes.
        as_of: only what was known by then is in it; None: everything.
        quarantined: ``schemas.QUARANTINED``: packets of the case that are no readings.
    """

    name: str
    readings: pl.DataFrame
    facts: Facts
    as_of: datetime | None
    quarantined: pl.DataFrame

    def readings_in(self, period: Period) -> pl.DataFrame:
        """The readings that overlap a period, as ``settlement.engine`` asks for them."""
        starts = self.readings["started_at"]
        first = starts.search_sorted(period.started_at - units.EXPORT_INTERVAL_MAX, "left")
        last = starts.search_sorted(period.ended_at, "left")
        near = self.readings.slice(first, last - first)
        return near.filter(pl.col("ended_at") > period.started_at)


@dataclass(frozen=True)
class Instead:
    """Terms that count in place of those of a case's folder.

    Attributes:
        programs: all versions of each, ascending, by name: of every program of the folder.
        baselines: ``schemas.BASELINE``; None: those of the folder. Vehicles of programs that compute
            their baseline have that one, whatever is provided.
    """

    programs: Mapping[str, Sequence[Program]]
    baselines: pl.DataFrame | None = None


def read(
    folder: Path,
    *,
    progress: Callable[[str], None] = lambda _: None,
    instead: Instead | None = None,
) -> Case:
    """Read a case.

    Args:
        folder: with the files of the case format (docs/cases.md).
        progress: told what is being read.
        instead: terms that count in place of the folder's.

    Raises:
        CaseError: anything in it cannot be used; on one line, with file, row and column.
    """
    if not folder.is_dir():
        raise CaseError(str(folder), "no folder", "the folder of a case")
    try:
        return _read(folder, progress, instead)
    except OSError as error:
        name = error.filename or str(folder)
        raise CaseError(name, f"{error.strerror}", "what can be read") from error


def _read(folder: Path, progress: Callable[[str], None], instead: Instead | None) -> Case:
    _refuse_strangers(folder)
    as_of = _as_of(folder)

    def having(name: str) -> Path | None:
        path = folder / name
        if not path.exists():
            return None
        progress(name)
        return path

    programs = instead.programs if instead else read_programs(folder)
    path = having("sites.csv")
    sites = read_sites(path, "sites.csv") if path else None
    path = having("contracts.csv")
    contracts = read_contracts(path, "contracts.csv", programs, sites) if path else CONTRACT.empty()
    path = having("prices.csv")
    prices = read_prices(path, "prices.csv", programs, as_of) if path else list[Price]()
    windows, events = _events(folder, list(programs), as_of)
    path = having("orders.csv")
    orders = read_orders(path, "orders.csv", events) if path else ORDER.empty()
    path = having("thermal.csv")
    thermal = read_temperatures(path, "thermal.csv", as_of) if path else TEMPERATURE.empty()
    other = instead.baselines if instead else None
    path = None if other is not None else having("baselines.csv")
    provided = read_baselines(path, "baselines.csv") if path else BASELINE.empty()
    provided = provided if other is None else other
    by_method = computing(programs)
    if path and by_method and not instead:
        method = programs[by_method[0]][-1].baseline.method
        raise CaseError(
            "baselines.csv",
            f"stands beside the program {by_method[0]}, which computes its baseline ({method})",
            "no such file, or baseline.method: provided",
        )
    offset = min(v.checks.clock_offset_us for versions in programs.values() for v in versions)
    readings, quarantined = _evidence(
        folder, timedelta(microseconds=offset), as_of, progress, orders=orders
    )
    facts = Facts(programs, windows, prices, contracts, sites, thermal, provided, orders)
    if by_method:
        progress("baselines")
        own = contracts.filter(pl.col("program").is_in(by_method))["vehicle_id"]
        made = computed(readings, programs, windows, contracts, sites)
        others = provided.filter(~pl.col("vehicle_id").is_in(own.implode()))
        facts = replace(facts, baselines=pl.concat([others, made]))
    return Case(folder.resolve().name, readings, facts, as_of, quarantined)


def _refuse_strangers(folder: Path) -> None:
    """A file that looks like part of a case and is none is a slip of the pen, and money left out."""
    for path in sorted(folder.iterdir()):
        name = path.name
        if name in INPUTS or name in OUTPUTS or name.startswith("."):
            continue
        if path.suffix.lower() in _CASE_SUFFIXES and path.is_file():
            close = get_close_matches(name, INPUTS, n=1)
            hint = (
                f"{close[0]}, or one of {', '.join(INPUTS)}"
                if close
                else f"one of {', '.join(INPUTS)}"
            )
            raise CaseError(shown(name), "a file that no case has", hint)


def _as_of(folder: Path) -> datetime | None:
    path = folder / "as_of"
    if not path.exists():
        return None
    said = decoded(read_bytes(path, "as_of", _AS_OF_MAX_BYTES), "as_of").strip()
    (at,) = moments([said])
    if at is None or not units.EARLIEST <= at <= units.LATEST:
        raise CaseError("as_of", quoted(said) if said else "empty", TIME_EXPECTED, row=1)
    return at


def _events(
    folder: Path, programs: list[str], as_of: datetime | None
) -> tuple[list[Window], set[str]]:
    rows, documents = folder / "events.csv", folder / "events"
    if rows.exists() and documents.exists():
        raise CaseError("events", "stands beside events.csv", "one of the two")
    if documents.exists():
        return read_event_documents(documents, programs, as_of)
    if rows.exists():
        return read_event_rows(rows, "events.csv", programs, as_of)
    return [], set()


def _evidence(
    folder: Path,
    clock_offset: timedelta,
    as_of: datetime | None,
    progress: Callable[[str], None],
    *,
    orders: pl.DataFrame,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    table, signed = folder / "readings.csv", folder / "packets"
    if table.exists() and signed.exists():
        raise CaseError("packets", "stands beside readings.csv", "one of the two")
    if signed.is_dir():
        progress("packets")
        judged = read_packets(folder, clock_offset, as_of)
        return judged.readings, judged.quarantined
    if table.exists():
        progress("readings.csv")
        return read_readings(table, "readings.csv", as_of), QUARANTINED.empty()
    if orders.is_empty():
        raise CaseError("readings.csv", "missing", "readings.csv, or packets with keys.csv")
    return pl.DataFrame(schema=READINGS_SCHEMA), QUARANTINED.empty()
