"""`v2g quality …`: which periods are held and why, what the gate found, and who lets one go."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Database, Json
from cli.output import fail, show_json

if TYPE_CHECKING:
    from settlement.periods import Period

app = typer.Typer(
    help="Periods that are held: which, since when, for how much money, and why. One settles by itself when"
    " the missing data comes, or by the next run after a named person has released it.",
    no_args_is_help=True,
)

APART = "/"
VERDICTS_MAX = 1_000

PeriodArgument = Annotated[
    str,
    typer.Argument(
        metavar="PERIOD",
        help="Start and end with their zones: 2026-07-01T16:00:00Z/2026-07-01T17:00:00Z.",
        show_default=False,
    ),
]


@app.command(name="list")
def list_(
    database: Database,
    verdicts: Annotated[
        bool, typer.Option("--verdicts", help="What the gate found last, held or not.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=VERDICTS_MAX, help="With --verdicts: at most so many.")
    ] = 50,
    json: Json = False,
) -> None:
    """Show the periods that are held: since when, how often tried, for how much money, and why.

    The money is what the last held run computed; it stands under PERIOD_HELD among what is unpaid. Exit
    0 when nothing is held, 1 when something is; with --verdicts always 0.

    Example: v2g quality list
    """
    from cli.quality_shown import show_held, show_verdicts
    from storage import held, quality_verdicts
    from storage.engine import Role, connect

    with _failing(), connect(database, Role.READ) as conn:
        if verdicts:
            show_verdicts(quality_verdicts.latest(conn, most=limit), json=json)
            return
        found = held.held(conn)
    show_held(found, json=json)
    if found:
        raise typer.Exit(1)


@app.command()
def show(
    which: Annotated[
        str,
        typer.Argument(
            metavar="WHICH",
            help="A period, start/end, or the beginning of a verdict's id.",
            show_default=False,
        ),
    ],
    database: Database,
    json: Json = False,
) -> None:
    """Show one period, with its last verdict, what has come since and who released it; or one verdict.

    Exit 1 when there is no such verdict, or none of this period.

    Example: v2g quality show 2026-07-01T16:00:00Z/2026-07-01T17:00:00Z
    """
    from cli.quality_shown import show_period, show_verdict
    from storage import held, quality_releases, quality_verdicts
    from storage.engine import Role, connect

    with _failing(), connect(database, Role.READ) as conn:
        if APART not in which:
            show_verdict(quality_verdicts.find(conn, which), json=json)
            return
        period = _period(which)
        verdicts = quality_verdicts.of_period(conn, period)
        if not verdicts:
            raise fail(
                f"period {period}: the gate has not looked at it; expected one as `v2g quality list`"
                " shows it, or run `v2g quality check` first",
                status=1,
            )
        waiting = held.held(conn, only=period)
        news = held.news(conn, period, since=verdicts[0].checked_at)
        releases = quality_releases.releases(conn, period)
    show_period(verdicts[0], waiting, news, releases, json=json)


@app.command()
def check(which: PeriodArgument, database: Database, json: Json = False) -> None:
    """Run the gate on a period now and keep what it finds. Books nothing.

    Exit 0 when nothing would hold the period, 3 when something would.

    Example: v2g quality check 2026-07-01T16:00:00Z/2026-07-01T17:00:00Z
    """
    from cli.quality_shown import show_verdict
    from storage import quality_verdicts
    from storage.engine import Role, connect
    from tasks.quality import check_quality

    with _failing():
        found = check_quality(database, _period(which), now=_now())
        with connect(database, Role.READ) as conn:
            verdict = quality_verdicts.find(conn, found.quality_id)
    show_verdict(verdict, json=json)
    if found.hold:
        raise typer.Exit(3)


@app.command()
def release(
    which: PeriodArgument,
    by: Annotated[
        str, typer.Option(help="Who has looked at it; kept for ever.", show_default=False)
    ],
    why: Annotated[str, typer.Option(help="Why it may be settled as it is.", show_default=False)],
    database: Database,
    json: Json = False,
) -> None:
    """Let a held period be settled as it is. The next run of settling does it: `v2g settle`, or the flow.

    The word covers what was found when it was given. Where something worse is found by then, the period
    stays held and says so. Exit 1 when the period is not held, or released already.

    Example: v2g quality release 2026-07-01T16:00:00Z/2026-07-01T17:00:00Z --by ada --why 'it is one meter'
    """
    from dataclasses import asdict

    from storage.quality_releases import ReleaseRefusedError
    from tasks.releasing import release_period, told

    try:
        with _failing():
            done = release_period(database, _period(which), by=by, why=why, now=_now())
    except ReleaseRefusedError as error:
        raise fail(f"{error}", status=2 if error.said else 1) from error
    if json:
        show_json(asdict(done))
        return
    typer.echo(f"{done.period}: {told(done)}; the next run of settling books it (`v2g settle`)")


def _period(which: str) -> "Period":
    from settlement.periods import Period

    start, apart, end = which.partition(APART)
    if not apart:
        raise fail(
            f"period {which!r}: one time; expected start and end, as"
            " 2026-07-01T16:00:00Z/2026-07-01T17:00:00Z",
            status=2,
        )
    try:
        return Period.parse(start, end)
    except ValueError as error:
        raise fail(f"{error}", status=2) from error


@contextmanager
def _failing() -> Iterator[None]:
    """What the database refuses, as a sentence; a refused release goes on to whoever gave it."""
    from storage.engine import StorageError
    from storage.quality_releases import ReleaseRefusedError

    try:
        yield
    except ReleaseRefusedError:
        raise
    except StorageError as error:
        raise fail(f"{error}", status=1) from error


def _now() -> datetime:
    return datetime.now(UTC)
