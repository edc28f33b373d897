"""How far a posting has come: its states, which may follow which, and when it is sent again.

Doubt is kept: a posting that may have taken effect stays ``unknown`` until an answer proves it, and
is never quietly ``rejected``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, Protocol

from settlement.posting.answers import RETRY_AFTER_MAX, Outcome
from settlement.posting.body import PostingError

DISPUTES_MAX: Final = 8
"""Answers with a wrong echo or signature after which a person must look."""

_DOUBLINGS_MAX: Final = 30
_MICROSECOND: Final = timedelta(microseconds=1)


class IllegalMoveError(PostingError):
    """A posting was to go from state ``before`` to ``after``, which ``ALLOWED`` does not list."""

    def __init__(self, before: "State", after: "State") -> None:
        allowed = ", ".join(sorted(ALLOWED[before])) or "nothing, it is final"
        super().__init__(f"posting: {after} may not follow {before}; allowed: {allowed}")
        self.before = before
        self.after = after


class State(StrEnum):
    """How far a posting has come."""

    PENDING = "pending"
    """Booked, never sent."""
    SENT = "sent"
    """A poster holds it under a lease. Once the lease is over, the attempt counts as unknown."""
    QUEUED = "queued"
    """Certainly without effect so far; due again later."""
    UNKNOWN = "unknown"
    """It may have taken effect: the partner is asked, or gets it again under the same id."""
    DISPUTED = "disputed"
    """Answered with a wrong echo or a wrong signature; due again under the same id."""
    ACKNOWLEDGED = "acknowledged"
    """The partner holds it: its echo says so, or its statement. Final."""
    REJECTED = "rejected"
    """A definite no of the partner, or a person has given it up, and no attempt can have taken
    effect. Final."""
    PARKED = "parked"
    """A limit, a conflict or too many disputes: not sent until a person has decided."""


OPEN: Final = frozenset({State.PENDING, State.SENT, State.QUEUED, State.UNKNOWN, State.DISPUTED})
"""States from which a posting is sent, once it is due."""

DOUBTFUL: Final = frozenset({State.SENT, State.UNKNOWN, State.DISPUTED})
"""States in which an earlier attempt may have taken effect."""

ALLOWED: Final[Mapping[State, frozenset[State]]] = {
    # Parked unsent by a limit or a hold; parked after sending only by way of ``sent``. What stands in
    # doubt is acknowledged without an answer where the partner's statement shows it.
    State.PENDING: frozenset({State.SENT, State.PARKED}),
    State.QUEUED: frozenset({State.SENT, State.PARKED}),
    State.UNKNOWN: frozenset({State.SENT, State.ACKNOWLEDGED}),
    State.DISPUTED: frozenset({State.SENT, State.ACKNOWLEDGED}),
    State.SENT: frozenset(State) - {State.PENDING},
    State.PARKED: frozenset({State.PENDING, State.UNKNOWN, State.ACKNOWLEDGED, State.REJECTED}),
    State.ACKNOWLEDGED: frozenset(),
    State.REJECTED: frozenset(),
}

DISPUTING: Final = frozenset({Outcome.ECHO_DIFFERS, Outcome.SIGNATURE_WRONG})
"""Outcomes that count towards ``DISPUTES_MAX``."""

_AFTER: Final[Mapping[Outcome, tuple[State, State]]] = {
    # outcome: (state, state where an earlier attempt may have taken effect)
    Outcome.ACKNOWLEDGED: (State.ACKNOWLEDGED, State.ACKNOWLEDGED),
    Outcome.REFUSED_TEMPORARILY: (State.QUEUED, State.UNKNOWN),
    Outcome.CONNECTION_FAILED: (State.QUEUED, State.UNKNOWN),
    Outcome.NOT_SENT: (State.QUEUED, State.UNKNOWN),
    Outcome.NOT_SERVED: (State.QUEUED, State.UNKNOWN),
    Outcome.SERVER_FAILED: (State.UNKNOWN, State.UNKNOWN),
    Outcome.NO_ANSWER: (State.UNKNOWN, State.UNKNOWN),
    Outcome.LOST: (State.UNKNOWN, State.UNKNOWN),
    Outcome.ECHO_DIFFERS: (State.DISPUTED, State.DISPUTED),
    Outcome.SIGNATURE_WRONG: (State.DISPUTED, State.DISPUTED),
    Outcome.CONFLICT: (State.PARKED, State.PARKED),
    Outcome.REJECTED: (State.REJECTED, State.PARKED),
}


def require_move(before: State, after: State) -> None:
    """Raise IllegalMoveError unless ``after`` may follow ``before``."""
    if after not in ALLOWED[before]:
        raise IllegalMoveError(before, after)


def state_after(outcome: Outcome, *, doubtful: bool, disputes: int) -> State:
    """The state of a sent posting after an attempt.

    Args:
        outcome: what the attempt came to.
        doubtful: an earlier attempt may have taken effect, or this answer proves nothing.
        disputes: how many answers so far were ``DISPUTING``, this one included.
    """
    if outcome in DISPUTING and disputes >= DISPUTES_MAX:
        return State.PARKED
    return _AFTER[outcome][doubtful]


class Random(Protocol):
    """Where chance comes from: ``random.Random`` fits. The caller holds it, so that runs repeat."""

    def randint(self, a: int, b: int, /) -> int:
        """An integer drawn evenly from a to b, both included."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait: up to ``first``, then up to twice as long each time, at most ``cap``.

    Raises:
        ValueError: not 0 < first <= cap <= RETRY_AFTER_MAX.
    """

    first: timedelta = timedelta(seconds=1)
    cap: timedelta = timedelta(minutes=15)

    def __post_init__(self) -> None:
        if not timedelta() < self.first <= self.cap <= RETRY_AFTER_MAX:
            raise ValueError(
                f"backoff: first {self.first}, cap {self.cap}; "
                f"expected 0 < first <= cap <= {RETRY_AFTER_MAX}"
            )

    def wait(self, attempts: int, random: Random) -> timedelta:
        """A wait after so many attempts, drawn evenly from 0 to the bound ("full jitter").

        Evenly, so that postings which failed together do not come again together.
        """
        doubled = min(self.first * 2 ** min(max(attempts - 1, 0), _DOUBLINGS_MAX), self.cap)
        return timedelta(microseconds=random.randint(0, doubled // _MICROSECOND))


BACKOFF: Final = Backoff()


def next_attempt_at(
    outcome: Outcome,
    attempts: int,
    now: datetime,
    random: Random,
    retry_after: timedelta | None = None,
    backoff: Backoff = BACKOFF,
) -> datetime | None:
    """When to send again after ``attempts`` attempts; None where sending again cannot help.

    A wait that the clearinghouse asks for is kept, and exceeded by less than a second; asking for
    none, or for zero, leaves the backoff in force.
    """
    if _AFTER[outcome][False] not in OPEN:
        return None
    if retry_after:
        asked = min(retry_after, RETRY_AFTER_MAX)
        return now + asked + timedelta(microseconds=random.randint(0, 999_999))
    return now + backoff.wait(attempts, random)
