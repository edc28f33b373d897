"""What was done to a delivery, and what must come of it: known on the simulator's side only.

Names of reasons are those of ``settlement.reasons``; they are written out where they are expected,
because what a system should do is not to be read off the system.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Final

from settlement.packets import Content

READING: Final = "READING"
"""Expected of a packet that must become a reading."""
ALREADY_LANDED: Final = "ALREADY_LANDED"
"""Expected of bytes that came before: nothing new."""


class Label(StrEnum):
    """What was done to a delivery. Which reason must come of it stands in ``Delivery.expected``."""

    GOOD = "good"
    OUT_OF_WINDOW = "out_of_window"
    """Good; it exports, but in no window."""
    LATE = "late"
    """Good; buffered in an outage, and delivered in a burst at the end."""
    DUPLICATED = "duplicated"
    """The same bytes twice in quick succession: the second of them."""
    REPLAYED = "replayed"
    """The same bytes once more at the end."""
    REPLAYED_ELSEWHERE = "replayed_elsewhere"
    """The same bytes once more at the end, on another EVSE's topic."""
    TAMPERED = "tampered"
    """Energy inflated after signing."""
    RESIGNED_BY_STRANGER = "resigned_by_stranger"
    """Energy inflated and signed well, by a key that is not enrolled."""
    SIGNED_BY_NEIGHBOUR = "signed_by_neighbour"
    """Signed well, by the enrolled key of another EVSE."""
    EXPIRED_KEY = "expired_key"
    """Signed well, by the EVSE's own former key."""
    OTHER_ALGORITHM = "other_algorithm"
    """Signed well, under a header that asks for another algorithm."""
    OTHER_SIGNATURE = "other_signature"
    """The (r, n - s) twin of a good packet."""
    CONFLICTED = "conflicted"
    """Good in itself, but its identity is signed a second time."""
    CONFLICTING = "conflicting"
    """The second, validly signed content for an identity."""
    CLOCK_OFF = "clock_off"
    """The EVSE declares that its clock is 120 ms off."""
    FUTURE = "future"
    """Signed for an interval that lies in the future of its receipt."""
    BACKWARDS = "backwards"
    """The export register runs backwards."""
    LYING_METER = "lying_meter"
    """Registers and powers disagree by far."""
    STRAGGLING = "straggling"
    """Good; buffered for so long that it comes days later, when the evening has been settled."""
    UNREADABLE = "unreadable"
    """Garbage, a JSON name twice, NaN, 9 KiB, a field missing."""


class Phase(IntEnum):
    """When a delivery is sent: everything of one phase has arrived before the next begins."""

    LIVE = 0
    BUFFERED = 1
    REPLAY = 2
    DAYS_LATER = 3
    """After the evening has been settled and paid."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One publication.

    Attributes:
        evse_id: the charger that the packet speaks of.
        topic_evse_id: the charger on whose topic it is sent.
        packet: the bytes.
        label: what was done to it.
        expected: READING, ALREADY_LANDED, or the name of a ``PacketReason``.
        phase: when it is sent.
        sent_at: when the charger would have sent it.
        content: what its meter saw, where this delivery stands for that.
    """

    evse_id: str
    topic_evse_id: str
    packet: bytes = field(repr=False)
    label: Label
    expected: str
    phase: Phase
    sent_at: datetime
    content: Content = field(repr=False)
