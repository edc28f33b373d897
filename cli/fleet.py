"""`v2g fleet …`: look over the whole fleet."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from cli.options import Database, Json
from cli.output import console, fail, show_json, table

app = typer.Typer(
    help="The fleet as a whole: what several together show, and none by itself.",
    no_args_is_help=True,
)

MEMBERS_SHOWN = 6


@app.callback()
def fleet() -> None:
    """The fleet as a whole: what several together show, and none by itself."""


@app.command()
def suspicions(
    database: Database,
    since: Annotated[str, typer.Option("--from", help="Start, with its zone.")],
    until: Annotated[str, typer.Option("--to", help="End, with its zone; not included.")],
    account_vehicles: Annotated[
        int,
        typer.Option(min=1, help="One account may be paid for so many vehicles without a word."),
    ] = 5,
    json: Json = False,
) -> None:
    """Name who looks like a ring: curves alike, clocks that move together, one account, no time to drive.

    A report for people: it holds nothing, refuses nothing and changes no amount. The period is a week
    at most. Exit 0 when nothing is suspicious, 1 when something is, 2 on a period that cannot be read.

    Example: v2g fleet suspicions --from 2026-07-01T16:00:00Z --to 2026-07-01T22:00:00Z
    """
    from settlement.periods import Period
    from storage.engine import StorageError
    from tasks.suspicions import find_suspicions

    try:
        report = find_suspicions(
            database,
            Period.parse(since, until),
            now=datetime.now(UTC),
            account_vehicles=account_vehicles,
        )
    except ValueError as error:
        raise fail(f"{error}", status=2) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
    if json:
        show_json(asdict(report))
    else:
        console.print(
            table(
                f"Suspicions among {report.vehicles:,} vehicles: a person should look",
                ("what", "who", "why"),
                [(one.kind.value, _named(one.members), one.detail) for one in report.found],
            )
        )
    if report.found:
        raise fail(f"{len(report.found)} suspicions; nothing is held by them", status=1)


def _named(members: tuple[str, ...]) -> str:
    more = len(members) - MEMBERS_SHOWN
    shown = ", ".join(members[:MEMBERS_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown
