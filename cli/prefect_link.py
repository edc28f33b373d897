"""The Prefect server of PREFECT_API_URL, as `v2g schedules` and `v2g flow-runs` speak to it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import httpx

from cli.output import fail

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.client.schemas.responses import DeploymentResponse

ANSWER_MAX_CHARS: Final = 600
"""Of what the server says to a request that it refuses."""
DEPLOYMENTS_MAX: Final = 200
"""The largest page that the server gives."""


@contextmanager
def server() -> "Iterator[SyncPrefectClient]":
    """A client of the server. What goes wrong with it ends the command: 1, or 2 where none is named."""
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.exceptions import ObjectNotFound
    from prefect.settings import get_current_settings

    api = get_current_settings().api
    if not api.url:
        raise fail(
            "PREFECT_API_URL is not set; expected such as http://127.0.0.1:4200/api, and its login in"
            " PREFECT_API_AUTH_STRING",
            status=2,
        )
    login = api.auth_string.get_secret_value() if api.auth_string else None
    try:
        with SyncPrefectClient(api.url, auth_string=login) as client:
            yield client
    except ObjectNotFound as error:
        raise fail(
            f"{api.url}: there is no such thing; it may have been deleted", status=1
        ) from error
    except httpx.HTTPStatusError as error:
        status = error.response.status_code
        if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            said = "our login is refused; look at PREFECT_API_AUTH_STRING"
        else:
            said = f"refused with {status}: {error.response.text[:ANSWER_MAX_CHARS]}"
        raise fail(f"{api.url}: {said}", status=1) from error
    except httpx.HTTPError as error:
        raise fail(
            f"{api.url}: {type(error).__name__}: {error}; expected a Prefect server there:"
            " systemctl status v2g-prefect",
            status=1,
        ) from error


def deployments(client: "SyncPrefectClient") -> "list[DeploymentResponse]":
    """Every deployment on the server, by name."""
    return sorted(client.read_deployments(limit=DEPLOYMENTS_MAX), key=lambda one: one.name)


def deployment(client: "SyncPrefectClient", name: str) -> "DeploymentResponse":
    """The deployment of a name; ends the command with 2 where there is none, or more than one."""
    every = deployments(client)
    found = [one for one in every if one.name == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise fail(
            f"{name}: {len(found)} deployments have this name; delete the old ones", status=2
        )
    raise fail(
        f"{name}: no such deployment; expected one of {', '.join(one.name for one in every) or 'none'}"
        " (python -m flows.deploy puts prefect.yaml on the server)",
        status=2,
    )


def parameters(one: "DeploymentResponse") -> list[str]:
    """The names of a deployment's parameters."""
    return sorted((one.parameter_openapi_schema or {}).get("properties", {}))


def run_id(text: str) -> UUID:
    """The id of a run; ends the command with 2 on what is none."""
    try:
        return UUID(text)
    except ValueError as error:
        raise fail(
            f"{text}: expected a run's id, as `v2g flow-runs list --json` shows it", status=2
        ) from error


def plain(run: "FlowRun", names: dict[UUID, str]) -> dict[str, Any]:
    """A run as JSON shows it.

    Args:
        run: the run.
        names: of deployments, by id.
    """
    state = run.state
    return {
        "id": str(run.id),
        "name": run.name,
        "deployment": names.get(run.deployment_id, "") if run.deployment_id else "",
        "state": state.name if state else "",
        "type": state.type.value if state else "",
        "message": (state.message if state else "") or "",
        "expected_at": run.expected_start_time.isoformat() if run.expected_start_time else None,
        "started_at": run.start_time.isoformat() if run.start_time else None,
        "ended_at": run.end_time.isoformat() if run.end_time else None,
        "attempts": run.run_count,
        "parameters": run.parameters,
        "tags": sorted(run.tags),
    }


def assigned(pairs: Sequence[str], option: str) -> dict[str, Any]:
    """NAME=VALUE of an option, each value JSON where it is, else text; ends the command with 2 if none.

    >>> assigned(["dry_run=true", "start=2026-07-01T00:00:00Z"], "--set")
    {'dry_run': True, 'start': '2026-07-01T00:00:00Z'}
    """
    import json

    found: dict[str, Any] = {}
    for pair in pairs:
        name, sign, value = pair.partition("=")
        if not sign or not name.isidentifier():
            raise fail(f"{option} {pair!r}: expected NAME=VALUE", status=2)
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
