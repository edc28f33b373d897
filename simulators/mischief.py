"""How packets are spoilt: a fault takes one honest packet and says what is delivered instead.

The deliveries of a fault stand in the order in which they are sent, each with what the settlement
system must make of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cached_property
from random import Random
from typing import Final

from settlement.packets import Content
from simulators.labels import ALREADY_LANDED, READING, Delivery, Label, Phase
from simulators.signing import Signer, payload_of, twin, with_payload

PADDING_BYTES: Final = 6_400
"""Makes a packet of some 9 KiB, where 8 KiB are permitted."""


@dataclass(frozen=True)
class Honest:
    """An honest packet with everything that a fault needs to spoil it.

    Attributes:
        content: what the meter saw.
        packet: the honest packet over it.
        signer: the EVSE's key; ``former`` its key of before, ``neighbour`` another EVSE's key,
            ``stranger`` one that is not enrolled.
        neighbour_evse_id: that other EVSE.
        received_by: by this time everything has been received.
        number: counts the packets given to one fault, so that its variants alternate.
    """

    content: Content
    packet: bytes
    signer: Signer
    former: Signer
    neighbour: Signer
    stranger: Signer
    neighbour_evse_id: str
    received_by: datetime
    number: int

    @cached_property
    def rng(self) -> Random:
        """Randomness for this packet, from what it says; not from its keys, which may be given."""
        return Random(payload_of(self.content))

    def delivery(
        self,
        packet: bytes,
        label: Label,
        expected: str,
        *,
        phase: Phase = Phase.LIVE,
        topic_evse_id: str | None = None,
    ) -> Delivery:
        """A delivery for this content."""
        return Delivery(
            evse_id=self.content.evse_id,
            topic_evse_id=topic_evse_id or self.content.evse_id,
            packet=packet,
            label=label,
            expected=expected,
            phase=phase,
            sent_at=self.content.ended_at,
            content=self.content,
        )

    @property
    def good(self) -> Delivery:
        """The honest packet itself."""
        return self.delivery(self.packet, Label.GOOD, READING)

    @property
    def good_at_times(self) -> list[Delivery]:
        """The honest packet for every other one: the fault is sent beside it, or instead of it."""
        return [self.good] if self.number % 2 == 0 else []

    @property
    def inflated(self) -> Content:
        """The same interval with half as much energy again, and then some."""
        gain = self.content.export_end_milliwh - self.content.export_start_milliwh
        more = gain // 2 + self.rng.randrange(1_000, 5_000)
        return replace(self.content, export_end_milliwh=self.content.export_end_milliwh + more)


def _duplicated(one: Honest) -> list[Delivery]:
    return [one.good, one.delivery(one.packet, Label.DUPLICATED, ALREADY_LANDED)]


def _replayed(one: Honest) -> list[Delivery]:
    return [one.good, one.delivery(one.packet, Label.REPLAYED, ALREADY_LANDED, phase=Phase.REPLAY)]


def _replayed_elsewhere(one: Honest) -> list[Delivery]:
    elsewhere = one.delivery(
        one.packet,
        Label.REPLAYED_ELSEWHERE,
        "WRONG_TOPIC",
        phase=Phase.REPLAY,
        topic_evse_id=one.neighbour_evse_id,
    )
    return [one.good, elsewhere]


def _tampered(one: Honest) -> list[Delivery]:
    packet = with_payload(one.packet, payload_of(one.inflated))
    # Before the honest one: a bad packet that came first must not take its place.
    return [one.delivery(packet, Label.TAMPERED, "BAD_SIGNATURE"), *one.good_at_times]


def _resigned_by_stranger(one: Honest) -> list[Delivery]:
    packet = one.stranger.sign(payload_of(one.inflated))
    return [one.delivery(packet, Label.RESIGNED_BY_STRANGER, "UNKNOWN_KEY"), *one.good_at_times]


def _signed_by_neighbour(one: Honest) -> list[Delivery]:
    packet = one.neighbour.sign(payload_of(one.inflated))
    return [one.delivery(packet, Label.SIGNED_BY_NEIGHBOUR, "WRONG_DEVICE"), *one.good_at_times]


def _expired_key(one: Honest) -> list[Delivery]:
    packet = one.former.sign(payload_of(one.content))
    return [one.delivery(packet, Label.EXPIRED_KEY, "KEY_NOT_VALID"), *one.good_at_times]


def _other_algorithm(one: Honest) -> list[Delivery]:
    packet = one.signer.sign(
        payload_of(one.content), algorithm=("none", "ES384", "HS256")[one.number % 3]
    )
    return [one.delivery(packet, Label.OTHER_ALGORITHM, "WRONG_ALGORITHM"), *one.good_at_times]


def _other_signature(one: Honest) -> list[Delivery]:
    return [one.good, one.delivery(twin(one.packet), Label.OTHER_SIGNATURE, "DUPLICATE_CONTENT")]


def _conflicting(one: Honest) -> list[Delivery]:
    packet = one.signer.sign(payload_of(one.inflated))
    return [
        one.delivery(one.packet, Label.CONFLICTED, READING),
        one.delivery(packet, Label.CONFLICTING, "CONFLICTING_CONTENT", phase=Phase.REPLAY),
    ]


def _clock_off(one: Honest) -> list[Delivery]:
    sign = 1 if one.number % 2 == 0 else -1
    packet = one.signer.sign(payload_of(replace(one.content, clock_offset_us=sign * 120_000)))
    return [one.delivery(packet, Label.CLOCK_OFF, "CLOCK_OFFSET")]


def _future(one: Honest) -> list[Delivery]:
    length = one.content.ended_at - one.content.started_at
    begins = one.received_by + timedelta(hours=1) + one.number * length
    ahead = replace(
        one.content,
        sequence=one.content.sequence + 1_000_000,
        started_at=begins,
        ended_at=begins + length,
    )
    return [one.good, one.delivery(one.signer.sign(payload_of(ahead)), Label.FUTURE, "FUTURE_TIME")]


def _backwards(one: Honest) -> list[Delivery]:
    content = replace(one.content, export_end_milliwh=one.content.export_start_milliwh - 1_000)
    packet = one.signer.sign(payload_of(content))
    return [one.delivery(packet, Label.BACKWARDS, "VALUE_OUT_OF_RANGE")]


def _unreadable(one: Honest) -> list[Delivery]:
    payload = payload_of(one.inflated)
    variants: tuple[Callable[[], bytes], ...] = (
        lambda: b"\x00" + one.rng.randbytes(120),
        lambda: one.signer.sign(payload[:-1] + b',"export_end_wh":"999999999.000"}'),
        lambda: one.signer.sign(payload[:-1] + b',"note":NaN}'),
        lambda: one.signer.sign(payload[:-1] + b',"note":"' + b"x" * PADDING_BYTES + b'"}'),
        lambda: one.signer.sign(payload.replace(b'"power_end_w"', b'"power_end"')),
    )
    packet = variants[one.number % len(variants)]()
    return [one.good, one.delivery(packet, Label.UNREADABLE, "UNREADABLE")]


FAULTS: Final[Mapping[Label, Callable[[Honest], list[Delivery]]]] = {
    Label.DUPLICATED: _duplicated,
    Label.REPLAYED: _replayed,
    Label.REPLAYED_ELSEWHERE: _replayed_elsewhere,
    Label.TAMPERED: _tampered,
    Label.RESIGNED_BY_STRANGER: _resigned_by_stranger,
    Label.SIGNED_BY_NEIGHBOUR: _signed_by_neighbour,
    Label.EXPIRED_KEY: _expired_key,
    Label.OTHER_ALGORITHM: _other_algorithm,
    Label.OTHER_SIGNATURE: _other_signature,
    Label.CONFLICTING: _conflicting,
    Label.CLOCK_OFF: _clock_off,
    Label.FUTURE: _future,
    Label.BACKWARDS: _backwards,
    Label.UNREADABLE: _unreadable,
}
"""Faults of single packets. Late and lying packets come from an EVSE's plan."""

SHARE_PPM: Final[Mapping[Label, int]] = {
    Label.DUPLICATED: 4_000,
    Label.REPLAYED: 2_000,
    Label.REPLAYED_ELSEWHERE: 1_000,
    Label.TAMPERED: 2_000,
    Label.RESIGNED_BY_STRANGER: 1_000,
    Label.SIGNED_BY_NEIGHBOUR: 400,
    Label.EXPIRED_KEY: 400,
    Label.OTHER_ALGORITHM: 400,
    Label.OTHER_SIGNATURE: 1_000,
    Label.CONFLICTING: 400,
    Label.CLOCK_OFF: 1_000,
    Label.FUTURE: 400,
    Label.BACKWARDS: 400,
    Label.UNREADABLE: 1_000,
}
"""How many of a million packets get each fault."""

FEWEST: Final = 5
"""Packets that get a fault however small the evening, so that each variant of it occurs."""


class NoRoomError(ValueError):
    """An evening too small for every fault: which one, how many it needs, how many there are."""

    def __init__(self, label: Label, needed: int, found: int) -> None:
        super().__init__(f"{label}: {found} packets can have it, {needed} must; take more chargers")
        self.label = label
        self.needed = needed
        self.found = found


def give_out(
    payable: Sequence[int], *, former: frozenset[int], of: int, rng: Random
) -> dict[int, Label]:
    """Which step gets which fault, each at most one.

    Args:
        payable: steps whose energy would be paid. Only these get a fault, so that each refused
            packet has one reason, and each unpaid kWh too.
        former: those of them whose EVSE has a former key.
        of: how many steps there are; the shares are of these.
        rng: decides.

    Raises:
        NoRoomError: not enough of them.
    """
    left = list(payable)
    rng.shuffle(left)
    chosen: dict[int, Label] = {}
    for label, share in SHARE_PPM.items():
        fits = [i for i in left if label is not Label.EXPIRED_KEY or i in former]
        count = max(FEWEST, of * share // 1_000_000)
        if len(fits) < count:
            raise NoRoomError(label, count, len(fits))
        taken = frozenset(fits[:count])
        chosen |= dict.fromkeys(taken, label)
        left = [i for i in left if i not in taken]
    return chosen
