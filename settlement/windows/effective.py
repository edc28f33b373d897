"""Effective windows: where each event is in force for one device, and why it begins and ends there."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from settlement.windows.sweeping import Piece, Standing, State, sweep
from settlement.windows.window import Window


class Why(StrEnum):
    """Why an effective window begins or ends where it does."""

    START = "start"
    END = "end"
    LATE_NOTICE = "late notice"
    RANDOMISED = "randomised"
    CANCELLED = "cancelled"
    AFTER = "after"
    """The event that was in force before is so no more."""
    SUPERSEDED = "superseded by"


@dataclass(frozen=True, slots=True)
class Edge:
    """One end of an effective window; ``event_id``: the event after which it begins, or that takes over."""

    why: Why
    event_id: str = ""

    def __str__(self) -> str:
        return f"{self.why.value} {self.event_id}".rstrip()


@dataclass(frozen=True, slots=True)
class Effective:
    """Half-open time in which one event is in force for one device, and is paid."""

    event_id: str
    started_at: datetime
    ended_at: datetime
    began: Edge
    ended: Edge


@dataclass(frozen=True, slots=True)
class Stretch:
    """Time of an event's interval in which its standing does not change."""

    started_at: datetime
    ended_at: datetime
    standing: Standing


def effective(windows: Sequence[Window]) -> list[Effective]:
    """The effective windows of one device, in time order; no two overlap.

    Args:
        windows: the events that address it, each once, in any order. They all compete, whatever their
            programs.
    """
    known = {w.event_id: w for w in windows}
    runs: list[tuple[Window, datetime, datetime]] = []
    for piece in sweep(windows):
        if piece.paid is None:
            continue
        if runs and runs[-1][0] is piece.paid and runs[-1][2] == piece.started_at:
            window, start, _ = runs.pop()
            runs.append((window, start, piece.ended_at))
        else:
            runs.append((piece.paid, piece.started_at, piece.ended_at))
    found = []
    for number, (window, start, end) in enumerate(runs):
        before = runs[number - 1][0].event_id if number else ""
        after = runs[number + 1][0].event_id if number + 1 < len(runs) else ""
        own = known[window.event_id]
        found.append(
            Effective(
                window.event_id, start, end, _began(own, start, before), _ended(own, end, after)
            )
        )
    return found


def _began(window: Window, at: datetime, before: str) -> Edge:
    if at == window.since and at > window.drawn_start:
        return Edge(Why.LATE_NOTICE)
    if at == window.drawn_start:
        return Edge(Why.START if at == window.started_at else Why.RANDOMISED)
    return Edge(Why.AFTER, before)


def _ended(window: Window, at: datetime, after: str) -> Edge:
    if at == window.until and at < min(window.ended_at, window.drawn_end):
        return Edge(Why.CANCELLED)
    if at == window.drawn_end:
        return Edge(Why.END if at == window.ended_at else Why.RANDOMISED)
    return Edge(Why.SUPERSEDED, after)


def trace(windows: Sequence[Window]) -> dict[str, list[Stretch]]:
    """The whole interval of each event, cut where its standing changes: what became of it, and by whom.

    ``Response`` follows from it: an event that is ``SUPERSEDED`` or ``OVER`` names who is in its place;
    one that is ``BESIDE`` goes on with some of its modes.

    Args:
        windows: as of ``effective``.

    Returns:
        By event_id, ascending; stretches in time order, without gaps.
    """
    found: dict[str, list[Stretch]] = {w.event_id: [] for w in sorted(windows, key=_name)}
    for piece in sweep(windows):
        for name, standing in piece.standing.items():
            found[name] = _joined(found[name], piece, standing)
    return found


def _joined(stretches: list[Stretch], piece: Piece, standing: Standing) -> list[Stretch]:
    started_at = piece.started_at
    if stretches and stretches[-1].standing == standing:
        started_at = stretches.pop().started_at
    stretches.append(Stretch(started_at, piece.ended_at, standing))
    return stretches


def _name(window: Window) -> str:
    return window.event_id


__all__ = ["Edge", "Effective", "State", "Stretch", "Why", "effective", "trace"]
