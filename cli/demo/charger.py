"""A charger with the real agent: its configuration, and its key as an operator enrols it."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cli.demo.world import World
from settlement.signatures import DeviceKey
from simulators.keys import public_der, thumbprint
from storage.engine import Role, connect
from storage.keys import enrol_keys

INTERVAL_S: Final = 5


def key_of(world: World, name: str) -> Path:
    """Where the signing key of a charger lies."""
    return world.folder / f"{name}.key"


def socket_of(world: World, name: str) -> Path:
    """Where the agent listens to its charge controller."""
    return world.folder / f"{name}.socket"


def configure(world: World, evse_id: str, *, name: str) -> Path:
    """Write the agent's configuration.

    Args:
        world: whose broker it connects to.
        evse_id: of the charger.
        name: of its files.
    """
    user, password = world.broker.credentials("fleet")
    content = {
        "BidirectionalEnabled": True,
        "SettlementInterval": INTERVAL_S,
        "EvseId": evse_id,
        "KeyFile": str(key_of(world, name)),
        "Broker": {
            "Host": world.broker.host,
            "Port": world.broker.port,
            "Username": user,
            "PasswordFile": str(world.private(f"{name}.password", password)),
        },
        "ReceiptTimeout": 10,
        "StoreFile": str(world.folder / f"{name}.store"),
        "SocketFile": str(socket_of(world, name)),
        # One machine, one clock: charger and settlement cannot differ.
        "ClockSource": "stated",
        "ClockOffset": "0",
    }
    return world.private(f"{name}.json", json.dumps(content, indent=2))


def enrol_key(world: World, evse_id: str, *, name: str, now: datetime) -> str:
    """Enrol the public half of a charger's key; the key's id."""
    private = load_pem_private_key(key_of(world, name).read_bytes(), None)
    assert isinstance(private, EllipticCurvePrivateKey)
    valid_from = now - timedelta(minutes=1)
    record = DeviceKey(thumbprint(private), evse_id, public_der(private), valid_from)
    with connect(world.dsn, Role.REGISTRY) as conn:
        enrol_keys(conn, [record], now=datetime.now(UTC), by="v2g demo")
    return record.key_id
