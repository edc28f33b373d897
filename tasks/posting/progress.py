"""What a posting run has done so far, and what it leaves."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from settlement.posting import OPEN, Outcome, State
from storage.claims import Total
from storage.lanes import Rest


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run has done so far.

    Attributes:
        attempts: calls made and recorded.
        outcomes: how many came to what.
        acknowledged_minor: money acknowledged in this run, in minor units by currency.
    """

    attempts: int
    outcomes: Mapping[Outcome, int]
    acknowledged_minor: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PostSummary:
    """What a run has done, and what remains.

    Attributes:
        done: calls, outcomes and money of this run.
        remaining: the partner's postings that are not acknowledged, by state and currency.
        next_due_at: when the first of those that may be sent is due; None where there is none.
        rest: until when nobody sends to the partner, and who said so; None where anybody may.
    """

    done: Progress
    remaining: tuple[Total, ...]
    next_due_at: datetime | None
    rest: Rest | None = None

    @property
    def by_state(self) -> dict[State, int]:
        """How many postings remain in each state."""
        counts: Counter[State] = Counter()
        for total in self.remaining:
            counts[total.state] += total.postings
        return dict(counts)

    @property
    def open(self) -> int:
        """How many will be sent again."""
        return sum(total.postings for total in self.remaining if total.state in OPEN)

    @property
    def parked(self) -> int:
        """How many wait for a person."""
        return self.by_state.get(State.PARKED, 0)
