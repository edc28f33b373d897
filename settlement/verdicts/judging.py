"""The judge: signatures against the registry, then what only a signed packet may be refused for.

The reasons are looked for in the order of ``PacketReason``, each over everything that the packet
carries: a packet whose outer key is revoked and whose meter is unknown gets UNKNOWN_KEY.

* A compact JWS stands under the key that it names.
* A meter's record names no key: it stands under any key of that meter that is valid then and of the
  algorithm that the record states.
* A JWS that carries a meter's records stands if each of these does too, under a key of its meter that
  is enrolled for the same EVSE as the outer key. The outer signature pays for nothing by itself.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from settlement import packets
from settlement.meter_readings import within
from settlement.packets import Content, Envelope, MeterRecord, UnreadablePacketError, ocmf
from settlement.reasons import PacketReason
from settlement.signatures import ES256, DeviceKey, Keyring, stand
from settlement.verdicts.model import LandedPacket, Policy, Verdict
from settlement.verdicts.ranges import fault, point_fault

_PRECEDENCE: Final = tuple(PacketReason)


@dataclass(slots=True)
class _Open:
    """A packet whose signatures must decide.

    Attributes:
        signed: each envelope with the keys under which it may stand; the packet's own first.
    """

    landed: LandedPacket
    envelope: Envelope
    said: Content | MeterRecord
    signed: list[tuple[Envelope, Sequence[DeviceKey]]]

    def refused(self, reason: PacketReason, detail: str, key: DeviceKey | None = None) -> Verdict:
        said = self.said
        if isinstance(said, Content):
            return Verdict(self.landed, self.envelope, said, reason, detail, None, key)
        return Verdict(self.landed, self.envelope, None, reason, detail, said, key)


def judge(
    landed: Sequence[LandedPacket], keys: Keyring, policy: Policy, executor: Executor
) -> list[Verdict]:
    """Judge packets, in their order.

    Args:
        landed: the packets.
        keys: the enrolled keys.
        policy: clock tolerances.
        executor: threads that check signatures.

    Returns:
        One verdict per packet, in the same order.
    """
    opened = [_before_signatures(one, keys) for one in landed]
    checks = [
        (key, envelope)
        for one in opened
        if isinstance(one, _Open)
        for envelope, candidates in one.signed
        for key in candidates
    ]
    standing = iter(stand(checks, executor))
    return [
        _after_signatures(
            one,
            [[key for key in candidates if next(standing)] for _, candidates in one.signed],
            policy,
        )
        if isinstance(one, _Open)
        else one
        for one in opened
    ]


def _before_signatures(one: LandedPacket, keys: Keyring) -> Verdict | _Open:
    """What can be said without the costly part."""
    envelope = None
    try:
        envelope = packets.split(one.packet)
        said = packets.read(envelope)
    except UnreadablePacketError as error:
        return Verdict(one, envelope, None, PacketReason.UNREADABLE, str(error))
    signed = [(envelope, _enrolled(envelope, keys))]
    signed += [(part, _enrolled(part, keys)) for part in envelope.inner]
    opened = _Open(one, envelope, said, signed)
    signed_at = said.ended_at if isinstance(said, Content) else said.points[-1].at
    if len(signed) == 1 == len(signed[0][1]):
        # Almost every packet: one signature, one key, and nothing below would speak against it.
        (key,) = signed[0][1]
        if key.valid_for(signed_at, one.received_at) and key.algorithm == _claimed(envelope):
            return opened
    for part, candidates in signed:
        if not candidates:
            return opened.refused(PacketReason.UNKNOWN_KEY, f"{_signer(part)}; not enrolled")
    for place, (part, enrolled) in enumerate(signed):
        valid: Sequence[DeviceKey] = [
            key for key in enrolled if key.valid_for(signed_at, one.received_at)
        ]
        if not valid:
            detail = "; ".join(_validity(key) for key in enrolled[:4])
            when = f"signed {signed_at}, received {one.received_at}"
            return opened.refused(
                PacketReason.KEY_NOT_VALID, f"{_signer(part)} is {detail}; {when}"
            )
        signed[place] = part, valid
    for place, (part, valid) in enumerate(signed):
        claimed = _claimed(part)
        fitting = [key for key in valid if key.algorithm == claimed]
        if not fitting:
            recorded = " or ".join(sorted({key.algorithm for key in valid}))
            return opened.refused(
                PacketReason.WRONG_ALGORITHM,
                f"{_signer(part)}: {part.algorithm or 'none named'}; the key's record says {recorded}",
            )
        signed[place] = part, fitting
    return opened


def _enrolled(part: Envelope, keys: Keyring) -> Sequence[DeviceKey]:
    if part.meter_id:
        return keys.of_meter(part.meter_id)
    key = keys.get(part.key_id)
    # A meter's key signs the meter's records; no charger may speak in its name.
    return () if key is None or key.meter_id else (key,)


def _claimed(part: Envelope) -> str:
    """What a part claims to be signed with, in the words of a key's record."""
    return ES256 if part.algorithm == ocmf.DEFAULT_ALGORITHM else part.algorithm


def _signer(part: Envelope) -> str:
    return f"meter {part.meter_id}" if part.meter_id else f"kid {part.key_id}"


def _validity(key: DeviceKey) -> str:
    return f"valid from {key.valid_from} to {key.valid_to or 'open'}, revoked {key.revoked_at or 'never'}"


def _after_signatures(one: _Open, found: Sequence[Sequence[DeviceKey]], policy: Policy) -> Verdict:
    """The verdict, given the keys under which each part was found to stand."""
    for (part, candidates), standing in zip(one.signed, found, strict=True):
        if not standing:
            names = ", ".join(key.key_id for key in candidates[:4])
            detail = f"the signature of {_signer(part)} does not stand under key {names}"
            return one.refused(PacketReason.BAD_SIGNATURE, detail)
    said = one.said
    key = next((key for key in found[0] if key.evse_id == said.evse_id), found[0][0])
    if detail := _wrong_device(one, found, key):
        return one.refused(PacketReason.WRONG_DEVICE, detail, key)
    topic = one.landed.topic_evse_id
    if topic not in (None, key.brought_by):
        detail = f"came on the topic of {topic}; expected that of {key.brought_by}"
        return one.refused(PacketReason.WRONG_TOPIC, detail, key)
    if isinstance(said, MeterRecord):
        return _record_verdict(one, said, key, policy)
    if found_fault := fault(said) or _untimely(one, said, policy):
        return one.refused(*found_fault, key)
    return Verdict(one.landed, one.envelope, said, None, "", None, key)


def _wrong_device(one: _Open, found: Sequence[Sequence[DeviceKey]], key: DeviceKey) -> str:
    """In words, which part is signed for another EVSE; empty where none is."""
    # A meter's record need not name an EVSE: then it is that of the meter's key.
    if one.said.evse_id and key.evse_id != one.said.evse_id:
        return f"evse_id: {one.said.evse_id}; the key belongs to {key.evse_id}"
    for (part, _), standing in zip(one.signed[1:], found[1:], strict=True):
        if all(inner.evse_id != key.evse_id for inner in standing):
            return f"{_signer(part)} is of EVSE {standing[0].evse_id}; expected {key.evse_id}"
    return ""


def _untimely(one: _Open, said: Content, policy: Policy) -> tuple[PacketReason, str] | None:
    if said.clock_offset_us is not None:
        offset = timedelta(microseconds=said.clock_offset_us)
        if abs(offset) > policy.clock_offset:
            most = policy.clock_offset // timedelta(microseconds=1)
            detail = f"clock offset: {said.clock_offset_us} µs; expected at most {most} either way"
            return PacketReason.CLOCK_OFFSET, detail
    # The times of a packet that carries records are the meter's.
    ahead = policy.meter_future if one.envelope.inner else policy.future
    if detail := _early(said.ended_at, one.landed, ahead):
        return PacketReason.FUTURE_TIME, detail
    return None


def _record_verdict(one: _Open, said: MeterRecord, key: DeviceKey, policy: Policy) -> Verdict:
    """Of a meter's own record: one point or interval at fault refuses it as a whole."""
    intervals = within(said, key.evse_id)
    faults = [
        found
        for found in (*map(point_fault, said.points), *map(fault, intervals))
        if found is not None
    ]
    if faults:
        reason, detail = min(faults, key=lambda found: _PRECEDENCE.index(found[0]))
        return one.refused(reason, detail, key)
    if detail := _early(said.points[-1].at, one.landed, policy.meter_future):
        return one.refused(PacketReason.FUTURE_TIME, detail, key)
    return Verdict(one.landed, one.envelope, None, None, "", said, key, intervals)


def _early(signed_at: datetime, landed: LandedPacket, ahead: timedelta) -> str:
    """In words, that a packet was signed after it came; empty where it was not."""
    if signed_at <= landed.received_at + ahead:
        return ""
    return f"ended_at: {signed_at.isoformat()}, received {landed.received_at.isoformat()}"
