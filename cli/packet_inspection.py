"""What a packet says, field by field, and why it would or would not be paid; no key is asked.

Whatever can be read is shown, also of bytes that are no packet: the findings say where reading ended.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from cli.packet_fields import Field, packet_fields
from settlement import packets
from settlement.meter_readings import within
from settlement.packets import (
    Content,
    Envelope,
    MeterPoint,
    MeterRecord,
    UnreadablePacketError,
    keys,
    ocmf,
)
from settlement.reasons import PacketReason
from settlement.verdicts import Policy, fault

NOTE: Final = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """Why the packet would not be paid (``reason``, of ``PacketReason``), or a note (empty)."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """All that can be said of a packet without a key.

    Attributes:
        digest: SHA-256 of the signed bytes, which is the packet's identity; empty: not readable.
        numbered: meter, context and number of a meter's own record.
    """

    format: str
    size: int
    packet_digest: str
    digest: str
    fields: tuple[Field, ...]
    said: dict[str, object]
    points: tuple[MeterPoint, ...]
    findings: tuple[Finding, ...]
    numbered: tuple[str, str, int] | None = None
    payable: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "payable", not any(one.reason for one in self.findings))

    @property
    def readable(self) -> bool:
        """Whether it is a packet at all."""
        return all(one.reason != PacketReason.UNREADABLE for one in self.findings)


def inspect(packet: bytes, now: datetime) -> Inspection:
    """Look at a packet; ``now`` only serves to notice a time that is yet to come."""
    form = next((form.NAME for form in packets.FORMATS if form.looks_like(packet)), "unknown")
    envelope: Envelope | None = None
    content: Content | MeterRecord | None = None
    findings: list[Finding] = []
    try:
        envelope = packets.split(packet)
        content = packets.read(envelope)
    except UnreadablePacketError as error:
        findings.append(Finding(PacketReason.UNREADABLE, str(error)))
    if envelope is not None:
        findings += _of_signatures(envelope)
    if content is not None:
        findings += _of_content(content, now)
    record = content if isinstance(content, MeterRecord) else None
    return Inspection(
        format=form,
        size=len(packet),
        packet_digest=sha256(packet).hexdigest(),
        digest=envelope.digest.hex() if envelope else "",
        fields=tuple(packet_fields(form, packet)),
        said=_said(content),
        points=tuple(_points(envelope, record)),
        findings=tuple(findings),
        numbered=(record.meter_id, record.context, record.number) if record else None,
    )


def _points(envelope: Envelope | None, record: MeterRecord | None) -> Iterator[MeterPoint]:
    if record is not None:
        yield from record.points
    for inner in envelope.inner if envelope else ():
        try:
            yield from ocmf.read(inner).points
        except UnreadablePacketError:
            continue  # a finding already


def _said(content: Content | MeterRecord | None) -> dict[str, object]:
    if content is None:
        return {}
    names = [name for name in content.__dataclass_fields__ if name not in ("points", "problem")]
    return {name: getattr(content, name) for name in names}


def _of_signatures(envelope: Envelope) -> Iterator[Finding]:
    for part in (envelope, *envelope.inner):
        who = f"meter {part.meter_id}" if part.meter_id else f"key {part.key_id}"
        curve = _curve(part.algorithm)
        if curve == "secp256r1":
            yield Finding(NOTE, f"must stand under the key that is enrolled as {who}")
        elif curve in keys.CURVES:
            detail = f"must stand under {who}, enrolled with an allowance of {curve}"
            yield Finding(NOTE, detail)
        else:
            detail = f"{who}: {part.algorithm}; expected ECDSA with SHA-256 on one of "
            yield Finding(PacketReason.WRONG_ALGORITHM, detail + ", ".join(keys.CURVES))


def _curve(algorithm: str) -> str:
    if algorithm == "ES256":
        return "secp256r1"
    return algorithm.removeprefix("ECDSA-").removesuffix("-SHA256")


def _of_content(content: Content | MeterRecord, now: datetime) -> Iterator[Finding]:
    if isinstance(content, MeterRecord):
        yield from _of_record(content)
        signed_at = content.points[-1].at
    else:
        found = fault(content)
        if found is not None:
            yield Finding(*found)
        if content.clock_offset_us is not None:
            yield from _of_clock(timedelta(microseconds=content.clock_offset_us))
        if content.export_end_milliwh == content.export_start_milliwh:
            yield Finding(NOTE, "exports nothing: there is nothing to pay for")
        signed_at = content.ended_at
    if signed_at > now + Policy().future:
        detail = f"signed {signed_at.isoformat()}; it is {now.isoformat()}"
        yield Finding(PacketReason.FUTURE_TIME, detail)


def _of_clock(offset: timedelta) -> Iterator[Finding]:
    if abs(offset) > Policy().clock_offset:
        detail = f"{offset / timedelta(milliseconds=1)} ms; expected at most "
        most = Policy().clock_offset / timedelta(milliseconds=1)
        yield Finding(PacketReason.CLOCK_OFFSET, f"{detail}{most:g} either way")


def _of_record(record: MeterRecord) -> Iterator[Finding]:
    for point in record.points:
        if point.problem:
            detail = f"point at {point.at.isoformat()}: {point.problem}"
            yield Finding(PacketReason.NOT_BILLABLE, detail)
    for interval in within(record, record.evse_id or "?"):
        found = fault(interval)
        if found is not None and not any(
            p.problem and p.problem in found[1] for p in record.points
        ):
            yield Finding(*found)
    if all(point.export_milliwh is None for point in record.points):
        yield Finding(NOTE, "states no export register: its export counts as 0")
    if len(record.points) == 1:
        detail = "one point: its energy lies between the record before it and the record after it"
        yield Finding(NOTE, detail)
    if not record.evse_id:
        yield Finding(NOTE, "names no EVSE: the meter's key says whose it is")
    if not record.vehicle_id:
        detail = "names no vehicle: paid to the contract of EVSE:<its EVSE>, where there is one"
        yield Finding(NOTE, detail)
