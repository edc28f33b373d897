"""The project's own packet: a compact JWS (RFC 7515, ES256) over a JSON object.

    base64url(header) "." base64url(payload) "." base64url(r‖s)

Header: ``alg``, ``kid`` (the key's RFC 7638 thumbprint), optionally ``typ``; ``crit`` is refused
because nothing here understands an extension (RFC 7515 §4.1.11). Payload: ``FIELDS``; quantities
whose digits matter are decimal text, so that no reader passes them through a float.

The envelope is split here rather than by a JOSE library because the bytes are the evidence: the
signature is checked over the received bytes, and the key's record, never the header, chooses the
algorithm (docs/decisions/0003). A JOSE library makes and checks the same packets in the tests.
"""

import json
import reprlib
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NoReturn

import orjson

from settlement import units
from settlement.decimals import MAX_WHOLE_DIGITS, decimal_text
from settlement.packets.content import Content, Envelope, Identity, UnreadablePacketError

NAME: Final = "jws"
VERSION: Final = 1
SIGNATURE_BYTES: Final = 64
HEADERS_REMEMBERED: Final = 65_536
"""One per key; a header is about 90 bytes, so at most some 20 MiB."""

# What base64url has in place of + and /, back; and what it has not, to something that is no base64.
_TO_STANDARD_ALPHABET: Final = bytes.maketrans(b"-_+/=", b"+/!!!")
_PADDING: Final = (b"", b"===", b"==", b"=")


def looks_like(packet: bytes) -> bool:
    """Every JOSE header begins with ``{"``, so every compact JWS with ``eyJ``.

    >>> looks_like(b"eyJhbGciOi..."), looks_like(b"OCMF|{}|{}")
    (True, False)
    """
    return packet.startswith(b"eyJ")


def _base64url(where: str, part: bytes) -> bytes:
    try:
        standard = part.translate(_TO_STANDARD_ALPHABET) + _PADDING[len(part) % 4]
        return a2b_base64(standard, strict_mode=True)
    except Base64Error as error:
        expected = "base64url without padding (RFC 7515 §2)"
        raise UnreadablePacketError(where, f"not base64url ({error})", expected) from error


def _refuse_constant(name: str) -> NoReturn:
    raise UnreadablePacketError("JSON", name, "finite numbers")


def _refuse_float(digits: str) -> NoReturn:
    raise UnreadablePacketError(
        "JSON", f"the number {digits[:40]}", "integers, or decimals as text"
    )


def _integer(digits: str) -> int:
    if len(digits) > MAX_WHOLE_DIGITS + 1:
        raise UnreadablePacketError(
            "JSON", f"a number of {len(digits)} digits", f"at most {MAX_WHOLE_DIGITS} digits"
        )
    return int(digits)


def _unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise UnreadablePacketError("JSON", f"the name {twice[:40]!r} twice", "each name once")
    return fields


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_unique_names,
    parse_constant=_refuse_constant,
    parse_float=_refuse_float,
    parse_int=_integer,
)


def _object(where: str, part: bytes) -> dict[str, object]:
    try:
        value = _DECODER.decode(part.decode("utf-8"))
    except UnreadablePacketError:
        raise
    except (ValueError, RecursionError) as error:
        raise UnreadablePacketError(
            where, f"not JSON ({error})", "a JSON object in UTF-8"
        ) from error
    if not isinstance(value, dict):
        raise UnreadablePacketError(where, f"a JSON {type(value).__name__}", "a JSON object")
    return value


def split(packet: bytes) -> Envelope:
    """The three parts of a compact JWS; nothing is verified.

    Raises:
        UnreadablePacketError: not three parts, not base64url, header without ``alg`` or ``kid``,
            a critical extension, or a signature that is not 64 bytes.
    """
    parts = packet.split(b".")
    if len(parts) != 3:  # noqa: PLR2004 - a compact JWS has three parts
        raise UnreadablePacketError("packet", f"{len(parts)} parts", "header.payload.signature")
    key_id, algorithm = _header(parts[0])
    signature = _base64url("signature", parts[2])
    if len(signature) != SIGNATURE_BYTES:
        raise UnreadablePacketError(
            "signature",
            f"{len(signature)} bytes",
            f"r‖s of {SIGNATURE_BYTES} bytes (RFC 7518 §3.4)",
        )
    return Envelope(
        format=NAME,
        key_id=key_id,
        algorithm=algorithm,
        signing_input=packet[: len(parts[0]) + 1 + len(parts[1])],
        signature=signature,
        payload=_base64url("payload", parts[1]),
    )


@lru_cache(maxsize=HEADERS_REMEMBERED)
def _header(part: bytes) -> tuple[str, str]:
    """``kid`` and ``alg``. A charger sends the same header with every packet, so it is remembered."""
    header = _object("header", _base64url("header", part))
    if "crit" in header or header.get("b64", True) is not True:
        raise UnreadablePacketError("header", "an extension (crit or b64)", "alg and kid only")
    return _text(header, "kid", "header"), _text(header, "alg", "header")


def _text(fields: dict[str, object], name: str, where: str = "payload") -> str:
    value = fields.get(name)
    if (
        type(value) is not str
        or not 0 < len(value) <= units.ID_MAX_CHARS
        or not value.isprintable()
    ):
        raise _wrong(where, fields, name, f"1 to {units.ID_MAX_CHARS} printable characters")
    return value


def _wrong(
    where: str, fields: dict[str, object], name: str, expected: str
) -> UnreadablePacketError:
    # reprlib: a value may be nested deeper than repr can follow.
    found = reprlib.repr(fields[name]) if name in fields else "missing"
    return UnreadablePacketError(f"{where}.{name}", found, expected)


def _count(fields: dict[str, object], name: str) -> int:
    value = fields.get(name)
    if type(value) is not int or not 0 <= value <= units.SEQUENCE_MAX:
        raise _wrong("payload", fields, name, "a JSON integer from 0 to 2^53 - 1")
    return value


def _time(fields: dict[str, object], name: str) -> datetime:
    value = fields.get(name)
    try:
        if type(value) is not str or len(value) > 32:  # noqa: PLR2004 - longer than any RFC 3339 time in µs
            raise ValueError
        parsed = datetime.fromisoformat(value)
        if parsed.tzinfo is None:
            raise ValueError
        return parsed.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise _wrong(
            "payload",
            fields,
            name,
            "a time as RFC 3339 text with its offset, such as 2026-07-01T17:00:15Z",
        ) from error


def _decimal(places: int) -> Callable[[dict[str, object], str], int]:
    def parse(fields: dict[str, object], name: str) -> int:
        value = fields.get(name)
        try:
            if type(value) is not str:
                raise ValueError
            return decimal_text(value, places)
        except ValueError as error:
            expected = f"a decimal as text with at most {places} digits after the point"
            raise _wrong("payload", fields, name, expected) from error

    return parse


_watts: Final = _decimal(0)
_wh: Final = _decimal(3)
_percent: Final = _decimal(4)
_degrees: Final = _decimal(6)
_milliseconds: Final = _decimal(3)

FIELDS: Final[dict[str, str]] = {
    "version": "1, the version of this table",
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
"""Every field of the payload, all required. Further names are kept in the bytes and ignored."""


def _require_version(fields: dict[str, object]) -> None:
    if fields.get("version") != VERSION:
        raise _wrong("payload", fields, "version", str(VERSION))


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
    _require_version(fields)
    return Identity(
        evse_id=_text(fields, "evse_id"),
        stream_epoch=_count(fields, "stream_epoch"),
        sequence=_count(fields, "sequence"),
        signed_at=_time(fields, "ended_at"),
    )


def read(envelope: Envelope) -> Content:
    """Every field as exact integers, unverified.

    Raises:
        UnreadablePacketError: a field is missing, of the wrong type, or not exactly representable.
    """
    fields = _object("payload", envelope.payload)
    _require_version(fields)
    return Content(
        evse_id=_text(fields, "evse_id"),
        vehicle_id=_text(fields, "vehicle_id"),
        session_id=_text(fields, "session_id"),
        stream_epoch=_count(fields, "stream_epoch"),
        sequence=_count(fields, "sequence"),
        started_at=_time(fields, "started_at"),
        ended_at=_time(fields, "ended_at"),
        power_start_w=_watts(fields, "power_start_w"),
        power_end_w=_watts(fields, "power_end_w"),
        export_start_milliwh=_wh(fields, "export_start_wh"),
        export_end_milliwh=_wh(fields, "export_end_wh"),
        import_start_milliwh=_wh(fields, "import_start_wh"),
        import_end_milliwh=_wh(fields, "import_end_wh"),
        soc_start_ppm=_percent(fields, "soc_start_pct"),
        soc_end_ppm=_percent(fields, "soc_end_pct"),
        latitude_microdeg=_degrees(fields, "latitude_deg"),
        longitude_microdeg=_degrees(fields, "longitude_deg"),
        clock_offset_us=_milliseconds(fields, "clock_offset_ms"),
    )
