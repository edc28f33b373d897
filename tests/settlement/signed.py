"""Keys and signed packets for the tests of the rules, made by a JOSE library that the rules do not use."""

import json
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey

from settlement.signatures import DeviceKey
from settlement.verdicts import LandedPacket

RECEIVED = datetime(2026, 7, 1, 17, 1, tzinfo=UTC)

FIELDS: dict[str, object] = {
    "version": 1,
    "evse_id": "US*V2G*E0001",
    "vehicle_id": "VIN-1",
    "session_id": "A1B2C3D4E5F60708",
    "stream_epoch": 1,
    "sequence": 7,
    "started_at": "2026-07-01T17:00:00Z",
    "ended_at": "2026-07-01T17:00:15Z",
    "power_start_w": "7200",
    "power_end_w": "7200",
    "export_start_wh": "100.125",
    "export_end_wh": "130.125",
    "import_start_wh": "0",
    "import_end_wh": "0.000",
    "soc_start_pct": "80.5",
    "soc_end_pct": "80.45",
    "latitude_deg": "37.774929",
    "longitude_deg": "-122.419418",
    "clock_offset_ms": "3.25",
}


@dataclass
class Device:
    """An EVSE with a P-256 key of its own."""

    evse_id: str = "US*V2G*E0001"
    key: ECKey = field(default_factory=lambda: ECKey.generate_key("P-256"))

    @property
    def key_id(self) -> str:
        return str(self.key.thumbprint())

    def record(self, **changes: Any) -> DeviceKey:
        """Its key as enrolled."""
        der = self.key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        facts: dict[str, Any] = {"valid_from": datetime(2026, 1, 1, tzinfo=UTC)} | changes
        return DeviceKey(self.key_id, self.evse_id, der, **facts)

    def sign(
        self,
        payload: bytes | None = None,
        header: dict[str, object] | None = None,
        **changes: object,
    ) -> bytes:
        """A packet with these fields changed, or over these payload bytes."""
        body = (
            payload
            if payload is not None
            else json.dumps(FIELDS | {"evse_id": self.evse_id} | changes).encode()
        )
        return jws.serialize_compact(
            {"alg": "ES256", "kid": self.key_id} | (header or {}), body, self.key
        ).encode()


def b64(data: bytes) -> bytes:
    """base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=")


def landed(
    packet: bytes, *, received_at: datetime = RECEIVED, topic: str | None = None
) -> LandedPacket:
    return LandedPacket(packet, received_at, batch_id=1, topic_evse_id=topic)
