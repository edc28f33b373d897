"""Small makers of frames for the tests of metering: say what matters, default the rest."""

import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from settlement import units
from settlement.metering import PIECES, measure
from settlement.programs import Checks
from settlement.schemas import CONTRACT, READING, SITE

Row = dict[str, Any]

DAY = datetime(2026, 7, 1, tzinfo=UTC)
CHECKS = Checks(
    register_tolerance_pct=5,
    soc_tolerance_pct=None,
    site_radius_m=None,
    clock_offset_us=50_000,
    lookback_us=0,
    lookahead_us=0,
)
HOME: Row = {"latitude_microdeg": 37_000_000, "longitude_microdeg": -122_000_000}


def at(clock: str) -> datetime:
    """A time on the day of the tests.

    >>> at("17:30").isoformat()
    '2026-07-01T17:30:00+00:00'
    """
    return datetime.fromisoformat(f"2026-07-01T{clock}").replace(tzinfo=UTC)


def reading(
    start: str | datetime,
    end: str | datetime,
    registers: tuple[int, int],
    imports: tuple[int, int] = (0, 0),
    **changes: Any,
) -> Row:
    """A reading of ``car`` at ``EVSE`` between two export registers (mWh), with powers that agree."""
    begins = at(start) if isinstance(start, str) else start
    ends = at(end) if isinstance(end, str) else end
    us = (ends - begins) // timedelta(microseconds=1)
    net = (registers[1] - registers[0]) - (imports[1] - imports[0])
    watts = round(net * 3_600_000 / us)
    row: Row = {
        "evse_id": "EVSE",
        "vehicle_id": "car",
        "session_id": "session",
        "stream_epoch": 1,
        "sequence": int(begins.timestamp()),
        "started_at": begins,
        "ended_at": ends,
        "power_start_w": watts,
        "power_end_w": watts,
        "export_start_milliwh": registers[0],
        "export_end_milliwh": registers[1],
        "import_start_milliwh": imports[0],
        "import_end_milliwh": imports[1],
        "soc_start_ppm": None,
        "soc_end_ppm": None,
        "latitude_microdeg": None,
        "longitude_microdeg": None,
        "clock_offset_us": 0,
        "key_id": "key",
        "digest": b"\0" * 32,
        "received_at": ends,
        "conflicted": False,
    }
    return row | changes


def contract(vehicle: str = "car", **changes: Any) -> Row:
    """A contract without anything to check against, in force from ever."""
    row: Row = {
        "contract_id": f"contract-{vehicle}",
        "vehicle_id": vehicle,
        "evse_id": "",
        "site_id": "",
        "program": "program",
        "incentive_rate_ppm": 1_000_000,
        "valid_from": units.EARLIEST,
        "valid_to": None,
        "capacity_milliwh": None,
        "rated_w": None,
    }
    return row | changes


def site(name: str = "home", **changes: Any) -> Row:
    return {"site_id": name, "site_group": "", **HOME} | changes


def timeline(*edges: str | datetime, events: Mapping[int, str] | None = None) -> pl.DataFrame:
    """Cells between these times, and one before and one after; ``events`` names some by position."""
    inner = [at(edge) if isinstance(edge, str) else edge for edge in edges]
    times = [units.EARLIEST, *inner, units.LATEST]
    moment = pl.Datetime("us", "UTC")
    return pl.DataFrame(
        [
            (number, (events or {}).get(number, ""), start, end)
            for number, (start, end) in enumerate(itertools.pairwise(times))
        ],
        schema={
            "interval": pl.UInt32,
            "event_id": pl.String,
            "started_at": moment,
            "ended_at": moment,
        },
        orient="row",
    )


def frame(rows: Iterable[Row]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={**READING.schema, "conflicted": pl.Boolean()})


def pieces(
    *rows: Row,
    cells: pl.DataFrame | None = None,
    checks: Checks = CHECKS,
    contracts: Iterable[Row] = (),
    sites: Iterable[Row] | None = None,
    imports: bool = False,
    idle: bool = False,
) -> list[Row]:
    """What ``measure`` makes of these readings, in a fixed order."""
    measured = measure(
        frame(rows),
        timeline() if cells is None else cells,
        checks,
        pl.DataFrame(list(contracts), schema=CONTRACT.schema),
        None if sites is None else pl.DataFrame(list(sites), schema=SITE.schema),
        imports=imports,
        idle=idle,
    )
    assert measured.schema == PIECES
    key = ["vehicle_id", "evse_id", "interval", "fault"]
    assert measured.select(key).is_unique().all()
    return measured.sort(key).to_dicts()


def faults(*rows: Row, **how: Any) -> list[str | None]:
    """The fault of each reading, in the order given: each stands in a cell of its own to tell them
    apart, so they must not start together.
    """
    starts = sorted({row["started_at"] for row in rows})
    assert len(starts) == len(rows), "readings that start together cannot be told apart"
    edges = sorted({*starts, *(row["ended_at"] for row in rows)})
    cells = timeline(*edges, events=dict.fromkeys(range(1, len(edges)), how.pop("event", "event")))
    found = pieces(*rows, cells=cells, idle=True, **how)
    first = {row["started_at"]: edges.index(row["started_at"]) + 1 for row in rows}
    result: list[str | None] = []
    for row in rows:
        here = [
            p
            for p in found
            if p["interval"] == first[row["started_at"]]
            and (p["vehicle_id"], p["evse_id"]) == (row["vehicle_id"], row["evse_id"])
        ]
        result.append(_only(here))
    return result


def _only(here: list[Row]) -> str | None:
    kinds = {p["fault"] for p in here}
    assert len(kinds) == 1, f"a cell with several faults: {kinds}"
    fault: str | None = kinds.pop()
    return fault
