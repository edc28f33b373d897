"""Effective windows: when an event really counts for a device, whatever its server's status says.

Computed from what the events themselves say (IEEE 2030.5-2018 clause 10.2.2.3, and 2023): interval,
notice, primacy, creation time, control modes, cancellation, randomisation. Half-open throughout, in
instants, so that no clock change matters.

    versions   which of the versions of an event counts
    window     that one, and the time in which every device is in it, whatever it drew
    modes      the order in which control modes are paid
    sweeping   one sweep over time: what each event is at every moment
    effective  its outcome, per device: effective windows; and per event: what became of it
"""

from settlement.windows.effective import Edge, Effective, Stretch, Why, effective, trace
from settlement.windows.sweeping import Piece, Standing, State, sweep
from settlement.windows.versions import Decision, Outcome, Pending, Version, changes, outcome
from settlement.windows.window import (
    CANCELLATIONS,
    CANCELLED,
    CANCELLED_RANDOMLY,
    STATUSES,
    Window,
    rank,
)

__all__ = [
    "CANCELLATIONS",
    "CANCELLED",
    "CANCELLED_RANDOMLY",
    "STATUSES",
    "Decision",
    "Edge",
    "Effective",
    "Outcome",
    "Pending",
    "Piece",
    "Standing",
    "State",
    "Stretch",
    "Version",
    "Why",
    "Window",
    "changes",
    "effective",
    "outcome",
    "rank",
    "sweep",
    "trace",
]
