"""What a packet says, whatever its format: envelope, identity, content, and the error for bad bytes."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final


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
        format: name of the packet format, such as "jws" or "ocmf".
        key_id: the key the packet names, inside the signed bytes; empty where the format names none
            and the key is found by ``meter_id``.
        algorithm: what the packet claims, in the words of its format; the key's record decides.
        signing_input: the received bytes that are signed.
        signature: DER ECDSA-Sig-Value (RFC 3279 §2.2.3), or r‖s with both halves of one length
            (RFC 7518 §3.4): ``der`` says which.
        payload: the bytes that carry the fields.
        meter_id: serial number of the meter that signs; empty in a packet that names a key.
        inner: the meter's own records that this packet carries, in their order; theirs are the
            registers, and each must stand under the meter's key.
    """

    format: str
    key_id: str
    algorithm: str
    signing_input: bytes
    signature: bytes
    payload: bytes
    der: bool = False
    meter_id: str = ""
    inner: tuple["Envelope", ...] = ()

    @property
    def digest(self) -> bytes:
        """SHA-256 of the signed bytes without the signature, 32 bytes."""
        return sha256(self.signing_input).digest()


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose packet it is: unique for ever per (evse_id, stream_epoch, sequence).

    A record that names no EVSE has an empty ``evse_id``: its topic or its meter's key says whose it
    is.
    """

    evse_id: str
    stream_epoch: int
    sequence: int
    signed_at: datetime
    meter_id: str = ""


@dataclass(frozen=True, slots=True)
class Content:
    """The fields of one interval, in the units of ``settlement.schemas.READING``; discharge positive.

    None: the packet does not say. ``problem`` is why the meter's own flags forbid billing; empty
    where they do not.
    """

    evse_id: str
    vehicle_id: str
    session_id: str
    stream_epoch: int
    sequence: int
    started_at: datetime
    ended_at: datetime
    power_start_w: int | None
    power_end_w: int | None
    export_start_milliwh: int
    export_end_milliwh: int
    import_start_milliwh: int
    import_end_milliwh: int
    soc_start_ppm: int | None
    soc_end_ppm: int | None
    latitude_microdeg: int | None
    longitude_microdeg: int | None
    clock_offset_us: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class MeterPoint:
    """What a meter's registers showed at one time.

    Attributes:
        at: when, UTC.
        export_milliwh: energy delivered to the grid; None: the record states none.
        import_milliwh: energy taken from the grid; None: the record states none.
        kind: letter of the transaction (OCMF TX: B begin, C, X, E end, L, R, A, P, S, T); empty: none.
        clock: letter of the clock's state (OCMF TM: S synchronised, I informative, R relative, U
            unknown); empty: none.
        problem: why the meter's flags forbid billing on it; empty where they do not.
        export_register: which register the export is of; values of two registers, such as C2 and C0,
            have no difference. Empty: states none.
        import_register: the same for the import.
    """

    at: datetime
    export_milliwh: int | None
    import_milliwh: int | None
    kind: str
    clock: str
    problem: str
    export_register: str = ""
    import_register: str = ""


IMPORT_UNKNOWN: Final = (
    "import register: stated nowhere; expected beside the export register, since what was taken from the"
    " grid meanwhile would not be known"
)
"""Why an interval of a meter that states its export alone is not billable: leaving out what was charged
would raise the net."""


@dataclass(frozen=True, slots=True)
class MeterRecord:
    """A record as a meter signs it (OCMF 1.4 §3): points in time, numbered, of nobody's session.

    Attributes:
        meter_id: serial number of the meter (MS, else GS).
        evse_id: the EVSE it names (CI where CT is EVSEID); empty where none.
        vehicle_id: the car it names (ID where IT is EVCCID or EMAID); empty where none.
        context: of the pagination: T transaction or F fiscal, each its own counter.
        number: of the pagination; rises by one per record of a context.
        points: ascending by time, one per time.
    """

    meter_id: str
    evse_id: str
    vehicle_id: str
    context: str
    number: int
    points: tuple[MeterPoint, ...]
