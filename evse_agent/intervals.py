"""Samples in, intervals out: pure, and resumable from what it shows in ``State``.

An interval runs from one sample's registers to another's: from the edge where the last one ended
to the first sample that is at least SettlementInterval later. So intervals of a session touch, and
nothing that the meter counted is left out or counted twice, whatever came between: a lost
connection, a killed agent, a full store. The end of a session closes what is open.

With the meter's own records the interval is what they say: their first and last point. A sample
whose records show one time is an edge like any other; one whose records span a time (a transaction
from its begin to its end) is an interval of its own.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from evse_agent.samples import RECORDS_MAX, End, RefusedError, Sample
from settlement.units import INTERVAL_MAX

LATE: Final = 2
"""An interval this many times longer than asked shows a gap in the samples: it is split at the gap."""

RECORDS_MAX_BYTES: Final = 5000
"""Of the records of one packet, in JSON: with the other fields, in base64, a packet just holds them."""

ENDED_MAX: Final = 64
"""Ended sessions that are remembered; a controller sends no more than a few again."""

Times = Callable[[Sequence[str]], tuple[datetime, ...]]
"""The times of all points of some records, ascending. Raises RefusedError."""


@dataclass(frozen=True, slots=True)
class State:
    """Where the open session stands; both None between sessions.

    Attributes:
        edge: where the next interval begins.
        last: the newest sample.
        ended: the sessions that ended last, and the time up to which each is covered.
    """

    edge: Sample | None = None
    last: Sample | None = None
    ended: tuple[tuple[str, datetime], ...] = ()


@dataclass(frozen=True, slots=True)
class Interval:
    """From ``start`` to ``end``. With ``records`` these are the registers, and the times are theirs."""

    start: Sample
    end: Sample
    started_at: datetime
    ended_at: datetime
    records: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What a line leads to: the state after it, what it closes, and what is not covered by anything."""

    state: State
    intervals: tuple[Interval, ...] = ()
    uncovered: tuple[datetime, datetime] | None = None


def take(state: State, line: Sample | End, every: timedelta, times: Times) -> Step:
    """Take a line. Raises RefusedError: it does not follow from the one before."""
    last = state.last
    if isinstance(line, Sample) and (last is None or last.session_id != line.session_id):
        _require_uncovered(state, line)
    step = _taken(state, line, every, times)
    now = step.state.last
    ended = state.ended
    if last is not None and (now is None or now.session_id != last.session_id):
        others = tuple(one for one in ended if one[0] != last.session_id)
        ended = (*others, (last.session_id, last.at))[-ENDED_MAX:]
    return replace(step, state=replace(step.state, ended=ended))


def _taken(state: State, line: Sample | End, every: timedelta, times: Times) -> Step:
    last = state.last
    if isinstance(line, End):
        if last is None or last.session_id != line.session_id:
            return Step(state)  # ended before, or never begun: saying so again is no error
        return Step(State(), _between(state.edge, last, times))
    if last is not None and last.session_id != line.session_id:
        ended = take(state, End(last.session_id), every, times)
        begun = take(ended.state, line, every, times)
        return replace(begun, intervals=ended.intervals + begun.intervals)
    points = times(line.records) if line.records else ()
    _require_room(line, points)
    if last is None or state.edge is None:
        return Step(State(line, line), _spanned(line, None, points))
    if _same(line, last):
        return Step(state)  # sent again because its answer was lost
    _require_following(last, line)
    if len(points) > 1:
        return Step(State(line, line), _spanned(line, state.edge, points))
    return _advance(state.edge, last, line, every, times)


def _advance(edge: Sample, last: Sample, line: Sample, every: timedelta, times: Times) -> Step:
    if line.at - edge.at < every:
        return Step(State(edge, line))
    if line.records and _stands(edge, line, times):
        return Step(State(edge, line))
    if line.at - edge.at <= LATE * every and line.at - edge.at <= INTERVAL_MAX:
        return Step(State(line, line), _between(edge, line, times))
    # A gap: what was seen before it is an interval of its own.
    before = _between(edge, last, times)
    if line.at - last.at <= INTERVAL_MAX:
        return Step(State(line, line), before + _between(last, line, times))
    return Step(State(line, line), before, uncovered=(last.at, line.at))


def _same(one: Sample, other: Sample) -> bool:
    return replace(one, snr_cdb=None) == replace(other, snr_cdb=None)


def _require_uncovered(state: State, line: Sample) -> None:
    """Lines that were sent ahead of their answers come again, also those of a session that has ended."""
    covered = dict(state.ended).get(line.session_id)
    if covered is not None and line.at < covered:
        raise RefusedError(
            "at",
            line.at.isoformat(),
            f"not before {covered.isoformat()}, up to which session {line.session_id} is covered",
        )


def _require_following(last: Sample, line: Sample) -> None:
    if line.at <= last.at:
        raise RefusedError(
            "at", line.at.isoformat(), f"later than the sample before, {last.at.isoformat()}"
        )
    if line.vehicle_id != last.vehicle_id:
        raise RefusedError(
            "vehicle_id", line.vehicle_id, f"{last.vehicle_id}, or another session_id"
        )
    for name, now, before in (
        ("export_wh", line.export_milliwh, last.export_milliwh),
        ("import_wh", line.import_milliwh, last.import_milliwh),
    ):
        if now < before:
            raise RefusedError(
                name,
                getattr(line, name),
                f"at least {getattr(last, name)}: registers only rise;"
                " after a change of meter end the session and begin another",
            )
    if bool(line.records) != bool(last.records):
        raise RefusedError(
            "records",
            f"{len(line.records)} records",
            f"as in the sample before, which has {len(last.records)}: all of a session, or none",
        )


def _stands(edge: Sample, line: Sample, times: Times) -> bool:
    """Whether the meter still shows the record of the edge, or an older one."""
    begins, ends = times(edge.records), times(line.records)
    return len(begins) == len(ends) == 1 and ends[0] <= begins[0]


def _require_room(line: Sample, points: tuple[datetime, ...]) -> None:
    """Of a packet two samples take half each where they are its two ends."""
    share = 1 if len(points) > 1 else 2
    size = sum(len(json.dumps(one, ensure_ascii=False).encode()) for one in line.records)
    if len(line.records) > RECORDS_MAX // share or size > RECORDS_MAX_BYTES // share:
        raise RefusedError(
            "records",
            f"{len(line.records)} of {size} bytes in JSON",
            f"at most {RECORDS_MAX // share} of {RECORDS_MAX_BYTES // share} bytes: a packet has room"
            f" for no more than {share} such sample(s)",
        )


def _between(start: Sample | None, end: Sample, times: Times) -> tuple[Interval, ...]:
    """From one sample to a later one; nothing when they are the same."""
    if start is None or start.at >= end.at:
        return ()
    if not end.records:
        return (Interval(start, end, start.at, end.at),)
    begins = times(start.records)
    ends = times(end.records)
    # Of an edge that spans a time its own interval is made already: from its last point on there is
    # no record that begins here.
    if len(begins) != 1 or len(ends) != 1 or begins[0] >= ends[0]:
        return ()
    records = tuple(dict.fromkeys(start.records + end.records))
    return (Interval(start, end, begins[0], ends[0], records),)


def _spanned(
    line: Sample, before: Sample | None, points: tuple[datetime, ...]
) -> tuple[Interval, ...]:
    """The interval that a sample's own records span, if they span one."""
    if len(points) < 2:  # noqa: PLR2004 - a beginning and an end
        return ()
    return (Interval(before or line, line, points[0], points[-1], line.records),)
