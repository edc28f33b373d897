"""The decoders, each a function of bytes that returns or raises what it is allowed to raise."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

from grid.sep2 import stored
from grid.sep2.controls import controls
from grid.sep2.errors import Sep2Error
from grid.sep2.stored_prices import priced
from settlement import packets
from settlement.packets import UnreadablePacketError
from settlement.packets.keys import UnreadableKeyError, load_public_key

NOW: Final = datetime(2026, 7, 1, tzinfo=UTC)
ALLOWED: Final = (UnreadablePacketError, UnreadableKeyError, Sep2Error)
_SIGNATURE: Final = b'|{"SD":"3006020101020101"}'


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")


_HEADER: Final = _base64url(b'{"alg":"ES256","kid":"k"}')
_RAW: Final = _base64url(bytes(range(64)))


def packet(data: bytes) -> None:
    """Any bytes at the door."""
    envelope = packets.split(data)
    envelope.digest  # noqa: B018 - computed on demand
    refused = None
    for step in (packets.identify, packets.read):
        try:
            step(envelope)
        except UnreadablePacketError as error:
            refused = error
    if refused is not None:
        raise refused


def payload(data: bytes) -> None:
    """The payload of our own packet, in an envelope."""
    packet(b".".join([_HEADER, _base64url(data), _RAW]))


def carried(data: bytes) -> None:
    """A meter's record inside our own packet."""
    fields = {"version": 2, "records": [data.decode("utf-8", "replace")]}
    payload(json.dumps(fields).encode())


def ocmf(data: bytes) -> None:
    """A meter's record."""
    packet(b"OCMF|" + data)


def readings(data: bytes) -> None:
    """The payload of a meter's record, in a frame."""
    packet(b"OCMF|" + data + _SIGNATURE)


def ocpp(data: bytes) -> None:
    """A JSON object at the door."""
    packet(b"{" + data)


def key(data: bytes) -> None:
    """A public key, also as a point on a named curve."""
    try:
        load_public_key(data)
    except UnreadableKeyError:
        load_public_key(data, "secp256k1")


def inspect(data: bytes) -> None:
    """What an operator sees of any bytes; never refuses."""
    from cli.packet_inspection import inspect as look

    seen = look(data, NOW)
    assert all(field.value.isprintable() for field in seen.fields)


def sep2(data: bytes) -> None:
    """A document of IEEE 2030.5, alone and with others; what it says stays printable and bounded."""
    found = stored.read([("a", data)])
    placed, contradictions = found.controls()
    prices = priced(found)
    refused = [*found.refused, *contradictions, *found.missing(), *prices.refused]
    assert all(str(one).isprintable() for one in refused)
    for one in placed:
        # its canonical bytes say the same again
        (again,) = controls(one.control.raw, where="").items
        assert (again.mrid, again.raw) == (one.control.mrid, one.control.raw)
    controls(data, where="a")


DECODERS: Final[Mapping[str, Callable[[bytes], None]]] = {
    "packet": packet,
    "payload": payload,
    "carried": carried,
    "ocmf": ocmf,
    "readings": readings,
    "ocpp": ocpp,
    "key": key,
    "inspect": inspect,
    "sep2": sep2,
}


def decode(name: str, data: bytes) -> None:
    """One input to one decoder; what it may refuse with passes, anything else is raised."""
    refused = ""
    try:
        DECODERS[name](data)
    except ALLOWED as error:
        refused = str(error) or "said nothing"
    assert refused != "said nothing"
