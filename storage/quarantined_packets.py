"""The bytes of quarantined packets: where they landed, found again."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, LiteralString

from storage.engine import Connection
from storage.judging import RAW_TOPIC

_STORED: Final[LiteralString] = f"""
    packet, received_at, source, batch_id, {RAW_TOPIC} as topic_evse_id, '' as why from raw_packet"""


def bytes_of(conn: Connection, digests: Sequence[bytes]) -> dict[bytes, Mapping[str, Any]]:
    """Packets as they were landed, by digest: where the quarantine's own row says, then wherever its
    batch holds them.
    """
    columns = ("packet", "received_at", "source", "batch_id", "topic_evse_id", "why")
    found: dict[bytes, Mapping[str, Any]] = {}
    for statement in (_BY_KEY, _BY_DIGEST, _BY_BATCH):
        missing = [digest for digest in digests if digest not in found]
        if missing:
            for digest, *row in conn.execute(statement, {"digests": missing}):
                found.setdefault(bytes(digest), dict(zip(columns, row, strict=True)))
    return found


_BY_KEY: Final[LiteralString] = f"""
    select q.packet_digest, raw.* from quarantine q cross join lateral (
        select {_STORED}
        where raw_packet.evse_id = q.evse_id and raw_packet.signed_at = q.ended_at
          and raw_packet.batch_id = q.batch_id and sha256(packet) = q.packet_digest limit 1
    ) as raw
    where q.packet_digest = any(%(digests)s)"""

_BY_DIGEST: Final[LiteralString] = """
    select q.packet_digest, a.packet, a.received_at, a.source, a.batch_id, a.topic_evse_id, a.why
    from quarantine q join packet_aside a using (packet_digest, batch_id)
    where q.packet_digest = any(%(digests)s)"""

_BY_BATCH: Final[LiteralString] = f"""
    with sought as (
        select q.packet_digest, q.batch_id, b.first_signed_at, b.last_signed_at
        from quarantine q join landing_batch b using (batch_id)
        where q.packet_digest = any(%(digests)s)
    )
    select sought.packet_digest, raw.packet, raw.received_at, raw.source, raw.batch_id,
           raw.topic_evse_id, raw.why
    from (
        select {_STORED}
        where batch_id = any(array(select batch_id from sought))
          and signed_at between (select min(first_signed_at) from sought)
                            and (select max(last_signed_at) from sought)
    ) as raw
    join sought on sought.batch_id = raw.batch_id and sought.packet_digest = sha256(raw.packet)"""
