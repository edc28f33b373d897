"""Puts ``prefect.yaml`` on a Prefect server: pool, deployments, the automation against zombies.

``python -m flows.deploy`` does it for the server of PREFECT_API_URL, with the login of
PREFECT_API_AUTH_STRING. Doing it again changes what has changed and doubles nothing.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import httpx
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, get_current_settings
from prefect.workers.process import ProcessWorker

from flows import deployed, zombies
from flows.deployed import (
    DeployedOtherwiseError,
    DeployError,
    DeployFailedError,
    Facts,
    ServerUnusableError,
)

FILE: Final = Path(__file__).resolve().parent.parent / "prefect.yaml"
DEPLOY_DEADLINE_S: Final = 300
RUNS_AT_ONCE: Final = 4
"""Processes that the pool runs side by side; each flow runs once at a time."""
DEPLOYMENTS_MAX: Final = 200
"""The largest page that the server gives."""
OUTPUT_KEPT: Final = 4_000


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is on the server now.

    Attributes:
        names: the deployments of the file.
        stale: further deployments of the same pools, once taken out of the file; they still run.
    """

    names: tuple[str, ...]
    stale: tuple[str, ...]


def deploy_all(api_url: str, *, auth_string: str = "", file: Path = FILE) -> Deployed:
    """Put a file's deployments on a server, and make sure that it has what the file says.

    Args:
        api_url: of the server, such as http://127.0.0.1:4200/api; it must answer.
        auth_string: "user:password", where the server asks for it.
        file: a ``prefect.yaml``.

    Raises:
        DeploymentFileError: the file says something that would be dropped without a word.
        ServerUnusableError: no server answers there, or it does not let us in.
        DeployFailedError: Prefect refused it, or took longer than ``DEPLOY_DEADLINE_S``.
        DeployedOtherwiseError: the server has something else afterwards.
    """
    wanted = deployed.read(file)
    login = {"PREFECT_API_AUTH_STRING": auth_string} if auth_string else {}
    server = {"PREFECT_API_URL": api_url, **login}
    try:
        with SyncPrefectClient(api_url, auth_string=auth_string or None) as client:
            return _deploy(client, server, wanted, file)
    except httpx.HTTPError as error:
        raise ServerUnusableError(api_url, f"{type(error).__name__}: {error}") from error


def _deploy(
    client: SyncPrefectClient, server: Mapping[str, str], wanted: Mapping[str, Facts], file: Path
) -> Deployed:
    pools = sorted({str(facts["work_pool"]) for facts in wanted.values()})
    # Deploying to a pool that does not exist is only a warning to Prefect.
    for pool in pools:
        client.create_work_pool(
            WorkPoolCreate(
                name=pool,
                type="process",
                concurrency_limit=RUNS_AT_ONCE,
                base_job_template=ProcessWorker.get_default_base_job_template(),
            ),
            overwrite=True,
        )
    _prefect_deploy(server, file)
    found = _found(client, pools)
    if different := list(deployed.differences(wanted, found)):
        raise DeployedOtherwiseError(different)
    zombies.apply(client)
    return Deployed(tuple(wanted), tuple(sorted(found.keys() - wanted.keys())))


def _prefect_deploy(server: Mapping[str, str], file: Path) -> None:
    command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and file
            [*command, "--prefect-file", str(file)],
            cwd=file.parent,
            env=os.environ | server,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEPLOY_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise DeployFailedError(f"no end within {DEPLOY_DEADLINE_S} s") from error
    if done.returncode:
        raise DeployFailedError(done.stdout[-OUTPUT_KEPT:])


def _found(client: SyncPrefectClient, pools: list[str]) -> Mapping[str, Facts]:
    return {
        one.name: deployed.on_server(one)
        for one in client.read_deployments(limit=DEPLOYMENTS_MAX)
        if one.work_pool_name in pools
    }


def main() -> int:
    """Deploy to the server of PREFECT_API_URL; 0 when it has what the file says."""
    parser = argparse.ArgumentParser(prog="python -m flows.deploy", description=__doc__)
    parser.add_argument("--file", type=Path, default=FILE, help="default: %(default)s")
    file: Path = parser.parse_args().file
    api_url = PREFECT_API_URL.value()
    if not api_url:
        _say(
            "PREFECT_API_URL is not set; expected such as http://127.0.0.1:4200/api", to=sys.stderr
        )
        return 2
    try:
        done = deploy_all(api_url, auth_string=_auth_string(), file=file)
    except DeployError as error:
        _say(error, to=sys.stderr)
        return 1
    _say(f"deployed: {', '.join(done.names)}", to=sys.stdout)
    for name in done.stale:
        _say(
            f"no longer in {file.name}, still running: {name};"
            f" prefect deployment delete <flow>/{name}",
            to=sys.stdout,
        )
    return 0


def _auth_string() -> str:
    secret = get_current_settings().api.auth_string
    return secret.get_secret_value() if secret else ""


def _say(words: object, *, to: TextIO) -> None:
    print(words, file=to)


if __name__ == "__main__":
    sys.exit(main())
