"""`v2g webhook …`: where notices go, and whether they arrive. The same as /config/webhook, and more."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.keys_options import By, now
from cli.options import Database, Json
from cli.output import console, errors, fail, show_fields, show_json, table

if TYPE_CHECKING:
    from storage.destinations import Destination
    from tasks.notices.configure import Means

app = typer.Typer(
    help="Notices to partners: where they go, and whether they arrive.", no_args_is_help=True
)


@app.command()
def show(database: Database, json: Json = False) -> None:
    """Show where notices go, and who sent them where before. Never a token. Exit 1 where nowhere.

    Example: v2g webhook show
    """
    from tasks.notices.configure import current

    with _refusals():
        destination, history = current(database)
    if json:
        show_json(
            {
                "destination": destination and _plain(destination),
                "history": [_plain(one) for one in history],
            }
        )
    else:
        if destination is not None:
            show_fields("notices go to", _plain(destination))
        rows = [
            (str(one.number), f"{one.changed_at:%Y-%m-%d %H:%M:%S}", one.changed_by, one.url,
             one.outcome, one.detail)
            for one in history
        ]  # fmt: skip
        console.print(table("history", ("", "when", "who", "url", "outcome", "test call"), rows))
    if destination is None:
        raise typer.Exit(1)


@app.command(name="set")
def set_(
    url: Annotated[str, typer.Argument(help="https://HOST[:PORT][/PATH] of an allowed host.")],
    token_file: Annotated[
        Path, typer.Option(help="File with the bearer token for it, mode 0600.", show_default=False)
    ],
    by: By,
    database: Database,
    json: Json = False,
) -> None:
    """Send notices there from now on, if a signed test call to it succeeds.

    The signing secret is made here and shown once: give it to the receiver's people. Takes
    V2G_WEBHOOK_ALLOW_FILE, V2G_SEAL_KEY_FILE and V2G_WEBHOOK_CA_FILE from the environment. Exit 1 when
    the test call failed: the destination before stays. Exit 2 when the URL or a file cannot be used.

    Example: v2g webhook set https://hooks.example.com/v2g --token-file hook.token --by anna
    """
    from storage.key_changes import person
    from storage.secrets import read_secret
    from tasks.notices.configure import configure

    with _refusals():
        made = configure(_means(database), url, read_secret(token_file), by=person(by))
    if json:
        show_json({**_plain(made.destination), "secret": made.secret})
        return
    errors.print(
        f"notices go to {made.destination.url} ({', '.join(made.destination.addresses)}); the signing"
        " secret is shown only now:",
        markup=False,
    )
    console.print(made.secret, markup=False, soft_wrap=True)


@app.command(name="test")
def try_(database: Database, json: Json = False) -> None:
    """Call the destination with a signed test. Exit 1 when it does not take it.

    Example: v2g webhook test
    """
    from tasks.notices.configure import try_current

    with _refusals():
        destination, told = try_current(_means(database))
    if json:
        show_json({"url": destination.url, "delivered": told.delivered, "detail": told.detail})
    else:
        typer.echo(f"{destination.url}: {told.detail}")
    if not told.delivered:
        raise typer.Exit(1)


@app.command()
def deliver(database: Database, json: Json = False) -> None:
    """Note what has happened to payouts, and send what is due. Exit 1 when something stays pending.

    Example: v2g webhook deliver
    """
    from random import SystemRandom

    from tasks import words
    from tasks.notices.deliver import deliver as step
    from tasks.notices.settings import NoticeSettings

    with _refusals():
        chosen = NoticeSettings()
        summary = step(
            _means(database),
            random=SystemRandom(),
            concurrency=chosen.notice_concurrency,
            limit=chosen.notice_limit,
            dead_after=chosen.dead_after,
        )
    if json:
        show_json(asdict(summary))
    else:
        typer.echo(words.notices(summary))
    if summary.pending or summary.died:
        raise typer.Exit(1)


@app.command()
def notices(
    database: Database,
    state: Annotated[str, typer.Option(help="Only pending, delivered or dead ones.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="At most so many.")] = 100,
    json: Json = False,
) -> None:
    """Show what was told, the latest first, and how far each notice has come.

    Example: v2g webhook notices --state dead
    """
    from storage import destinations
    from storage import notices as stored

    with _refusals():
        if state not in ("", *stored.State):
            raise fail(f"--state: {state!r}; expected {', '.join(stored.State)}", status=2)
        wanted = stored.State(state) if state else None
        with destinations.operating(database) as conn:
            found = stored.listed(conn, state=wanted, limit=limit)
    if json:
        show_json({"notices": [asdict(one) for one in found]})
        return
    rows = [
        (f"{one.occurred_at:%Y-%m-%d %H:%M:%S}", one.kind, one.subject, one.state, one.detail,
         str(one.attempts))
        for one in found
    ]  # fmt: skip
    columns = ("when", "kind", "about", "state", "last answer", "attempts")
    console.print(table("notices", columns, rows, numbers=1))


def _means(database: str) -> "Means":
    from tasks.notices.configure import means
    from tasks.notices.settings import NoticeSettings

    return means(database, NoticeSettings(), clock=now)


def _plain(one: "Destination") -> dict[str, object]:
    return {**asdict(one), "addresses": ", ".join(one.addresses), "outcome": one.outcome}


@contextmanager
def _refusals() -> Iterator[None]:
    """What goes wrong, on one line: exit 2 where the command, or a file, said something impossible."""
    from storage.errors import InsecureSecretError, StorageError
    from storage.key_changes import KeyRefusedError
    from tasks.notices.errors import NoDestinationError, NoticeError, TestFailedError

    try:
        yield
    except (TestFailedError, NoDestinationError) as error:
        raise fail(f"{error}", status=1) from error
    except (NoticeError, InsecureSecretError, KeyRefusedError, ValueError) as error:
        raise fail(f"{error}", status=2) from error
    except StorageError as error:
        raise fail(f"{error}", status=1) from error
