"""`v2g schedules …`: what runs when, on the Prefect server; paused, resumed, started by hand."""

import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from cli import prefect_link
from cli.options import Json
from cli.output import console, doing, fail, show_json, table
from cli.spans import moment_option, span

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

app = typer.Typer(
    help="What runs when: list the deployments, pause and resume them, run one now. Speaks to the server of"
    " PREFECT_API_URL, with the login of PREFECT_API_AUTH_STRING.",
    no_args_is_help=True,
)

LOOK_EVERY_S: Final = 1.0
WAIT_MOST: Final = timedelta(days=1)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="NAME...", help="Deployments, such as settle.", show_default=False),
]
All = Annotated[bool, typer.Option("--all", help="Every deployment.")]


@app.command(name="list")
def list_(json: Json = False) -> None:
    """Show every deployment: when it runs, whether it is paused, its last run and its next.

    Exit 0 when all are at work, 3 when one is paused, 1 when the server does not answer.

    Example: v2g schedules list
    """
    with prefect_link.server() as client:
        shown = [_plain(client, one) for one in prefect_link.deployments(client)]
    if json:
        show_json({"deployments": shown})
    else:
        rows = [
            (
                one["name"],
                "paused" if one["paused"] else "at work",
                ", ".join(_told(each) for each in one["schedules"]) or "by hand",
                _last(one["last_run"]),
                one["next_run"] or "",
            )
            for one in shown
        ]
        console.print(table("Deployments", ("name", "is", "runs", "last run", "next run"), rows))
    if any(one["paused"] for one in shown):
        raise typer.Exit(3)


@app.command()
def pause(names: Names = None, every: All = False, json: Json = False) -> None:
    """Start no scheduled run of these any more; runs that are under way go on to their end.

    What falls due meanwhile is caught up after `resume`: each run asks what is due.

    Example: v2g schedules pause post
    """
    _switch(names or [], every=every, paused=True, json=json)


@app.command()
def resume(names: Names = None, every: All = False, json: Json = False) -> None:
    """Let the schedules of these start runs again.

    Example: v2g schedules resume --all
    """
    _switch(names or [], every=every, paused=False, json=json)


@app.command()
def run(
    name: Annotated[str, typer.Argument(help="The deployment.", show_default=False)],
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A parameter, as the UI's form has it; once for each. VALUE is JSON, or text as it is.",
            show_default=False,
        ),
    ] = None,
    at: Annotated[
        str, typer.Option(help="When, with its zone: 2026-07-01T17:00:00Z. Not given: now.")
    ] = "",
    wait: Annotated[
        str, typer.Option(help="Wait for its end, at most so long: 90s, 15m, 2h.")
    ] = "",
    json: Json = False,
) -> None:
    """Have a worker run a deployment, with parameters of your own where you give them.

    A run waits for its turn: one of each deployment at a time. Exit 0 when the run is on the server,
    with --wait when it ended well; 1 when it did not, or has not ended yet; 2 on a name, a parameter or
    a time that the server does not know.

    Example: v2g schedules run settle --set start=2026-07-01T00:00:00Z --set end=2026-07-02T00:00:00Z
    --set dry_run=true --wait 15m
    """
    from prefect.states import Scheduled

    given = prefect_link.assigned(parameters or [], "--set")
    when = moment_option("--at", at) if at else None
    longest = min(span("--wait", wait), WAIT_MOST) if wait else None
    with prefect_link.server() as client:
        one = prefect_link.deployment(client, name)
        _known(one, given)
        made = client.create_flow_run_from_deployment(
            one.id, parameters=given, state=Scheduled(scheduled_time=when) if when else None
        )
        if longest is not None:
            made = _ended(client, made.id, longest)
        shown = prefect_link.plain(made, {one.id: one.name})
    if json:
        show_json(shown)
    else:
        typer.echo(f"{shown['name']}: {shown['state']} ({shown['id']}) {shown['message']}".rstrip())
    if longest is not None and shown["type"] != "COMPLETED":
        raise fail(f"{shown['id']}: not completed: `v2g flow-runs show {shown['id']}`", status=1)


def _known(one: "DeploymentResponse", given: dict[str, Any]) -> None:
    known = prefect_link.parameters(one)
    for name in given.keys() - set(known):
        raise fail(
            f"--set {name}: no parameter of {one.name}; expected {', '.join(known) or 'none'}",
            status=2,
        )


def _ended(client: "SyncPrefectClient", run: UUID, longest: timedelta) -> "FlowRun":
    give_up_at = time.monotonic() + longest.total_seconds()
    with doing() as show:
        while True:
            found = client.read_flow_run(run)
            if (found.state and found.state.is_final()) or time.monotonic() >= give_up_at:
                return found
            show(f"{found.name}: {found.state.name if found.state else 'made'}")
            time.sleep(min(LOOK_EVERY_S, max(0.0, give_up_at - time.monotonic())))


def _switch(names: Sequence[str], *, every: bool, paused: bool, json: bool) -> None:
    if bool(names) == every:
        raise fail("expected NAME…, or --all", status=2)
    with prefect_link.server() as client:
        chosen = (
            prefect_link.deployments(client)
            if every
            else [prefect_link.deployment(client, name) for name in dict.fromkeys(names)]
        )
        for one in chosen:
            (client.pause_deployment if paused else client.resume_deployment)(one.id)
        shown = {one.name: client.read_deployment(one.id).paused for one in chosen}
    if json:
        show_json({"paused": shown})
    else:
        for name, is_paused in shown.items():
            typer.echo(f"{name}: {'paused' if is_paused else 'at work'}")


def _plain(client: "SyncPrefectClient", one: "DeploymentResponse") -> dict[str, Any]:
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterStartTime,
        FlowRunFilterState,
        FlowRunFilterStateType,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.sorting import FlowRunSort

    mine = DeploymentFilter(id=DeploymentFilterId(any_=[one.id]))
    waiting = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
    following = client.read_flow_runs(
        deployment_filter=mine,
        flow_run_filter=FlowRunFilter(state=waiting),
        sort=FlowRunSort.EXPECTED_START_TIME_ASC,
        limit=1,
    )
    last = client.read_flow_runs(
        deployment_filter=mine,
        flow_run_filter=FlowRunFilter(start_time=FlowRunFilterStartTime(is_null_=False)),
        sort=FlowRunSort.START_TIME_DESC,
        limit=1,
    )
    when = following[0].expected_start_time if following else None
    return {
        "id": str(one.id),
        "name": one.name,
        "paused": one.paused,
        "status": one.status.value if one.status else "",
        "description": one.description or "",
        "tags": sorted(one.tags),
        "parameters": prefect_link.parameters(one),
        "schedules": [_schedule(each) for each in one.schedules],
        "next_run": when.isoformat() if when else None,
        "last_run": prefect_link.plain(last[0], {one.id: one.name}) if last else None,
    }


def _schedule(one: Any) -> dict[str, Any]:
    timing = one.schedule
    every = getattr(timing, "interval", None)
    return {
        "slug": one.slug,
        "active": one.active,
        "every_s": every.total_seconds() if every is not None else None,
        "cron": getattr(timing, "cron", None),
        "timezone": getattr(timing, "timezone", None),
    }


def _told(one: dict[str, Any]) -> str:
    when = (
        f"every {timedelta(seconds=one['every_s'])}"
        if one["every_s"]
        else one["cron"] or one["slug"]
    )
    return f"{when}" if one["active"] else f"{when} (off)"


def _last(run: dict[str, Any] | None) -> str:
    if run is None:
        return "never"
    return f"{run['state']} {datetime.fromisoformat(run['started_at']):%Y-%m-%d %H:%M}"
