"""What an operator does before the first packet counts: keys, sites, contracts and tariffs; and what
the chargers' interfaces to the cars have measured of the batteries.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import polars as pl
import yaml

from settlement import decimals
from settlement.booking import Share
from settlement.schemas import SITE, TEMPERATURE
from settlement.signatures import DeviceKey
from simulators.evening import Evening
from simulators.grid import EVENT_NAMES
from simulators.roster import RosterRow
from storage.engine import Connection, Role, connect
from storage.keys import enrol_keys
from storage.registry import Contract, put_contracts, put_program
from storage.temperatures import put_temperatures
from storage.terms import put_sites

PROGRAMS: Final = Path(__file__).resolve().parents[2] / "programs"


def enrol(dsn: str, evening: Evening) -> str:
    """Enrol everything; what was done, in words."""
    roster = evening.roster()
    now = datetime.now(UTC)
    with connect(dsn, Role.REGISTRY) as conn:
        keys = enrol_keys(
            conn,
            [
                DeviceKey(row.key_id, row.evse_id, row.public_key, row.valid_from, row.valid_to)
                for row in roster
            ],
            now=now,
            by="v2g demo",
        )
    with connect(dsn, Role.SETTLE) as conn:
        sites = put_sites(conn, _sites(roster), now=now)
        contracts = put_contracts(
            conn, [contract_of(row) for row in roster if row.has_contract], now=now
        )
        since = min(row.valid_from for row in roster)
        programs = sum(_enrol_program(conn, name, since, now) for name in EVENT_NAMES)
    return f"{keys} keys, {sites} sites, {contracts} contracts, {programs} programs"


def measure(dsn: str, evening: Evening) -> str:
    """Land the batteries' temperatures; how many, in words."""
    rows = [
        (one.evse_id, one.vehicle_id, one.measured_at, one.battery_millicelsius, one.measured_at)
        for one in evening.temperatures
    ]
    frame = pl.DataFrame(rows, schema=TEMPERATURE.schema, orient="row")
    with connect(dsn, Role.SETTLE) as conn:
        landed = put_temperatures(conn, frame, now=datetime.now(UTC))
    return f"{landed} temperatures of {frame['vehicle_id'].n_unique()} batteries"


def contract_of(row: RosterRow) -> Contract:
    """The contract that a row of the roster brings."""
    return Contract(
        contract_id=f"contract-{row.vehicle_id}",
        vehicle_id=row.vehicle_id,
        program=row.program,
        incentive_rate_ppm=decimals.decimal_text(row.incentive_rate, 6),
        account="",
        valid_from=row.valid_from,
        valid_to=row.valid_to,
        evse_id=row.evse_id,
        site_id=row.site_id,
        capacity_milliwh=row.capacity_milliwh,
        rated_w=row.rated_w,
        shares=tuple(Share(*share) for share in row.shares_ppm),
    )


def _sites(roster: Sequence[RosterRow]) -> pl.DataFrame:
    places = {row.site_id: (row.latitude_microdeg, row.longitude_microdeg) for row in roster}
    rows = [(site, *place, "") for site, place in sorted(places.items())]
    return pl.DataFrame(rows, schema=SITE.schema, orient="row")


def _enrol_program(conn: Connection, name: str, since: datetime, now: datetime) -> int:
    file = PROGRAMS / f"{name}.yaml"
    body = yaml.safe_load(file.read_text())
    return put_program(conn, body, valid_from=since, source=file.name, now=now)
