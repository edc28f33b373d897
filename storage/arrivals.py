"""Arrivals sorted out before they are stored: which can land, which are set aside, and why.

Nothing here touches the database. A packet is not judged: only its size, its EVSE and its signed
time are looked at, because they are the key it is stored under.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Final

from settlement import packets, units
from settlement.packets import Envelope, Identity, UnreadablePacketError, ocmf

LATE_MAX: Final = timedelta(days=400)
"""A charger that was offline for more than a year and a season is a matter for people."""

EARLY_MAX: Final = timedelta(days=1)
DETAIL_MAX_CHARS: Final = 500
TOPIC_MAX_CHARS: Final = 200

ASIDE_KINDS: Final = {
    "unreadable": "its EVSE or its signed time cannot be read, or it is too large",
    "odd_time": "its signed time is so far off that it would open a time partition of its own",
    "wrong_topic": "it came on another EVSE's topic; the true one must still be able to land",
    "other_signature": "the same signed bytes as a packet in raw_packet, under another signature",
}
"""Why a packet stands in packet_aside."""

Key = tuple[str, datetime, bytes]
"""(evse_id, signed_at, digest): the key of raw_packet."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One packet as a transport delivered it.

    Attributes:
        packet: the bytes as received.
        received_at: when this system first held them, with time zone.
        source: mqtt or http.
        topic_evse_id: the EVSE whose topic it came on, where the transport has topics.
    """

    packet: bytes
    received_at: datetime
    source: str
    topic_evse_id: str | None = None


class Fate(StrEnum):
    """What became of an arrival once its transaction is committed; all three are stored for good."""

    NEW = "new"
    DUPLICATE = "duplicate"
    """The same bytes were stored before, or earlier in the batch."""
    ASIDE = "aside"
    """Kept in packet_aside; ``Outcome.detail`` says why."""


@dataclass(slots=True)
class Outcome:
    """What became of one arrival.

    Attributes:
        fate: see ``Fate``.
        digest: SHA-256 of the signed bytes, or None where they cannot be told.
        identity: whose packet it claims to be, and for a record that names no EVSE under which id it
            is filed; None where it cannot be told.
        detail: for what stands in packet_aside, now (ASIDE) or from before (DUPLICATE), "kind: what
            was wrong"; the kinds are ``ASIDE_KINDS``. Else empty.
    """

    fate: Fate
    digest: bytes | None
    identity: Identity | None
    detail: str


@dataclass(slots=True)
class Landed:
    """One landing: ``batch_id`` of its manifest (None for no arrivals) and an outcome per arrival."""

    batch_id: int | None
    outcomes: list[Outcome]


@dataclass(frozen=True, slots=True)
class Aside:
    """A row for packet_aside, but for its batch."""

    packet_digest: bytes
    why: str
    detail: str
    evse_id: str | None
    arrival: Arrival


@dataclass(slots=True)
class Candidate:
    """A row for raw_packet, but for its batch: the first arrival of its key in the batch.

    Attributes:
        index: of that arrival.
        step: by how much the sequence of its stream rises from packet to packet.
        others: indexes of further arrivals with the same key, with the same bytes or not.
    """

    key: Key
    index: int
    step: int
    others: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Sorted:
    """A batch sorted out. ``candidates`` stand in the order of their keys: concurrent landings that
    insert in one order wait for each other, but never in a circle.
    """

    arrivals: Sequence[Arrival]
    identities: list[Identity | None]
    digests: list[bytes | None]
    candidates: list[Candidate]
    asides: dict[int, Aside]


def storable(text: str, limit: int) -> str:
    r"""Text as PostgreSQL can hold it: no NUL, no half of a surrogate pair, at most ``limit`` long.

    >>> storable("a\0b\ud800c", 4)
    'a\ufffdb?'
    """
    return text[:limit].encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def set_aside(arrival: Arrival, why: str, detail: str, identity: Identity | None) -> Aside:
    """The row that keeps an arrival as evidence although it cannot land."""
    return Aside(
        packet_digest=sha256(arrival.packet).digest(),
        why=why,
        detail=storable(detail, DETAIL_MAX_CHARS),
        evse_id=None if identity is None else storable(identity.evse_id, units.ID_MAX_CHARS),
        arrival=arrival,
    )


Bringers = AbstractSet[tuple[str, str]]
"""(EVSE, client): whose packets may come on another topic than their EVSE's."""


def sort_out(arrivals: Sequence[Arrival], *, bringers: Bringers = frozenset()) -> Sorted:
    """Identify every arrival and gather those of one key.

    Args:
        arrivals: see ``Arrival``.
        bringers: of those that ``strangers`` named, who is enrolled to bring them.

    Raises:
        ValueError: a ``received_at`` without time zone.
    """
    batch = Sorted(arrivals, [None] * len(arrivals), [None] * len(arrivals), [], {})
    by_key: dict[Key, Candidate] = {}
    for index, arrival in enumerate(arrivals):
        if arrival.received_at.tzinfo is None:
            raise ValueError(
                f"arrivals[{index}].received_at: {arrival.received_at} without time zone; expected UTC"
            )
        try:
            envelope = packets.split(arrival.packet)
            identity = packets.identify(envelope)
        except UnreadablePacketError as error:
            batch.asides[index] = set_aside(arrival, "unreadable", str(error), None)
            continue
        named = bool(identity.evse_id)
        if not named:
            identity = replace(identity, evse_id=_filed_under(arrival, identity))
        batch.identities[index] = identity
        batch.digests[index] = envelope.digest
        stranger = named and arrival.topic_evse_id not in (None, identity.evse_id)
        if stranger and (identity.evse_id, arrival.topic_evse_id) in bringers:
            stranger = False
        fault = _fault(arrival, identity, stranger=stranger)
        if fault is not None:
            batch.asides[index] = set_aside(arrival, *fault, identity)
            continue
        key = (identity.evse_id, identity.signed_at, envelope.digest)
        first = by_key.get(key)
        if first is None:
            by_key[key] = Candidate(key, index, _step_of(envelope))
        else:
            first.others.append(index)
    batch.candidates.extend(by_key[key] for key in sorted(by_key))
    return batch


def _step_of(envelope: Envelope) -> int:
    """By how much a stream's sequence rises: a meter's record leaves room for its readings."""
    return ocmf.READINGS_PER_RECORD if envelope.format == ocmf.NAME else 1


def _filed_under(arrival: Arrival, identity: Identity) -> str:
    """Where a meter's record stands that names no EVSE: who brought it, else its meter.

    So nobody can keep a record from its true place by bringing a copy first. Whether the one who
    brought it may, the judge decides.
    """
    topic = storable(arrival.topic_evse_id or "", TOPIC_MAX_CHARS)
    return topic or "meter:" + storable(identity.meter_id, units.ID_MAX_CHARS)


def strangers(batch: Sorted) -> Bringers:
    """EVSE and client of what was set aside because it came on another topic."""
    return {
        (identity.evse_id, topic)
        for index, aside in batch.asides.items()
        if aside.why == "wrong_topic"
        and (identity := batch.identities[index]) is not None
        and (topic := aside.arrival.topic_evse_id)
    }


def _fault(arrival: Arrival, identity: Identity, *, stranger: bool) -> tuple[str, str] | None:
    """Why a readable packet cannot stand in raw_packet: (kind, detail)."""
    if stranger:
        topic = storable(arrival.topic_evse_id or "", TOPIC_MAX_CHARS)
        return (
            "wrong_topic",
            f"topic of {topic!r}; expected that of the packet's own EVSE {identity.evse_id!r}",
        )
    earliest = max(units.EARLIEST, arrival.received_at - LATE_MAX)
    latest = min(units.LATEST, arrival.received_at + EARLY_MAX)
    if not (earliest <= identity.signed_at <= latest and identity.signed_at < units.LATEST):
        expected = f"{earliest.isoformat()} to {latest.isoformat()}"
        return "odd_time", f"signed at {identity.signed_at.isoformat()}; expected {expected}"
    return None
