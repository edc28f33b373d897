"""From a meter's records to intervals: what its registers went by between two of its points.

A record numbers itself within its context (OCMF pagination: T transaction, F fiscal) and shows the
registers at some points in time. Intervals lie

* between consecutive points of one record;
* between the last point of one record and the first of the next, where the next continues the same
  transaction. The records may have come in either order and in packets of their own. Where a number
  is missing between two records nothing is assumed: what lies in the gap stays unpaid.

Powers, states of charge, position and clock error are not in such a record, and so not stated.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final

from settlement.packets import Content, MeterPoint, MeterRecord, ocmf
from settlement.packets.content import IMPORT_UNKNOWN

_BEGINS: Final = "B"
_ENDS: Final = frozenset("ELRAP")
"""OCMF TX: the transaction ended, locally, remotely, by an error or by a power failure."""


@dataclass(frozen=True, slots=True)
class StandingRecord:
    """A meter's record that stands, as far as its neighbours need it.

    Attributes:
        evse_id: of the key under which it stands.
        vehicle_id: as the record says; empty where it names none.
        first: its first point.
        last: its last point; the same where it has but one.
        digest: SHA-256 of its signed bytes.
        key_id: the key under which it stands.
        received_at: when this system first held it.
    """

    evse_id: str
    vehicle_id: str
    meter_id: str
    context: str
    number: int
    first: MeterPoint
    last: MeterPoint
    digest: bytes
    key_id: str
    received_at: datetime

    @property
    def stream_epoch(self) -> int:
        """The epoch of its readings."""
        return ocmf.stream_epoch(self.meter_id, self.context)


def standing(
    record: MeterRecord, *, evse_id: str, digest: bytes, key_id: str, received_at: datetime
) -> StandingRecord:
    """A record that stands under a key of this EVSE."""
    return StandingRecord(
        evse_id=evse_id,
        vehicle_id=record.vehicle_id,
        meter_id=record.meter_id,
        context=record.context,
        number=record.number,
        first=record.points[0],
        last=record.points[-1],
        digest=digest,
        key_id=key_id,
        received_at=received_at,
    )


def within(record: MeterRecord, evse_id: str) -> tuple[Content, ...]:
    """The intervals between the points of a record; ``problem`` says why one cannot be billed."""
    return tuple(
        _interval(record, evse_id, record.vehicle_id, place, start, end)
        for place, (start, end) in enumerate(pairwise(record.points), 1)
    )


def between(earlier: StandingRecord, later: StandingRecord) -> Content | None:
    """The interval from one record to the next; None where there is none: a new transaction begins,
    the old one had ended, the next takes up at the very time, or a record between them is missing.
    """
    same = (earlier.meter_id, earlier.context, earlier.number + 1)
    if same != (later.meter_id, later.context, later.number):
        return None
    if later.first.kind == _BEGINS or earlier.last.kind in _ENDS:
        return None
    if earlier.last.at == later.first.at:
        return None
    problem = ""
    if earlier.evse_id != later.evse_id:
        problem = f"the record before is of EVSE {earlier.evse_id}; expected {later.evse_id}"
    vehicles = {earlier.vehicle_id, later.vehicle_id} - {""}
    if len(vehicles) > 1:
        problem = f"the record before names {earlier.vehicle_id}; expected {later.vehicle_id}"
    vehicle = later.vehicle_id or earlier.vehicle_id
    return _interval(later, later.evse_id, vehicle, 0, earlier.last, later.first, problem)


def joined(
    records: Iterable[StandingRecord],
) -> Iterator[tuple[Content, StandingRecord, StandingRecord]]:
    """All intervals between records that follow each other, with the earlier and the later record."""
    known: dict[tuple[str, str, int], list[StandingRecord]] = {}
    for one in records:
        known.setdefault((one.meter_id, one.context, one.number), []).append(one)
    for meter, context, number in sorted(known):
        # Two contents of one number: each gives its own interval, and so they contradict each other.
        for earlier in known.get((meter, context, number - 1), ()):
            for later in known[meter, context, number]:
                content = between(earlier, later)
                if content is not None:
                    yield content, earlier, later


def _interval(
    record: MeterRecord | StandingRecord,
    evse_id: str,
    vehicle_id: str,
    place: int,
    start: MeterPoint,
    end: MeterPoint,
    problem: str = "",
) -> Content:
    problem = problem or start.problem or end.problem
    registers: dict[str, int] = {}
    for way in ("export", "import"):
        said = [getattr(point, f"{way}_milliwh") for point in (start, end)]
        names = [getattr(point, f"{way}_register") for point in (start, end)]
        if (said[0] is None) is not (said[1] is None):
            at = (end if said[0] is None else start).at.isoformat()
            problem = problem or f"{way}: stated only at {at}; expected at both ends"
        elif names[0] != names[1]:
            problem = problem or f"{way}: register {names[0]}, then {names[1]}; expected one"
        elif way == "import" and said == [None, None]:
            problem = problem or IMPORT_UNKNOWN
        # Export stated at neither end: nothing is claimed. At one end, or of two registers: not known.
        usable = None not in said and names[0] == names[1]
        for edge, value in zip(("start", "end"), said, strict=True):
            registers[f"{way}_{edge}_milliwh"] = value if usable else 0
    return Content(
        evse_id=evse_id,
        # A record of nobody's is the EVSE's own: a contract can name it so.
        vehicle_id=vehicle_id or f"EVSE:{evse_id}",
        session_id=f"{record.meter_id}:{record.context}{record.number}",
        stream_epoch=ocmf.stream_epoch(record.meter_id, record.context),
        sequence=record.number * ocmf.READINGS_PER_RECORD + place,
        started_at=start.at,
        ended_at=end.at,
        power_start_w=None,
        power_end_w=None,
        **registers,
        soc_start_ppm=None,
        soc_end_ppm=None,
        latitude_microdeg=None,
        longitude_microdeg=None,
        clock_offset_us=None,
        problem=problem,
    )
