"""`v2g settle`: what the flow settle_period does, by hand and without Prefect."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Database, Json
from cli.output import fail, show_json

if TYPE_CHECKING:
    from settlement.periods import Period
    from tasks.settings import Settings
    from tasks.settle import SettleSummary


def settle(
    database: Database,
    since: Annotated[
        str, typer.Option("--from", help="Start, with its zone: 2026-07-01T16:00:00Z.")
    ] = "",
    until: Annotated[str, typer.Option("--to", help="End, with its zone; not included.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Compute and show, book nothing.")
    ] = False,
    as_of: Annotated[
        str,
        typer.Option(
            help="Show what the period came to as known at an earlier time; books nothing."
        ),
    ] = "",
    json: Json = False,
) -> None:
    """Judge what has landed, check its quality, and settle a period.

    Without --from and --to, tries again what is held and was released or has news, then settles what
    is due, and leaves to the calendar what its first run has yet to book. The same steps as the flow
    settle_period, without Prefect. A held period is let go by `v2g quality release`. Exit 0 when
    settled, 1 when held or failed, 2 on a period or time that cannot be read.

    Example: v2g settle --from 2026-07-01T16:00:00Z --to 2026-07-01T17:00:00Z --dry-run
    """
    from cli.summaries import show_settled
    from tasks.settings import Settings

    with _failing():
        asked = _asked(since, until)
        if as_of:
            _show_as_of(database, asked, _moment(as_of), json=json)
            return
        settings = Settings(database_url=database)
        _judge(settings)
        tried = [] if asked or dry_run else _try_held(settings)
        if not json:
            for line in tried:
                typer.echo(line)
        summary = _settle(settings, asked, dry_run=dry_run)
    if summary is None:
        nothing = {"state": "nothing_due", "tried_again": tried}
        show_json(nothing) if json else typer.echo("nothing is due")
        return
    if json:
        show_json(asdict(summary) | {"tried_again": tried})
    else:
        show_settled(summary)
    if summary.state == "held":
        raise fail(f"held: {summary.reason}", status=1)


def _asked(since: str, until: str) -> "Period | None":
    from settlement.periods import Period

    if bool(since) != bool(until):
        raise fail(
            "--from and --to go together; give both, or neither to settle what is due", status=2
        )
    return Period.parse(since, until) if since else None


def _show_as_of(database: str, asked: "Period | None", as_of: datetime, *, json: bool) -> None:
    from cli.summaries import show_settled
    from tasks.settle import replay_period

    if asked is None:
        raise fail("--as-of needs a period; give --from and --to", status=2)
    replayed = replay_period(database, asked, as_of=as_of)
    show_json(asdict(replayed)) if json else show_settled(replayed)


def _judge(settings: "Settings") -> None:
    from tasks.judge import judge_packets
    from tasks.vehicle_state import keeper

    judged = judge_packets(
        settings.database_url,
        clock=_now,
        threads=settings.judge_threads,
        after_commit=keeper(settings.database_url, clock=_now),
    )
    if judged.busy:
        raise fail(
            "another process is judging what has landed; run again when it has ended", status=1
        )


def _try_held(settings: "Settings") -> list[str]:
    from tasks.held import told, try_held

    share = settings.oracle_share_ppm
    again = try_held(settings.database_url, clock=_now, oracle_share_ppm=share)
    return [told(one) for one in again]


def _settle(
    settings: "Settings", asked: "Period | None", *, dry_run: bool
) -> "SettleSummary | None":
    """What was asked for, or what is due; None when nothing is."""
    from tasks.quality import check_quality
    from tasks.releasing import word
    from tasks.settle import MANUAL, SCHEDULED, due_period, settle_period

    database = settings.database_url
    period = asked or due_period(database, now=_now(), grace=settings.settle_grace)
    if period is None:
        return None
    said = word(database, period, check_quality(database, period, now=_now()))
    return settle_period(
        database,
        period,
        clock=_now,
        kind=MANUAL if asked else SCHEDULED,
        dry_run=dry_run,
        hold=said.hold,
        released=said.released,
        excused=said.excused,
        oracle_share_ppm=settings.oracle_share_ppm,
    )


@contextmanager
def _failing() -> Iterator[None]:
    """What cannot be read, or what the database refuses, as a sentence."""
    from storage.engine import StorageError

    try:
        yield
    except ValueError as error:
        raise fail(f"{error}", status=2) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error


def _now() -> datetime:
    return datetime.now(UTC)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r}: expected a time with its zone, such as 2026-07-01T17:00:00Z")
    return moment.astimezone(UTC)
