"""Metering: readings checked against each other and themselves, and divided over a timeline.

Settled energy is metered energy: the difference of the meter's cumulative registers. Everything else
that a reading says (powers, state of charge, position) and that its neighbours and the vehicle's
contracts say is a cross-check. A check that fails gives the reading a fault, an ``UnpaidReason``; of
several the first in the order of their precedence. Nothing is dropped for a fault.

    measuring   all of it: ``measure``
    order       the order in which readings are looked at, and numbers for names
    enrolment   what the contracts say of a vehicle at a time
    checks      one reading by itself: registers backwards, registers against powers, rating
    continuity  registers from one reading to the next: counted twice, jumped, restarted
    overlaps    the same time twice, at one EVSE or in two places; what is covered
    charge      the state of charge against the energy, per event
    location    how far from its site a vehicle was
    division    readings in parts, cell by cell

Honest data fails no check. So each check first makes one cheap pass over all readings to find those
that it could concern, and looks closely only at them.
"""

from settlement.metering.checks import REGISTER_STEP_MILLIWH
from settlement.metering.division import divide_over
from settlement.metering.measuring import FAULTS, PIECES, measure

__all__ = ["FAULTS", "PIECES", "REGISTER_STEP_MILLIWH", "divide_over", "measure"]
