"""`v2g true-up`: do what the programs' calendars have due."""

from dataclasses import asdict
from datetime import UTC, date, datetime
from functools import cache
from typing import Annotated

import typer

from cli.options import Database, Json
from cli.output import fail, show_json


def true_up(
    database: Database,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be booked, book nothing.")
    ] = False,
    max_runs: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many runs.")] = 100,
    program: Annotated[str, typer.Option(help="With --release: the program.")] = "",
    day: Annotated[str, typer.Option(help="With --release: the local day, 2026-07-01.")] = "",
    release: Annotated[
        str, typer.Option(help="Book a day that its quality has held; say why, it is recorded.")
    ] = "",
    json: Json = False,
) -> None:
    """Settle again what the calendars have due, and book what has changed on its original period.

    The same steps as the flow true_up, without Prefect. Exit 0 when nothing is held, 1 when a day is
    held or a step failed, 2 on a program or day that cannot be read.

    Example: v2g true-up --dry-run
    """
    from cli.summaries import show_true_up
    from settlement.periods import Period
    from storage.engine import StorageError
    from tasks.judge import judge_packets
    from tasks.quality import check_quality
    from tasks.settings import Settings
    from tasks.true_up import Release
    from tasks.true_up import true_up as run
    from tasks.vehicle_state import keeper

    @cache
    def doubt(period: Period) -> str:
        return check_quality(database, period, now=_now()).hold

    if len({bool(program), bool(day), bool(release)}) > 1:
        raise fail("--program, --day and --release go together; give all three, or none", status=2)
    try:
        settings = Settings(database_url=database)
        released = Release(program, date.fromisoformat(day), release) if release else None
        judged = judge_packets(
            database,
            clock=_now,
            threads=settings.judge_threads,
            after_commit=keeper(database, clock=_now),
        )
        if judged.busy:
            raise fail(
                "another process is judging what has landed; run again when it has ended", status=1
            )
        summary = run(
            database,
            clock=_now,
            dry_run=dry_run,
            max_runs=max_runs,
            doubt=doubt,
            release=released,
            oracle_share_ppm=settings.oracle_share_ppm,
        )
    except ValueError as error:
        raise fail(f"{error}", status=2) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
    show_json(asdict(summary)) if json else show_true_up(summary)
    if summary.held:
        raise fail(f"{summary.held} runs are held and wait for a person", status=1)


def _now() -> datetime:
    return datetime.now(UTC)
