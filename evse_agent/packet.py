"""What is signed: an interval as a compact JWS, read back before it is believed.

The fields are those of ``settlement.packets.jws``: version 1 where everything is known, version 2
where state of charge or position are not, or where the meter's own records are the registers. A
record travels verbatim: its signature is the meter's, ours binds session, car and sequence.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from evse_agent.intervals import Interval
from evse_agent.key import Signer, base64url
from evse_agent.samples import RefusedError
from settlement import packets
from settlement.packets import MeterRecord, UnreadablePacketError

_RECORDS_REMEMBERED: Final = 16


def text(at: datetime) -> str:
    """RFC 3339, in UTC."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def fields(
    interval: Interval,
    *,
    evse_id: str,
    epoch: int,
    sequence: int,
    clock_offset_ms: str,
    position: tuple[str, str] | None,
) -> dict[str, object]:
    """The payload.

    Args:
        interval: what is reported.
        evse_id: the charger.
        epoch: of the stream.
        sequence: of the packet in it.
        clock_offset_ms: decimal text, this machine's own estimate of its clock's error.
        position: latitude and longitude of the charger, where the samples have none.
    """
    start, end = interval.start, interval.end
    content: dict[str, object] = {
        "version": 1,
        "evse_id": evse_id,
        "vehicle_id": end.vehicle_id,
        "session_id": end.session_id,
        "stream_epoch": epoch,
        "sequence": sequence,
        "started_at": text(interval.started_at),
        "ended_at": text(interval.ended_at),
    }
    # What a sample says is of the sample's time: it is stated where the interval has its edges there.
    at_edges = not interval.records or (
        start.at == interval.started_at and end.at == interval.ended_at
    )
    if at_edges:
        content |= {"power_start_w": start.power_w, "power_end_w": end.power_w}
    if interval.records:
        content["records"] = list(interval.records)
    else:
        content |= {
            "export_start_wh": start.export_wh,
            "export_end_wh": end.export_wh,
            "import_start_wh": start.import_wh,
            "import_end_wh": end.import_wh,
        }
    if at_edges and start.soc_pct is not None and end.soc_pct is not None:
        content |= {"soc_start_pct": start.soc_pct, "soc_end_pct": end.soc_pct}
    if end.latitude_deg is not None and end.longitude_deg is not None:
        position = end.latitude_deg, end.longitude_deg
    if position is not None:
        content |= {"latitude_deg": position[0], "longitude_deg": position[1]}
    content["clock_offset_ms"] = clock_offset_ms
    if interval.records or "soc_start_pct" not in content or position is None:
        content["version"] = 2
    return content


def sign(content: dict[str, object], signer: Signer, key_id: str) -> bytes:
    """The packet (RFC 7515 §7.1, ES256), read back by the reader that will judge it.

    Raises:
        RefusedError: the reader refuses it: where, what it found, what it expected.
        AuthExpiredError: the token that holds the key does not sign.
    """
    signing_input = f"{_header(key_id)}.{_part(content)}"
    signature = base64url(signer.sign(signing_input.encode("ascii")))
    packet = f"{signing_input}.{signature}".encode("ascii")
    try:
        packets.read(packets.split(packet))
    except UnreadablePacketError as error:
        raise RefusedError(error.where, error.found, error.expected) from error
    return packet


@lru_cache(maxsize=1)
def _header(key_id: str) -> str:
    return _part({"alg": "ES256", "kid": key_id})


def _part(content: dict[str, object]) -> str:
    return base64url(json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode())


def record_times(records: Sequence[str]) -> tuple[datetime, ...]:
    """The times of all points of some meter records, ascending, each once.

    Raises:
        RefusedError: one cannot be read, or they are of different meters.
    """
    read = [_record(one) for one in records]
    meters = {one.meter_id for one in read}
    if len(meters) > 1:
        raise RefusedError("records", f"meters {', '.join(sorted(meters))}", "records of one meter")
    return tuple(sorted({point.at for one in read for point in one.points}))


@lru_cache(maxsize=_RECORDS_REMEMBERED)
def _record(record: str) -> MeterRecord:
    try:
        content = packets.read(packets.split(record.encode("utf-8", "surrogatepass")))
    except UnreadablePacketError as error:
        raise RefusedError(f"records: {error.where}", error.found, error.expected) from error
    if not isinstance(content, MeterRecord):
        raise RefusedError("records", "a packet of another kind", "a meter's OCMF record")
    return content
