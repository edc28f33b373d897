"""What judging takes and gives: a landed packet, the policy, and the verdict."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256

from settlement.packets import Content, Envelope, MeterRecord
from settlement.reasons import PacketReason
from settlement.signatures import DeviceKey


@dataclass(frozen=True, slots=True)
class LandedPacket:
    """A packet as it was landed.

    Attributes:
        packet: the bytes as received.
        received_at: when this system first held them.
        batch_id: the landing batch.
        topic_evse_id: the id in the topic on which it came; None where it came without one.
    """

    packet: bytes
    received_at: datetime
    batch_id: int
    topic_evse_id: str | None = None

    @property
    def digest(self) -> bytes:
        """SHA-256 of the whole packet as received."""
        return sha256(self.packet).digest()


@dataclass(frozen=True, slots=True)
class Policy:
    """What a clock may be off.

    Attributes:
        clock_offset: a charger's own estimate of its clock's error, in either direction.
        future: by how much a charger's packet may be signed after it came.
        meter_future: the same of a meter's record, alone or carried. A meter declares no error, and its
            clock is set by hand or from the charger now and then; more than this moves energy to another
            price.
    """

    clock_offset: timedelta = timedelta(milliseconds=50)
    future: timedelta = timedelta(milliseconds=50)
    meter_future: timedelta = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one packet: readings, or a reason with its detail.

    What the packet says stands in ``content`` or, of a meter's own record, in ``record``; where
    ``reason`` is set it is a claim and nothing more.

    Attributes:
        reason: None where the packet stands.
        detail: what was wrong, in words; empty where nothing is.
        key: the enrolled key under which it stands, or, where the reason came later in the
            precedence, stood; None before that.
        intervals: of a record that stands: what it says between its own points.
    """

    landed: LandedPacket
    envelope: Envelope | None
    content: Content | None
    reason: PacketReason | None
    detail: str
    record: MeterRecord | None = None
    key: DeviceKey | None = None
    intervals: tuple[Content, ...] = ()

    @property
    def packet_digest(self) -> bytes:
        """SHA-256 of the whole packet as received."""
        return self.landed.digest

    @property
    def contents(self) -> tuple[Content, ...]:
        """The intervals that it says something of, by itself."""
        return self.intervals if self.content is None else (self.content,)
