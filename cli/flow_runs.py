"""`v2g flow-runs …`: runs on the Prefect server: list, read, answer, cancel and retry them."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

import typer

from cli import prefect_link
from cli.options import Json
from cli.output import console, fail, show_fields, show_json, table

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun, StateType

app = typer.Typer(
    help="Runs of flows: list and read them, answer one that waits for a person, cancel or retry one. Speaks"
    " to the server of PREFECT_API_URL, with the login of PREFECT_API_AUTH_STRING.",
    no_args_is_help=True,
)

RUNS_MAX: Final = 200
LOG_MAX: Final = 200
"""The largest pages that the server gives."""

Run = Annotated[str, typer.Argument(metavar="RUN", help="The run's id.", show_default=False)]


@app.command(name="list")
def list_(
    deployment: Annotated[str, typer.Option(help="Only of this deployment, such as settle.")] = "",
    state: Annotated[
        list[str] | None,
        typer.Option(
            help="Only in this state, by its name: Late, Running, HeldByQuality; once for each.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=RUNS_MAX, help="At most so many.")] = 20,
    json: Json = False,
) -> None:
    """Show runs, the newest first; those that are only planned where a state asks for them.

    Example: v2g flow-runs list --state Failed --state Crashed --state HeldByQuality
    """
    from prefect.client.schemas.filters import (
        DeploymentFilter,
        DeploymentFilterId,
        FlowRunFilter,
        FlowRunFilterStartTime,
        FlowRunFilterState,
        FlowRunFilterStateName,
    )
    from prefect.client.schemas.sorting import FlowRunSort

    if state:
        asked = FlowRunFilter(state=FlowRunFilterState(name=FlowRunFilterStateName(any_=state)))
    else:
        asked = FlowRunFilter(start_time=FlowRunFilterStartTime(is_null_=False))
    with prefect_link.server() as client:
        names = {one.id: one.name for one in prefect_link.deployments(client)}
        of = [prefect_link.deployment(client, deployment).id] if deployment else None
        found = client.read_flow_runs(
            flow_run_filter=asked,
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=of)) if of else None,
            sort=FlowRunSort.EXPECTED_START_TIME_DESC,
            limit=limit,
        )
    shown = [prefect_link.plain(one, names) for one in found]
    if json:
        show_json({"runs": shown})
        return
    rows = [
        (
            one["id"],
            one["deployment"],
            one["name"],
            one["state"],
            one["started_at"] or one["expected_at"] or "",
        )
        for one in shown
    ]
    console.print(table("Runs", ("id", "deployment", "name", "state", "when"), rows))


@app.command()
def show(
    run: Run,
    lines: Annotated[
        int, typer.Option(min=0, max=LOG_MAX, help="Of the log, the last so many.")
    ] = 50,
    json: Json = False,
) -> None:
    """Show one run: its state and why, its parameters, its tables and the end of its log.

    Exit 0 when it is there, 1 when it is not.

    Example: v2g flow-runs show 0e5f6c1a-4f7e-4d1c-9d7c-3a5b8f1c2d3e --lines 20
    """
    number = prefect_link.run_id(run)
    with prefect_link.server() as client:
        shown = _read(client, number)
        shown["artifacts"] = _artifacts(client, number)
        shown["log"] = _log(client, number, lines) if lines else []
    if json:
        show_json(shown)
        return
    fields = {name: value for name, value in shown.items() if name not in {"artifacts", "log"}}
    show_fields("The run", fields)
    for one in shown["artifacts"]:
        typer.echo(f"{one['key'] or one['type']}: {one['description']}")
    for line in shown["log"]:
        typer.echo(f"{line['at']} {line['level']:7} {line['words']}")


@app.command()
def cancel(run: Run, json: Json = False) -> None:
    """Cancel a run that waits or is under way. What it has booked stays; a half of anything is not booked.

    Exit 0 when it is cancelled or being so, 1 when the server refuses, as for a run that has ended.

    Example: v2g flow-runs cancel 0e5f6c1a-4f7e-4d1c-9d7c-3a5b8f1c2d3e
    """
    from prefect.client.schemas.objects import State, StateType

    number = prefect_link.run_id(run)
    cancelling: Any = State(type=StateType.CANCELLING)
    with prefect_link.server() as client:
        before = client.read_flow_run(number)
        if before.state and before.state.is_final():
            raise fail(f"{number}: has ended as {before.state.name}; nothing to cancel", status=1)
        _accepted(client.set_flow_run_state(number, cancelling), number, StateType.CANCELLED)
        shown = _read(client, number)
    _show(shown, json=json)


@app.command()
def retry(run: Run, json: Json = False) -> None:
    """Run one again that has ended, under the same id and with the same parameters.

    Nothing is done twice: each step asks what is still to be done. Exit 0 when it waits for a worker, 1
    when it has not ended yet or was never deployed.

    Example: v2g flow-runs retry 0e5f6c1a-4f7e-4d1c-9d7c-3a5b8f1c2d3e
    """
    from prefect.client.schemas.objects import StateType
    from prefect.states import AwaitingRetry

    number = prefect_link.run_id(run)
    with prefect_link.server() as client:
        before = client.read_flow_run(number)
        if before.state is None or not before.state.is_final():
            raise fail(f"{number}: has not ended yet; expected a run that has", status=1)
        if before.deployment_id is None:
            raise fail(f"{number}: no deployment's; start its command again", status=1)
        # A run that completed would be let go only by force.
        state: Any = AwaitingRetry(message="retried by v2g flow-runs")
        _accepted(client.set_flow_run_state(number, state, force=True), number, StateType.SCHEDULED)
        shown = _read(client, number)
    _show(shown, json=json)


@app.command()
def resume(
    run: Run,
    answers: Annotated[
        list[str] | None,
        typer.Option(
            "--answer",
            metavar="NAME=VALUE",
            help="A field of the form that the run waits for; once for each.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Let a run go on that waits for a person, with the answers that its form asks for.

    Exit 0 when it goes on, 1 when it does not wait or the answers do not fit the form.

    Example: v2g flow-runs resume 0e5f6c1a-4f7e-4d1c-9d7c-3a5b8f1c2d3e --answer approver=anna
    --answer decision=approve --answer 'reason=compared with the meter'
    """
    from prefect.client.schemas.objects import StateType

    given = prefect_link.assigned(answers or [], "--answer")
    number = prefect_link.run_id(run)
    with prefect_link.server() as client:
        before = client.read_flow_run(number)
        if before.state is None or not before.state.is_paused():
            told = before.state.name if before.state else "made"
            raise fail(f"{number}: is {told}; expected a run that waits for a person", status=1)
        _accepted(
            client.resume_flow_run(number, run_input=given or None), number, StateType.SCHEDULED
        )
        shown = _read(client, number)
    _show(shown, json=json)


def _accepted(answer: Any, number: UUID, wanted: "StateType") -> None:
    """Ends the command with 1 where the run is not on its way to what was asked for."""
    from prefect.client.schemas.responses import SetStateStatus

    # A run that has no process yet is cancelled at once: a refusal to the letter, and just what is wanted.
    reached = answer.state is not None and answer.state.type is wanted
    if answer.status is not SetStateStatus.ACCEPT and not reached:
        why = getattr(answer.details, "reason", None) or answer.status.value
        raise fail(f"{number}: the server refuses: {why}", status=1)


def _read(client: "SyncPrefectClient", number: UUID) -> dict[str, Any]:
    found: FlowRun = client.read_flow_run(number)
    names = {}
    if found.deployment_id is not None:
        names = {one.id: one.name for one in prefect_link.deployments(client)}
    return prefect_link.plain(found, names)


def _artifacts(client: "SyncPrefectClient", number: UUID) -> list[dict[str, Any]]:
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    chosen = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[number]))
    found = client.read_artifacts(artifact_filter=chosen, limit=LOG_MAX)
    return [
        {"key": one.key or "", "type": one.type or "", "description": one.description or "", "data": one.data}
        for one in found
    ]  # fmt: skip


def _log(client: "SyncPrefectClient", number: UUID, lines: int) -> list[dict[str, Any]]:
    import logging

    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
    from prefect.client.schemas.sorting import LogSort

    chosen = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[number]))
    found = client.read_logs(chosen, limit=lines, sort=LogSort.TIMESTAMP_DESC)
    return [
        {
            "at": one.timestamp.isoformat(),
            "level": logging.getLevelName(one.level),
            "words": one.message,
        }
        for one in reversed(found)
    ]


def _show(shown: Mapping[str, Any], *, json: bool) -> None:
    if json:
        show_json(dict(shown))
    else:
        typer.echo(f"{shown['id']} {shown['name']}: {shown['state']} {shown['message']}".rstrip())
