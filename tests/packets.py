"""Signed packets for tests, made by a JOSE library that shares no code with ours.

    key = make_key()
    packet = make_packet(key, evse_id="DE*ABC*E7", sequence=3)

Every field has a default that fits the others: 15 seconds at 7.2 kW, half an hour into an evening,
registers and times moving on with the sequence. Whatever is given by name replaces it; a field
given as None is left out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey

EVSE_ID = "DE*V2G*E00001"
PERIOD = timedelta(seconds=15)
EXPORT_PER_PERIOD_WH = 30


@dataclass(frozen=True)
class Key:
    """A charger's key pair: ``key_id`` is the RFC 7638 thumbprint, ``public_key`` DER."""

    private: ECKey
    key_id: str
    public_key: bytes


def make_key() -> Key:
    """A new key on P-256."""
    private = ECKey.generate_key("P-256", private=True)
    public_key = private.as_der(private=False)
    return Key(private, private.thumbprint(), public_key)


def evening(days_ago: int = 1) -> datetime:
    """17:00 UTC of yesterday, or of an earlier day: recent, over, and the same all day long."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return today - timedelta(days=days_ago) + timedelta(hours=17)


def rfc3339(at: datetime) -> str:
    """The time as a packet carries it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def default_fields(evse_id: str = EVSE_ID, sequence: int = 0) -> dict[str, Any]:
    """The payload of one reading, complete and in range."""
    started_at = evening() + sequence * PERIOD
    export_wh = 1_000_000 + EXPORT_PER_PERIOD_WH * sequence
    soc_pct = 80 - sequence % 400 * 0.05
    return {
        "version": 1,
        "evse_id": evse_id,
        "vehicle_id": "VEHICLE-" + evse_id[-5:],
        "session_id": "SESSION-1",
        "stream_epoch": 1,
        "sequence": sequence,
        "started_at": rfc3339(started_at),
        "ended_at": rfc3339(started_at + PERIOD),
        "power_start_w": "7200",
        "power_end_w": "7200",
        "export_start_wh": f"{export_wh}.000",
        "export_end_wh": f"{export_wh + EXPORT_PER_PERIOD_WH}.000",
        "import_start_wh": "250000.000",
        "import_end_wh": "250000.000",
        "soc_start_pct": f"{soc_pct:.4f}",
        "soc_end_pct": f"{soc_pct - 0.05:.4f}",
        "latitude_deg": "52.520008",
        "longitude_deg": "13.404954",
        "clock_offset_ms": "1.250",
    }


REGISTERS = ("export_start_wh", "export_end_wh", "import_start_wh", "import_end_wh")
OPTIONAL_IN_2 = (
    "power_start_w",
    "power_end_w",
    "soc_start_pct",
    "soc_end_pct",
    "latitude_deg",
    "longitude_deg",
)


def make_packet_2(
    key: Key, records: Sequence[bytes] | None = None, *, bare: bool = False, **fields: Any
) -> bytes:
    """A packet of version 2: with meters' records in place of its registers, where given.

    ``bare`` leaves out all that version 2 may leave out. The times must be those of the records;
    ``tests.ocmf.default_points`` has those of sequence 0.
    """
    without: dict[str, Any] = dict.fromkeys(OPTIONAL_IN_2) if bare else {}
    if records is not None:
        without |= dict.fromkeys(REGISTERS)
        without["records"] = [record.decode() for record in records]
    return make_packet(key, **({"version": 2} | without | fields))


def make_packet(key: Key, *, header: dict[str, Any] | None = None, **fields: Any) -> bytes:
    """A compact JWS signed with ES256. ``header`` adds to, or replaces, ``alg`` and ``kid``."""
    evse_id, sequence = fields.get("evse_id"), fields.get("sequence")
    payload = (
        default_fields(
            evse_id if isinstance(evse_id, str) else EVSE_ID,
            sequence if isinstance(sequence, int) else 0,
        )
        | fields
    )
    return sign(
        key, {name: value for name, value in payload.items() if value is not None}, header=header
    )


def sign(
    key: Key, payload: dict[str, Any] | bytes, *, header: dict[str, Any] | None = None
) -> bytes:
    """Sign any payload, also one that is no reading."""
    content = (
        payload
        if isinstance(payload, bytes)
        else json.dumps(payload, separators=(",", ":")).encode()
    )
    protected = {"alg": "ES256", "kid": key.key_id, **(header or {})}
    return jws.serialize_compact(protected, content, key.private).encode()
