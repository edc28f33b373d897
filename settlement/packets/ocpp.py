"""A meter's record wrapped as OCPP carries it; unwrapped, it is the record alone (``ocmf``).

* 2.0.1 and 2.1, ``SignedMeterValueType``: {signedMeterData, signingMethod, encodingMethod, publicKey}
* 1.6, ``sampledValue``: {value, format: "SignedData", …} whose ``value`` is that object as JSON text

``signedMeterData`` is base64 of the record, or the record itself. The key beside it proves nothing and
is not used. Source: Open Charge Alliance, "Signed Meter Values in OCPP", and the schemas of OCPP 2.1.
"""

from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Final

from settlement.packets import ocmf
from settlement.packets.content import Envelope, UnreadablePacketError
from settlement.packets.fields import AS_WRITTEN, Fields, json_object, wrong

NAME: Final = "ocpp"
DATA: Final = "signedMeterData"
SIGNED_DATA: Final = "SignedData"

identify = ocmf.identify
read = ocmf.read


def looks_like(packet: bytes) -> bool:
    """A JSON object; no other format begins with one.

    >>> looks_like(b'{"signedMeterData":""}'), looks_like(b"OCMF|{}|{}")
    (True, False)
    """
    return packet.lstrip()[:1] == b"{"


def split(packet: bytes) -> Envelope:
    """The envelope of the record inside; nothing is verified.

    Raises:
        UnreadablePacketError: no SignedMeterValueType, no OCMF inside it, or a malformed record.
    """
    return ocmf.split(record(packet))


def record(packet: bytes) -> bytes:
    """The OCMF record that the object carries. Raises UnreadablePacketError."""
    where, fields = unwrapped(packet)
    if fields is None:
        return _bytes(where, json_object("packet", packet, AS_WRITTEN)["value"])
    return _record(where, fields)


def unwrapped(packet: bytes) -> tuple[str, Fields | None]:
    """Where the SignedMeterValueType stands, and its fields; None: a 1.6 value is the record itself.

    Raises:
        UnreadablePacketError: neither that object nor a 1.6 value that holds it.
    """
    fields = json_object("packet", packet, AS_WRITTEN)
    if DATA in fields:
        return "packet", fields
    value = fields.get("value")
    if type(value) is not str or fields.get("format", SIGNED_DATA) != SIGNED_DATA:
        raise UnreadablePacketError(
            "packet",
            f"a JSON object of {_names(fields)}",
            f"OCPP: {DATA}, or a 1.6 value with format {SIGNED_DATA}",
        )
    if value.startswith(ocmf.HEADER.decode()):
        return "packet.value", None
    inner = json_object("packet.value", _bytes("packet.value", value), AS_WRITTEN)
    return "packet.value", inner


def _names(fields: Mapping[str, object]) -> str:
    return ", ".join(repr(name[:40]) for name in list(fields)[:6]) or "no fields"


def _bytes(where: str, value: object) -> bytes:
    try:
        return str(value).encode("utf-8")
    except UnicodeEncodeError as error:
        raise UnreadablePacketError(where, f"no text ({error.reason})", "UTF-8") from error


def _record(where: str, fields: Fields) -> bytes:
    data = fields.get(DATA)
    if type(data) is not str or not data:
        raise wrong(where, fields, DATA, "base64 of an OCMF record")
    found = _bytes(f"{where}.{DATA}", data)
    if not ocmf.looks_like(found):
        try:
            found = a2b_base64(b"".join(found.split()), strict_mode=True)
        except (Base64Error, ValueError) as error:
            raise wrong(where, fields, DATA, "base64 of an OCMF record") from error
    if not ocmf.looks_like(found):
        method = str(fields.get("encodingMethod", ""))[:40]
        raise UnreadablePacketError(
            f"{where}.{DATA}", f"something else than OCMF (encodingMethod {method!r})", "OCMF|…|…"
        )
    return found.rstrip()
