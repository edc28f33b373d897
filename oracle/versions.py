"""Which of the rows that speak of one event counts.

Rows are taken in the order of their created_at, as they would have come in. A row that changes the event
counts from then on, if the event, as it was known, was not over yet; else only if its `approval` says
that a person approved it. A row that changes nothing but status and created_at is no change: the
event keeps the creation time that it had. A row that repeats one that does not count does not count.
A row of an event of which nothing counts yet must have been created before that row's own end.

`noticed_at`, where a row has it, says from when the event counts; else it is the created_at, or, where
the event was known and under way by another row before, from when it was so.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from oracle.case import Row

EVENT_CANCELLED = "EVENT_CANCELLED"
EVENT_RANDOMISED = "EVENT_RANDOMISED"
LATE_NOTICE = "LATE_NOTICE"

_CANCELLED = ("cancelled", "2")
_CANCELLED_RANDOMLY = ("cancelled_with_randomization", "3")


@dataclass(frozen=True, slots=True)
class Said:
    """What one row says of an event."""

    id: str
    started_at: datetime
    ended_at: datetime
    created_at: datetime
    noticed_at: datetime
    primacy: int
    group: str | None
    cancelled_at: datetime | None
    leaves_randomly: bool
    modes: frozenset[str]
    start_s: int
    duration_s: int
    resumes: bool

    @property
    def until(self) -> datetime:
        """Where it stops being in force: its end, or its cancellation, which may precede its start."""
        return self.ended_at if self.cancelled_at is None else min(self.ended_at, self.cancelled_at)

    def draws(self) -> list[tuple[datetime, datetime]]:
        """The outermost starts and ends that devices may draw."""
        found = []
        for shift in (0, self.start_s):
            for longer in (0, self.duration_s):
                start = self.started_at + timedelta(seconds=shift)
                length = self.ended_at - self.started_at + timedelta(seconds=longer)
                found.append((start, start + length))
        return found

    def left_by(self) -> datetime:
        """When the last device has obeyed a cancellation, with randomization if it says so."""
        if self.cancelled_at is None or not self.leaves_randomly:
            return self.until
        if self.cancelled_at <= min(start for start, _ in self.draws()):
            return self.until
        longest = max(abs(self.start_s), abs(self.duration_s))
        return min(self.ended_at, self.cancelled_at + timedelta(seconds=longest))

    def against(self, at: datetime) -> str | None:
        """Why a device need not be in it at a moment of its interval; None: every one is in it."""
        if self.cancelled_at is not None and at >= self.cancelled_at:
            return EVENT_RANDOMISED if at < self.left_by() else EVENT_CANCELLED
        if at < self.noticed_at:
            return LATE_NOTICE
        if all(start <= at < end for start, end in self.draws()):
            return None
        return EVENT_RANDOMISED


def counting(rows: Iterable[Row], as_of: datetime | None) -> Said | None:
    """What counts of an event; None where nothing does."""
    stands: Said | None = None
    ignored: Said | None = None
    for row in sorted(rows, key=lambda one: one["created_at"]):
        if as_of is not None and row["created_at"] > as_of:
            continue
        said, approval = _said(row, as_of), row.get("approval") or ""
        if stands is not None and _alike(said, stands):
            ignored = None
        elif approval == "" and ignored is not None and _alike(said, ignored):
            pass
        elif approval == "approved" or (approval == "" and _in_time(said, stands)):
            stands, ignored = _noticed(row, said, stands, approval), None
        else:
            ignored = said
    return stands


def _said(row: Row, as_of: datetime | None) -> Said:
    status = row.get("status")
    cancelled_at = row.get("superseded_or_cancelled_at")
    if status not in (*_CANCELLED, *_CANCELLED_RANDOMLY):
        cancelled_at = None
    if as_of is not None and cancelled_at is not None and cancelled_at > as_of:
        cancelled_at = None
    return Said(
        id=row["event_id"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        created_at=row["created_at"],
        noticed_at=row["created_at"],
        primacy=int(row.get("primacy") or 0),
        group=row.get("group") or None,
        cancelled_at=cancelled_at,
        leaves_randomly=status in _CANCELLED_RANDOMLY,
        modes=frozenset((row.get("modes") or "").split()),
        start_s=int(row.get("randomize_start_s") or 0),
        duration_s=int(row.get("randomize_duration_s") or 0),
        resumes=row.get("resumes") != "no",
    )


def _over_at(said: Said) -> datetime:
    """When an event is over: not before it would have begun."""
    return max(said.started_at, said.until)


def _alike(one: Said, other: Said) -> bool:
    """Whether two rows say the same but for when they were created, and for cancelling nothing."""
    here, there = (
        replace(
            said,
            created_at=other.created_at,
            noticed_at=other.created_at,
            cancelled_at=None,
            leaves_randomly=False,
        )
        for said in (one, other)
    )
    left = [(_over_at(said), max(said.started_at, said.left_by())) for said in (one, other)]
    return here == there and left[0] == left[1]


def _in_time(said: Said, stands: Said | None) -> bool:
    return said.created_at < (said.ended_at if stands is None else _over_at(stands))


def _noticed(row: Row, said: Said, before: Said | None, approval: str) -> Said:
    if row.get("noticed_at") is not None:
        return replace(said, noticed_at=row["noticed_at"])
    if approval == "approved":
        return replace(said, noticed_at=min(said.created_at, said.started_at))
    if before is None:
        return said
    known = max(before.started_at, before.noticed_at)
    return replace(said, noticed_at=min(said.created_at, known))
