"""What ``prefect.yaml`` may say, and how a server that says otherwise is found out."""

import ast
import copy
from pathlib import Path

import pytest
import yaml

from flows import deploy, deployed, zombies
from flows.deployed import DeploymentFileError
from tests.flows.conftest import ROOT

BODY = yaml.safe_load(deploy.FILE.read_text())


def written(tmp_path: Path, change) -> Path:
    body = copy.deepcopy(BODY)
    change(body)
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump(body))
    return file


def test_the_file_of_this_project_is_understood():
    assert set(deployed.read(deploy.FILE)) == {
        "settle",
        "post",
        "approve",
        "sync",
        "true-up",
        "watch-certificates",
        "notices",
    }


def rename(section, old, new):
    section[new] = section.pop(old)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (
            lambda b: rename(b["deployments"][0], "concurrency_limit", "concurency_limit"),
            "deployments[0].concurency_limit",
        ),
        (
            lambda b: rename(b["deployments"][1]["schedules"][0], "anchor_date", "anchor"),
            "deployments[1].schedules[0].anchor",
        ),
        (
            lambda b: rename(
                b["deployments"][0]["concurrency_limit"], "collision_strategy", "strategy"
            ),
            "deployments[0].concurrency_limit.strategy",
        ),
        (
            lambda b: rename(b["deployments"][0]["work_pool"], "job_variables", "variables"),
            "deployments[0].work_pool.variables",
        ),
        (lambda b: b["deployments"][0].pop("tags"), "deployments[0].tags"),
        (lambda b: b["deployments"][0].update(triggers=[]), "deployments[0].triggers"),
        (lambda b: b.update(pull=[]), "prefect.yaml.pull"),
        (
            lambda b: b["deployments"][0].update(concurrency_limit=1),
            "deployments[0].concurrency_limit",
        ),
    ],
    ids=[
        "misspelt limit",
        "misspelt anchor",
        "misspelt strategy",
        "misspelt variables",
        "no tags",
        "unknown key",
        "unknown section",
        "bare limit",
    ],
)
def test_a_key_that_prefect_would_drop_is_refused_with_its_place(tmp_path, change, where):
    file = written(tmp_path, change)

    with pytest.raises(DeploymentFileError) as caught:
        deployed.read(file)

    assert caught.value.where.endswith(where)


@pytest.mark.parametrize("key", sorted(deployed.read(deploy.FILE)["settle"]))
def test_whatever_a_server_has_otherwise_is_a_difference(key):
    # given a server that has one thing otherwise
    wanted = deployed.read(deploy.FILE)
    found = {name: dict(facts) for name, facts in wanted.items()}
    found["settle"][key] = "something else"

    # when file and server are compared
    (difference,) = deployed.differences(wanted, found)

    # then just that is told
    assert (difference.deployment, difference.key, difference.on_server) == (
        "settle",
        key,
        "something else",
    )


def test_a_deployment_that_is_missing_on_the_server_is_a_difference():
    wanted = deployed.read(deploy.FILE)

    (difference,) = deployed.differences(wanted, {k: v for k, v in wanted.items() if k != "post"})

    assert str(difference) == "post: deployment: the server has 'missing', the file says 'there'"


def test_three_heartbeats_must_be_missing_before_a_run_is_taken_for_dead():
    heartbeats = {
        int(one["work_pool"]["job_variables"]["env"][zombies.HEARTBEAT_VARIABLE])
        for one in BODY["deployments"]
    }

    (every_s,) = heartbeats
    assert zombies.SILENCE.total_seconds() == 3 * every_s


@pytest.mark.parametrize("one", BODY["deployments"], ids=lambda one: one["name"])
def test_a_run_waits_for_its_turn_and_is_never_cancelled(one):
    assert one["concurrency_limit"]["limit"] == 1
    assert one["concurrency_limit"]["collision_strategy"] == "ENQUEUE"
    assert all(schedule["timezone"] for schedule in one["schedules"])


def test_flows_import_no_package_of_ours_but_tasks_and_each_other():
    ours = {path.name for path in ROOT.iterdir() if (path / "__init__.py").exists()}
    for file in Path(ROOT / "flows").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert {name.partition(".")[0] for name in names} & ours <= {"tasks", "flows"}, file
