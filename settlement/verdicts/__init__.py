"""From packets to readings: each landed packet gets exactly one verdict.

Judging is repeatable: the same packet, keys and policy give the same verdict. What needs the other
packets (the same content again, another content for one identity, the next record of a meter) is
decided where identities are unique, in ``storage.judging``; everything else is decided here, in the
order of ``PacketReason``. Where to go to:

    judging   which signatures must stand, under which keys, and the order of the reasons
    ranges    which values an interval may have
    rows      verdicts as rows of the frames
"""

from settlement.verdicts.judging import judge
from settlement.verdicts.model import LandedPacket, Policy, Verdict
from settlement.verdicts.ranges import fault, value_problem
from settlement.verdicts.rows import (
    claimed_between,
    joined_row,
    quarantine_row,
    reading_rows,
    standing_record,
)

__all__ = [
    "LandedPacket",
    "Policy",
    "Verdict",
    "claimed_between",
    "fault",
    "joined_row",
    "judge",
    "quarantine_row",
    "reading_rows",
    "standing_record",
    "value_problem",
]
