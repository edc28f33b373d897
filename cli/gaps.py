"""`v2g gaps …`: packets that a charger has signed, by its sequence, and that have not come."""

from datetime import datetime
from typing import Annotated

import typer

from cli.options import Database, Json
from cli.output import console, doing, fail, show_json, table

app = typer.Typer(
    help="Gaps in signed sequences: packets that were signed and have not come.",
    no_args_is_help=True,
)


@app.callback()
def gaps() -> None:
    """Gaps in signed sequences: packets that were signed and have not come."""  # keeps `list` a word


@app.command("list")
def list_(
    database: Database,
    evse: Annotated[str, typer.Option(help="Only this EVSE's.")] = "",
    closed: Annotated[
        bool, typer.Option("--closed", help="Also those in which something has landed since.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many.")] = 50,
    json: Json = False,
) -> None:
    """List the gaps that are open: between which packets of which stream something is missing.

    The daemon looks every few seconds and tells the charger, which sends what it still has. Whatever
    it has lost for good stays here. `signed after` and `before` are the times of the packets at the
    gap's ends. Exit 0, also when there is none; 1 when the database refuses.

    Example: v2g gaps list --evse DE*ABC*E7
    """
    from storage import streams
    from storage.engine import Role, StorageError, connect

    try:
        with doing() as say, connect(database, Role.READ) as conn:
            say("looking for what has landed in each gap")
            found = streams.listed(conn, evse_id=evse, closed=closed, most=limit + 1)
    except StorageError as error:
        raise fail(str(error), status=1) from error
    more, found = len(found) > limit, found[:limit]
    if json:
        show_json({"gaps": [_plain(one) for one in found], "more": more})
        return
    if not found:
        typer.echo("nothing is missing" if not closed else "no gap was ever found")
        return
    rows = [
        (
            one.gap.evse_id,
            _time(one.after),
            _time(one.before),
            "open" if one.open else "closed",
            f"{one.gap.stream_epoch}",
            f"{one.gap.first}",
            f"{one.gap.last}",
            f"{one.gap.packets}",
        )
        for one in found
    ]
    columns = ("EVSE", "signed after", "before", "state", "epoch", "first", "last", "packets")
    console.print(table("Missing packets, the newest gap first", columns, rows, numbers=4))
    if more:
        typer.echo(f"there are more; --limit {2 * limit} shows more of them")


def _plain(one: object) -> dict[str, object]:
    from storage.streams import ListedGap

    assert isinstance(one, ListedGap)
    gap = one.gap
    return {
        "evse_id": gap.evse_id,
        "stream_epoch": gap.stream_epoch,
        "first": gap.first,
        "last": gap.last,
        "packets": gap.packets,
        "found_at": gap.found_at.isoformat(),
        "signed_after": one.after.isoformat() if one.after else None,
        "signed_before": one.before.isoformat() if one.before else None,
        "open": one.open,
    }


def _time(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%SZ") if at else "unknown"
