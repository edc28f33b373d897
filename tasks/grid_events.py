"""Events for people: what was said of each, which version counts, when it is in force, what waits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from settlement.periods import Period
from settlement.windows import Effective, Window, effective
from storage.engine import Connection
from storage.event_decisions import LateVersion, late_versions
from storage.event_listing import ListedVersion, listed_versions
from storage.windows import in_force, load_competing

__all__ = ["ListedEvent", "listed_events"]


@dataclass(frozen=True, slots=True)
class ListedEvent:
    """One event.

    Attributes:
        versions: all of them, ascending.
        counts: the number of the latest version that says what counts; 0: nothing of it does.
        window: what counts; None where nothing does.
        in_force: when it is, for a device of its group whose program this is; computed by the rules of
            settlement from all events of the program, never from the status.
        late: versions that came too late to count by themselves, with what was decided of them.
    """

    event_id: str
    versions: tuple[ListedVersion, ...]
    counts: int
    window: Window | None
    in_force: tuple[Effective, ...]
    late: tuple[LateVersion, ...]

    @property
    def latest(self) -> ListedVersion:
        return self.versions[-1]

    @property
    def waiting(self) -> tuple[LateVersion, ...]:
        """Those that wait for a person's decision."""
        return tuple(one for one in self.late if one.waits and one.decision is None)


def listed_events(
    conn: Connection,
    period: Period,
    *,
    program: str = "",
    known_at: datetime,
    most: int,
    waiting_only: bool = False,
) -> list[ListedEvent]:
    """Events that touch a period, by their start.

    Args:
        conn: any role that may read.
        period: half-open.
        program: of this program only; empty: of all.
        known_at: what counts is told by what was known then.
        most: at most so many.
        waiting_only: only those of which a version waits for a person's decision.
    """
    late: dict[str, list[LateVersion]] = {}
    for one in late_versions(conn, decided=True, known_at=known_at):
        late.setdefault(one.event_id, []).append(one)
    waiting = {name for name, of in late.items() if any(one.waits for one in of)}
    only = waiting if waiting_only else None
    found = [
        (name, tuple(versions))
        for name, versions in groupby(
            listed_versions(conn, period, program=program, most=most, only=only),
            key=lambda one: one.event_id,
        )
    ]
    if not found:
        return []
    counting = in_force(conn, {name for name, _ in found}, known_at=known_at)
    pieces = _in_force(conn, [one.window for one in counting.values()], known_at)
    return [
        ListedEvent(
            name,
            versions,
            counts=counting[name].version if name in counting else 0,
            window=counting[name].window if name in counting else None,
            in_force=tuple(one for one in pieces if one.event_id == name),
            late=tuple(late.get(name, ())),
        )
        for name, versions in found
    ]


def _in_force(conn: Connection, windows: Sequence[Window], known_at: datetime) -> list[Effective]:
    """The effective windows of these events, against all others that share time with them."""
    if not windows:
        return []
    span = Period(min(w.started_at for w in windows), max(w.ended_at for w in windows))
    rivals = load_competing(conn, span, known_at=known_at)
    groups = {(w.program, w.group) for w in windows}
    return [
        piece for program, group in sorted(groups) for piece in _of_group(rivals, program, group)
    ]


def _of_group(rivals: Iterable[Window], program: str, group: str) -> list[Effective]:
    addressing = [w for w in rivals if w.program == program and w.group in {"", group}]
    own = {w.event_id for w in addressing if w.group == group}
    return [piece for piece in effective(addressing) if piece.event_id in own]
