"""`v2g post`: what is booked is held against the limits, and goes to the clearinghouse."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from cli.options import Database, Json
from cli.output import console, errors, fail, show_json
from cli.settlement_key import AUTH_EXPIRED_STATUS

if TYPE_CHECKING:
    from tasks.posting.run import Progress

DEADLINE_S: Final = 3_600.0
SHOWN_FROM: Final = 20
"""Fewer postings need no bar."""
MEASURED_AFTER_S: Final = 1.0
"""A rate of less time says nothing."""


def post(
    database: Database,
    until_empty: Annotated[
        bool,
        typer.Option(
            "--until-empty", help="Go on until nothing may be sent any more, for at most an hour."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Post booked settlements to the clearinghouse, each exactly once in effect.

    First holds what is booked against the limits (docs/limits.md); what breaks one waits for a person.
    Takes V2G_CLEARINGHOUSE_* and V2G_POST_* from the environment (docs/settings.md). Safe to stop and
    to run twice at once. On a terminal it shows how far it is, what that was in money, calls a second,
    and how long the rest will take. Exit 0 when nothing is open any more, 1 when something is, or waits
    for a person, 2 on a setting that cannot be used, 3 when the settlement key does not count (nothing
    is sent, and nothing is lost).

    Example: v2g post --until-empty
    """
    from random import SystemRandom

    from storage.engine import StorageError
    from tasks import words
    from tasks.posting.key_errors import SettlementKeyError
    from tasks.posting.run import post_pending
    from tasks.screening import screen
    from tasks.settings import Settings, clearinghouse_of

    try:
        settings = Settings(database_url=database)
        clearinghouse = clearinghouse_of(settings)
        screened = screen(database, clock=_now)
        with _shown(_open_postings(database)) as progress:
            summary = post_pending(
                database,
                clearinghouse,
                clock=_now,
                random=SystemRandom(),
                concurrency=settings.post_concurrency,
                limit=settings.post_limit,
                until_empty=until_empty,
                deadline_s=DEADLINE_S,
                progress=progress,
            )
    except SettlementKeyError as error:
        raise fail(f"{error}", status=AUTH_EXPIRED_STATUS) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
    except ValueError as error:
        raise fail(f"{error}", status=2) from error
    if json:
        show_json({"screened": asdict(screened), **asdict(summary)})
    else:
        if screened.screened:
            console.print(words.screened(screened))
        console.print(words.posted(summary))
    if summary.open or summary.parked:
        raise typer.Exit(1)


def _open_postings(database: str) -> int:
    from settlement.posting import OPEN
    from storage import outbox_figures
    from storage.engine import Role, connect
    from tasks.posting.instructions import PARTNER

    with closing(connect(database, Role.READ)) as conn:
        return sum(
            one.postings for one in outbox_figures.totals(conn, partner=PARTNER, states=OPEN)
        )


@contextmanager
def _shown(total: int) -> Iterator["Callable[[Progress], None]"]:
    """A bar on standard error, where that is a terminal and there is something to wait for."""
    from settlement.posting import Outcome

    columns: tuple[ProgressColumn, ...] = (
        TextColumn("posting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[money]}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    hidden = not errors.is_terminal or total < SHOWN_FROM
    began = time.monotonic()
    with Bar(*columns, console=errors, transient=True, disable=hidden) as bar:
        task = bar.add_task("posting", total=total, money="", rate="")

        def show(progress: "Progress") -> None:
            done = progress.outcomes.get(Outcome.ACKNOWLEDGED, 0)
            took_s = time.monotonic() - began
            bar.update(
                task,
                completed=done,
                total=max(total, done),  # others book meanwhile
                money=_money(progress.acknowledged_minor),
                rate=f"{progress.attempts / took_s:.0f} calls/s"
                if took_s > MEASURED_AFTER_S
                else "",
            )

        yield show


def _money(acknowledged_minor: Mapping[str, int]) -> str:
    return ", ".join(
        f"{minor:,} minor units of {currency}"
        for currency, minor in sorted(acknowledged_minor.items())
    )


def _now() -> datetime:
    return datetime.now(UTC)
