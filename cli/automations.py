"""`v2g automations …`: what the Prefect server does by itself when something happens, or does not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import prefect_link
from cli.options import Json
from cli.output import console, fail, show_json, table

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.events.schemas.automations import Automation

app = typer.Typer(
    help="What Prefect does by itself: list the automations, switch them off and on. Speaks to the server of"
    " PREFECT_API_URL, with the login of PREFECT_API_AUTH_STRING.",
    no_args_is_help=True,
)

AUTOMATIONS_MAX: Final = 200

Names = Annotated[
    list[str],
    typer.Argument(metavar="NAME...", help="Automations, such as zombie-runs.", show_default=False),
]


@app.command(name="list")
def list_(json: Json = False) -> None:
    """Show every automation, whether it is on, and what it is for.

    Exit 0 when all are on, 3 when one is off, 1 when the server does not answer.

    Example: v2g automations list
    """
    with prefect_link.server() as client:
        shown = [_plain(one) for one in _every(client)]
    if json:
        show_json({"automations": shown})
    else:
        rows = [
            (one["name"], "on" if one["enabled"] else "off", one["description"]) for one in shown
        ]
        console.print(table("Automations", ("name", "is", "what it does"), rows))
    if not all(one["enabled"] for one in shown):
        raise typer.Exit(3)


@app.command()
def pause(names: Names, json: Json = False) -> None:
    """Switch automations off. Without zombie-runs, a run that dies keeps its deployment's only slot.

    Example: v2g automations pause late-run
    """
    _switch(names, enabled=False, json=json)


@app.command()
def resume(names: Names, json: Json = False) -> None:
    """Switch automations on again. What happened meanwhile is not looked at.

    Example: v2g automations resume late-run
    """
    _switch(names, enabled=True, json=json)


def _every(client: "SyncPrefectClient") -> "list[Automation]":
    return sorted(client.read_automations(limit=AUTOMATIONS_MAX), key=lambda one: one.name)


def _switch(names: Sequence[str], *, enabled: bool, json: bool) -> None:
    with prefect_link.server() as client:
        every = _every(client)
        known = {one.name for one in every}
        for name in names:
            if name not in known:
                told = ", ".join(sorted(known)) or "none"
                raise fail(f"{name}: no such automation; expected one of {told}", status=2)
        for one in every:
            if one.name in names:
                (client.resume_automation if enabled else client.pause_automation)(one.id)
        shown = {one.name: one.enabled for one in _every(client) if one.name in names}
    if json:
        show_json({"enabled": shown})
    else:
        for name, is_on in shown.items():
            typer.echo(f"{name}: {'on' if is_on else 'off'}")


def _plain(one: "Automation") -> dict[str, Any]:
    return {
        "id": str(one.id),
        "name": one.name,
        "enabled": one.enabled,
        "description": one.description,
        "actions": [each.type for each in one.actions],
    }
