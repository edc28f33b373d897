"""A meter's own signed record: OCMF 0.1 to 1.4, as meters really send it.

    OCMF|<payload, a JSON object>|<signature, a JSON object>

The signature covers exactly the bytes between the bars; the record is never written anew. It names
no key: the meter's serial number leads to the key, and the key's record alone says which curve it is
on. Signatures come as hex or base64, of DER or of r‖s; the envelope holds DER.

Source: S.A.F.E. e.V., Open Charge Metering Format 1.4.1 (2025-04-29).
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from settlement.packets import ocmf_fields as rd
from settlement.packets import ocmf_points
from settlement.packets.content import Envelope, Identity, MeterRecord, UnreadablePacketError
from settlement.packets.fields import AS_WRITTEN, Fields, is_id, json_object, wrong

NAME: Final = "ocmf"
HEADER: Final = b"OCMF|"
DEFAULT_ALGORITHM: Final = "ECDSA-secp256r1-SHA256"
NUMBER_MAX: Final = 2**46
"""Of the pagination: 64 readings of each still have numbers that JSON keeps exactly."""

EPOCH_BITS: Final = 52
READINGS_PER_RECORD: Final = 64
VERSIONS: Final = frozenset({"0.1", "0.2", "0.3", "0.4", "1.0", "1.1", "1.2", "1.3", "1.4"})

CURVE_SPELLINGS: Final[Mapping[str, str]] = {
    "brainpool256r1": "brainpoolP256r1",
    "brainpool384r1": "brainpoolP384r1",
    "brainpoolp256r1": "brainpoolP256r1",
    "brainpoolp384r1": "brainpoolP384r1",
    "prime256v1": "secp256r1",
}
"""Lower-case spellings of curves, and the one used here."""

_ALGORITHM: Final = re.compile(r"ECDSA-(\w+)-SHA-?256", re.ASCII | re.IGNORECASE)
_PAGINATION: Final = re.compile(r"([TF])(\d{1,15})", re.ASCII)
_VERSION: Final = re.compile(r"(\d+\.\d+)(?:\.\d+)*", re.ASCII)
_HEX: Final = re.compile(r"(?:[0-9A-Fa-f]{2})+", re.ASCII)
_RAW_BYTES: Final = frozenset({48, 64, 96})
"""r‖s of the curves that OCMF names: 192, 256 and 384 bits."""

VEHICLE_ID_TYPES: Final = frozenset({"EVCCID", "EMAID"})


def looks_like(packet: bytes) -> bool:
    """Every record begins with its format's name.

    >>> looks_like(b"OCMF|{}|{}"), looks_like(b"eyJhbGciOi...")
    (True, False)
    """
    return packet.startswith(HEADER)


def sections(packet: bytes) -> tuple[bytes, bytes]:
    """The payload's bytes and the signature's. Raises UnreadablePacketError unless there are both."""
    parts = packet.split(b"|")
    if len(parts) != 3 or parts[0] != HEADER[:-1]:  # noqa: PLR2004 - header, payload, signature
        raise UnreadablePacketError(
            "packet", f"{len(parts)} sections between bars", "OCMF|payload|signature"
        )
    return parts[1], parts[2]


def split(packet: bytes) -> Envelope:
    """The record's two sections; nothing is verified.

    Raises:
        UnreadablePacketError: not three sections, a section that is no JSON object, no serial number
            (MS or GS), or a signature that is neither DER nor r‖s.
    """
    payload, trailer = sections(packet)
    signed = json_object("signature", trailer, AS_WRITTEN)
    return Envelope(
        format=NAME,
        key_id="",
        algorithm=algorithm(signed),
        signing_input=payload,
        signature=_signature(signed),
        payload=payload,
        der=True,
        meter_id=_meter(json_object("payload", payload, AS_WRITTEN)),
    )


def algorithm(signed: Fields) -> str:
    """SA in one spelling; what is missing means the default. Unknown ones stay as they are.

    >>> algorithm({}), algorithm({"SA": "ECDSA-brainpool256r1-SHA256"})
    ('ECDSA-secp256r1-SHA256', 'ECDSA-brainpoolP256r1-SHA256')
    """
    claimed = signed.get("SA", "")
    if type(claimed) is not str or (claimed and not is_id(claimed)):
        raise wrong("signature", signed, "SA", f"a text such as {DEFAULT_ALGORITHM}")
    claimed = claimed.strip()
    match = _ALGORITHM.fullmatch(claimed)
    if match is None:
        return claimed or DEFAULT_ALGORITHM
    curve = match[1].lower()
    return f"ECDSA-{CURVE_SPELLINGS.get(curve, curve)}-SHA256"


def _signature(signed: Fields) -> bytes:
    """SD as DER, whichever way its bytes are written."""
    written = signed.get("SD")
    if type(written) is not str or not written:
        raise wrong("signature", signed, "SD", "a signature as hex or base64 text")
    compact = "".join(written.split())
    for decode in _decoders(signed):
        data = decode(compact)
        if data is not None and (der := _as_der(data)) is not None:
            return der
    raise wrong("signature", signed, "SD", "hex or base64 of a DER ECDSA signature, or of r‖s")


def _decoders(signed: Fields) -> Iterator[Callable[[str], bytes | None]]:
    """Hex and base64, the one that SE names first: some meters name the other."""
    ways = (_from_hex, _from_base64)
    named = signed.get("SE")
    yield from reversed(ways) if named == "base64" else ways


def _from_hex(text: str) -> bytes | None:
    return bytes.fromhex(text) if _HEX.fullmatch(text) else None


def _from_base64(text: str) -> bytes | None:
    try:
        return a2b_base64(text, strict_mode=True)
    except (Base64Error, ValueError):
        return None


def _as_der(data: bytes) -> bytes | None:
    """A DER ECDSA-Sig-Value as it is; r‖s encoded as one; None: neither."""
    try:
        decode_dss_signature(data)
    except ValueError:
        if len(data) not in _RAW_BYTES:
            return None
        half = len(data) // 2
        return encode_dss_signature(int.from_bytes(data[:half]), int.from_bytes(data[half:]))
    return data


def _meter(fields: Fields) -> str:
    """MS, else GS: the serial number under which the meter's key is registered."""
    for name in ("MS", "GS"):
        value = fields.get(name)
        serial = value.strip() if isinstance(value, str) else ""
        if serial:
            if not is_id(serial):
                raise wrong(
                    "payload", fields, name, "a serial number of 1 to 64 printable characters"
                )
            return str(serial)
    raise wrong("payload", fields, "MS", "the meter's serial number (MS, else GS)")


def _pagination(fields: Fields) -> tuple[str, int]:
    value = fields.get("PG")
    match = _PAGINATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or int(match[2]) > NUMBER_MAX:
        raise wrong("payload", fields, "PG", "T or F and a number up to 2^46, such as T12345")
    return match[1], int(match[2])


def _evse(fields: Fields) -> str:
    """CI where CT says that it is an EVSEID; empty where the record names none."""
    if fields.get("CT") != "EVSEID" or fields.get("CI") in (None, ""):
        return ""
    value = fields["CI"]
    if type(value) is not str or not is_id(value):
        raise wrong("payload", fields, "CI", "an EVSEID of 1 to 64 printable characters")
    return value


def _vehicle(fields: Fields) -> str:
    """ID where IT says that it is a car's; empty where the record names none."""
    kind, value = fields.get("IT"), fields.get("ID")
    if not isinstance(kind, str) or kind not in VEHICLE_ID_TYPES:
        return ""
    return value if type(value) is str and is_id(value) else ""


def _require_version(fields: Fields) -> None:
    value = fields.get("FV")
    if value is None:
        return
    match = _VERSION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or match[1] not in VERSIONS:
        raise wrong("payload", fields, "FV", "0.1 to 1.4")


def identify(envelope: Envelope) -> Identity:
    """Whose record it is and of when, unverified; all that landing needs.

    The stream is the meter's pagination: its epoch is made of serial number and context, and each
    record has room for 64 readings in its sequence.

    Raises:
        UnreadablePacketError: no pagination, or a time that cannot be read.
    """
    fields = json_object("payload", envelope.payload, AS_WRITTEN)
    context, number = _pagination(fields)
    return Identity(
        evse_id=_evse(fields),
        stream_epoch=stream_epoch(envelope.meter_id, context),
        sequence=number * READINGS_PER_RECORD,
        signed_at=max(rd.times(fields.get("RD"))),
        meter_id=envelope.meter_id,
    )


def stream_epoch(meter_id: str, context: str) -> int:
    """The epoch of a meter's pagination: the first 52 bits of a SHA-256.

    >>> stream_epoch("1DZG0033016824", "T") < 2**52
    True
    """
    digest = sha256(f"{meter_id}\n{context}".encode()).digest()
    return int.from_bytes(digest[:8]) >> (64 - EPOCH_BITS)


def read(envelope: Envelope) -> MeterRecord:
    """Every point with exact registers, unverified.

    Raises:
        UnreadablePacketError: an unknown version, no pagination, no readings, a time or a register
            that cannot be read, or more than 63 points.
    """
    fields = json_object("payload", envelope.payload, AS_WRITTEN)
    _require_version(fields)
    context, number = _pagination(fields)
    return MeterRecord(
        meter_id=envelope.meter_id,
        evse_id=_evse(fields),
        vehicle_id=_vehicle(fields),
        context=context,
        number=number,
        points=ocmf_points.points(rd.readings(fields.get("RD"))),
    )
