"""Versions of an event: which of them counts.

A utility says an event again and again: mostly to change its status, now and then to change what it
is. A change that arrives while the event has not ended counts as it arrives. One that arrives later
would move money that is already earned: it is kept, and counts once a person approves it. Until then
what stood before stands. So it is with an event that was created after its own end.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from settlement.windows.window import Window


class Decision(StrEnum):
    """A person's word on a version that came too late to count by itself."""

    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Version:
    """One thing that was said of an event.

    Attributes:
        number: ascending in the order in which it was said.
        window: as it was said; ``noticed_at`` is not looked at.
        arrived_at: when it became known; None where nobody can tell, and then it came in time.
        decision: what a person said of it, if it was asked.
        decided_at: when; None where nobody can tell, and then it was said as the version came.
    """

    number: int
    window: Window
    arrived_at: datetime | None
    decision: Decision | None = None
    decided_at: datetime | None = None

    @property
    def counts_from(self) -> datetime | None:
        """When it came to count, if it does; None where nobody can tell."""
        return self.decided_at or self.arrived_at


@dataclass(frozen=True, slots=True)
class Pending:
    """A version that counts only if it is approved.

    Attributes:
        version: it.
        before: what stands without it; None: no event at all.
        after: what stands if it is approved.
    """

    version: Version
    before: Window | None
    after: Window


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the versions of one event come to.

    Attributes:
        window: what counts; None where nothing does yet.
        number: of the latest version that says just that, be it with another status; 0 if none does.
        late: every version that needed a decision, whether it has one or not.
    """

    window: Window | None
    number: int
    late: tuple[Pending, ...]

    @property
    def pending(self) -> tuple[Pending, ...]:
        """Versions that wait for a decision; not those that the utility itself has replaced by what
        counts now.
        """
        return tuple(
            one
            for one in self.late
            if one.version.decision is None and one.version.number > self.number
        )


def outcome(versions: Sequence[Version]) -> Outcome:
    """What counts of an event.

    A version that says the same as the one that counts, whatever its status and its creation time, is
    no change and needs no word. One that repeats the version before it, which does not count, shares its
    fate. Whether one came too late is told by what stood as it came: what was approved afterwards lets
    nothing in that nobody has approved.

    Args:
        versions: of one event, ascending.
    """
    window: Window | None = None
    number = 0
    late: list[Pending] = []
    refused: Window | None = None
    stood: list[Version] = []
    for version in versions:
        said = version.window
        if window is not None and _same(said, window):
            number, refused = version.number, None
            continue
        if refused is not None and version.decision is None and _same(said, refused):
            continue
        after = _noticed(said, window)
        too_late = _too_late(version, _as_it_came(version, stood), first=not (late or number))
        if too_late or version.decision is not None:
            # Whoever approves it also takes its notice for given.
            after = replace(after, noticed_at=min(said.started_at, said.created_at))
            late.append(Pending(version, window, after))
            if version.decision is not Decision.APPROVED:
                refused = said
                continue
        window, number, refused = after, version.number, None
        stood.append(version)
    return Outcome(window, number, tuple(late))


def changes(before: Window | None, after: Window) -> dict[str, tuple[object, object]]:
    """What one version changes, by the name of the field: what stood, and what would stand."""
    if before is None:
        return {}
    return {
        name: (old, new)
        for name in _FIELDS
        if (old := getattr(before, name)) != (new := getattr(after, name))
    }


_FIELDS = (
    "program",
    "started_at",
    "ended_at",
    "primacy",
    "group",
    "cancelled_at",
    "cancelled_randomly",
    "modes",
    "randomize_start_s",
    "randomize_duration_s",
    "resumes",
)


def _same(one: Window, other: Window) -> bool:
    return _substance(one) == _substance(other)


def _substance(window: Window) -> tuple[object, ...]:
    """All that can move money, but for the creation time: a cancellation at, or after, the end is none."""
    return (
        window.program,
        window.started_at,
        window.ended_at,
        max(window.started_at, window.until),
        max(window.started_at, window.left_by),
        window.primacy,
        window.group,
        frozenset(window.modes),
        window.randomize_start_s,
        window.randomize_duration_s,
        window.resumes,
    )


def _as_it_came(version: Version, stood: Sequence[Version]) -> Window | None:
    """What counted of an event as a version came.

    Args:
        version: the one that came.
        stood: those before it that count or have counted, ascending.
    """
    for one in reversed(stood):
        since, now = one.counts_from, version.arrived_at
        if since is None or now is None or since <= now:
            return one.window
    return None


def _too_late(version: Version, before: Window | None, *, first: bool) -> bool:
    """Whether a version came after the event had ended: as it stood before, or by itself."""
    arrived_at = version.arrived_at
    if before is not None:
        ended_at = max(before.started_at, before.until)
        return arrived_at is not None and arrived_at >= ended_at
    said = version.window
    known_at = said.created_at if first or arrived_at is None else max(said.created_at, arrived_at)
    return known_at >= said.ended_at


def _noticed(said: Window, before: Window | None) -> Window:
    """A version with the time from which on it can count: its own creation, or, from where the one before
    it had begun and been noticed, that one's notice; and with when the event was first told of.
    """
    if before is None:
        return replace(said, noticed_at=None, first_created_at=None)
    noticed_at, told_at = max(before.started_at, before.since), before.told_at
    return replace(
        said,
        noticed_at=noticed_at if noticed_at < said.created_at else None,
        first_created_at=told_at if told_at < said.created_at else None,
    )
