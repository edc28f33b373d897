"""An event as the rules see it, and the time in which a device is in it whatever it drew."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from settlement.periods import Period

SCHEDULED: Final = "scheduled"
ACTIVE: Final = "active"
CANCELLED: Final = "cancelled"
CANCELLED_RANDOMLY: Final = "cancelled_with_randomization"
SUPERSEDED: Final = "superseded"
COMPLETED: Final = "completed"

STATUSES: Final = (SCHEDULED, ACTIVE, CANCELLED, CANCELLED_RANDOMLY, SUPERSEDED, COMPLETED)
"""What a utility says of an event. The first five are ``EventStatus/currentStatus`` 0 to 4 of IEEE
2030.5; the two cancellations count, the others are evidence only."""

CANCELLATIONS: Final = frozenset({CANCELLED, CANCELLED_RANDOMLY})


@dataclass(frozen=True, slots=True)
class Window:
    """The version of an event that counts.

    Attributes:
        created_at: of overlapping events of equal primacy, the one created last is in force.
        primacy: the lower number is in force (IEEE 2030.5 clause 10.2.2.3).
        group: devices that it addresses; empty: all of the program.
        cancelled_at: from then on it is out of force; None: not cancelled.
        modes: the controls that it sets (``opModFixedW`` …): events that share none do not supersede
            each other. Empty: not said, and it competes with every other one.
        randomize_start_s: seconds within which each device draws its own start, either sign.
        randomize_duration_s: the same of the duration.
        resumes: whether it goes on after an event that took over all of its modes has ended (2023
            edition); if not, it was superseded for good (2018 edition).
        cancelled_randomly: cancelled with randomization: devices leave it one by one.
        noticed_at: nothing counts before; None: ``created_at``. It is earlier where an event was
            changed after its first notice, and where a person approved what came late.
        first_created_at: of the version of it that counted first, if that was created before this one.
    """

    event_id: str
    program: str
    started_at: datetime
    ended_at: datetime
    created_at: datetime
    primacy: int = 0
    group: str = ""
    cancelled_at: datetime | None = None
    modes: tuple[str, ...] = ()
    randomize_start_s: int = 0
    randomize_duration_s: int = 0
    resumes: bool = True
    cancelled_randomly: bool = False
    noticed_at: datetime | None = None
    first_created_at: datetime | None = None

    @property
    def told_at(self) -> datetime:
        """When it was first told of: what is measured from then on can be shaped by it."""
        return self.created_at if self.first_created_at is None else self.first_created_at

    @property
    def until(self) -> datetime:
        """Where it stops being in force: its end, or its cancellation, which may precede its start."""
        return self.ended_at if self.cancelled_at is None else min(self.ended_at, self.cancelled_at)

    @property
    def since(self) -> datetime:
        """From when on its notice lets it count."""
        return self.created_at if self.noticed_at is None else self.noticed_at

    @property
    def drawn_start(self) -> datetime:
        """The latest start that a device may have drawn."""
        return self.started_at + timedelta(seconds=max(0, self.randomize_start_s))

    @property
    def drawn_end(self) -> datetime:
        """The earliest end that a device may have drawn: a start that comes earlier brings it forward."""
        drawn = min(0, self.randomize_start_s) + min(0, self.randomize_duration_s)
        return self.ended_at + timedelta(seconds=drawn)

    @property
    def certain(self) -> Period | None:
        """The time in which a device is in the event whatever it drew, after its notice and before its
        cancellation; None where there is no such time. It lies within the event's interval.
        """
        start = max(self.drawn_start, self.since)
        end = min(self.drawn_end, self.until)
        return Period(start, end) if start < end else None

    @property
    def left_by(self) -> datetime:
        """When the last device has left it after its cancellation, at its end at the latest.

        With randomization each takes up to the larger of the two randomisations (IEEE 2030.5-2018,
        ``EventStatus/currentStatus`` 3). A device that had not begun has nothing to leave.
        """
        until = self.until
        earliest = self.started_at + timedelta(seconds=min(0, self.randomize_start_s))
        if not self.cancelled_randomly or until <= earliest:
            return until
        tail = max(abs(self.randomize_start_s), abs(self.randomize_duration_s))
        return min(self.ended_at, until + timedelta(seconds=tail))


def rank(window: Window) -> tuple[int, datetime, str]:
    """Of events that compete for a mode the one of the highest rank holds it."""
    return -window.primacy, window.created_at, window.event_id
