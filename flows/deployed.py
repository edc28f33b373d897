"""Compares what ``prefect.yaml`` says with what a Prefect server has.

    DeployError
    ├── DeploymentFileError        the file says something that would be dropped without a word
    ├── ServerUnusableError        no server answers there, or it does not let us in
    ├── DeployFailedError          Prefect refused to deploy
    └── DeployedOtherwiseError     the server has something else than the file says

Prefect ignores keys that it does not know. So every key of a deployment must be one that is
compared here, and after deploying each is read back.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import yaml
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule

FILE_KEYS: Final = frozenset({"name", "definitions", "deployments"})
DEPLOYMENT_KEYS: Final = frozenset(
    {
        "name",
        "description",
        "entrypoint",
        "pull",
        "tags",
        "parameters",
        "enforce_parameter_schema",
        "schedules",
        "concurrency_limit",
        "work_pool",
    }
)
POOL_KEYS: Final = frozenset({"name", "job_variables"})
CONCURRENCY_KEYS: Final = frozenset({"limit", "collision_strategy", "grace_period_seconds"})
SCHEDULE_KEYS: Final = frozenset({"interval", "anchor_date", "timezone", "slug", "active"})

Facts = Mapping[str, object]


class DeployError(Exception):
    """Root of what goes wrong with deployments."""


class DeploymentFileError(DeployError):
    """A key that is missing, or that would be ignored: ``where``, ``found``, ``expected``."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


class ServerUnusableError(DeployError):
    """No Prefect server at ``api_url`` that answers us; ``cause``: what happened instead."""

    def __init__(self, api_url: str, cause: str) -> None:
        super().__init__(
            f"{api_url}: {cause}; expected a Prefect server there: look at PREFECT_API_URL and"
            " PREFECT_API_AUTH_STRING"
        )
        self.api_url = api_url
        self.cause = cause


class DeployFailedError(DeployError):
    """Prefect did not deploy; ``output`` is the end of what it said."""

    def __init__(self, output: str) -> None:
        super().__init__(
            f"prefect deploy failed; nothing may be taken for deployed. It said:\n{output}"
        )
        self.output = output


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing on which file and server disagree."""

    deployment: str
    key: str
    in_file: object
    on_server: object

    def __str__(self) -> str:
        return (
            f"{self.deployment}: {self.key}: the server has {self.on_server!r},"
            f" the file says {self.in_file!r}"
        )


class DeployedOtherwiseError(DeployError):
    """``differences``: what the server has, and what the file says."""

    def __init__(self, differences: Sequence[Difference]) -> None:
        lines = "\n".join(f"  {one}" for one in differences)
        super().__init__(f"the server does not have what prefect.yaml says:\n{lines}")
        self.differences = tuple(differences)


def read(file: Path) -> dict[str, Facts]:
    """The deployments of a file, by name, as comparable facts.

    Raises:
        DeploymentFileError: a key is missing, or is none that is read back after deploying.
        OSError: the file cannot be read.
    """
    body = yaml.safe_load(file.read_text(encoding="utf-8"))
    section = _section(file.name, body, FILE_KEYS)
    found: dict[str, Facts] = {}
    for number, one in enumerate(section["deployments"]):
        where = f"{file.name}: deployments[{number}]"
        deployment = _section(where, one, DEPLOYMENT_KEYS)
        pool = _section(f"{where}.work_pool", deployment["work_pool"], POOL_KEYS)
        concurrency = _section(
            f"{where}.concurrency_limit", deployment["concurrency_limit"], CONCURRENCY_KEYS
        )
        schedules = [
            _section(f"{where}.schedules[{n}]", schedule, SCHEDULE_KEYS)
            for n, schedule in enumerate(deployment["schedules"])
        ]
        found[deployment["name"]] = {
            "description": deployment["description"],
            "entrypoint": deployment["entrypoint"],
            "pull": deployment["pull"],
            "tags": sorted(deployment["tags"]),
            "parameters": deployment["parameters"],
            "enforce_parameter_schema": deployment["enforce_parameter_schema"],
            "work_pool": pool["name"],
            "job_variables": pool["job_variables"],
            "concurrency_limit": dict(concurrency),
            "schedules": sorted((_scheduled(one) for one in schedules), key=str),
            "paused": False,
        }
    return found


def _scheduled(schedule: Mapping[str, Any]) -> dict[str, object]:
    return {
        "slug": schedule["slug"],
        "every_s": float(schedule["interval"]),
        "anchor": datetime.fromisoformat(schedule["anchor_date"]).timestamp(),
        "timezone": schedule["timezone"],
        "active": schedule["active"],
    }


def _section(where: str, found: object, keys: frozenset[str]) -> Mapping[str, Any]:
    """A section that has exactly these keys: one more would be dropped, one less is a default."""
    if not isinstance(found, dict):
        raise DeploymentFileError(
            where, repr(found)[:80], f"a section with {', '.join(sorted(keys))}"
        )
    for key in sorted(found.keys() - keys):
        raise DeploymentFileError(
            f"{where}.{key}", "a key that nothing reads", ", ".join(sorted(keys))
        )
    for key in sorted(keys - found.keys()):
        raise DeploymentFileError(
            f"{where}.{key}", "nothing", "a value, as defaults differ by version"
        )
    return found


def on_server(deployment: DeploymentResponse) -> Facts:
    """The same facts, as the server has them."""
    options = deployment.concurrency_options
    limit = deployment.global_concurrency_limit
    return {
        "description": deployment.description,
        "entrypoint": deployment.entrypoint,
        "pull": deployment.pull_steps or [],
        "tags": sorted(deployment.tags),
        "parameters": deployment.parameters,
        "enforce_parameter_schema": deployment.enforce_parameter_schema,
        "work_pool": deployment.work_pool_name,
        "job_variables": deployment.job_variables,
        "concurrency_limit": {
            "limit": limit.limit if limit else None,
            "collision_strategy": options.collision_strategy.value if options else None,
            "grace_period_seconds": options.grace_period_seconds if options else None,
        },
        "schedules": sorted((_schedule_on_server(one) for one in deployment.schedules), key=str),
        "paused": deployment.paused,
    }


def _schedule_on_server(one: DeploymentSchedule) -> dict[str, object]:
    schedule = one.schedule
    timing: dict[str, object] = {"schedule": repr(schedule)}
    if isinstance(schedule, IntervalSchedule):
        timing = {
            "every_s": schedule.interval.total_seconds(),
            "anchor": schedule.anchor_date.timestamp(),
            "timezone": schedule.timezone,
        }
    return {"slug": one.slug, "active": one.active, **timing}


def differences(wanted: Mapping[str, Facts], found: Mapping[str, Facts]) -> Iterator[Difference]:
    """Where the server says something else than the file, for every deployment of the file."""
    for name, facts in wanted.items():
        if name not in found:
            yield Difference(name, "deployment", "there", "missing")
            continue
        for key, value in facts.items():
            if found[name].get(key) != value:
                yield Difference(name, key, value, found[name].get(key))
