"""`v2g workers …`: who runs the flows, and whether anything is run at all."""

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli import prefect_link
from cli.options import Json
from cli.output import console, show_json, table

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient

app = typer.Typer(
    help="Who runs the flows: list the workers, stop and start the whole pool. Speaks to the server of"
    " PREFECT_API_URL, with the login of PREFECT_API_AUTH_STRING.",
    no_args_is_help=True,
)

POOL: Final = "v2g"
AT_WORK: Final = "READY"

Pool = Annotated[str, typer.Option(help="The work pool.")]


@app.command(name="list")
def list_(pool: Pool = POOL, json: Json = False) -> None:
    """Show the pool's workers, when each was last heard of, and how many runs the pool takes at once.

    Exit 0 when somebody works, 3 when nobody does or the pool is paused, 1 when the server does not
    answer or has no such pool.

    Example: v2g workers list
    """
    with prefect_link.server() as client:
        shown = _plain(client, pool)
    if json:
        show_json(shown)
    else:
        rows = [
            (one["name"], one["status"], one["heard_at"] or "never") for one in shown["workers"]
        ]
        console.print(table("Workers", ("name", "is", "last heard of"), rows))
        typer.echo(_told(shown))
    if shown["status"] != AT_WORK:
        raise typer.Exit(3)


@app.command()
def pause(pool: Pool = POOL, json: Json = False) -> None:
    """Start no run at all any more, scheduled or by hand; runs that are under way go on to their end.

    Runs that fall due wait, and are late; nothing is lost.

    Example: v2g workers pause
    """
    _switch(pool, paused=True, json=json)


@app.command()
def resume(pool: Pool = POOL, json: Json = False) -> None:
    """Let the pool's workers start runs again.

    Example: v2g workers resume
    """
    _switch(pool, paused=False, json=json)


def _switch(pool: str, *, paused: bool, json: bool) -> None:
    from prefect.client.schemas.actions import WorkPoolUpdate

    with prefect_link.server() as client:
        client.update_work_pool(pool, WorkPoolUpdate(is_paused=paused))
        shown = _plain(client, pool)
    if json:
        show_json(shown)
    else:
        typer.echo(_told(shown))


def _plain(client: "SyncPrefectClient", name: str) -> dict[str, Any]:
    pool = client.read_work_pool(name)
    workers = client.read_workers_for_work_pool(name)
    return {
        "pool": pool.name,
        "paused": pool.is_paused,
        "status": pool.status.value if pool.status else "",
        "runs_at_once": pool.concurrency_limit,
        "workers": [
            {
                "name": one.name,
                "status": one.status.value,
                "heard_at": one.last_heartbeat_time.isoformat()
                if one.last_heartbeat_time
                else None,
            }
            for one in sorted(workers, key=lambda one: one.name)
        ],
    }


def _told(shown: dict[str, Any]) -> str:
    most = "any number of" if shown["runs_at_once"] is None else f"at most {shown['runs_at_once']}"
    return f"{shown['pool']}: {shown['status']}, {most} runs at once"
