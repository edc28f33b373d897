"""Meters, a charger, their keys as enrolled, and verdicts on what they sign."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

from settlement.signatures import DeviceKey, Keyring, algorithm_of
from settlement.verdicts import LandedPacket, Policy, Verdict, judge
from tests.ocmf import Meter, default_points, make_meter
from tests.packets import EVSE_ID, evening, make_key

RECEIVED = evening() + timedelta(minutes=1)

METER = make_meter()
KEBA = make_meter("secp256k1", "KEBA-1")
OTHER = make_meter(meter_id="1V2G0000000002")
CHARGER = make_key()
POINTS = default_points()


def key(meter: Meter, key_id: str = "", evse_id: str = EVSE_ID, **changes: Any) -> DeviceKey:
    """The meter's key as enrolled."""
    facts: dict[str, Any] = {
        "valid_from": evening() - timedelta(days=30),
        "algorithm": algorithm_of(meter.curve),
    }
    return DeviceKey(
        key_id or f"key of {meter.meter_id}",
        evse_id,
        meter.public_key,
        **(facts | changes),
        meter_id=meter.meter_id,
    )


CHARGERS_KEY = DeviceKey(
    CHARGER.key_id, EVSE_ID, CHARGER.public_key, evening() - timedelta(days=30)
)


def verdicts(*landed: LandedPacket, keys: list[DeviceKey]) -> list[Verdict]:
    with ThreadPoolExecutor(2) as threads:
        return judge(landed, Keyring(keys), Policy(), threads)


def verdict(packet: bytes, *keys: DeviceKey, topic: str | None = None) -> Verdict:
    return verdicts(LandedPacket(packet, RECEIVED, 1, topic), keys=list(keys))[0]


def tampered(record: bytes) -> bytes:
    return record.replace(b"1000.030", b"9000.030")
