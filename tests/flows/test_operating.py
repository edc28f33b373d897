"""`v2g schedules`, `v2g flow-runs` and the doctor's look at Prefect, on a real server."""

import json
import uuid
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from prefect import flow, get_run_logger
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import State
from prefect.exceptions import Pause
from prefect.flow_engine import run_flow
from prefect.flow_runs import suspend_flow_run
from prefect.input import RunInput
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from prefect.states import Completed
from typer.testing import CliRunner

from cli import automations, flow_runs, schedules, workers
from embedded.processes import wait_until
from flows import zombies
from tasks.doctor import scheduler
from tasks.doctor.finding import State as Word

# The first test waits for the server, whose first start makes its database.
pytestmark = [pytest.mark.timeout(600), pytest.mark.slow, pytest.mark.usefixtures("here")]

RUNS, SCHEDULES = flow_runs.app, schedules.app


def run(app, *words: object, status: int = 0) -> str:
    done = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "200"})
    assert done.exit_code == status, done.output
    return done.output


def said(app, *words: object, status: int = 0):
    done = CliRunner().invoke(app, [*map(str, words), "--json"])
    assert done.exit_code == status, done.output
    return json.loads(done.stdout)


def test_prefect_without_our_deployments_is_bad_with_the_command_to_type(prefect_server):
    found = scheduler.prefect(prefect_server.api_url, prefect_server.login, pool="nobody's")

    assert [one.state for one in found[:3]] == [Word.OK, Word.BAD, Word.BAD]
    assert "flows.deploy" in found[1].repair


def test_a_login_that_is_wrong_and_a_server_that_is_away_are_told_without_the_login(prefect_server):
    (refused,) = scheduler.prefect(prefect_server.api_url, "v2g:hunter2hunter2")
    (away,) = scheduler.prefect("http://127.0.0.1:9/api", prefect_server.login)
    (unset,) = scheduler.prefect("", "")

    assert (refused.state, away.state, unset.state) == (Word.BAD, Word.BAD, Word.UNKNOWN)
    assert "login" in refused.found
    assert "hunter2" not in str(refused)
    assert prefect_server.login not in str(away)


def test_deployments_are_listed_with_their_schedules(deployed):
    # given that none is paused
    run(SCHEDULES, "resume", "--all")

    shown = {one["name"]: one for one in said(SCHEDULES, "list")["deployments"]}

    assert set(deployed.names) <= set(shown)
    settle = shown["settle"]
    assert (settle["paused"], settle["schedules"][0]["every_s"]) == (False, 900.0)
    assert "dry_run" in settle["parameters"]
    assert "quarter-hour" in {one["slug"] for one in settle["schedules"]}


def test_the_doctor_finds_the_deployments(prefect_server, deployed):
    run(SCHEDULES, "resume", "--all")

    found = {
        one.check: one for one in scheduler.prefect(prefect_server.api_url, prefect_server.login)
    }

    assert found["prefect deployments"].state is Word.OK


def test_the_doctor_misses_a_worker_until_there_is_one(prefect_server, client):
    # given a pool that nobody works at
    client.create_work_pool(WorkPoolCreate(name="idle", type="process"), overwrite=True)

    def worker():
        found = scheduler.prefect(prefect_server.api_url, prefect_server.login, pool="idle")
        return next(one for one in found if one.check == "prefect worker")

    missed = worker()

    # when a worker says that it is there
    client.request("POST", "/work_pools/idle/workers/heartbeat", json={"name": "one"})

    # then it is found
    assert (missed.state, worker().state) == (Word.BAD, Word.OK)
    assert "v2g-worker" in missed.repair


def test_a_deployment_is_paused_and_resumed_and_both_are_seen(prefect_server, deployed):
    # given that none is paused, when two are
    run(SCHEDULES, "resume", "--all")
    assert said(SCHEDULES, "pause", "post", "sync") == {"paused": {"post": True, "sync": True}}

    # then a program and the doctor see it
    shown = said(SCHEDULES, "list", status=3)["deployments"]
    assert {one["name"] for one in shown if one["paused"]} == {"post", "sync"}
    found = {
        one.check: one for one in scheduler.prefect(prefect_server.api_url, prefect_server.login)
    }
    assert found["prefect deployments"].repair == "v2g schedules resume post"
    assert "paused" in run(SCHEDULES, "list", status=3)

    # and all go on when they are resumed
    run(SCHEDULES, "resume", "--all")
    assert not any(one["paused"] for one in said(SCHEDULES, "list")["deployments"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["pause"], "--all"),
        (["pause", "post", "--all"], "--all"),
        (["pause", "nothing"], "settle"),
        (["run", "settle", "--set", "dryrun=true"], "dry_run"),
        (["run", "settle", "--set", "dry_run"], "NAME=VALUE"),
        (["run", "settle", "--wait", "long"], "span"),
    ],
)
def test_what_the_server_does_not_know_is_refused_with_what_it_does(deployed, words, told):
    assert told in run(SCHEDULES, *words, status=2)


def test_a_run_by_hand_is_made_with_its_parameters_waited_for_and_cancelled(deployed):
    # when a run is asked for, and there is no worker to run it
    made = said(SCHEDULES, "run", "settle", "--set", "dry_run=true", "--wait", "1s", status=1)

    # then it is on the server, with its parameters
    shown = said(RUNS, "show", made["id"])
    assert (shown["deployment"], shown["parameters"]["dry_run"]) == ("settle", True)
    assert shown["type"] == "SCHEDULED"
    assert shown["state"] in {"Scheduled", "AwaitingConcurrencySlot", "Late"}
    listed = said(RUNS, "list", "--deployment", "settle", "--state", shown["state"], "--limit", 200)
    assert made["id"] in {one["id"] for one in listed["runs"]}

    # and it is cancelled once, retried, and cancelled again
    assert said(RUNS, "cancel", made["id"])["type"] == "CANCELLED"
    assert "nothing to cancel" in run(RUNS, "cancel", made["id"], status=1)
    assert said(RUNS, "retry", made["id"])["type"] == "SCHEDULED"
    assert "has not ended" in run(RUNS, "retry", made["id"], status=1)
    assert said(RUNS, "cancel", made["id"])["type"] == "CANCELLED"


def test_a_parameter_of_another_kind_is_refused_by_the_server(deployed):
    assert "refused with" in run(SCHEDULES, "run", "settle", "--set", "dry_run=perhaps", status=1)


def test_a_run_that_is_not_there_and_an_id_that_is_none_are_told(deployed):
    assert "no such thing" in run(RUNS, "show", uuid.uuid4(), status=1)
    assert "flow-runs list" in run(RUNS, "show", "settle", status=2)


def test_a_pool_without_a_worker_or_paused_is_seen_and_a_worker_is_listed(client, deployed):
    # given a pool that nobody works at
    client.create_work_pool(WorkPoolCreate(name="quiet", type="process"), overwrite=True)
    alone = said(workers.app, "list", "--pool", "quiet", status=3)

    # when a worker comes, and the pool is paused and resumed
    client.request("POST", "/work_pools/quiet/workers/heartbeat", json={"name": "one"})
    there = said(workers.app, "list", "--pool", "quiet")
    paused = said(workers.app, "pause", "--pool", "quiet")
    stands = said(workers.app, "list", "--pool", "quiet", status=3)
    resumed = run(workers.app, "resume", "--pool", "quiet")

    # then each is seen
    assert (alone["workers"], [one["name"] for one in there["workers"]]) == ([], ["one"])
    assert (paused["paused"], stands["status"]) == (True, "PAUSED")
    assert "READY" in resumed
    assert "no such thing" in run(workers.app, "pause", "--pool", "nobody's", status=1)


def test_an_automation_is_switched_off_and_on_and_both_are_seen(deployed):
    # when the one against zombies is switched off
    assert said(automations.app, "pause", zombies.NAME) == {"enabled": {zombies.NAME: False}}

    # then that is seen, until it is on again
    shown = said(automations.app, "list", status=3)["automations"]
    assert [one["enabled"] for one in shown if one["name"] == zombies.NAME] == [False]
    assert f"{zombies.NAME}: on" in run(automations.app, "resume", zombies.NAME)
    assert zombies.NAME in run(automations.app, "pause", "nothing", status=2)


class Answer(RunInput):
    """What a person says."""

    approver: str


@flow(name="ask-somebody", persist_result=False)
def ask_somebody() -> State:
    get_run_logger().info("asks whoever is there")
    answer = suspend_flow_run(wait_for_input=Answer, timeout=600, key="asked")
    return Completed(name="Answered", message=f"by {answer.approver}")


@pytest.fixture
def waiting(client, deployed) -> Iterator[SimpleNamespace]:
    """A run that waits for a person."""
    deployment = client.create_deployment(
        client.create_flow(ask_somebody), name="ask", work_pool_name="v2g"
    )
    made = client.create_flow_run_from_deployment(deployment)
    with pytest.raises(Pause):
        run_flow(ask_somebody, flow_run=made)
    yield made
    client.delete_deployment(deployment)


def test_a_run_that_waits_for_a_person_goes_on_with_the_answer(client, waiting):
    # given a run that waits, whose log can be read
    assert said(RUNS, "show", waiting.id)["type"] == "PAUSED"
    wait_until(
        lambda: any(
            "asks whoever" in one["words"] for one in said(RUNS, "show", waiting.id)["log"]
        ),
        deadline_s=60,
        what="the log on the server",
    )

    # when it is answered, at first with what its form does not know
    assert "refuse" in run(RUNS, "resume", waiting.id, "--answer", "name=anna", status=1)
    run(RUNS, "resume", waiting.id, "--answer", "approver=anna")

    # then it goes on from the answer, and cannot be answered twice
    run_flow(ask_somebody, flow_run=client.read_flow_run(waiting.id))
    shown = said(RUNS, "show", waiting.id)
    assert (shown["state"], shown["message"]) == ("Answered", "by anna")
    assert "waits for a person" in run(RUNS, "resume", waiting.id, status=1)


def test_without_an_address_or_a_login_the_variable_to_set_is_named(prefect_server):
    with temporary_settings({PREFECT_API_URL: None}):
        assert "PREFECT_API_URL" in run(SCHEDULES, "list", status=2)
    with temporary_settings({PREFECT_API_AUTH_STRING: "v2g:hunter2hunter2"}):
        told = run(SCHEDULES, "list", status=1)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        away = run(SCHEDULES, "list", status=1)

    assert "PREFECT_API_AUTH_STRING" in told
    assert "hunter2" not in told
    assert "127.0.0.1:9" in away
