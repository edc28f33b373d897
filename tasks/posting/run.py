"""Sending what is booked to the clearinghouse, until it holds everything.

Each attempt: claimed on disk under a lease, sent within one deadline, judged by the content of the
answer, recorded. What has no answer stays queued on disk and is sent again under the same id. While
calls are out, their successors are claimed and their predecessors recorded, in groups; so at most
``concurrency`` postings are out and as many claimed ahead, however long the queue.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from settlement.posting import RETRY_AFTER_MAX, Random, RetryBudget
from tasks.posting.clearinghouse import Clearinghouse
from tasks.posting.draining import CannotSignError, Draining
from tasks.posting.lane import Lane
from tasks.posting.progress import PostSummary, Progress

__all__ = ["CannotSignError", "Clearinghouse", "PostSummary", "Progress", "post_pending"]

RECORDING_S: Final = 0.5
"""What a lease has to spare after an attempt, as a part of the attempt, for recording it."""


def post_pending(
    dsn: str,
    clearinghouse: Clearinghouse,
    *,
    clock: Callable[[], datetime],
    random: Random,
    concurrency: int = 8,
    limit: int = 1_000,
    lease_s: float = 30.0,
    until_empty: bool = False,
    deadline_s: float = 600.0,
    progress: Callable[[Progress], None] | None = None,
) -> PostSummary:
    """Send what is due and screened. Several posters may do so at once.

    Args:
        dsn: libpq connection string; connects as the poster's role.
        clearinghouse: where to.
        clock: gives now, with its zone; decides what is due.
        random: spreads the retries.
        concurrency: calls in flight, at most.
        limit: attempts in this run, at most; with ``until_empty`` only ``deadline_s`` ends it.
        lease_s: how long a claimed posting is kept from other posters.
        until_empty: wait for postings that are due later, until none may be sent any more. Otherwise
            the run ends when nothing is due, or when the clearinghouse is to be left alone.
        deadline_s: for the whole run; calls in flight are awaited beyond it.
        progress: told after each group of attempts.

    Raises:
        CannotSignError: the settlement key does not sign; what was claimed is given back.
        DatabaseUnavailableError: what was claimed is claimed again once its lease is over.
        ValueError: a lease that does not outlast an attempt, or a bound below 1.
    """
    shortest_s = clearinghouse.attempt_s * (1 + RECORDING_S)
    if not shortest_s <= lease_s <= RETRY_AFTER_MAX.total_seconds():
        raise ValueError(
            f"lease_s is {lease_s}; expected {shortest_s} (one and a half times what an attempt "
            f"can take) to {RETRY_AFTER_MAX.total_seconds()}"
        )
    if concurrency < 1 or limit < 1:
        raise ValueError(f"concurrency is {concurrency}, limit is {limit}; expected at least 1")
    draining = Draining(
        clearinghouse=clearinghouse,
        clock=clock,
        random=random,
        lane=Lane(width=concurrency, backoff=clearinghouse.backoff, random=random),
        budget=RetryBudget(share_percent=clearinghouse.retry_share_percent),
        lease=timedelta(seconds=lease_s),
        attempts_max=None if until_empty else limit,
        progress=progress or (lambda _: None),
    )
    return asyncio.run(draining.run(dsn, deadline_s))
