"""One charger's world: what runs beside it, and what an operator enrols for it."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

import yaml

from cli.demo import charger
from cli.demo.enrol import PROGRAMS
from cli.demo.world import World
from embedded.processes import Supervised
from grid.records import EventSaid, PriceSaid
from storage.engine import Role, connect
from storage.grid import put_events, put_prices
from storage.registry import Contract, put_contracts, put_program

EVSE: Final = "DE*FRM*E00001*1"
VEHICLE: Final = "WMIV1234567890ABCDEX"
"""The EVCCID of the package's car."""
PROGRAM: Final = "example-energy"
EVENT: Final = "evening-peak"
PRICE_MICROS: Final = 2_000_000
RATE_PPM: Final = 850_000
NAME: Final = "charger"
METER_AT_WH: Final = 3_400

KEYGEN_DEADLINE_S: Final = 30.0


class Street(World):
    """One charger's world: database, broker, daemon, clearinghouse; no fleet, no Prefect."""

    def _start_prefect(self) -> None:
        pass

    def _drive(self) -> None:
        pass

    def _start_simulators(self) -> None:
        with self._steps.step("start the clearinghouse"):
            self._start_clearinghouse()


def socket_of(street: Street) -> Path:
    return charger.socket_of(street, NAME)


def enrol_charger(street: Street, now: datetime) -> tuple[Path, str]:
    """The agent's configuration, and the id of its key, enrolled."""
    config = charger.configure(street, EVSE, name=NAME)
    _done(street.child("keygen", ("-m", "evse_agent", "keygen", "--config", str(config))))
    key_id = charger.enrol_key(street, EVSE, name=NAME, now=now)
    since = now - timedelta(days=1)
    file = PROGRAMS / f"{PROGRAM}.yaml"
    with connect(street.dsn, Role.SETTLE) as conn:
        body = yaml.safe_load(file.read_text())
        put_program(conn, body, valid_from=since, source=file.name, now=_now())
        terms = Contract("contract-1", VEHICLE, PROGRAM, RATE_PPM, "owner-1", since, evse_id=EVSE)
        put_contracts(conn, [terms], now=_now())
    return config, key_id


def announce(street: Street, start: datetime, end: datetime, *, created_at: datetime) -> None:
    """A version of the event; and a price for as long as it may last."""
    said = f"{EVENT} {start.isoformat()} {end.isoformat()}".encode()
    day = timedelta(days=1)
    with connect(street.dsn, Role.SETTLE) as conn:
        put_events(
            conn, [EventSaid(EVENT, PROGRAM, start, end, created_at, "active", said, _now())]
        )
        price = PriceSaid(
            PROGRAM,
            start - day,
            start + day,
            PRICE_MICROS,
            "USD",
            sha256(b"price").digest(),
            _now(),
        )
        put_prices(conn, [price])


def _done(process: Supervised) -> None:
    with process:
        status = process.wait(deadline_s=KEYGEN_DEADLINE_S)
    if status:
        raise RuntimeError(f"{process.name} ended with {status}:\n{process.log_tail()}")


def _now() -> datetime:
    return datetime.now(UTC)
