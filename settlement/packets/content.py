"""What a packet says, whatever its format: envelope, identity, content, and the error for bad bytes."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256


class UnreadablePacketError(ValueError):
    """The bytes are no packet: ``where`` it went wrong, what was ``found``, what was ``expected``."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Envelope:
    """A packet taken apart, nothing believed yet.

    Attributes:
        format: name of the packet format.
        key_id: the key the packet names; it stands inside the signed bytes.
        algorithm: what the packet claims; the key's record decides.
        signing_input: the received bytes that are signed.
        signature: as the format carries it; for ES256 r‖s, 64 bytes (RFC 7518 §3.4).
        payload: the bytes that carry the fields.
    """

    format: str
    key_id: str
    algorithm: str
    signing_input: bytes
    signature: bytes
    payload: bytes

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes without the signature, 32 bytes."""
        return sha256(self.signing_input).digest()


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose packet it is: unique for ever per (evse_id, stream_epoch, sequence)."""

    evse_id: str
    stream_epoch: int
    sequence: int
    signed_at: datetime


@dataclass(frozen=True, slots=True)
class Content:
    """The fields of a packet, in the units of ``settlement.schemas.READING``; discharge positive."""

    evse_id: str
    vehicle_id: str
    session_id: str
    stream_epoch: int
    sequence: int
    started_at: datetime
    ended_at: datetime
    power_start_w: int
    power_end_w: int
    export_start_milliwh: int
    export_end_milliwh: int
    import_start_milliwh: int
    import_end_milliwh: int
    soc_start_ppm: int
    soc_end_ppm: int
    latitude_microdeg: int
    longitude_microdeg: int
    clock_offset_us: int
