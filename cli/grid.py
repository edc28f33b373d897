"""`v2g grid …`: the feeds of events and prices, what they said, and what a person has to decide of it."""

import typer

from cli import grid_events, grid_feeds, grid_read


def grid() -> None:
    """What the grid's side says: events, prices, feeds."""


def _commands() -> typer.Typer:
    made = typer.Typer(
        help="What the grid's side says: events, prices, feeds.", no_args_is_help=True
    )
    made.callback()(grid)
    made.command("status")(grid_feeds.status)
    made.command("sync")(grid_feeds.sync)
    made.command("events")(grid_events.events)
    made.command("approve")(grid_events.approve)
    made.command("reject")(grid_events.reject)
    made.command("read")(grid_read.read)
    return made


app = _commands()
