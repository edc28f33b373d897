"""A program's timeline: time cut into intervals in which neither event nor price changes.

Half-open throughout. Which event is in force is what ``settlement.windows`` says; where prices overlap,
the one received last is.
Neighbours alike in all are one interval, so that a price feed's grid does not multiply lines: the
settlement interval is the *largest* piece of time inside one effective window in which the price
does not change. It also ends where the program stops paying: at the edges of its season's hours, and
where a cap on hours is used up.

    scope     events, prices, and for whom
    building  from these to intervals
"""

from settlement.timeline.building import SCHEMA, build
from settlement.timeline.scope import Place, Price, Rival, Scope, settles
from settlement.windows import Window

__all__ = ["SCHEMA", "Place", "Price", "Rival", "Scope", "Window", "build", "settles"]
