"""Versions of events that came too late, and what a person says of them: each once, by name.

StorageError
└── DecisionError            nothing was decided
    ├── UnknownVersionError  there is no such version
    ├── NotPendingError      it counts, or shares the fate of another, without any decision
    └── DecidedError         it has been decided, and a decision stands
"""

from dataclasses import dataclass, replace
from datetime import datetime

from settlement.periods import Period
from settlement.windows import Decision, Pending, Window, changes
from storage import versions
from storage.engine import Connection
from storage.errors import StorageError
from storage.windows import late_outcomes

__all__ = [
    "DecidedError",
    "Decision",
    "DecisionError",
    "LateVersion",
    "NotPendingError",
    "UnknownVersionError",
    "decide",
    "late_versions",
]


class DecisionError(StorageError):
    """Nothing was decided."""


class UnknownVersionError(DecisionError):
    """``event_id`` has no version ``version``; ``known`` is how many it has."""

    def __init__(self, event_id: str, version: int, known: int) -> None:
        has = f"1 to {known}" if known else "an event that was ever received"
        super().__init__(f"event {event_id}, version {version}: not known; expected {has}")
        self.event_id = event_id
        self.version = version
        self.known = known


class NotPendingError(DecisionError):
    """``version`` of ``event_id`` needs no decision; ``waiting`` are those that do."""

    def __init__(self, event_id: str, version: int, waiting: tuple[int, ...]) -> None:
        waits = f"version {', '.join(map(str, waiting))}" if waiting else "no version of it"
        super().__init__(
            f"event {event_id}, version {version}: it came in time, says what another version says, or was"
            " replaced by one that counts;"
            f" expected one that waits for a decision, and of this event that is {waits}"
        )
        self.event_id = event_id
        self.version = version
        self.waiting = waiting


class DecidedError(DecisionError):
    """``version`` of ``event_id`` was ``decision`` by ``decided_by``."""

    def __init__(self, event_id: str, version: int, decision: str, decided_by: str) -> None:
        super().__init__(
            f"event {event_id}, version {version}: {decision} by {decided_by} already; expected one that"
            " waits for a decision. What the utility says anew is a version of its own"
        )
        self.event_id = event_id
        self.version = version
        self.decision = decision
        self.decided_by = decided_by


@dataclass(frozen=True, slots=True)
class LateVersion:
    """A version of an event that counts only if a person approves it.

    Attributes:
        received_at: when this system first held it.
        status: as the utility had it.
        before: what stands without it; None where it is the first that was heard of the event.
        after: what stands if it is approved.
        waits: whether it waits for a decision; not if the utility has replaced it since by what counts.
        decision: None while there is none.
        decided_by: by whom; empty without a decision, as ``note`` and ``decided_at`` are.
    """

    event_id: str
    version: int
    received_at: datetime
    status: str
    feed: str
    before: Window | None
    after: Window
    waits: bool = True
    decision: Decision | None = None
    decided_by: str = ""
    note: str = ""
    decided_at: datetime | None = None

    @property
    def changed(self) -> dict[str, tuple[object, object]]:
        """What it changes: field → (what stands, what would stand). Empty for an event not heard of
        before.
        """
        return changes(self.before, self.after)

    @property
    def paid_before(self) -> Period | None:
        """The time in which the event, taken alone, can be paid without it; None: at no time."""
        return None if self.before is None else self.before.certain

    @property
    def paid_after(self) -> Period | None:
        """The same if it is approved. Who else competes for that time is not asked here."""
        return self.after.certain


def late_versions(
    conn: Connection,
    *,
    event_id: str | None = None,
    decided: bool = False,
    known_at: datetime | None = None,
) -> list[LateVersion]:
    """Versions that came too late to count by themselves, in the order in which they came.

    Args:
        conn: any role that may read.
        event_id: of this event only.
        decided: all of them, and not only those that wait for a decision.
        known_at: by what was known then; None: by all that is stored.
    """
    found = [
        (name, one, one in outcome.pending)
        for name, outcome in late_outcomes(conn, known_at=known_at, event_id=event_id).items()
        for one in (outcome.late if decided else outcome.pending)
    ]
    said = {
        (name, version): rest
        for name, version, *rest in conn.execute(
            """
            select v.event_id, v.version, v.received_at, v.status, v.feed,
                   d.decided_by, d.note, d.recorded_at
            from unnest(%s::text[], %s::int[]) as asked (event_id, version)
                 join event_version v using (event_id, version)
                 left join event_decision d using (event_id, version)
            """,
            [[name for name, *_ in found], [one.version.number for _, one, _ in found]],
        )
    }
    late = [
        replace(_late(name, one, *said[name, one.version.number]), waits=waits)
        for name, one, waits in found
    ]
    return sorted(late, key=lambda one: (one.received_at, one.event_id, one.version))


def _late(
    name: str,
    one: Pending,
    received_at: datetime,
    status: str,
    feed: str,
    decided_by: str | None,
    note: str | None,
    decided_at: datetime | None,
) -> LateVersion:
    version = one.version
    late = LateVersion(name, version.number, received_at, status, feed, one.before, one.after)
    if version.decision is None:
        return late
    return replace(
        late,
        decision=version.decision,
        decided_by=decided_by or "",
        note=note or "",
        decided_at=decided_at,
    )


def decide(
    conn: Connection,
    event_id: str,
    version: int,
    decision: Decision,
    *,
    by: str,
    note: str = "",
    now: datetime,
) -> datetime:
    """Approve or reject a version that waits. The caller commits.

    It counts for the runs that fix their time after it, and so the next run over the event's day books
    the difference as an adjustment; a run that is repeated as known before knows nothing of it. It
    stands: it can be neither changed nor taken back.

    Args:
        conn: as ``v2g_settle``, in a transaction.
        event_id: the event.
        version: one of ``late_versions``.
        decision: approved or rejected.
        by: the name of the person who decides.
        note: why.
        now: timezone-aware; see ``storage.fence.writing``.

    Returns:
        The time with which it was recorded.

    Raises:
        UnknownVersionError, NotPendingError, DecidedError: nothing was stored.
        ValueError: ``by`` is empty.
    """
    if not by.strip():
        raise ValueError("a decision by nobody; expected the name of the person who decides")
    recorded_at = versions.stamp(conn, now)
    row = conn.execute(
        "select max(version) from event_version where event_id = %s", [event_id]
    ).fetchone()
    known = int(row[0]) if row and row[0] is not None else 0
    if not 1 <= version <= known:
        raise UnknownVersionError(event_id, version, known)
    late = {one.version: one for one in late_versions(conn, event_id=event_id, decided=True)}
    one = late.get(version)
    if one is not None and one.decision is not None:
        raise DecidedError(event_id, version, one.decision.value, one.decided_by)
    if one is None or not one.waits:
        waiting = tuple(number for number, other in late.items() if other.waits)
        raise NotPendingError(event_id, version, waiting)
    conn.execute(
        """
        insert into event_decision (event_id, version, decision, decided_by, note, recorded_at)
        values (%s, %s, %s, %s, %s, %s)
        """,
        [event_id, version, decision.value, by.strip(), note.strip(), recorded_at],
    )
    return recorded_at
