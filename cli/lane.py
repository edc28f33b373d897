"""`v2g lane …`: whether anything is sent to the clearinghouse now, and an operator's word about it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Database, Json
from cli.output import console, fail, show_json, table
from cli.spans import moment_option, span

if TYPE_CHECKING:
    from storage.engine import Connection
    from storage.lanes import Rest

app = typer.Typer(
    help="The way to the clearinghouse: look whether it rests, pause it, resume it. Every word of an"
    " operator is kept with its author.",
    no_args_is_help=True,
)

By = Annotated[
    str, typer.Option(help="Who decides; it stands with the decision.", show_default=False)
]
Why = Annotated[str, typer.Option(help="Why; it stands with the decision.", show_default=False)]
Partner = Annotated[str, typer.Option(help="The partner's name in the outbox.")]
CLEARINGHOUSE = "clearinghouse"


@app.command()
def show(
    database: Database,
    partner: Partner = CLEARINGHOUSE,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many of before.")] = 20,
    json: Json = False,
) -> None:
    """Show until when nobody sends, who said so and why, and what operators said before.

    It rests because the partner asked for it (429, Retry-After), because it is down, or because an
    operator has paused it. Exit 0 while postings may be sent, 3 while it rests, 1 when the database
    refuses.

    Example: v2g lane show
    """
    from storage import lanes

    with _operator(database) as conn:
        standing = lanes.standing(conn, partner=partner)
        said = lanes.history(conn, partner=partner, limit=limit)
    rests = standing is not None and standing.until > _now()
    if json:
        show_json(
            {
                "partner": partner,
                "rests": rests,
                "standing": None if standing is None else asdict(standing),
                "said": [asdict(one) for one in said],
            }
        )
    else:
        typer.echo(f"{partner}: {_told(standing) if standing and rests else 'open'}")
        if said:
            columns = ("when", "by", "rests until", "why")
            rows = [(_moment(one.since), one.by, _until(one), one.why) for one in said]
            console.print(table("What operators said", columns, rows))
    if rests:
        raise typer.Exit(3)


@app.command()
def pause(
    by: By,
    why: Why,
    database: Database,
    until: Annotated[
        str, typer.Option(help="Until when, with its zone: 2026-07-01T17:00:00Z.")
    ] = "",
    lasting: Annotated[str, typer.Option("--for", help="For how long: 90m, 12h, 7d.")] = "",
    partner: Partner = CLEARINGHOUSE,
    json: Json = False,
) -> None:
    """Send nothing to the clearinghouse until a time, or until it is resumed.

    Posters notice within seconds; calls that are out are awaited. What is booked waits on disk.

    Example: v2g lane pause --for 2h --by anna --why 'their certificate is being renewed'
    """
    from storage.lanes import UNTIL_RESUMED

    if until and lasting:
        raise fail("--until and --for say the same; give one of them, or neither", status=2)
    now = _now()
    end = moment_option("--until", until) if until else None
    if lasting:
        end = now + span("--for", lasting)
    if end is not None and end <= now:
        raise fail(f"--until {until}: expected a time to come", status=2)
    _decide(database, partner, end or UNTIL_RESUMED, by, why, now, json=json)


@app.command()
def resume(
    by: By, why: Why, database: Database, partner: Partner = CLEARINGHOUSE, json: Json = False
) -> None:
    """Send to the clearinghouse again, whoever had it rest.

    Example: v2g lane resume --by anna --why 'they say it is renewed'
    """
    now = _now()
    _decide(database, partner, now, by, why, now, json=json)


def _decide(
    database: str, partner: str, until: datetime, by: str, why: str, now: datetime, *, json: bool
) -> None:
    from storage import lanes

    with _operator(database) as conn:
        try:
            lanes.decide(conn, partner=partner, until=until, why=why, by=by, now=now)
        except ValueError as error:
            raise fail(f"{error}", status=2) from error
    said = lanes.Rest(until, why, by, now)
    if json:
        show_json({"partner": partner, "rests": until > now, "standing": asdict(said)})
    else:
        typer.echo(f"{partner}: {_told(said) if until > now else 'open'}")


@contextmanager
def _operator(database: str) -> "Iterator[Connection]":
    from storage.engine import Role, StorageError, connect

    try:
        with closing(connect(database, Role.OPERATOR)) as conn:
            yield conn
    except StorageError as error:
        raise fail(f"{error}", status=1) from error


def _told(rest: "Rest") -> str:
    return f"rests until {_until(rest)}; {rest.by}: {rest.why}"


def _until(rest: "Rest") -> str:
    from storage.lanes import UNTIL_RESUMED

    return "it is resumed" if rest.until >= UNTIL_RESUMED else _moment(rest.until)


def _moment(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _now() -> datetime:
    return datetime.now(UTC)
