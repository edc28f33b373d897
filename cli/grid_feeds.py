"""`v2g grid status` and `v2g grid sync`: how the feeds are, and reading them by hand."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Database, Json
from cli.output import console, doing, fail, show_json, table

if TYPE_CHECKING:
    from grid.config import GridConfig
    from tasks.grid_status import FeedStatus

GridFile = Annotated[
    Path | None,
    typer.Option(
        envvar="V2G_GRID_FILE",
        help="YAML file of the feeds, as docs/grid.md has it. Without one there are no feeds.",
    ),
]
NO_FEEDS = "no feeds: V2G_GRID_FILE (--grid-file) names none; docs/grid.md shows how to write one"


def status(database: Database, grid_file: GridFile = None, json: Json = False) -> None:
    """Show every feed: when it was last read whole, how its clock is, what troubles it.

    A feed is good; or incomplete: not everything could be had, and what is missing may supersede what
    was shown; or late: it should have been read by now, does `sync` run? Or failing: the last try brought
    nothing; or it was never read. `clock` is how far the server's clock is ahead of ours, ± how uncertain
    that is; `refused`, what of the last reading could not be understood or was not its to say, with the
    first of it in words below; `answers`, the Responses that the utility is still owed, + those that it
    refused or that were given up.

    Exit 0 when every feed is good, 1 when one is incomplete, late, failing or was never read, or the
    database refuses, 2 on a file of feeds that cannot be used.

    Example: v2g grid status --json | jq '.feeds[] | select(.state != "good")'
    """
    from storage.engine import Role, StorageError, connect
    from tasks.grid_status import grid_status

    config = _config(grid_file)
    now = datetime.now(UTC)
    try:
        with connect(database, Role.READ) as conn:
            found = grid_status(conn, config, now=now)
    except StorageError as error:
        raise fail(str(error), status=1) from error
    if json:
        show_json(
            {
                "now": now.isoformat(),
                "good": found.good,
                "feeds": [_plain(one) for one in found.feeds],
                "events_waiting_for_approval": found.waiting,
            }
        )
    elif not found.feeds:
        typer.echo(NO_FEEDS)
    else:
        columns = (
            "feed", "kind", "state", "last read", "next", "age", "clock", "events", "prices",
            "refused", "answers",
        )  # fmt: skip
        rows = [_row(one) for one in found.feeds]
        console.print(table(f"Feeds at {_time(now)}", columns, rows, numbers=6))
        for line in (line for one in found.feeds for line in _troubles(one)):
            console.print(line, markup=False, soft_wrap=True)
        if found.waiting:
            typer.echo(
                f"{found.waiting} versions of events came too late and wait for a person:"
                " v2g grid events --pending"
            )
    if not found.good:
        raise typer.Exit(1)


def sync(
    database: Database,
    grid_file: GridFile = None,
    feed: Annotated[str, typer.Option(help="Read this one only, whether it is due or not.")] = "",
    all_: Annotated[
        bool, typer.Option("--all", help="Also feeds that want to be read later.")
    ] = False,
    json: Json = False,
) -> None:
    """Read the feeds that are due, keep what is new, and post the answers that the utility is owed.

    The same step as the flow sync-grid-events, which runs every minute. Feeds are read at once, each
    under its own deadline; one that fails keeps no other one from being stored. Safe to run twice at
    once: nothing is kept twice, and an older reading never replaces a newer one.

    Exit 0 when everything that was read was understood, 1 when a feed failed, an item was refused or
    the database does not answer, 2 on a feed or a file of feeds that cannot be used.

    Example: v2g grid sync --feed utility
    """
    from grid.feeds import open_feed
    from storage import secrets
    from storage.engine import StorageError
    from tasks import words
    from tasks.grid import NoSuchFeedError, sync_grid

    config = _config(grid_file)
    try:
        with doing() as say:
            summary = sync_grid(
                database,
                config,
                secrets=secrets,
                clock=lambda: datetime.now(UTC),
                due_only=not all_,
                only=feed,
                opener=open_feed,
                report=say,
            )
    except NoSuchFeedError as error:
        raise fail(str(error), status=2) from error
    except StorageError as error:
        raise fail(str(error), status=1) from error
    if json:
        show_json(summary)
    elif not config.feeds:
        typer.echo(NO_FEEDS)
    elif not summary.feeds:
        waiting = ", ".join(summary.not_due)
        typer.echo(f"nothing is due; {waiting} to be read later, or now with --all")
    else:
        for one in summary.feeds:
            console.print(words.fed(one), markup=False, soft_wrap=True)
            for refused in one.refused[1:]:
                console.print(f"  refused: {refused}", markup=False, soft_wrap=True)
    if summary.failed or summary.refused_count:
        raise typer.Exit(1)


def _config(path: Path | None) -> "GridConfig":
    from grid.config import GridConfig
    from grid.config_file import read_config
    from grid.errors import GridConfigError

    if path is None:
        return GridConfig(feeds=())
    try:
        return read_config(path)
    except GridConfigError as error:
        raise fail(str(error), status=2) from error


def _troubles(one: "FeedStatus") -> Iterator[str]:
    state = one.state
    if state is None:
        return
    if state.error:
        yield f"{one.feed}, {_time(state.tried_at)}: {state.error}"
    if not state.whole:
        yield (
            f"{one.feed}: the last reading was not whole; what it showed counts, and what was missing"
            " may say otherwise"
        )
    for told in state.refusals:
        yield f"{one.feed}, refused: {told}"
    if state.refused > len(state.refusals):
        yield f"{one.feed}: {state.refused - len(state.refusals)} more refused, the log names them"
    for told in state.notes:
        yield f"{one.feed}, note: {told}"


def _row(one: "FeedStatus") -> tuple[str, ...]:
    state, answers = one.state, one.responses
    return (
        one.feed,
        one.kind,
        one.health.value,
        _time(state.read_at if state else None),
        _time(state.next_at if state else None),
        _age(one.age),
        _clock(one),
        *(str(count) for count in ((state.events, state.prices, state.refused) if state else ())),
        *(("-", "-", "-") if state is None else ()),
        f"{answers.due}" + (f" + {answers.refused}" if answers.refused else ""),
    )


def _plain(one: "FeedStatus") -> dict[str, Any]:
    state = one.state
    return {
        "feed": one.feed,
        "kind": one.kind,
        "state": one.health.value,
        "tried_at": _iso(state.tried_at if state else None),
        "read_at": _iso(state.read_at if state else None),
        "age_s": None if one.age is None else int(one.age.total_seconds()),
        "next_at": _iso(state.next_at if state else None),
        "clock_offset_us": state.clock_offset_us if state else None,
        "clock_uncertainty_us": state.clock_uncertainty_us if state else None,
        "error": state.error if state else "",
        "events": state.events if state else 0,
        "prices": state.prices if state else 0,
        "refused": state.refused if state else 0,
        "refusals": state.refusals if state else [],
        "notes": state.notes if state else [],
        "whole": state.whole if state else False,
        "responses": asdict(one.responses),
    }


def _clock(one: "FeedStatus") -> str:
    state = one.state
    if state is None or state.clock_offset_us is None:
        return "-"
    uncertainty = (state.clock_uncertainty_us or 0) / 1000
    return f"{state.clock_offset_us / 1000:+.1f} ± {uncertainty:.1f} ms"


def _age(age: timedelta | None) -> str:
    if age is None:
        return "-"
    return str(timedelta(seconds=max(0, int(age.total_seconds()))))


def _time(at: datetime | None) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "-"


def _iso(at: datetime | None) -> str | None:
    return at.isoformat() if at else None
