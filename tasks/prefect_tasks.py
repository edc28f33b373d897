"""Each step as Prefect sees it: its name, its time limit, and when it is worth another try.

The steps themselves are plain functions and know nothing of this. Here, and only here, they meet
the process: its settings, its clock, its randomness. Nothing is cached and no result is persisted:
what a step did stands in the database, and every step may run twice.

A retry is left to what passes by itself: a lost connection, a busy database, a feed that does not
answer. Bad data, bad settings and bad queries fail at once, as they would fail again.
"""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, ParamSpec, TypeVar

from prefect import Task, task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from settlement.periods import Period
from storage.transient import is_transient
from tasks import vehicle_state, words
from tasks.grid import FeedUnavailableError, GridSummary, sync_grid, utility_client
from tasks.judge import JudgeSummary, judge_packets
from tasks.post import PostSummary, post_pending
from tasks.quality import QualitySummary, check_quality
from tasks.settings import Settings, clearinghouse_of
from tasks.settle import MANUAL, SCHEDULED, SettleSummary, due_period, settle_period
from tasks.true_up import TrueUpSummary, true_up

RETRIES: Final = 4
FIRST_DELAY_S: Final = 2.0
"""Doubles with each retry (2, 4, 8, 16 s), and is drawn longer by up to half at random, so that
runs that failed together do not come back together."""
JITTER: Final = 0.5

P = ParamSpec("P")
R = TypeVar("R")


class JudgeBusyError(Exception):
    """Another process is judging; a period settled before it has ended would miss its packets."""

    def __init__(self) -> None:
        super().__init__("another process is judging landed packets; it will have finished soon")


class HalfAPeriodError(ValueError):
    """One end of a period without the other."""

    def __init__(self, start: datetime | None, end: datetime | None) -> None:
        super().__init__(
            f"start is {start}, end is {end}; give both, or neither to settle what is due"
        )
        self.start = start
        self.end = end


def passes_by_itself(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed step may succeed when tried again, with nothing repaired in between."""
    try:
        state.result()
    except (FeedUnavailableError, JudgeBusyError):
        return True
    except Exception as error:  # noqa: BLE001 - whatever else it is, the database knows or it stays
        return is_transient(error)
    return False


def step(name: str, *, run_name: str, timeout_s: int) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A plain step as a Prefect task.

    Args:
        name: of the task, in the UI.
        run_name: of each run; may hold parameters, as ``settle {period}``.
        timeout_s: for one attempt; longer than every limit inside the step.
    """
    return task(
        name=name,
        task_run_name=run_name,
        timeout_seconds=timeout_s,
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(backoff_factor=FIRST_DELAY_S),
        retry_jitter_factor=JITTER,
        retry_condition_fn=passes_by_itself,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


@step("judge packets", run_name="judge what has landed", timeout_s=3600)
def judge() -> JudgeSummary:
    settings = Settings()
    summary = judge_packets(
        settings.database_url,
        clock=_now,
        threads=settings.judge_threads,
        after_commit=vehicle_state.keeper(settings.database_url, clock=_now),
    )
    if summary.busy:
        raise JudgeBusyError
    return summary


@step("choose period", run_name="choose the period", timeout_s=60)
def choose_period(start: datetime | None, end: datetime | None) -> Period | None:
    if start is not None and end is not None:
        return Period(start, end).in_utc()
    if start is not None or end is not None:
        raise HalfAPeriodError(start, end)
    settings = Settings()
    return due_period(settings.database_url, now=_now(), grace=settings.settle_grace)


@step("check quality", run_name="doubt {period}", timeout_s=3600)
def doubt(period: Period) -> QualitySummary:
    return check_quality(Settings().database_url, period, now=_now())


@step("settle period", run_name="settle {period}", timeout_s=3600)
def settle(period: Period, *, hold: str, dry_run: bool, by_hand: bool) -> SettleSummary:
    settings = Settings()
    return settle_period(
        settings.database_url,
        period,
        clock=_now,
        kind=MANUAL if by_hand else SCHEDULED,
        dry_run=dry_run,
        hold=hold,
        oracle_share_ppm=settings.oracle_share_ppm,
    )


@step("run the calendar", run_name="do what the calendars have due", timeout_s=4 * 3600)
def run_calendar(*, dry_run: bool, max_runs: int) -> TrueUpSummary:
    settings = Settings()
    dsn = settings.database_url

    @cache
    def doubted(period: Period) -> str:
        return check_quality(dsn, period, now=_now()).hold

    return true_up(
        dsn,
        clock=_now,
        dry_run=dry_run,
        max_runs=max_runs,
        doubt=doubted,
        oracle_share_ppm=settings.oracle_share_ppm,
    )


@step("publish the calendar's runs", run_name="publish the calendar's runs", timeout_s=60)
def publish_true_up(summary: TrueUpSummary) -> None:
    create_table_artifact(
        key="true-up", table=words.changes(summary), description=words.trued_up(summary)
    )


@step("publish totals", run_name="publish totals", timeout_s=60)
def publish_settled(summary: SettleSummary, quality: QualitySummary) -> None:
    create_table_artifact(
        key="settlement-totals", table=words.totals(summary), description=words.settled(summary)
    )
    create_table_artifact(
        key="quality-checks",
        table=words.checks(quality),
        description=f"{summary.period}: the worst check that failed is {quality.worst}",
    )


@step("sync grid", run_name="fetch events and prices", timeout_s=120)
def fetch_grid() -> GridSummary:
    settings = Settings()
    with utility_client(settings.utility_token_file) as client:
        return sync_grid(
            settings.database_url, str(settings.utility_url), client=client, now=_now()
        )


@step("post pending", run_name="post what is due", timeout_s=900)
def post(limit: int | None) -> PostSummary:
    settings = Settings()
    return post_pending(
        settings.database_url,
        clearinghouse_of(settings),
        clock=_now,
        random=random.SystemRandom(),
        limit=limit or settings.post_limit,
    )


def _now() -> datetime:
    return datetime.now(UTC)
