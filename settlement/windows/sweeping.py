"""One sweep over time: what each event of one device is at every moment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from settlement.windows.modes import UNNAMED, order
from settlement.windows.window import Window, rank


class State(StrEnum):
    """What an event is at a moment of its interval."""

    IN_FORCE = "in force"
    """It is the one that is paid."""
    BESIDE = "beside"
    """It holds some of its modes, while the one that is paid holds a mode that comes before them."""
    SUPERSEDED = "superseded"
    """All of its modes are another's, for now."""
    OVER = "over"
    """It was superseded for good (2018 edition)."""
    RANDOMISED = "randomised"
    """Some devices are in it and some are not: each drew its own start and end."""
    CANCELLED = "cancelled"
    LATE_NOTICE = "late notice"
    """It has begun, but had not been created."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How an event stands at a moment; ``by``: the event that is in its place, if one is."""

    state: State
    by: str = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Time in which nothing changes, inside the interval of an event at least.

    Attributes:
        paid: the event in force; None where there is none.
        standing: of every event whose interval covers the piece, best rank first.
    """

    started_at: datetime
    ended_at: datetime
    paid: Window | None
    standing: dict[str, Standing]


def sweep(windows: Sequence[Window]) -> Iterator[Piece]:
    """All time inside the intervals of events that address one device, ascending.

    Args:
        windows: each event once, in any order.
    """
    known = {w.event_id: w for w in windows}
    waiting = sorted(known.values(), key=lambda w: w.started_at, reverse=True)
    running: list[Window] = []
    over: dict[str, str] = {}
    for start, end in pairwise(sorted({edge for w in windows for edge in _edges(w)})):
        arrived = False
        running = [w for w in running if w.ended_at > start]
        while waiting and waiting[-1].started_at <= start:
            running.append(waiting.pop())
            arrived = True
        if arrived:
            running.sort(key=rank, reverse=True)
        if running:
            yield _piece(start, end, running, over)


def _edges(window: Window) -> Iterator[datetime]:
    edges = [window.since, window.drawn_start, window.drawn_end, window.until, window.left_by]
    yield window.started_at
    yield window.ended_at
    yield from (at for at in edges if window.started_at < at < window.ended_at)


def _piece(
    start: datetime, end: datetime, running: Sequence[Window], over: dict[str, str]
) -> Piece:
    """Args as of ``sweep``; ``running``: best rank first; ``over`` is added to."""
    by_itself = {w.event_id: _by_itself(w, start) for w in running}
    standing = [w for w in running if by_itself[w.event_id] is State.IN_FORCE]
    for place, window in enumerate(standing):
        if not window.resumes and window.event_id not in over:
            better = (w for w in standing[:place] if w.event_id not in over)
            by = next((w.event_id for w in better if _takes_over(w, window)), None)
            if by is not None:
                over[window.event_id] = by
    standing = [w for w in standing if w.event_id not in over]
    holders = _holders(standing)
    modes = sorted(holders, key=order)
    paid = holders[modes[0]] if modes else None
    found: dict[str, Standing] = {}
    for window in running:
        name, state = window.event_id, by_itself[window.event_id]
        if state is not State.IN_FORCE:
            found[name] = Standing(state)
        elif name in over:
            found[name] = Standing(State.OVER, over[name])
        elif window is paid:
            found[name] = Standing(State.IN_FORCE)
        elif paid is not None and any(holder is window for holder in holders.values()):
            found[name] = Standing(State.BESIDE, paid.event_id)
        else:
            first = next(mode for mode in modes if not window.modes or mode in window.modes)
            found[name] = Standing(State.SUPERSEDED, holders[first].event_id)
    return Piece(start, end, paid, found)


def _by_itself(window: Window, at: datetime) -> State:
    """What an event would be if it were alone."""
    if at >= window.until:
        return State.RANDOMISED if at < window.left_by else State.CANCELLED
    if at < window.since:
        return State.LATE_NOTICE
    if not window.drawn_start <= at < window.drawn_end:
        return State.RANDOMISED
    return State.IN_FORCE


def _takes_over(one: Window, other: Window) -> bool:
    """Whether an event of better rank is of the same program, and so of the same primacy, and sets all
    that the other one sets.
    """
    return (one.program, one.primacy) == (other.program, other.primacy) and (
        not one.modes or (bool(other.modes) and set(other.modes) <= set(one.modes))
    )


def _holders(standing: Sequence[Window]) -> dict[str, Window]:
    """Of each mode that one of these events sets the best of those that compete for it.

    Args:
        standing: best rank first.
    """
    holders: dict[str, Window] = {}
    every: Window | None = None
    for window in standing:
        for mode in window.modes:
            holders.setdefault(mode, every or window)
        if not window.modes and every is None:
            every = window
    if every is not None:
        holders[UNNAMED] = every
    return holders
