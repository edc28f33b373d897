"""Quarantined packets, to be looked at and judged again. What was quarantined never changes; each
retry is written beside it.

StorageError
└── NoSuchPacketError   no quarantined packet, or several, have this digest
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, LiteralString

from psycopg.rows import class_row

from settlement.reasons import PacketReason
from storage.engine import Connection
from storage.errors import StorageError
from storage.quarantined_packets import bytes_of

READING: Final = "READING"
RECORD: Final = "RECORD"
RELEASED: Final = (READING, RECORD)
"""Outcomes of a retry by which a packet is quarantined no more: a reading, or a record of a meter."""

DIGEST_MIN_CHARS: Final = 8
"""Of a digest that a person types; fewer name too many."""

_DIGEST_BYTES: Final = 32


class NoSuchPacketError(StorageError):
    """``digest`` names no quarantined packet, or ``found`` of them."""

    def __init__(self, digest: str, found: int) -> None:
        super().__init__(
            f"packet {digest}: {found or 'none'} in quarantine; expected the SHA-256 of one packet,"
            f" or at least {DIGEST_MIN_CHARS} hexadecimal digits of its beginning, as"
            " `v2g quarantine list` shows them"
        )
        self.digest = digest
        self.found = found


@dataclass(frozen=True, slots=True)
class Selection:
    """Which quarantined packets; what is left out does not narrow it.

    Attributes:
        reasons: of the latest judgement; empty for all.
        evse_id: as the packet claims.
        since: received at or after.
        digest: of one packet.
    """

    reasons: frozenset[PacketReason] = frozenset()
    evse_id: str = ""
    since: datetime | None = None
    digest: bytes | None = None


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A packet that is quarantined, with what it claims.

    Attributes:
        reason: of the latest judgement.
        detail: likewise.
        first_reason: of the first.
        retries: how often it was judged again.
    """

    packet_digest: bytes
    reason: str
    detail: str
    first_reason: str
    evse_id: str | None
    vehicle_id: str | None
    started_at: datetime | None
    ended_at: datetime | None
    claimed_export_milliwh: int | None
    key_id: str | None
    received_at: datetime
    batch_id: int
    retries: int


@dataclass(frozen=True, slots=True)
class Retry:
    """One retry; ``outcome`` is a reason, or one of ``RELEASED``."""

    retry: int
    retried_at: datetime
    retried_by: str
    outcome: str
    detail: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A quarantined packet with everything that is kept of it.

    Attributes:
        packet: as received; None where the raw data of that time has been removed.
        source: mqtt or http; empty where the packet is gone.
        topic: the id in the topic on which it came; None where it came without one.
        why_aside: why it was set aside as it landed; empty where it was not.
        landed_at: of its batch.
        judged_at: of its batch, first.
    """

    quarantined: Quarantined
    packet: bytes | None
    source: str
    topic: str | None
    why_aside: str
    landed_at: datetime
    judged_at: datetime
    retries: Sequence[Retry]


STATE: Final[LiteralString] = """
    left join lateral (
        select outcome, detail, retry from quarantine_retry r
        where r.packet_digest = q.packet_digest
        order by outcome in ('READING', 'RECORD') desc, retry desc limit 1
    ) as latest on true"""
"""Of ``quarantine q``, what the latest retry came to; a release is the last word."""

OPEN: Final[LiteralString] = (
    "(latest.outcome is null or latest.outcome not in ('READING', 'RECORD'))"
)

CHOSEN: Final[LiteralString] = f"""
    from quarantine q {STATE}
    where {OPEN}
      and (%(reasons)s::text[] is null or coalesce(latest.outcome, q.reason) = any(%(reasons)s))
      and (%(evse_id)s = '' or q.evse_id = %(evse_id)s)
      and (%(since)s::timestamptz is null or q.received_at >= %(since)s)
      and (%(digest)s::bytea is null or q.packet_digest = %(digest)s)"""

_SHOWN: Final[LiteralString] = """
    select q.packet_digest, coalesce(latest.outcome, q.reason) as reason,
           coalesce(latest.detail, q.detail) as detail, q.reason as first_reason, q.evse_id,
           q.vehicle_id, q.started_at, q.ended_at, q.claimed_export_milliwh, q.key_id, q.received_at,
           q.batch_id, coalesce(latest.retry, 0) as retries"""


def parameters(selection: Selection) -> dict[str, Any]:
    """Of ``CHOSEN``."""
    return {
        "reasons": sorted(reason.value for reason in selection.reasons) or None,
        "evse_id": selection.evse_id,
        "since": selection.since,
        "digest": selection.digest,
    }


def listed(conn: Connection, selection: Selection, *, limit: int) -> list[Quarantined]:
    """Packets that are quarantined still, newest first, at most ``limit``."""
    with conn.cursor(row_factory=class_row(Quarantined)) as cursor:
        return cursor.execute(
            f"{_SHOWN} {CHOSEN} order by q.received_at desc, q.packet_digest limit %(limit)s",
            parameters(selection) | {"limit": limit},
        ).fetchall()


def counted(conn: Connection, selection: Selection) -> dict[str, int]:
    """How many packets are quarantined still, by the reason of the latest judgement."""
    return dict(
        conn.execute(
            f"select coalesce(latest.outcome, q.reason), count(*) {CHOSEN} group by 1 order by 1",
            parameters(selection),
        ).fetchall()
    )


def find(conn: Connection, digest: str) -> bytes:
    """The digest of the one quarantined packet, released ones included, whose digest begins so.

    Raises:
        NoSuchPacketError: there is none, or more than one; or it is no digest.
    """
    text = digest.strip().lower()
    width = 2 * _DIGEST_BYTES
    digits = set(text) <= set("0123456789abcdef")
    if not digits or not DIGEST_MIN_CHARS <= len(text) <= width:
        raise NoSuchPacketError(digest, 0)
    found = conn.execute(
        "select packet_digest from quarantine where packet_digest between %s and %s limit 2",
        [bytes.fromhex(text.ljust(width, "0")), bytes.fromhex(text.ljust(width, "f"))],
    ).fetchall()
    if len(found) != 1:
        raise NoSuchPacketError(digest, len(found))
    return bytes(found[0][0])


def show(conn: Connection, digest: bytes) -> Evidence:
    """One packet with its evidence, released or not. Raises NoSuchPacketError."""
    with conn.cursor(row_factory=class_row(Quarantined)) as cursor:
        one = cursor.execute(
            f"{_SHOWN} from quarantine q {STATE} where q.packet_digest = %s", [digest]
        ).fetchone()
    if one is None:
        raise NoSuchPacketError(digest.hex(), 0)
    with conn.cursor(row_factory=class_row(Retry)) as retries:
        tried = retries.execute(
            "select retry, retried_at, retried_by, outcome, detail from quarantine_retry"
            " where packet_digest = %s order by retry",
            [digest],
        ).fetchall()
    times = conn.execute(
        "select landed_at, judged_at from landing_batch join judged_batch using (batch_id)"
        " where batch_id = %s",
        [one.batch_id],
    ).fetchone()
    assert times is not None
    landed = bytes_of(conn, [digest]).get(digest)
    return Evidence(
        quarantined=one,
        packet=None if landed is None else landed["packet"],
        source="" if landed is None else landed["source"],
        topic=None if landed is None else landed["topic_evse_id"],
        why_aside="" if landed is None else landed["why"],
        landed_at=times[0],
        judged_at=times[1],
        retries=tried,
    )
