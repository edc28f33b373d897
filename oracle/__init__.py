"""Settles a case a second time, slowly and row by row, in `decimal` and whole numbers.

It shares no code with `settlement`, imports only the standard library and was written from the
rules alone, so that two mistakes would have to agree before a wrong amount passes. It takes plain
rows (`oracle.case.Case`) and gives plain rows (`oracle.case.Result`): the columns of a case folder.

Where the rules leave room, the plainest reading was taken; each module says which one.
"""

from oracle.case import Case, CaseError, Result
from oracle.settling import settle

__all__ = ["Case", "CaseError", "Result", "settle"]
