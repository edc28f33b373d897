"""Limits that protect: how much may be paid out without a person, and what breaks that.

A wrong price, a wrong meter or a stolen key makes payouts that are too large, or too many. Before a
posting is sent it is held against these limits; what breaks one is parked with its account until
somebody has looked, and what is merely large waits for a named approver.

    model    the limits, as versioned data; those that stand when nobody has set any
    parse    a document as limits, or what is wrong with it
    judging  postings against limits, one after the other
"""

from settlement.limits.judging import (
    Candidate,
    Finding,
    Judged,
    Key,
    Limit,
    Scope,
    Total,
    Verdict,
    judge,
    keys_of,
)
from settlement.limits.model import DEFAULTS, CurrencyLimits, Limits
from settlement.limits.parse import LimitsError, parse, plain

__all__ = [
    "DEFAULTS",
    "Candidate",
    "CurrencyLimits",
    "Finding",
    "Judged",
    "Key",
    "Limit",
    "Limits",
    "LimitsError",
    "Scope",
    "Total",
    "Verdict",
    "judge",
    "keys_of",
    "parse",
    "plain",
]
