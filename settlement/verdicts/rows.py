"""Verdicts as rows of the frames."""

from dataclasses import fields
from datetime import datetime
from typing import Final

from settlement import units
from settlement.meter_readings import StandingRecord, standing
from settlement.packets import Content, MeterPoint
from settlement.schemas import READING
from settlement.verdicts.model import Verdict
from settlement.verdicts.ranges import value_problem

_STATED: Final = tuple(
    field.name for field in fields(Content) if field.name in READING.schema.names()
)


def content_row(
    content: Content, *, key_id: str, digest: bytes, received_at: datetime
) -> dict[str, object]:
    """An interval as a row of ``schemas.READING``."""
    row: dict[str, object] = {name: getattr(content, name) for name in _STATED}
    return row | {"key_id": key_id, "digest": digest, "received_at": received_at}


def reading_rows(verdict: Verdict) -> list[dict[str, object]]:
    """What a verified packet says by itself, as rows of ``schemas.READING``."""
    assert verdict.envelope is not None
    assert verdict.key is not None
    return [
        content_row(
            content,
            key_id=verdict.key.key_id,
            digest=verdict.envelope.digest,
            received_at=verdict.landed.received_at,
        )
        for content in verdict.contents
    ]


def joined_row(
    content: Content, earlier: StandingRecord, later: StandingRecord
) -> dict[str, object]:
    """The interval between two records as a row of ``schemas.READING``: it stands in the later one, and
    was at hand when both were.
    """
    received_at = max(earlier.received_at, later.received_at)
    return content_row(content, key_id=later.key_id, digest=later.digest, received_at=received_at)


def standing_record(verdict: Verdict) -> StandingRecord | None:
    """A meter's own record that stands, for its neighbours; None of anything else."""
    if verdict.reason is not None or verdict.record is None:
        return None
    assert verdict.envelope is not None
    assert verdict.key is not None
    return standing(
        verdict.record,
        evse_id=verdict.key.evse_id,
        digest=verdict.envelope.digest,
        key_id=verdict.key.key_id,
        received_at=verdict.landed.received_at,
    )


def quarantine_row(verdict: Verdict) -> dict[str, object]:
    """A refused packet as a row of ``schemas.QUARANTINED``: reason, detail, and what it claims."""
    assert verdict.reason is not None
    said = verdict.content or verdict.record
    span = _span(verdict)
    key_id = verdict.key.key_id if verdict.key else None
    return {
        "packet_digest": verdict.packet_digest,
        "reason": verdict.reason.value,
        "detail": verdict.detail,
        "evse_id": (said.evse_id or (verdict.key.evse_id if verdict.key else None))
        if said
        else None,
        "vehicle_id": (said.vehicle_id or None) if said else None,
        "started_at": span[0] if span else None,
        "ended_at": span[1] if span else None,
        "claimed_export_milliwh": _claimed(verdict),
        "key_id": (verdict.envelope.key_id or key_id) if verdict.envelope else None,
        "received_at": verdict.landed.received_at,
        "batch_id": verdict.landed.batch_id,
    }


def _span(verdict: Verdict) -> tuple[datetime, datetime] | None:
    if verdict.content is not None:
        return verdict.content.started_at, verdict.content.ended_at
    if verdict.record is not None:
        return verdict.record.points[0].at, verdict.record.points[-1].at
    return None


def _claimed(verdict: Verdict) -> int | None:
    """Energy that a packet claims (mWh). A claim outside the range of a reading is no claim worth a
    number.
    """
    if verdict.content is not None:
        content = verdict.content
        if value_problem(content):
            return None
        return content.export_end_milliwh - content.export_start_milliwh
    if verdict.record is not None:
        return claimed_between(verdict.record.points[0], verdict.record.points[-1])
    return None


def claimed_between(first: MeterPoint, last: MeterPoint) -> int | None:
    """What the export register went by between two points, mWh, where that can be a claim."""
    if first.export_milliwh is None or last.export_milliwh is None:
        return None
    if first.export_register != last.export_register:
        return None
    claimed = last.export_milliwh - first.export_milliwh
    return claimed if 0 <= claimed <= units.READING_MAX_MILLIWH else None
