"""Responses: what a utility wants to hear about each event from each device, and when it is true.

Table 27 of IEEE 2030.5-2018 (31 of 2023). ``responseRequired`` of the event says what is wanted at all:
that it was received, what became of it, what the user did. What became of it is computed from what the
events say (``settlement.windows``), never from the status the server gives them.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final
from xml.etree import ElementTree as ET

from grid.feeds import Answered, ResponseDue
from grid.sep2.controls import Control
from grid.sep2.documents import NAMESPACE
from grid.sep2.events import RESUMES_SINCE
from settlement.windows import CANCELLED_RANDOMLY, State, Stretch, Window, trace

__all__ = ["Assigned", "Code", "body", "due"]


class Code(IntEnum):
    """Numbers of what can be answered; 15 came with the 2023 edition."""

    RECEIVED = 1
    STARTED = 2
    COMPLETED = 3
    OPTED_OUT = 4
    CANCELLED = 6
    SUPERSEDED = 7
    SUPERSEDED_BY_PROGRAM = 14
    RESUMED = 15
    NOT_APPLICABLE = 252
    EXPIRED = 254


_WANTS_RECEIVED: Final = 1
_WANTS_OUTCOME: Final = 2
_WANTS_USER: Final = 4
_WANTED_BY: Final = {Code.RECEIVED: _WANTS_RECEIVED, Code.OPTED_OUT: _WANTS_USER}
EXPIRED_WITHIN: Final = timedelta(days=1)
"""Of its end an event that was never heard of is answered as expired; after that, not at all."""
_HELD: Final = frozenset({State.IN_FORCE, State.BESIDE})
_GOING_ON: Final = frozenset({Code.STARTED, Code.RESUMED})
_TAKEN: Final = frozenset({State.SUPERSEDED, State.OVER})


@dataclass(frozen=True, slots=True)
class Assigned:
    """A control as one device sees it.

    Attributes:
        program: of the server, by which supersession inside one program is told from that by another.
        primacy: of that program.
    """

    control: Control
    program: str
    primacy: int


@dataclass(frozen=True, slots=True)
class _Step:
    code: Code
    at: datetime


def due(
    assigned: Mapping[str, Sequence[Assigned]],
    *,
    feed: str,
    edition: int,
    now: datetime,
    answered: Answered,
    opted_out: Mapping[tuple[str, str], datetime] | None = None,
) -> tuple[list[ResponseDue], datetime | None]:
    """What has become true and is not answered yet.

    An event that was over before it was first heard of has expired; nothing else is said of it. What
    became true before an event was heard of is dated at this reading: no device knew of it earlier.

    Args:
        assigned: by LFDI, the controls that address the device, each mRID once.
        feed: its name.
        edition: of the standard.
        now: in UTC.
        answered: before this reading.
        opted_out: by mRID and LFDI, since when the device's user has left the event.

    Returns:
        By time, event and device; and when the next thing will become true, as far as is known.
    """
    made: list[ResponseDue] = []
    to_come: list[datetime] = []
    heard = {(mrid, lfdi) for mrid, lfdi, _ in answered}
    traces: dict[tuple[Assigned, ...], dict[str, list[Stretch]]] = {}
    for lfdi, seen in assigned.items():
        alike = tuple(sorted((_alike(one) for one in seen), key=lambda one: one.control.mrid))
        if alike not in traces:
            traces[alike] = trace([_window(one, edition) for one in alike])
        programs = {one.control.mrid: one.program for one in seen}
        for one in seen:
            control = one.control
            if not control.reply_to or not control.response_required:
                continue
            if (control.mrid, lfdi, Code.EXPIRED) in answered:
                continue
            known = (control.mrid, lfdi) in heard or not control.response_required & _WANTS_RECEIVED
            left = (opted_out or {}).get((control.mrid, lfdi))
            stretches = traces[alike][control.mrid]
            for step in _story(one, stretches, programs, edition, now, known=known, left=left):
                if not control.response_required & _WANTED_BY.get(step.code, _WANTS_OUTCOME):
                    continue
                if (control.mrid, lfdi, step.code) in answered:
                    continue
                if step.at > now:
                    to_come.append(step.at)
                    continue
                at = step.at if known else now
                made.append(
                    ResponseDue(feed, control.mrid, lfdi, step.code.value, control.reply_to, at)
                )
    made.sort(key=lambda one: (one.due_at, one.mrid, one.lfdi, one.status))
    return made, min(to_come, default=None)


def _story(
    one: Assigned,
    stretches: Sequence[Stretch],
    programs: Mapping[str, str],
    edition: int,
    now: datetime,
    *,
    known: bool,
    left: datetime | None,
) -> Iterator[_Step]:
    """What becomes of an event for a device, in the order of time, what is to come included."""
    control = one.control
    if not known and now >= control.ended_at:
        # What ended long ago may have been answered so long ago that nobody tells us any more.
        if not control.cancelled and now - control.ended_at < EXPIRED_WITHIN:
            yield _Step(Code.EXPIRED, now)
        return
    yield _Step(Code.RECEIVED, now)
    if not control.modes:
        yield _Step(Code.NOT_APPLICABLE, now)
        return
    turns = list(_turns(one, stretches, programs, edition))
    if left is not None:
        yield from (turn for turn in turns if turn.at < left)
        yield _Step(Code.OPTED_OUT, left)
        return
    yield from turns
    cancelled_at = control.cancelled_at
    if cancelled_at is not None and cancelled_at < control.ended_at:
        yield _Step(Code.CANCELLED, cancelled_at)
    elif turns and turns[-1].code in _GOING_ON:
        yield _Step(Code.COMPLETED, control.ended_at)


def _turns(
    one: Assigned, stretches: Sequence[Stretch], programs: Mapping[str, str], edition: int
) -> Iterator[_Step]:
    """When it is taken up, taken over by another one, and taken up again."""
    begun = taken = False
    for stretch in stretches:
        state = stretch.standing.state
        if state in _HELD:
            if not begun:
                yield _Step(Code.STARTED, stretch.started_at)
            elif taken and edition >= RESUMES_SINCE:
                yield _Step(Code.RESUMED, stretch.started_at)
            begun, taken = True, False
        elif state in _TAKEN and not taken:
            same = programs.get(stretch.standing.by) == one.program
            code = Code.SUPERSEDED if same else Code.SUPERSEDED_BY_PROGRAM
            yield _Step(code, stretch.started_at)
            taken = True


def _alike(one: Assigned) -> Assigned:
    """Without what differs between devices though the event is the same."""
    control = replace(one.control, href="", reply_to="", line=0, raw=b"", description="")
    return replace(one, control=control)


def _window(one: Assigned, edition: int) -> Window:
    control = one.control
    return Window(
        event_id=control.mrid,
        program=one.program,
        started_at=control.started_at,
        ended_at=control.ended_at,
        created_at=control.created_at,
        primacy=one.primacy,
        cancelled_at=control.cancelled_at,
        modes=control.modes,
        randomize_start_s=control.randomize_start_s,
        randomize_duration_s=control.randomize_duration_s,
        resumes=edition >= RESUMES_SINCE,
        cancelled_randomly=control.status_word == CANCELLED_RANDOMLY,
    )


def body(response: ResponseDue) -> bytes:
    """A ``DERControlResponse``, valid in both editions, its elements in the order of the schema."""
    root = ET.Element("DERControlResponse", xmlns=NAMESPACE)
    for name, text in (
        ("createdDateTime", str(int(response.created_at.timestamp()))),
        ("endDeviceLFDI", response.lfdi.upper()),
        ("status", str(response.status)),
        ("subject", response.mrid.upper()),
    ):
        ET.SubElement(root, name).text = text
    made: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return made
