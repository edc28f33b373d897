"""What money moves, and its double entry.

The new total is allocated and the difference per account moved; never is a difference allocated, for
its remainders would fall elsewhere than those of the total.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from settlement.booking.shares import Account
from settlement.programs import Correction


class Kind(StrEnum):
    """Why money moves."""

    PAYOUT = "payout"
    """The first of a settlement."""
    ADJUSTMENT = "adjustment"
    """The difference to what has been booked."""
    REVERSAL = "reversal"
    """All of what has been booked, taken back, to be rebooked."""
    REBOOKING = "rebooking"
    """What stands instead of what was reversed."""


@dataclass(frozen=True, slots=True)
class Movement:
    """What is owed to an account from now on, in minor units; negative takes back."""

    kind: Kind
    role: str
    account: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a journal entry; debit positive. The lines of one kind sum to 0."""

    kind: Kind
    account: str
    currency: str
    amount_minor: int


def move(
    booked: Mapping[Account, int], wanted: Mapping[Account, int], correction: Correction
) -> tuple[Movement, ...]:
    """What turns the booked amounts into the wanted ones; nothing where they are equal.

    Args:
        booked: per account that was ever moved, 0 included; empty where none was.
        wanted: per account.
        correction: whether a difference is moved, or everything taken back and booked anew.

    Returns:
        By kind, role and account; none of them moves nothing.
    """
    deltas = {key: wanted.get(key, 0) - booked.get(key, 0) for key in booked.keys() | wanted.keys()}
    if not any(deltas.values()):
        return ()
    if not booked:
        return _movements(Kind.PAYOUT, wanted)
    if correction is Correction.DELTA:
        return _movements(Kind.ADJUSTMENT, deltas)
    reversed_ = {key: -amount for key, amount in booked.items()}
    return _movements(Kind.REVERSAL, reversed_) + _movements(Kind.REBOOKING, wanted)


def _movements(kind: Kind, amounts: Mapping[Account, int]) -> tuple[Movement, ...]:
    return tuple(Movement(kind, *key, amounts[key]) for key in sorted(amounts) if amounts[key])


def journal(movements: Iterable[Movement], program: str, currency: str) -> tuple[Entry, ...]:
    """Double entry: the utility owes us what we owe the accounts (settlement rules §6).

    Per kind one line ``receivable:utility:PROGRAM`` with the sum, and one ``payable:ROLE:ACCOUNT``
    for each movement. Where the sum is nothing, as when money only changes hands, there is none.
    """
    of_kind: dict[Kind, list[Movement]] = defaultdict(list)
    for movement in movements:
        of_kind[movement.kind].append(movement)
    entries: list[Entry] = []
    for kind, moved in of_kind.items():
        total = sum(movement.amount_minor for movement in moved)
        if total:
            entries.append(Entry(kind, f"receivable:utility:{program}", currency, total))
        entries += [
            Entry(kind, f"payable:{one.role}:{one.account}", currency, -one.amount_minor)
            for one in moved
        ]
    return tuple(entries)


def payments(movements: Iterable[Movement]) -> dict[tuple[Kind, str], int]:
    """What each account is to be told: one sum per kind and account, whatever its roles; the sums
    that are nothing left out. A posting's id knows no role, so two roles of one account share one.
    """
    sums: dict[tuple[Kind, str], int] = defaultdict(int)
    for movement in movements:
        sums[movement.kind, movement.account] += movement.amount_minor
    return {key: amount for key, amount in sorted(sums.items()) if amount}
