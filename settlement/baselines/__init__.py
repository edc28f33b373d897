"""Baselines: what a vehicle would have drawn without the event.

A baseline is provided (a frame of average powers), or computed from readings that were received
before anybody was told of the event. Either way it is rows of ``schemas.BASELINE``, and ``energy``
says what they come to over the time for which there are readings.

    steps     the energy of rows over an interval; null where they do not speak of all of it, or twice
    days      which earlier days an event is compared with, by the program's local clock
    computed  the average over those days, or over the minutes before the event
"""

from settlement.baselines.computed import compute, history_needed
from settlement.baselines.steps import energy

__all__ = ["compute", "energy", "history_needed"]
