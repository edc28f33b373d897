"""Packets: signed bytes taken apart, one module per format, chosen by a cheap look at the bytes.

``split`` gives the envelope (what was signed, by which key, with which signature) without believing
any of it; ``identify`` gives what landing needs; ``read`` gives every field as exact integers.
Whether the signature stands, and whether the values are permitted, is for ``settlement.verdicts``.
docs/packets.md has all of it in words. Where to go to:

    content       what a packet says, whatever its format, and the error for bytes that are none
    jws           the project's own packet; ``carried``: a meter's records inside it
    ocmf          a meter's own record; ``ocmf_fields``: its readings; ``ocmf_points``: made points in time
    ocpp          OCPP's wrappings of such a record
    fields        JSON read so that nothing can be read two ways
    keys          public keys, however they are written
    pagination    the counter of a meter's records
    meanings      what the fields mean, for people
"""

from typing import Final, Protocol

from settlement import units
from settlement.packets import jws, ocmf, ocpp
from settlement.packets.content import (
    Content,
    Envelope,
    Identity,
    MeterPoint,
    MeterRecord,
    UnreadablePacketError,
)

__all__ = [
    "FORMATS",
    "Content",
    "Envelope",
    "Identity",
    "MeterPoint",
    "MeterRecord",
    "PacketFormat",
    "UnreadablePacketError",
    "identify",
    "read",
    "split",
]


class PacketFormat(Protocol):
    """What a module must offer to be a packet format."""

    @property
    def NAME(self) -> str:  # noqa: N802 - a constant of the module
        """How the format is called in envelopes and messages."""

    def looks_like(self, packet: bytes) -> bool:
        """A cheap look: could these bytes be of this format? Never raises."""

    def split(self, packet: bytes) -> Envelope:
        """The parts of the packet. Raises UnreadablePacketError."""

    def identify(self, envelope: Envelope) -> Identity:
        """Whose packet it is and of when, unverified. Raises UnreadablePacketError."""

    def read(self, envelope: Envelope) -> Content | MeterRecord:
        """Every field, unverified. Raises UnreadablePacketError."""


FORMATS: Final[tuple[PacketFormat, ...]] = (jws, ocmf, ocpp)
"""Tried in this order."""


def split(packet: bytes) -> Envelope:
    """Take a packet apart.

    Raises:
        UnreadablePacketError: too large, of no known format, or malformed.

    >>> split(b"hello")
    Traceback (most recent call last):
    ...
    settlement.packets.content.UnreadablePacketError: packet: none of the known formats (jws, ocmf, \
ocpp); expected a compact JWS, an OCMF record, or OCPP's object with one
    """
    if len(packet) > units.PACKET_MAX_BYTES:
        raise UnreadablePacketError(
            "packet", f"{len(packet)} bytes", f"at most {units.PACKET_MAX_BYTES} bytes"
        )
    for form in FORMATS:
        if form.looks_like(packet):
            return form.split(packet)
    names = ", ".join(form.NAME for form in FORMATS)
    raise UnreadablePacketError(
        "packet",
        f"none of the known formats ({names})",
        "a compact JWS, an OCMF record, or OCPP's object with one",
    )


def _format_of(envelope: Envelope) -> PacketFormat:
    for form in FORMATS:
        if envelope.format == form.NAME:
            return form
    raise UnreadablePacketError(
        "packet", f"format {envelope.format!r}", ", ".join(f.NAME for f in FORMATS)
    )


def identify(envelope: Envelope) -> Identity:
    """EVSE, epoch, sequence and signed time, unverified. Raises UnreadablePacketError."""
    return _format_of(envelope).identify(envelope)


def read(envelope: Envelope) -> Content | MeterRecord:
    """Every field as exact integers, unverified. Raises UnreadablePacketError."""
    return _format_of(envelope).read(envelope)
