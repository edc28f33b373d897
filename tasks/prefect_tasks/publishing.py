"""What a run leaves on its page in Prefect's UI: artifacts, each under a key that groups its versions.

A page is a courtesy: by the time it is made everything is booked, so what goes wrong with it is logged,
and the run ends as it would have.
"""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from prefect.artifacts import create_markdown_artifact, create_table_artifact

from settlement.periods import Period
from storage.lane_figures import LaneFigures
from storage.limits import in_force
from storage.pages import reading
from tasks import words
from tasks.grid import GridSummary
from tasks.judge import JudgeSummary
from tasks.notices.deliver import DeliverySummary
from tasks.pages import events, markdown, others, picture, settled
from tasks.posting.expiry import Watched
from tasks.posting.run import PostSummary
from tasks.prefect_tasks.step import now, step
from tasks.quality import QualitySummary
from tasks.reconciling.comparing import Compared
from tasks.screening import ScreenSummary
from tasks.settings import Settings
from tasks.settle import SettleSummary
from tasks.true_up import TrueUpSummary

TIMEOUT_S: Final = 180

_log: Final = logging.getLogger(__name__)


@step("publish totals", run_name="publish totals", timeout_s=TIMEOUT_S)
def publish_settled(summary: SettleSummary, quality: QualitySummary) -> None:
    with _page("totals and checks"):
        told = words.settled(summary)
        create_table_artifact(
            key="settlement-totals", table=words.totals(summary), description=told
        )
        create_table_artifact(
            key="quality-checks",
            table=words.checks(quality),
            description=f"{summary.period}: the worst check that failed is {quality.worst}",
        )
    with _page("settlement"):
        settings = Settings()
        known = settled.look_up(settings.database_url, summary, now=now())
        create_table_artifact(
            key="unpaid-reasons",
            table=settled.reasons(summary, known),
            description=f"{summary.period}: what was not paid and what was refused, with its money",
        )
        create_markdown_artifact(
            key="settlement",
            markdown=settled.settled(summary, quality, known, operator_url=settings.operator_url),
            description=told,
        )
    with _page("pictures of events"):
        _draw_events(settled.period_of(summary))


@step("publish the calendar's runs", run_name="publish the calendar's runs", timeout_s=TIMEOUT_S)
def publish_true_up(summary: TrueUpSummary) -> None:
    with _page("true-up"):
        told = words.trued_up(summary)
        create_table_artifact(key="true-up", table=words.changes(summary), description=told)
        create_markdown_artifact(
            key="calendar",
            markdown=others.trued_up(summary, operator_url=Settings().operator_url),
            description=told,
        )


@step("publish postings", run_name="publish what was posted", timeout_s=TIMEOUT_S)
def publish_posted(
    screened: ScreenSummary, summary: PostSummary, lanes: Sequence[LaneFigures] = ()
) -> None:
    with _page("posting"):
        create_markdown_artifact(
            key="posting",
            markdown=others.posted(screened, summary, lanes, _minor_units(), now=now()),
            description=words.posted(summary),
        )


@step("publish feeds", run_name="publish what the feeds said", timeout_s=TIMEOUT_S)
def publish_synced(summary: GridSummary) -> None:
    with _page("grid-feeds"):
        create_markdown_artifact(
            key="grid-feeds", markdown=others.synced(summary), description=words.synced(summary)
        )


@step("publish judgements", run_name="publish what was judged", timeout_s=TIMEOUT_S)
def publish_judged(summary: JudgeSummary) -> None:
    with _page("judging"):
        create_markdown_artifact(
            key="judging",
            markdown=others.judged(summary),
            description=f"{summary.packets} packets judged: {summary.readings} readings",
        )


@step("publish quality", run_name="publish the quality of the data", timeout_s=TIMEOUT_S)
def publish_quality(found: Sequence[tuple[Period, QualitySummary]]) -> None:
    with _page("quality"):
        create_markdown_artifact(
            key="quality",
            markdown=others.doubted(found, operator_url=Settings().operator_url),
            description=f"{len(found)} periods checked",
        )


@step("publish reconciliation", run_name="publish what differs", timeout_s=TIMEOUT_S)
def publish_reconciled(found: Sequence[Compared]) -> None:
    with _page("reconciliation"):
        create_markdown_artifact(
            key="reconciliation",
            markdown=others.reconciled(found, _minor_units()),
            description=f"{len(found)} periods compared",
        )


@step("publish certificates", run_name="publish how long the keys count", timeout_s=TIMEOUT_S)
def publish_watched(found: Sequence[Watched]) -> None:
    with _page("certificates"):
        create_markdown_artifact(
            key="certificates",
            markdown=others.watched(found),
            description=words.watched(list(found)),
        )


@step("publish notices", run_name="publish what partners were told", timeout_s=TIMEOUT_S)
def publish_notices(summary: DeliverySummary) -> None:
    with _page("notices"):
        create_markdown_artifact(
            key="notices", markdown=others.noticed(summary), description=words.notices(summary)
        )


@step("publish a table", run_name="publish {key}", timeout_s=TIMEOUT_S)
def publish_table(key: str, told: str, rows: words.Table) -> None:
    """For runs without a page of their own: a sentence, and a table of at most ``TABLE_MAX`` rows."""
    with _page(key):
        create_table_artifact(key=_key(key), table=cut(rows), description=markdown.plain(told))


TABLE_MAX: Final = 500


def cut(rows: words.Table) -> words.Table:
    """A table artifact of bounded length, whose last row says how many more there are."""
    if len(rows) <= TABLE_MAX:
        return rows
    first, *rest = rows[0]
    more = f"…and {len(rows) - TABLE_MAX} more"
    return [*rows[:TABLE_MAX], {first: more} | dict.fromkeys(rest, "")]


def _draw_events(period: Period) -> None:
    """One picture for each program that has an event in the period; its key is the program's."""
    with reading(Settings().database_url) as conn:
        drawn = events.events_of(conn, period, known_at=now())
    for one in drawn:
        told = picture.told(one.scene)
        others_told = (
            f" {one.others} more events of the program touch the period." if one.others else ""
        )
        body = markdown.page(
            one.scene.title,
            markdown.image(picture.draw(one.scene), told),
            markdown.plain(f"{told}.{others_told}"),
        )
        create_markdown_artifact(
            key=_key(f"event-picture-{one.program}"),
            markdown=body,
            description=markdown.plain(f"{one.scene.title}: {told}"),
        )


def _minor_units() -> dict[str, int]:
    with reading(Settings().database_url) as conn:
        limits = in_force(conn).limits
    return {name: one.minor_units for name, one in limits.currencies.items()}


def _key(text: str) -> str:
    """A key as Prefect takes it: lower case, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


@contextmanager
def _page(what: str) -> Iterator[None]:
    try:
        yield
    except Exception:  # noqa: BLE001 - whatever it is, the run has done its work
        _log.exception("%s: not on the run's page; what was booked stands", what)
