"""From packets to readings: each landed packet gets exactly one verdict.

Judging is repeatable: the same packet, keys and policy give the same verdict. What needs the other
packets (the same content again, another content for one identity) is decided where identities are
unique, in ``storage.judging``; everything else is decided here, in the order of ``PacketReason``.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from settlement import packets, units
from settlement.packets import Content, Envelope, UnreadablePacketError
from settlement.reasons import PacketReason
from settlement.schemas import READING
from settlement.signatures import DeviceKey, stand


@dataclass(frozen=True, slots=True)
class LandedPacket:
    """A packet as it was landed.

    Attributes:
        packet: the bytes as received.
        received_at: when this system first held them.
        batch_id: the landing batch.
        topic_evse_id: the EVSE on whose topic it came; None where it came without one.
    """

    packet: bytes
    received_at: datetime
    batch_id: int
    topic_evse_id: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """What a packet's clock may be off, in either direction."""

    clock_offset: timedelta = timedelta(milliseconds=50)
    future: timedelta = timedelta(milliseconds=50)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one packet: a reading, or a reason with its detail.

    ``content`` is what the packet says; where ``reason`` is set it is a claim and nothing more.
    """

    landed: LandedPacket
    envelope: Envelope | None
    content: Content | None
    reason: PacketReason | None
    detail: str

    @property
    def packet_digest(self) -> bytes:
        """SHA-256 of the whole packet as received."""
        return sha256(self.landed.packet).digest()


_RANGES: Final = tuple(
    (c.name, c.low, c.high, c.unit)
    for c in READING.columns
    if c.low is not None and c.high is not None
)


def value_problem(content: Content) -> str:
    """The first value outside its permitted range, in words; empty where there is none.

    The ranges are those of ``settlement.schemas.READING``.
    """
    for name, low, high, unit in _RANGES:
        value = getattr(content, name)
        if not low <= value <= high:
            return f"{name}: {value} {unit}; expected {low} to {high}"
    length = content.ended_at - content.started_at
    if not timedelta(0) < length <= units.INTERVAL_MAX:
        return f"ended_at: {length} after started_at; expected more than 0 and at most {units.INTERVAL_MAX}"
    if not units.EARLIEST <= content.started_at < content.ended_at < units.LATEST:
        expected = f"{units.EARLIEST.year} to {units.LATEST.year}"
        return f"started_at: {content.started_at.isoformat()}; expected {expected}"
    for way in ("export", "import"):
        start, end = (getattr(content, f"{way}_{edge}_milliwh") for edge in ("start", "end"))
        if not 0 <= end - start <= units.READING_MAX_MILLIWH:
            return (
                f"{way}_end_wh: register went by {end - start} mWh;"
                f" expected 0 to {units.READING_MAX_MILLIWH} in one interval"
            )
    return ""


def judge(
    landed: Sequence[LandedPacket],
    keys: Mapping[str, DeviceKey],
    policy: Policy,
    executor: Executor,
) -> list[Verdict]:
    """Judge packets, in their order.

    Args:
        landed: the packets.
        keys: enrolled keys by key id.
        policy: clock tolerances.
        executor: threads that check signatures.

    Returns:
        One verdict per packet, in the same order.
    """
    verdicts = [_before_signature(one, keys) for one in landed]
    waiting = [i for i, verdict in enumerate(verdicts) if verdict.reason is None]
    checks = [(keys[e.key_id], e) for i in waiting if (e := verdicts[i].envelope) is not None]
    for i, signed in zip(waiting, stand(checks, executor), strict=True):
        verdicts[i] = _after_signature(verdicts[i], keys, policy, signed=signed)
    return verdicts


def _before_signature(one: LandedPacket, keys: Mapping[str, DeviceKey]) -> Verdict:
    """What can be said without the costly part; ``reason`` None where the signature must decide."""
    envelope = None
    try:
        envelope = packets.split(one.packet)
        content = packets.read(envelope)
    except UnreadablePacketError as error:
        return Verdict(one, envelope, None, PacketReason.UNREADABLE, str(error))

    def refused(reason: PacketReason, detail: str) -> Verdict:
        return Verdict(one, envelope, content, reason, detail)

    key = keys.get(envelope.key_id)
    if key is None:
        return refused(PacketReason.UNKNOWN_KEY, f"kid: {envelope.key_id}; not enrolled")
    if not key.valid_for(content.ended_at, one.received_at):
        return refused(
            PacketReason.KEY_NOT_VALID,
            f"kid: {key.key_id} is valid from {key.valid_from} to {key.valid_to or 'open'},"
            f" revoked {key.revoked_at or 'never'}; signed {content.ended_at}, received {one.received_at}",
        )
    if envelope.algorithm != key.algorithm:
        return refused(
            PacketReason.WRONG_ALGORITHM,
            f"alg: {envelope.algorithm}; the key's record says {key.algorithm}",
        )
    return Verdict(one, envelope, content, None, "")


def _after_signature(
    verdict: Verdict, keys: Mapping[str, DeviceKey], policy: Policy, *, signed: bool
) -> Verdict:
    one, envelope, content = verdict.landed, verdict.envelope, verdict.content
    assert envelope is not None
    assert content is not None

    def refused(reason: PacketReason, detail: str) -> Verdict:
        return Verdict(one, envelope, content, reason, detail)

    key = keys[envelope.key_id]
    if not signed:
        return refused(
            PacketReason.BAD_SIGNATURE, f"the signature does not stand under key {key.key_id}"
        )
    if key.evse_id != content.evse_id:
        return refused(
            PacketReason.WRONG_DEVICE,
            f"evse_id: {content.evse_id}; the key belongs to {key.evse_id}",
        )
    if one.topic_evse_id not in (None, content.evse_id):
        return refused(
            PacketReason.WRONG_TOPIC,
            f"evse_id: {content.evse_id}; came on the topic of {one.topic_evse_id}",
        )
    if problem := value_problem(content):
        return refused(PacketReason.VALUE_OUT_OF_RANGE, problem)
    offset = timedelta(microseconds=content.clock_offset_us)
    if abs(offset) > policy.clock_offset:
        return refused(
            PacketReason.CLOCK_OFFSET,
            f"clock offset: {content.clock_offset_us} µs; expected at most"
            f" {policy.clock_offset // timedelta(microseconds=1)} either way",
        )
    if content.ended_at > one.received_at + policy.future:
        return refused(
            PacketReason.FUTURE_TIME,
            f"ended_at: {content.ended_at.isoformat()}, received {one.received_at.isoformat()}",
        )
    return verdict


def reading_row(verdict: Verdict) -> dict[str, object]:
    """A verified packet as a row of ``schemas.READING``."""
    assert verdict.envelope is not None
    assert verdict.content is not None
    return asdict(verdict.content) | {
        "key_id": verdict.envelope.key_id,
        "digest": verdict.envelope.digest,
        "received_at": verdict.landed.received_at,
    }


def quarantine_row(verdict: Verdict) -> dict[str, object]:
    """A refused packet as a row of ``schemas.QUARANTINED``: reason, detail, and what it claims."""
    assert verdict.reason is not None
    content = verdict.content
    claim = content.export_end_milliwh - content.export_start_milliwh if content else 0
    return {
        "packet_digest": verdict.packet_digest,
        "reason": verdict.reason.value,
        "detail": verdict.detail,
        "evse_id": content.evse_id if content else None,
        "vehicle_id": content.vehicle_id if content else None,
        "started_at": content.started_at if content else None,
        "ended_at": content.ended_at if content else None,
        # A claim outside the range of a reading is no claim worth a number.
        "claimed_export_milliwh": claim if content and not value_problem(content) else None,
        "key_id": verdict.envelope.key_id if verdict.envelope else None,
        "received_at": verdict.landed.received_at,
        "batch_id": verdict.landed.batch_id,
    }
