"""Who is out there: the fleet's keys, vehicles, sites and contracts, as rows to enrol."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Final

from simulators.driving import BATTERY_MILLIWH
from simulators.plans import Plan
from simulators.signing import Signer

RATED_W: Final = 11_500
SHARES_PPM: Final = {"owner": 850_000, "site_host": 100_000, "aggregator": 50_000}
"""How what a vehicle earns is divided where it is divided."""

KEY_LIFE: Final = timedelta(days=30)
"""How long before the evening its keys became valid, and how long those before had been."""

ROSTER_MAX_BYTES: Final = 16 * 1024 * 1024


class UnusableRosterError(ValueError):
    """A roster file that cannot be read: which file and row, what was found, what was expected."""


@dataclass(frozen=True, slots=True)
class RosterRow:
    """One device key with its EVSE, vehicle, site and contract.

    Attributes:
        key_id: the key's thumbprint (RFC 7638).
        evse_id: the charger the key signs for (EVSEID, ISO 15118).
        vehicle_id: the car that charges there.
        public_key: DER SubjectPublicKeyInfo (RFC 5280 §4.1).
        valid_from: the key, and the contract, stand from here.
        valid_to: the key's end, not included; None is open.
        site_id: where the charger stands.
        latitude_microdeg: of the site, millionths of a degree, WGS 84.
        longitude_microdeg: of the site.
        rated_w: what the charger can discharge, W.
        capacity_milliwh: of the car's battery, usable.
        account: the owner's account; empty where this row brings no contract.
        incentive_rate: decimal text such as "0.85"; empty where this row brings no contract.
        program: of the contract.
        site_host: account that gets its share of ``SHARES_PPM``; empty where the owner gets all.
        aggregator: likewise.
    """

    key_id: str
    evse_id: str
    vehicle_id: str
    public_key: bytes
    valid_from: datetime
    valid_to: datetime | None
    site_id: str
    latitude_microdeg: int
    longitude_microdeg: int
    rated_w: int
    capacity_milliwh: int
    account: str
    incentive_rate: str
    program: str
    site_host: str = ""
    aggregator: str = ""

    @property
    def has_contract(self) -> bool:
        """Whether this row is to be enrolled as a contract too."""
        return bool(self.account)

    @property
    def shares_ppm(self) -> list[tuple[str, str, int]]:
        """Role, account and part of everyone whom the contract pays."""
        if not self.site_host:
            return [("owner", self.account, 1_000_000)]
        accounts = {
            "owner": self.account,
            "site_host": self.site_host,
            "aggregator": self.aggregator,
        }
        return [(role, accounts[role], part) for role, part in SHARES_PPM.items()]


def roster_of(
    plans: Iterable[Plan],
    *,
    signers: Mapping[str, Signer],
    former: Mapping[str, Signer],
    day_starts_at: datetime,
) -> list[RosterRow]:
    """The rows of a fleet: one per EVSE, then one per former key, expired and without contract."""
    rows = [
        RosterRow(
            key_id=signers[plan.evse_id].key_id,
            evse_id=plan.evse_id,
            vehicle_id=plan.vehicle_id,
            public_key=signers[plan.evse_id].public_key,
            valid_from=day_starts_at - KEY_LIFE,
            valid_to=None,
            site_id=plan.site_id,
            latitude_microdeg=plan.latitude_microdeg,
            longitude_microdeg=plan.longitude_microdeg,
            rated_w=RATED_W,
            capacity_milliwh=BATTERY_MILLIWH,
            account=plan.account,
            incentive_rate=plan.incentive_rate,
            program=plan.program,
            site_host=plan.site_host,
            aggregator=plan.aggregator,
        )
        for plan in plans
    ]
    expired = [
        replace(
            row,
            key_id=former[row.evse_id].key_id,
            public_key=former[row.evse_id].public_key,
            valid_from=day_starts_at - 2 * KEY_LIFE,
            valid_to=day_starts_at - KEY_LIFE,
            account="",
            incentive_rate="",
            site_host="",
            aggregator="",
        )
        for row in rows
        if row.evse_id in former
    ]
    return rows + expired


def _as_text(row: RosterRow) -> dict[str, str]:
    return {
        **{name: str(value) for name, value in asdict(row).items()},
        "public_key": row.public_key.hex(),
        "valid_from": row.valid_from.isoformat(),
        "valid_to": row.valid_to.isoformat() if row.valid_to else "",
    }


def _from_text(row: dict[str, str], where: str) -> RosterRow:
    try:
        return RosterRow(
            key_id=row["key_id"],
            evse_id=row["evse_id"],
            vehicle_id=row["vehicle_id"],
            public_key=bytes.fromhex(row["public_key"]),
            valid_from=datetime.fromisoformat(row["valid_from"]),
            valid_to=datetime.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
            site_id=row["site_id"],
            latitude_microdeg=int(row["latitude_microdeg"]),
            longitude_microdeg=int(row["longitude_microdeg"]),
            rated_w=int(row["rated_w"]),
            capacity_milliwh=int(row["capacity_milliwh"]),
            account=row["account"],
            incentive_rate=row["incentive_rate"],
            program=row["program"],
            site_host=row["site_host"],
            aggregator=row["aggregator"],
        )
    except KeyError as error:
        raise UnusableRosterError(f"{where}: column {error} is missing") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise UnusableRosterError(f"{where}: {error}") from error


def write_roster(rows: Sequence[RosterRow], path: Path) -> None:
    """Write CSV with a header, or JSON where the name ends in ``.json``. Keys stand in hex."""
    table = [_as_text(row) for row in rows]
    if path.suffix == ".json":
        path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        return
    out = StringIO(newline="")
    writer = csv.DictWriter(out, [field.name for field in fields(RosterRow)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    path.write_text(out.getvalue(), encoding="utf-8")


def read_roster(path: Path) -> list[RosterRow]:
    """Read what ``write_roster`` wrote.

    Raises:
        UnusableRosterError: too large, not CSV or JSON of rows, or a value that does not parse.
    """
    size = path.stat().st_size
    if size > ROSTER_MAX_BYTES:
        raise UnusableRosterError(f"{path}: {size} bytes; expected at most {ROSTER_MAX_BYTES}")
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".json":
        table = list(csv.DictReader(StringIO(text, newline="")))
    else:
        try:
            table = json.loads(text)
        except json.JSONDecodeError as error:
            raise UnusableRosterError(f"{path}: not JSON ({error})") from error
        if not isinstance(table, list) or not all(isinstance(row, dict) for row in table):
            raise UnusableRosterError(f"{path}: expected a JSON list of objects")
    return [_from_text(row, f"{path}, row {number}") for number, row in enumerate(table, 1)]
