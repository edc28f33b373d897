"""What the outcome of a dispute with a partner adds to the books.

A dispute is about money that the utility owes under a program and its partner did not bring to the
account, or brought twice. While it runs nothing is booked: the receivable stands. Its end moves the
receivable to where the money is now: received after all, or written off. What is owed to accounts
stays as it is, so no settlement's booked amount changes.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Outcome(StrEnum):
    """How a dispute ends."""

    WON = "won"
    """The partner made it good."""
    LOST = "lost"
    """It did not, and will not."""
    WITHDRAWN = "withdrawn"
    """There was nothing to dispute: nothing is booked."""
    EXPIRED = "expired"
    """Its deadline passed without an answer: written off."""


BOOKED: Final = frozenset({Outcome.WON, Outcome.LOST, Outcome.EXPIRED})
"""Outcomes that move money in the books."""

_COUNTER: Final = {
    Outcome.WON: "received:dispute",
    Outcome.LOST: "written_off:dispute",
    Outcome.EXPIRED: "written_off:dispute",
}


@dataclass(frozen=True, slots=True)
class DisputeLine:
    """One line of a dispute's journal entry; debit positive."""

    account: str
    currency: str
    amount_minor: int


def entry_id(dispute_id: str) -> str:
    """The id of a dispute's only journal entry, and the name under which the journal files it."""
    return f"dispute:{dispute_id}"


def entry_kind(outcome: Outcome) -> str:
    """The journal's word for an outcome."""
    return f"dispute_{outcome}"


def dispute_lines(
    outcome: Outcome, *, partner: str, program: str, currency: str, amount_minor: int
) -> tuple[DisputeLine, ...]:
    """The double entry of an outcome, debit positive; none where nothing is booked.

    Args:
        outcome: how it ended.
        partner: who was to pay.
        program: whose receivable it is; empty where no settlement of ours stands behind it.
        currency: ISO 4217.
        amount_minor: what was in dispute; negative where the partner gave too much.

    >>> [
    ...     (one.account, one.amount_minor)
    ...     for one in dispute_lines(
    ...         Outcome.LOST, partner="house", program="tariff", currency="USD", amount_minor=7
    ...     )
    ... ]
    [('receivable:utility:tariff', -7), ('written_off:dispute:house', 7)]
    """
    if outcome not in BOOKED or amount_minor == 0:
        return ()
    receivable = f"receivable:utility:{program}" if program else f"receivable:partner:{partner}"
    return (
        DisputeLine(receivable, currency, -amount_minor),
        DisputeLine(f"{_COUNTER[outcome]}:{partner}", currency, amount_minor),
    )
