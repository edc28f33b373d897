"""The project's own packet: a compact JWS (RFC 7515, ES256) over a JSON object.

    base64url(header) "." base64url(payload) "." base64url(r‖s)

Header: ``alg``, ``kid`` (the key's RFC 7638 thumbprint), optionally ``typ``; ``crit`` is refused
because nothing here understands an extension (RFC 7515 §4.1.11). Payload: ``FIELDS``; quantities
whose digits matter are decimal text, so that no reader passes them through a float.

Version 2 may leave out what a charger does not know (``OPTIONAL``), and may carry the meter's own
records in place of the registers (``carried``).

The envelope is split here rather than by a JOSE library because the bytes are the evidence: the
signature is checked over the received bytes, and the key's record, never the header, chooses the
algorithm (docs/decisions/0003). A JOSE library makes and checks the same packets in the tests.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import orjson

from settlement.packets import carried
from settlement.packets.content import Content, Envelope, Identity, UnreadablePacketError
from settlement.packets.fields import (
    Fields,
    base64url,
    count,
    decimal,
    json_object,
    text,
    time,
    wrong,
)

NAME: Final = "jws"
VERSIONS: Final = (1, 2)
SIGNATURE_BYTES: Final = 64
HEADERS_REMEMBERED: Final = 65_536
"""One per key; a header is about 90 bytes, so at most some 20 MiB."""


def looks_like(packet: bytes) -> bool:
    """Every JOSE header begins with ``{"``, so every compact JWS with ``eyJ``.

    >>> looks_like(b"eyJhbGciOi..."), looks_like(b"OCMF|{}|{}")
    (True, False)
    """
    return packet.startswith(b"eyJ")


def split(packet: bytes) -> Envelope:
    """The three parts of a compact JWS; nothing is verified.

    Raises:
        UnreadablePacketError: not three parts, not base64url, header without ``alg`` or ``kid``,
            a critical extension, a signature that is not 64 bytes, or records inside that are none.
    """
    parts = packet.split(b".")
    if len(parts) != 3:  # noqa: PLR2004 - a compact JWS has three parts
        raise UnreadablePacketError("packet", f"{len(parts)} parts", "header.payload.signature")
    key_id, algorithm = _header(parts[0])
    signature = base64url("signature", parts[2])
    if len(signature) != SIGNATURE_BYTES:
        raise UnreadablePacketError(
            "signature",
            f"{len(signature)} bytes",
            f"r‖s of {SIGNATURE_BYTES} bytes (RFC 7518 §3.4)",
        )
    payload = base64url("payload", parts[1])
    return Envelope(
        format=NAME,
        key_id=key_id,
        algorithm=algorithm,
        signing_input=packet[: len(parts[0]) + 1 + len(parts[1])],
        signature=signature,
        payload=payload,
        inner=carried.records(payload),
    )


@lru_cache(maxsize=HEADERS_REMEMBERED)
def _header(part: bytes) -> tuple[str, str]:
    """``kid`` and ``alg``. A charger sends the same header with every packet, so it is remembered."""
    header = json_object("header", base64url("header", part))
    if "crit" in header or header.get("b64", True) is not True:
        raise UnreadablePacketError("header", "an extension (crit or b64)", "alg and kid only")
    return text(header, "kid", "header"), text(header, "alg", "header")


_watts: Final = decimal(0)
_wh: Final = decimal(3)
_percent: Final = decimal(4)
_degrees: Final = decimal(6)
_milliseconds: Final = decimal(3)

FIELDS: Final[dict[str, str]] = {
    "version": "1 or 2, the version of this table",
    "evse_id": "text: the charger (EVSEID)",
    "vehicle_id": "text: the car (EVCCID)",
    "session_id": "text: the charging session",
    "stream_epoch": "integer: rises when the sequence starts anew",
    "sequence": "integer: rises by one per packet",
    "started_at": "RFC 3339 text: start of the half-open interval",
    "ended_at": "RFC 3339 text: its end, which is also the signed time",
    "power_start_w": "decimal text, W, discharge positive",
    "power_end_w": "decimal text, W, discharge positive",
    "export_start_wh": "decimal text, Wh, at most 3 places: the meter's export register",
    "export_end_wh": "decimal text, Wh, at most 3 places",
    "import_start_wh": "decimal text, Wh, at most 3 places: the meter's import register",
    "import_end_wh": "decimal text, Wh, at most 3 places",
    "soc_start_pct": "decimal text, percent, at most 4 places",
    "soc_end_pct": "decimal text, percent, at most 4 places",
    "latitude_deg": "decimal text, degrees WGS 84, at most 6 places",
    "longitude_deg": "decimal text, degrees WGS 84, at most 6 places",
    "clock_offset_ms": "decimal text, ms, at most 3 places: the EVSE's own estimate of its clock error",
}
"""Every field of version 1, all required. Further names are kept in the bytes and ignored."""

OPTIONAL: Final = (
    ("power_start_w", "power_end_w"),
    ("soc_start_pct", "soc_end_pct"),
    ("latitude_deg", "longitude_deg"),
)
"""What version 2 may leave out: both of a pair, or neither."""

REGISTERS: Final = ("export_start_wh", "export_end_wh", "import_start_wh", "import_end_wh")
"""What version 2 leaves out where it carries the meter's records."""


def _version(fields: Fields) -> int:
    value = fields.get("version")
    # A bool equals an integer, and orjson makes floats.
    if type(value) is not int or value not in VERSIONS:
        raise wrong("payload", fields, "version", " or ".join(map(str, VERSIONS)))
    return value


def identify(envelope: Envelope) -> Identity:
    """Whose packet it is and of when, unverified; all that landing needs.

    Landing judges nothing, and every packet passes through here first: so this reads with the fast
    parser and leaves a name given twice, or a float, to ``read``.

    Raises:
        UnreadablePacketError: the payload is no JSON object or lacks one of these fields.
    """
    try:
        fields = orjson.loads(envelope.payload)
    except orjson.JSONDecodeError as error:
        raise UnreadablePacketError(
            "payload", f"not JSON ({error})", "a JSON object in UTF-8"
        ) from error
    if not isinstance(fields, dict):
        raise UnreadablePacketError("payload", f"a JSON {type(fields).__name__}", "a JSON object")
    _version(fields)
    return Identity(
        evse_id=text(fields, "evse_id"),
        stream_epoch=count(fields, "stream_epoch"),
        sequence=count(fields, "sequence"),
        signed_at=time(fields, "ended_at"),
    )


def read(envelope: Envelope) -> Content:
    """Every field as exact integers, unverified.

    Raises:
        UnreadablePacketError: a field is missing, of the wrong type, or not exactly representable; or
            a record inside is, or does not begin and end with the packet.
    """
    fields = json_object("payload", envelope.payload)
    left_out = _left_out(fields, carries=bool(envelope.inner)) if _version(fields) > 1 else ()

    def optional(parse: Callable[[Fields, str], int], name: str) -> int | None:
        return None if name in left_out else parse(fields, name)

    started_at, ended_at = time(fields, "started_at"), time(fields, "ended_at")
    if envelope.inner:
        registers = carried.registers(envelope.inner, started_at, ended_at)
    else:
        values = [_wh(fields, name) for name in REGISTERS]
        registers = carried.Registers(values[0], values[1], values[2], values[3])
    content = Content(
        evse_id=text(fields, "evse_id"),
        vehicle_id=text(fields, "vehicle_id"),
        session_id=text(fields, "session_id"),
        stream_epoch=count(fields, "stream_epoch"),
        sequence=count(fields, "sequence"),
        started_at=started_at,
        ended_at=ended_at,
        power_start_w=optional(_watts, "power_start_w"),
        power_end_w=optional(_watts, "power_end_w"),
        export_start_milliwh=registers.export_start_milliwh,
        export_end_milliwh=registers.export_end_milliwh,
        import_start_milliwh=registers.import_start_milliwh,
        import_end_milliwh=registers.import_end_milliwh,
        soc_start_ppm=optional(_percent, "soc_start_pct"),
        soc_end_ppm=optional(_percent, "soc_end_pct"),
        latitude_microdeg=optional(_degrees, "latitude_deg"),
        longitude_microdeg=optional(_degrees, "longitude_deg"),
        clock_offset_us=_milliseconds(fields, "clock_offset_ms"),
        problem=registers.problem,
    )
    if b"\\u" in envelope.payload:
        # Half of a character, written as an escape: what ``identify`` cannot read must not be paid,
        # because it is not filed where its proof is looked for.
        identify(envelope)
    return content


def _left_out(fields: Fields, *, carries: bool) -> frozenset[str]:
    """The optional fields that a packet of version 2 leaves out; the records' place is checked too."""
    if carries != (carried.NAME in fields):
        raise UnreadablePacketError(
            f"payload.{carried.NAME}", "a name written with escapes", "the plain name"
        )
    if carries and (stated := [name for name in REGISTERS if name in fields]):
        raise UnreadablePacketError(
            f"payload.{stated[0]}", "registers beside records", "registers or records, not both"
        )
    left_out: list[str] = []
    for pair in OPTIONAL:
        missing = [name for name in pair if name not in fields]
        if len(missing) == 1:
            raise wrong("payload", fields, missing[0], f"both {pair[0]} and {pair[1]}, or neither")
        left_out += missing
    return frozenset(left_out)
