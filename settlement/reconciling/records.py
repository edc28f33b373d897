"""Our postings, a partner's lines, and what comparing them finds."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID, uuid5

from settlement.posting import State

NAMESPACE: Final = UUID("2f9a5c1e-6d0b-5e47-8a13-c4b07de91a36")
"""Of differences' ids. Changing it would let what is disputed already be disputed again."""


_UNSAID: Final = datetime.min.replace(tzinfo=UTC)


class Way(StrEnum):
    """How a payment is ordered, and so who can say what became of it."""

    API = "api"
    """Posted to the partner."""
    FILE = "file"
    """In a file for a bank."""


class Status(StrEnum):
    """What a partner says of a payment."""

    PAID = "paid"
    PENDING = "pending"
    """Not yet, and it may be."""
    RETURNED = "returned"
    """Paid, and come back."""
    REFUSED = "refused"
    """Not paid, and it will not be."""
    FEE = "fee"
    """No payment of ours: what the partner takes."""


MOVING: Final = frozenset({Status.PAID, Status.RETURNED, Status.FEE})
"""With these money has moved."""


class Kind(StrEnum):
    """What a posting, a line, or both together come to."""

    MATCHED = "matched"
    """Both sides say the same."""
    PROVEN = "proven"
    """We were not sure; the partner lists it as we sent it."""
    AGREED_UNPAID = "agreed_unpaid"
    """Rejected here, and not paid there."""
    REPEATED = "repeated"
    """An entry that stands in an earlier statement already."""
    NOT_YET_DUE = "not_yet_due"
    """Under way: too young to be listed, or listed as pending not long ago."""
    STILL_OPEN = "still_open"
    """Not acknowledged here and not listed there, for longer than the tolerance."""
    MISSING_AT_PARTNER = "missing_at_partner"
    """The partner acknowledged it, and does not list it."""
    UNKNOWN_TO_US = "unknown_to_us"
    """Listed, and never posted by us."""
    AMOUNT_DIFFERS = "amount_differs"
    CURRENCY_DIFFERS = "currency_differs"
    ACCOUNT_DIFFERS = "account_differs"
    """Paid to another account than we said."""
    PAID_TWICE = "paid_twice"
    PAID_UNEXPECTED = "paid_unexpected"
    """Paid, though we had not sent it, not that way, or the partner had refused it."""
    REFUSED = "refused"
    """The partner says now that it does not pay it."""
    RETURNED = "returned"
    """It was paid and came back."""
    FEE = "fee"


AGREEING: Final = frozenset({Kind.MATCHED, Kind.PROVEN, Kind.AGREED_UNPAID, Kind.REPEATED})
"""No differences: counted, and not listed."""

DISPUTABLE: Final = frozenset(Kind) - AGREEING - {Kind.NOT_YET_DUE, Kind.STILL_OPEN}
"""With these money is at stake."""


@dataclass(frozen=True, slots=True)
class Ours:
    """A posting as it stands.

    Attributes:
        account: whose money it is, at the partner.
        amount_minor: negative where it takes back.
        was_sent: some attempt may have reached the partner.
        since: when it came to its final state, or into a file; of one that is still open, when it was
            booked, for every attempt changes its state.
        way: how it was ordered.
    """

    posting_id: str
    account: str
    currency: str
    amount_minor: int
    state: State
    was_sent: bool
    since: datetime
    way: Way = Way.API


@dataclass(frozen=True, slots=True)
class Theirs:
    """A line of a statement.

    Attributes:
        statement_id: of which; with ``number`` it names the line.
        status: what the partner says of it.
        reference: the partner's own, for the payment; may be empty.
        posting_id: ours, as the partner has it; empty where it names none.
        account: empty where it names none.
        amount_minor: positive: to the account.
        booked_at: when the partner booked it.
        way: of what its statement lists.
        imported_at: when its statement was stored.
    """

    statement_id: str
    number: int
    status: Status
    reference: str
    posting_id: str
    account: str
    currency: str
    amount_minor: int
    booked_at: datetime
    way: Way = Way.API
    imported_at: datetime = _UNSAID

    @property
    def moved_minor(self) -> int:
        """The money that moved with it; none where it is pending or refused."""
        return self.amount_minor if self.status in MOVING else 0


@dataclass(frozen=True, slots=True)
class Finding:
    """What a posting, a line, or both together come to; at least one of them is there."""

    kind: Kind
    ours: Ours | None
    theirs: Theirs | None

    @property
    def posting_id(self) -> str:
        """Of either side; empty where a line names none."""
        if self.ours is not None:
            return self.ours.posting_id
        return self.theirs.posting_id if self.theirs is not None else ""

    @property
    def ours_minor(self) -> int:
        return self.ours.amount_minor if self.ours is not None else 0

    @property
    def theirs_minor(self) -> int:
        return self.theirs.moved_minor if self.theirs is not None else 0

    @property
    def currency(self) -> str:
        """In which ``at_stake_minor`` is counted."""
        if self.ours is not None:
            return self.ours.currency
        return self.theirs.currency if self.theirs is not None else ""

    @property
    def at_stake_minor(self) -> int:
        """What the partner would have to make good; negative: what it gave too much."""
        if self.kind not in DISPUTABLE:
            return 0
        match self.kind:
            case Kind.CURRENCY_DIFFERS | Kind.ACCOUNT_DIFFERS:
                return self.ours_minor
            case Kind.PAID_UNEXPECTED | Kind.RETURNED:
                return -self.theirs_minor
            case Kind.REFUSED:
                held = self.ours is not None and self.ours.state is State.ACKNOWLEDGED
                return self.ours_minor if held else 0
            case _:
                return self.ours_minor - self.theirs_minor


class Total(NamedTuple):
    """Postings, lines and money of one kind in one currency."""

    kind: Kind
    currency: str
    postings: int
    lines: int
    ours_minor: int
    theirs_minor: int
    at_stake_minor: int


def difference_id(partner: str, finding: Finding) -> str:
    """The id of a difference, the same in every comparison that finds it (UUIDv5, RFC 9562 §5.5)."""
    line = finding.theirs
    # A JSON array, because plain joining would give ("a-b", "c") the id of ("a", "b-c").
    name = [
        partner,
        finding.kind,
        finding.posting_id,
        line.statement_id if line else None,
        line.number if line else None,
    ]
    return str(uuid5(NAMESPACE, json.dumps(name)))
