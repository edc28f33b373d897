"""Meter's records inside a packet: ``records``, 1 to 4 OCMF records of one meter, verbatim.

Their points, merged by time, are the packet's registers: a meter may sign import and export in one
record each. The packet's own times must be those of the first and the last point.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from settlement.packets import ocmf
from settlement.packets.content import (
    IMPORT_UNKNOWN,
    Envelope,
    MeterPoint,
    UnreadablePacketError,
)
from settlement.packets.fields import json_object, wrong

NAME: Final = "records"
RECORDS_MAX: Final = 4
PROBLEMS_SAID: Final = 4
TIME_RESOLUTION: Final = timedelta(milliseconds=1)
"""Of a meter's record; a packet's own times may be finer."""

_NAMED: Final = f'"{NAME}"'.encode()


@dataclass(frozen=True, slots=True)
class Registers:
    """The meter's registers at both ends, in mWh, and why they must not be billed; empty: they may."""

    export_start_milliwh: int
    export_end_milliwh: int
    import_start_milliwh: int
    import_end_milliwh: int
    problem: str = ""


def records(payload: bytes) -> tuple[Envelope, ...]:
    """The records that a payload carries, taken apart; none where it carries none.

    Raises:
        UnreadablePacketError: not 1 to 4 texts, no OCMF, or of several meters.
    """
    # Almost every packet carries none, and landing splits them all: so no JSON is read for those.
    if _NAMED not in payload:
        return ()
    fields = json_object("payload", payload)
    if NAME not in fields or fields.get("version") == 1:
        return ()
    written = fields[NAME]
    if not isinstance(written, list) or not 0 < len(written) <= RECORDS_MAX:
        raise wrong("payload", fields, NAME, f"1 to {RECORDS_MAX} OCMF records as texts")
    split = tuple(_record(place, one) for place, one in enumerate(written))
    meters = sorted({one.meter_id for one in split})
    if len(meters) > 1:
        raise UnreadablePacketError(
            f"payload.{NAME}", f"of meters {' and '.join(meters)}", "records of one meter"
        )
    return split


def _record(place: int, written: object) -> Envelope:
    where = f"payload.{NAME}[{place}]"
    try:
        data = written.encode("utf-8") if isinstance(written, str) else b""
        if not ocmf.looks_like(data):
            raise UnreadablePacketError("packet", "something else", "an OCMF record as text")
        return ocmf.split(data)
    except UnicodeEncodeError as error:
        raise UnreadablePacketError(where, f"no text ({error.reason})", "UTF-8") from error
    except UnreadablePacketError as error:
        raise _within(where, error) from error


def _within(where: str, error: UnreadablePacketError) -> UnreadablePacketError:
    return UnreadablePacketError(f"{where}.{error.where}", error.found, error.expected)


def registers(inner: Sequence[Envelope], started_at: datetime, ended_at: datetime) -> Registers:
    """The registers at both ends of the packet, from its records.

    A direction stated at both ends counts; stated nowhere it is 0 at both, though an export without any
    import is a problem; stated otherwise, the packet has a problem, as it has with any point whose flags
    forbid billing.

    Raises:
        UnreadablePacketError: a record cannot be read, or begins or ends at another time.
    """
    points = tuple(_points(inner))
    first, last = min(p.at for p in points), max(p.at for p in points)
    for name, said, meant in (("started_at", started_at, first), ("ended_at", ended_at, last)):
        if abs(said - meant) >= TIME_RESOLUTION:
            raise UnreadablePacketError(
                f"payload.{name}",
                said.isoformat(),
                f"{meant.isoformat()}, as the meter's records say",
            )
    problems = list(dict.fromkeys(p.problem for p in points if p.problem))
    exported = _ends("export", points, first, last, problems)
    imported = _ends("import", points, first, last, problems)
    if all(point.import_milliwh is None for point in points) and exported != (0, 0):
        problems.append(IMPORT_UNKNOWN)
    return Registers(*exported, *imported, "; ".join(problems[:PROBLEMS_SAID]))


def _points(inner: Sequence[Envelope]) -> Iterable[MeterPoint]:
    for place, envelope in enumerate(inner):
        try:
            yield from ocmf.read(envelope).points
        except UnreadablePacketError as error:
            raise _within(f"payload.{NAME}[{place}]", error) from error


def _ends(
    way: str,
    points: Sequence[MeterPoint],
    first: datetime,
    last: datetime,
    problems: list[str],
) -> tuple[int, int]:
    """What one direction's register showed at both ends; 0 and 0 where that cannot be said."""
    stated = [
        (point.at, value, name)
        for point in points
        if (value := _value(point, way)) is not None
        and (name := point.export_register if way == "export" else point.import_register)
    ]
    if not stated:
        return 0, 0
    ends = [{(value, name) for at, value, name in stated if at == edge} for edge in (first, last)]
    for edge, shown in zip(("start", "end"), ends, strict=True):
        if len(shown) != 1:
            said = "several values" if shown else "no value"
            problems.append(f"{way} register: {said} at the {edge}")
            return 0, 0
    (start, at_start), (end, at_end) = ends[0].pop(), ends[1].pop()
    if at_start != at_end:
        problems.append(f"{way} register: {at_start} at the start, {at_end} at the end")
        return 0, 0
    return start, end


def _value(point: MeterPoint, way: str) -> int | None:
    return point.export_milliwh if way == "export" else point.import_milliwh
