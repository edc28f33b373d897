"""What is sent to the clearinghouse, what its answers mean, and how far each posting has come.

A posting is composed once, from a booked settlement, and stored before it is sent. Its id never
changes, so sending it again can have no second effect. An answer counts by its content: only an
echo of our id, amount, currency and digest proves that the clearinghouse holds what we sent.

    body     compose a posting: the bytes, their digest, the id
    answers  judge an answer; read Retry-After
    states   the closed set of states, which may follow which, when to send again
    budget   how many retries may go out while first attempts wait
"""

from settlement.posting.answers import (
    DETAIL_MAX_CHARS,
    RETRY_AFTER_MAX,
    Judgement,
    Outcome,
    excerpt,
    judge_answer,
    judge_unsigned,
    retry_after,
)
from settlement.posting.body import (
    NAMESPACE,
    Facts,
    Posting,
    PostingError,
    UncomposableError,
    compose,
    posting_id,
)
from settlement.posting.budget import RetryBudget
from settlement.posting.states import (
    ALLOWED,
    BACKOFF,
    DISPUTES_MAX,
    DISPUTING,
    DOUBTFUL,
    OPEN,
    Backoff,
    IllegalMoveError,
    Random,
    State,
    next_attempt_at,
    require_move,
    state_after,
)

__all__ = [
    "ALLOWED",
    "BACKOFF",
    "DETAIL_MAX_CHARS",
    "DISPUTES_MAX",
    "DISPUTING",
    "DOUBTFUL",
    "NAMESPACE",
    "OPEN",
    "RETRY_AFTER_MAX",
    "Backoff",
    "Facts",
    "IllegalMoveError",
    "Judgement",
    "Outcome",
    "Posting",
    "PostingError",
    "Random",
    "RetryBudget",
    "State",
    "UncomposableError",
    "compose",
    "excerpt",
    "judge_answer",
    "judge_unsigned",
    "next_attempt_at",
    "posting_id",
    "require_move",
    "retry_after",
    "state_after",
]
