"""Packets for landing: well-formed, with signatures that nobody checks at this door."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from storage.landing import Arrival

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
STEP = timedelta(seconds=15)


def _base64url(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")


def packet(
    evse_id: str = "EVSE-1", sequence: int = 1, *, signature: bytes = b"\1" * 64, **fields: Any
) -> bytes:
    """A compact JWS whose interval ends ``sequence`` steps after noon, unless told otherwise."""
    ended_at = NOON + sequence % 1_000_000 * STEP  # a sequence may end where no calendar does
    payload = {
        "version": 1,
        "evse_id": evse_id,
        "vehicle_id": f"car-of-{evse_id}",
        "session_id": "session",
        "stream_epoch": 1,
        "sequence": sequence,
        "started_at": (ended_at - STEP).isoformat(),
        "ended_at": ended_at.isoformat(),
        "power_start_w": "7200",
        "power_end_w": "7200",
        "export_start_wh": "1000.000",
        "export_end_wh": "1030.000",
        "import_start_wh": "0",
        "import_end_wh": "0",
        "soc_start_pct": "80.0000",
        "soc_end_pct": "79.9000",
        "latitude_deg": "48.137154",
        "longitude_deg": "11.576124",
        "clock_offset_ms": "1.000",
    }
    payload.update(fields)
    header = _base64url(json.dumps({"alg": "ES256", "kid": "key"}).encode())
    return b".".join((header, _base64url(json.dumps(payload).encode()), _base64url(signature)))


def arrival(
    packet_bytes: bytes, *, received_at: datetime = NOON + timedelta(hours=2), **rest: Any
) -> Arrival:
    return Arrival(
        packet=packet_bytes, received_at=received_at, source=rest.pop("source", "mqtt"), **rest
    )


def arrivals(evses: int, each: int) -> list[Arrival]:
    return [
        arrival(packet(f"EVSE-{evse}", sequence))
        for sequence in range(1, each + 1)
        for evse in range(evses)
    ]
