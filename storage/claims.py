"""What passes between the outbox and a poster: claims, results, totals, and the outbox's errors.

StorageError
├── DatabaseUnavailableError    (storage.errors) nothing was claimed or recorded: try again
└── OutboxError
    ├── PostingRefusedError     the same id, or the same settlement, with another body
    └── OpenTransactionError    claiming or recording inside somebody else's transaction
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, LiteralString

from settlement.posting import Outcome, Posting, State
from storage.errors import StorageError

HELD: Final[LiteralString] = """
    exists (
        select from (
            select event, at from account_hold a where a.account = p.account
            order by number desc limit 1
        ) last
        where last.event = 'held' and not exists (
            select from payout_decision d
            where d.posting_id = p.posting_id and d.decision = 'released' and d.at >= last.at))
"""
"""Whether the account of posting ``p`` is held, and nobody has released ``p`` since that."""


class OutboxError(StorageError):
    """The outbox refuses."""


class PostingRefusedError(OutboxError):
    """``posting_id`` was to be stored, but ``settlement_id`` already has another body or id."""

    def __init__(self, posting_id: str, settlement_id: str) -> None:
        super().__init__(
            f"posting {posting_id}: its id, or its settlement {settlement_id}, is stored with "
            "another body; a change of a booked settlement is booked as its next revision"
        )
        self.posting_id = posting_id
        self.settlement_id = settlement_id


class OpenTransactionError(OutboxError):
    """What is sent must be on disk before, so claims and records commit on their own."""

    def __init__(self, status: str) -> None:
        super().__init__(f"outbox: the connection is {status}; commit or roll back first")
        self.status = status


@dataclass(frozen=True, slots=True)
class Claimed:
    """A posting to send now.

    Attributes:
        attempt: the number of this attempt, from 1.
        doubtful: an earlier attempt may have taken effect.
        disputes: earlier answers with a wrong echo.
        leased_until: from then on another poster may claim it.
    """

    posting: Posting
    attempt: int
    doubtful: bool
    disputes: int
    leased_until: datetime


@dataclass(frozen=True, slots=True)
class Result:
    """What an attempt came to, and what follows.

    Attributes:
        answered_at: when the answer, or the failure, was known.
        http_status: None where no answer came.
        next_attempt_at: None where it is not sent again.
    """

    posting_id: str
    attempt: int
    answered_at: datetime
    outcome: Outcome
    http_status: int | None
    detail: str
    state: State
    next_attempt_at: datetime | None


class Recorded(StrEnum):
    """What became of a result."""

    RECORDED = "recorded"
    """Receipt and state are stored."""
    ALREADY = "already"
    """This attempt has its receipt; the first one stands."""
    LATE = "late"
    """The lease was over and somebody claimed again: the receipt is kept, the state is theirs."""


@dataclass(frozen=True, slots=True)
class Total:
    """Postings of one state and currency; ``amount_minor`` is their sum, in minor units."""

    state: State
    currency: str
    postings: int
    amount_minor: int
