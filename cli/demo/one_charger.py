"""One charger's world: what runs beside it, and what an operator enrols for it."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Final

import yaml
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cli.demo.enrol import PROGRAMS
from cli.demo.world import World
from embedded.processes import Supervised
from settlement.signatures import DeviceKey
from simulators.keys import public_der, thumbprint
from storage.engine import Role, connect
from storage.grid import EventRow, PriceRow, put_events, put_prices
from storage.keys import enrol_keys
from storage.registry import Contract, put_contracts, put_program

EVSE: Final = "DE*FRM*E00001*1"
VEHICLE: Final = "WMIV1234567890ABCDEX"
"""The EVCCID of the package's car."""
PROGRAM: Final = "example-energy"
EVENT: Final = "evening-peak"
PRICE_MICROS: Final = 2_000_000
RATE_PPM: Final = 850_000
INTERVAL_S: Final = 5
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
            self.clearinghouse_url = self._serve("clearinghouse", self.tokens.clearinghouse, ())


def socket_of(street: Street) -> Path:
    return street.folder / "agent.socket"


def enrol_charger(street: Street, now: datetime) -> tuple[Path, str]:
    """The agent's configuration, and the id of its key, enrolled."""
    key = street.folder / "charger.key"
    user, password = street.broker.credentials("fleet")
    config = street.private(
        "charger.json",
        json.dumps(
            {
                "BidirectionalEnabled": True,
                "SettlementInterval": INTERVAL_S,
                "EvseId": EVSE,
                "KeyFile": str(key),
                "Broker": {
                    "Host": street.broker.host,
                    "Port": street.broker.port,
                    "Username": user,
                    "PasswordFile": str(street.private("charger.password", password)),
                },
                "ReceiptTimeout": 10,
                "StoreFile": str(street.folder / "charger.store"),
                "SocketFile": str(socket_of(street)),
                # One machine, one clock: charger and settlement cannot differ.
                "ClockSource": "stated",
                "ClockOffset": "0",
            },
            indent=2,
        ),
    )
    _done(street.child("keygen", ("-m", "evse_agent", "keygen", "--config", str(config))))
    private = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, EllipticCurvePrivateKey)
    valid_from = now - timedelta(minutes=1)
    record = DeviceKey(thumbprint(private), EVSE, public_der(private), valid_from)
    with connect(street.dsn, Role.REGISTRY) as conn:
        enrol_keys(conn, [record], now=_now(), by="v2g demo")
    since = now - timedelta(days=1)
    file = PROGRAMS / f"{PROGRAM}.yaml"
    with connect(street.dsn, Role.SETTLE) as conn:
        body = yaml.safe_load(file.read_text())
        put_program(conn, body, valid_from=since, source=file.name, now=_now())
        terms = Contract("contract-1", VEHICLE, PROGRAM, RATE_PPM, "owner-1", since, evse_id=EVSE)
        put_contracts(conn, [terms], now=_now())
    return config, record.key_id


def announce(street: Street, start: datetime, end: datetime, *, created_at: datetime) -> None:
    """A version of the event; and a price for as long as it may last."""
    said = f"{EVENT} {start.isoformat()} {end.isoformat()}".encode()
    day = timedelta(days=1)
    with connect(street.dsn, Role.SETTLE) as conn:
        put_events(conn, [EventRow(EVENT, PROGRAM, start, end, created_at, "active", said, _now())])
        price = PriceRow(
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
