"""Screening, approvals, posting, and telling partners."""

import random
from datetime import timedelta
from typing import Final

from storage.approvals import PayoutRefusedError
from storage.lane_figures import LaneFigures, lanes
from storage.pages import reading
from tasks.notices.configure import means
from tasks.notices.deliver import DeliverySummary, deliver
from tasks.notices.settings import NoticeSettings
from tasks.payouts import Choice, Waiting, decide, waiting
from tasks.posting.run import PostSummary, post_pending
from tasks.prefect_tasks import announcing
from tasks.prefect_tasks.step import now, step
from tasks.screening import ScreenSummary, screen
from tasks.settings import Settings, clearinghouse_of

QUEUE_WINDOW: Final = timedelta(hours=1)
"""Over so long what came into a queue is held against what left it."""


@step("screen postings", run_name="hold what is booked against the limits", timeout_s=3600)
def screen_postings() -> ScreenSummary:
    summary = screen(Settings().database_url, clock=now)
    announcing.screened(summary)
    return summary


@step("find large payouts", run_name="look what waits for approval", timeout_s=60)
def find_waiting() -> Waiting:
    found = waiting(Settings().database_url)
    announcing.waiting(found)
    return found


@step("decide about a payout", run_name="decide about {posting_id}", timeout_s=120)
def decide_payout(posting_id: str, choice: Choice, *, by: str, why: str) -> str:
    """Why it was refused, so that it can be asked again; empty when it was decided."""
    try:
        decide(Settings().database_url, posting_id, choice, by=by, why=why, clock=now)
    except PayoutRefusedError as error:
        return str(error)
    return ""


@step("post pending", run_name="post what is due", timeout_s=900)
def post(limit: int | None) -> PostSummary:
    settings = Settings()
    return post_pending(
        settings.database_url,
        clearinghouse_of(settings),
        clock=now,
        random=random.SystemRandom(),
        concurrency=settings.post_concurrency,
        limit=limit or settings.post_limit,
    )


@step("measure queues", run_name="look how the queues stand", timeout_s=60)
def measure_queues() -> list[LaneFigures]:
    at = now()
    with reading(Settings().database_url) as conn:
        found = lanes(conn, since=at - QUEUE_WINDOW, now=at)
    announcing.measured(found, now=at, window_s=QUEUE_WINDOW // timedelta(seconds=1))
    return found


@step("tell partners", run_name="send the notices that are due", timeout_s=900)
def tell_partners() -> DeliverySummary:
    chosen = NoticeSettings()
    return deliver(
        means(Settings().database_url, chosen, clock=now),
        random=random.SystemRandom(),
        concurrency=chosen.notice_concurrency,
        limit=chosen.notice_limit,
        dead_after=chosen.dead_after,
    )
