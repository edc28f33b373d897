"""Programs: a tariff's rules as data, checked when they are read and frozen afterwards.

``parse`` takes what a YAML or JSON reader gives and returns a ``Program``; whatever it does not
understand it refuses by name, because a rule that is silently ignored is money that is silently
wrong. ``programs/*.yaml`` at the top level are programs ready for use.

    model        what a program says, once read
    keys         every key: its place, what is permitted, its default, its meaning
    parse        from data to a program
    consistency  what two keys may not say together
    errors       what is wrong, and where

Below ``keys``: ``paying`` and ``counting`` hold the keys themselves, ``key`` says what a key is,
and ``scalars``, ``calendars`` and ``rows`` are the kinds of values.
"""

from settlement.programs.counting import REGISTER_TOLERANCE_PCT
from settlement.programs.errors import ProgramError
from settlement.programs.model import (
    Absent,
    AverageOver,
    BaselineMethod,
    BaselineTerms,
    Bracket,
    CapacityTerms,
    Caps,
    Checks,
    Correction,
    LikeDays,
    Minimum,
    NegativePrice,
    NetPer,
    OrderTerms,
    Product,
    Program,
    Quantity,
    RoundingStage,
    RunTerms,
    Season,
    Thermal,
    TierMode,
    in_force,
)
from settlement.programs.parse import parse, plain

__all__ = [
    "REGISTER_TOLERANCE_PCT",
    "Absent",
    "AverageOver",
    "BaselineMethod",
    "BaselineTerms",
    "Bracket",
    "CapacityTerms",
    "Caps",
    "Checks",
    "Correction",
    "LikeDays",
    "Minimum",
    "NegativePrice",
    "NetPer",
    "OrderTerms",
    "Product",
    "Program",
    "ProgramError",
    "Quantity",
    "RoundingStage",
    "RunTerms",
    "Season",
    "Thermal",
    "TierMode",
    "in_force",
    "parse",
    "plain",
]
