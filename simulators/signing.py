"""Packets made: a reading's content as a signed compact JWS (RFC 7515, ES256).

The same packet that ``settlement.packets.jws`` takes apart, made fast enough for a fleet.
Signatures are deterministic (RFC 6979), so that the same evening has the same bytes.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from settlement.packets import Content
from simulators.keys import P256_ORDER, public_der, thumbprint

CHUNK: Final = 512
"""Packets that one thread signs before it takes the next piece of work."""

_ECDSA_SHA256: Final = ECDSA(SHA256(), deterministic_signing=True)
_HALF: Final = 32


@dataclass(frozen=True)
class Signer:
    """A device's private key, ready to sign."""

    key: EllipticCurvePrivateKey

    @cached_property
    def key_id(self) -> str:
        """RFC 7638 thumbprint."""
        return thumbprint(self.key)

    @cached_property
    def public_key(self) -> bytes:
        """DER SubjectPublicKeyInfo."""
        return public_der(self.key)

    @cached_property
    def header(self) -> bytes:
        """The encoded header: ES256 and this key."""
        return _header("ES256", self.key_id)

    def sign(self, payload: bytes, *, algorithm: str = "ES256") -> bytes:
        """A packet over this payload; ES256, whatever ``algorithm`` the header claims."""
        header = self.header if algorithm == "ES256" else _header(algorithm, self.key_id)
        signed = header + b"." + base64url(payload)
        r, s = decode_dss_signature(self.key.sign(signed, _ECDSA_SHA256))
        return signed + b"." + base64url(r.to_bytes(_HALF) + s.to_bytes(_HALF))


def base64url(value: bytes) -> bytes:
    """base64url without padding (RFC 7515 §2)."""
    return urlsafe_b64encode(value).rstrip(b"=")


def _header(algorithm: str, key_id: str) -> bytes:
    return base64url(json.dumps({"alg": algorithm, "kid": key_id}, separators=(",", ":")).encode())


def decimal(value: int, places: int) -> str:
    """An integer count of 10^-places as decimal text.

    >>> decimal(12345678, 3), decimal(-500, 3), decimal(7, 0)
    ('12345.678', '-0.500', '7')
    """
    sign, digits = "-" if value < 0 else "", str(abs(value)).rjust(places + 1, "0")
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else sign + digits


def rfc3339(at: datetime) -> str:
    """A UTC time as the fleet writes it.

    >>> from datetime import UTC
    >>> rfc3339(datetime(2026, 7, 1, 17, 0, 15, tzinfo=UTC))
    '2026-07-01T17:00:15Z'
    """
    return at.isoformat().replace("+00:00", "Z")


_STATED: Final = (
    ("power_start_w", "power_start_w", 0),
    ("power_end_w", "power_end_w", 0),
    ("export_start_wh", "export_start_milliwh", 3),
    ("export_end_wh", "export_end_milliwh", 3),
    ("import_start_wh", "import_start_milliwh", 3),
    ("import_end_wh", "import_end_milliwh", 3),
    ("soc_start_pct", "soc_start_ppm", 4),
    ("soc_end_pct", "soc_end_ppm", 4),
    ("latitude_deg", "latitude_microdeg", 6),
    ("longitude_deg", "longitude_microdeg", 6),
    ("clock_offset_ms", "clock_offset_us", 3),
)
"""Names of the payload, of the content, and the places after the point."""


def fields_of(content: Content) -> dict[str, object]:
    """The payload's fields (``settlement.packets.jws.FIELDS``), decimals as text; what the content does
    not state is left out, which only the second version of the payload allows.
    """
    stated = {
        name: decimal(value, places)
        for name, of, places in _STATED
        if (value := getattr(content, of)) is not None
    }
    return {
        "version": 1 if len(stated) == len(_STATED) else 2,
        "evse_id": content.evse_id,
        "vehicle_id": content.vehicle_id,
        "session_id": content.session_id,
        "stream_epoch": content.stream_epoch,
        "sequence": content.sequence,
        "started_at": rfc3339(content.started_at),
        "ended_at": rfc3339(content.ended_at),
        **stated,
    }


def payload_of(content: Content) -> bytes:
    """The payload's bytes."""
    return json.dumps(fields_of(content), separators=(",", ":")).encode()


def sign_all(work: Sequence[tuple[Signer, Content]], *, threads: int) -> list[bytes]:
    """One packet for each content, in order, by so many threads in pieces of ``CHUNK``."""

    def piece(start: int) -> list[bytes]:
        return [signer.sign(payload_of(content)) for signer, content in work[start : start + CHUNK]]

    with ThreadPoolExecutor(max_workers=threads) as executor:
        return [one for many in executor.map(piece, range(0, len(work), CHUNK)) for one in many]


def twin(packet: bytes) -> bytes:
    """The same signed bytes under the other valid signature, (r, n − s): ECDSA is malleable."""
    signed, _, signature = packet.rpartition(b".")
    raw = urlsafe_b64decode(signature + b"==")
    other = P256_ORDER - int.from_bytes(raw[_HALF:])
    return signed + b"." + base64url(raw[:_HALF] + other.to_bytes(_HALF))


def with_payload(packet: bytes, payload: bytes) -> bytes:
    """The packet with its payload exchanged and its signature left: tampering."""
    header, _, signature = packet.split(b".")
    return b".".join((header, base64url(payload), signature))
