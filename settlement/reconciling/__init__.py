"""What we paid held against what the other side says it paid: matched, and what differs, with money.

Every posting and every line of a statement ends in exactly one finding, and every finding has one
kind of a closed list; so the money of both sides is accounted for to the last minor unit.

    records   our postings, their lines, and what comparing them finds
    matching  compare them
"""

from settlement.reconciling.matching import match, totals
from settlement.reconciling.records import (
    AGREEING,
    DISPUTABLE,
    MOVING,
    Finding,
    Kind,
    Ours,
    Status,
    Theirs,
    Total,
    Way,
    difference_id,
)

__all__ = [
    "AGREEING",
    "DISPUTABLE",
    "MOVING",
    "Finding",
    "Kind",
    "Ours",
    "Status",
    "Theirs",
    "Total",
    "Way",
    "difference_id",
    "match",
    "totals",
]
