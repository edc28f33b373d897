"""A packet's values one by one, each with its place and its meaning, also where it is malformed."""

import json
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from settlement.packets import UnreadablePacketError, carried, jws, keys, meanings, ocmf, ocpp

ROWS_MAX: Final = 1_000
DEPTH_MAX: Final = 8
_OWN: Final = {
    **jws.FIELDS,
    carried.NAME: "the meter's records, verbatim; theirs are the registers",
}
_STANDARD: Final = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class Field:
    """One value of the packet: where it stands, as received, and what it means."""

    path: str
    value: str
    meaning: str


def packet_fields(form: str, packet: bytes) -> Iterator[Field]:
    """Every value of a packet, as far as it can be read; ``form`` is the name of its format."""
    for number, row in enumerate(_fields(form, packet)):
        if number == ROWS_MAX:
            yield Field("…", "", f"more than {ROWS_MAX} values")
            return
        yield row


def _fields(form: str, packet: bytes) -> Iterator[Field]:
    if form == ocmf.NAME:
        yield from _ocmf_fields("", packet)
    elif form == jws.NAME:
        yield from _jws_fields(packet)
    elif form == ocpp.NAME:
        yield from _ocpp_fields(packet)
    else:
        yield Field("packet", _text(packet[:200]), "the first bytes")


def _ocmf_fields(prefix: str, record: bytes) -> Iterator[Field]:
    parts = record.split(b"|", 2)
    for name, part in zip(("payload", "signature"), parts[1:], strict=False):
        yield from _json_fields(f"{prefix}{name}", part, meanings.OCMF)


def _jws_fields(packet: bytes) -> Iterator[Field]:
    parts = packet.split(b".")
    for name, part, known in zip(("header", "payload"), parts, (meanings.JOSE, _OWN), strict=False):
        try:
            decoded = a2b_base64(part.translate(_STANDARD) + b"==")
        except (Base64Error, ValueError):
            yield Field(name, _text(part[:200]), "not base64url")
            continue
        yield from _json_fields(name, decoded, known)
        if name == "payload":
            records = _lenient(decoded)
            inner = records.get(carried.NAME) if isinstance(records, dict) else None
            for place, one in enumerate(inner[:8] if isinstance(inner, list) else ()):
                yield from _ocmf_fields(f"{carried.NAME}[{place}].", _bytes(one))


def _ocpp_fields(packet: bytes) -> Iterator[Field]:
    yield from _json_fields("packet", packet, meanings.OCPP)
    try:
        where, inner = ocpp.unwrapped(packet)
    except UnreadablePacketError:
        return
    if inner is not None:
        if where != "packet":
            yield from _leaves(where, inner, meanings.OCPP)
        written = inner.get("publicKey")
        if isinstance(written, str) and written:
            yield Field(f"{where}.publicKey", _key(written), meanings.OCPP["publicKey"])
    try:
        yield from _ocmf_fields("record.", ocpp.record(packet))
    except UnreadablePacketError:
        return


def _key(written: str) -> str:
    try:
        key = keys.load_public_key(_bytes(written))
    except keys.UnreadableKeyError as error:
        return str(error)
    return f"{keys.key_id_of(key)} on {keys.curve_of(key)}"


def _json_fields(where: str, data: bytes, known: Mapping[str, str]) -> Iterator[Field]:
    value = _lenient(data)
    if value is None:
        yield Field(where, _text(data[:200]), "not JSON")
    else:
        yield from _leaves(where, value, known)


def _leaves(path: str, value: object, known: Mapping[str, str], depth: int = 0) -> Iterator[Field]:
    if depth < DEPTH_MAX and isinstance(value, Mapping) and value:
        for name, one in value.items():
            yield from _leaves(f"{path}.{name}", one, known, depth + 1)
    elif depth < DEPTH_MAX and isinstance(value, Sequence) and not isinstance(value, str) and value:
        for place, one in enumerate(value):
            yield from _leaves(f"{path}[{place}]", one, known, depth + 1)
    else:
        name = path.rpartition(".")[2].partition("[")[0]
        shown = value if isinstance(value, str) else json.dumps(value, default=str)[:200]
        said = meanings.spelled_out(name, shown) if known is meanings.OCMF else ""
        meaning = ": ".join(part for part in (known.get(name, ""), said) if part)
        yield Field(_printable(path), _printable(shown), meaning)


def _twice_shown(pairs: list[tuple[str, object]]) -> dict[str, object]:
    shown: dict[str, object] = {}
    for name, value in pairs:
        shown[f"{name} (given again)" if name in shown else name] = value
    return shown


def _lenient(data: bytes) -> object:
    """What JSON says, a name given twice shown twice; None: it is none, or nested too deep."""
    try:
        return json.loads(
            data.decode("utf-8", "replace"),
            object_pairs_hook=_twice_shown,
            parse_float=str,
            parse_int=str,
        )
    except (ValueError, RecursionError):
        return None


def _bytes(value: object) -> bytes:
    return str(value).encode("utf-8", "replace")


def _text(data: bytes) -> str:
    return _printable(data.decode("utf-8", "backslashreplace"))


def _printable(text: str) -> str:
    """A text that does nothing to a terminal but stand there."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )
