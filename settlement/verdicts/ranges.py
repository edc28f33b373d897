"""What an interval may say, whoever signed it."""

from datetime import timedelta
from typing import Final

from settlement import units
from settlement.packets import Content, MeterPoint
from settlement.reasons import PacketReason
from settlement.schemas import READING

_RANGES: Final = tuple(
    (c.name, c.low, c.high, c.unit)
    for c in READING.columns
    if c.low is not None and c.high is not None
)


def fault(content: Content) -> tuple[PacketReason, str] | None:
    """Why an interval cannot be a reading, whoever signed it: the first reason, and its detail."""
    if content.problem:
        return PacketReason.NOT_BILLABLE, content.problem
    if problem := value_problem(content):
        return PacketReason.VALUE_OUT_OF_RANGE, problem
    return None


def value_problem(content: Content) -> str:
    """The first value outside its permitted range, in words; empty where there is none.

    The ranges are those of ``settlement.schemas.READING``; what is not stated is in none.
    """
    for name, low, high, unit in _RANGES:
        value = getattr(content, name)
        if value is not None and not low <= value <= high:
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


def point_fault(point: MeterPoint) -> tuple[PacketReason, str] | None:
    """Why nothing can rest on a point of a meter's record: the reason, and its detail."""
    where = f"point at {point.at.isoformat()}"
    registers = {"export": point.export_milliwh, "import": point.import_milliwh}
    if problem := point.problem or (
        "" if any(value is not None for value in registers.values()) else "no energy register"
    ):
        return PacketReason.NOT_BILLABLE, f"{where}: {problem}"
    if not units.EARLIEST <= point.at < units.LATEST:
        expected = f"{units.EARLIEST.year} to {units.LATEST.year}"
        return PacketReason.VALUE_OUT_OF_RANGE, f"{where}; expected {expected}"
    for way, value in registers.items():
        if value is not None and not 0 <= value <= units.REGISTER_MAX_MILLIWH:
            detail = f"{where}: {way} {value} mWh; expected 0 to {units.REGISTER_MAX_MILLIWH}"
            return PacketReason.VALUE_OUT_OF_RANGE, detail
    return None
