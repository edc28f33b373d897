"""Judging, choosing a period, settling it, and the programs' calendars."""

from datetime import datetime
from functools import cache

from settlement.periods import Period
from tasks import held, vehicle_state
from tasks.held import Tried
from tasks.judge import JudgeSummary, judge_packets
from tasks.prefect_tasks import announcing
from tasks.prefect_tasks.step import JudgeBusyError, now, step
from tasks.quality import QualitySummary, check_quality
from tasks.releasing import Word, word
from tasks.settings import Settings
from tasks.settle import MANUAL, SCHEDULED, SettleSummary, due_period, settle_period
from tasks.true_up import TrueUpSummary, true_up


class HalfAPeriodError(ValueError):
    """One end of a period without the other."""

    def __init__(self, start: datetime | None, end: datetime | None) -> None:
        super().__init__(
            f"start is {start}, end is {end}; give both, or neither to settle what is due"
        )
        self.start = start
        self.end = end


@step("judge packets", run_name="judge what has landed", timeout_s=3600)
def judge() -> JudgeSummary:
    settings = Settings()
    summary = judge_packets(
        settings.database_url,
        clock=now,
        threads=settings.judge_threads,
        after_commit=vehicle_state.keeper(settings.database_url, clock=now),
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
    return due_period(settings.database_url, now=now(), grace=settings.settle_grace)


@step("check quality", run_name="doubt {period}", timeout_s=3600)
def doubt(period: Period) -> QualitySummary:
    found = check_quality(Settings().database_url, period, now=now())
    announcing.doubted(period, found)
    return found


@step("hear releases", run_name="hear what was said about {period}", timeout_s=60)
def hear(period: Period, quality: QualitySummary) -> Word:
    return word(Settings().database_url, period, quality)


@step("try held periods", run_name="try what is held again", timeout_s=3600)
def try_held() -> list[Tried]:
    settings = Settings()
    found = held.try_held(
        settings.database_url, clock=now, oracle_share_ppm=settings.oracle_share_ppm
    )
    for one in found:
        if one.quality is not None:
            announcing.doubted(one.before.period, one.quality)
        if one.summary is not None and one.is_news:
            announcing.settled(one.summary)
    return found


@step("settle period", run_name="settle {period}", timeout_s=3600)
def settle(
    period: Period,
    *,
    hold: str,
    dry_run: bool,
    by_hand: bool,
    released: str = "",
    excused: frozenset[str] = frozenset(),
) -> SettleSummary:
    settings = Settings()
    summary = settle_period(
        settings.database_url,
        period,
        clock=now,
        kind=MANUAL if by_hand else SCHEDULED,
        dry_run=dry_run,
        hold=hold,
        released=released,
        excused=excused,
        oracle_share_ppm=settings.oracle_share_ppm,
    )
    announcing.settled(summary)
    return summary


@step("run the calendar", run_name="do what the calendars have due", timeout_s=4 * 3600)
def run_calendar(*, dry_run: bool, max_runs: int) -> TrueUpSummary:
    settings = Settings()
    dsn = settings.database_url

    @cache
    def doubted(period: Period) -> str:
        found = check_quality(dsn, period, now=now())
        announcing.doubted(period, found)
        return found.hold

    summary = true_up(
        dsn,
        clock=now,
        dry_run=dry_run,
        max_runs=max_runs,
        doubt=doubted,
        oracle_share_ppm=settings.oracle_share_ppm,
    )
    announcing.trued_up(summary)
    return summary
