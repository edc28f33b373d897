"""On a real Prefect server: what ``prefect.yaml`` says is there and fires; the flows, end to end.

In one file, because starting the server and deploying to it costs more than all tests together.
"""

import os
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import State, StateType

from embedded.processes import Supervised, wait_until
from flows import deploy, zombies
from flows.deploy import Deployed
from flows.deployed import DeployedOtherwiseError, DeployFailedError, ServerUnusableError
from storage.engine import Role, connect
from tests.expectations.stored import POWER_W, STEP, reading, store
from tests.flows.conftest import ROOT
from tests.flows.evening import END, START, discharged, latest_table, rows, settle

# The first test waits for the server, whose first start makes its database.
pytestmark = pytest.mark.timeout(600)

HERE = pytest.mark.usefixtures("here")
SCHEDULED = FlowRunFilter(
    state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED]))
)


def on_server(client, name: str):
    (found,) = (one for one in client.read_deployments() if one.name == name)
    return found


def test_the_server_has_what_the_file_says(client, deployed: Deployed):
    assert deployed == Deployed(
        names=("settle", "true-up", "post", "approve", "sync", "watch-certificates", "notices"),
        stale=(),
    )
    settle = on_server(client, "settle")
    assert settle.entrypoint == "flows.settle_period.settle_period"
    assert settle.pull_steps == []
    assert settle.global_concurrency_limit.limit == 1
    assert [schedule.slug for schedule in settle.schedules] == ["quarter-hour"]
    assert sorted(settle.tags) == ["money", "v2g"]


def test_its_form_explains_every_parameter(client, deployed):
    properties = on_server(client, "settle").parameter_openapi_schema["properties"]

    assert set(properties) == {"start", "end", "dry_run"}
    assert all(one["description"] for one in properties.values())
    assert properties["start"]["anyOf"][0]["format"] == "date-time"


@pytest.mark.parametrize("name", ["settle", "true-up", "post", "sync"])
def test_a_scheduled_deployment_really_gets_scheduled_runs(client, deployed, name):
    """With SQLAlchemy 2.1 everything else works and this never happens."""
    chosen = DeploymentFilter(id=DeploymentFilterId(any_=[on_server(client, name).id]))

    def runs():
        return client.read_flow_runs(flow_run_filter=SCHEDULED, deployment_filter=chosen)

    wait_until(lambda: len(runs()) >= 3, deadline_s=60, what=f"scheduled runs of {name}")
    assert all(run.auto_scheduled for run in runs())
    soon = timedelta(days=1) if name == "true-up" else timedelta(minutes=15)
    first = min(run.expected_start_time for run in runs())
    assert first < datetime.now(UTC) + soon + timedelta(minutes=1)


def test_there_is_one_automation_against_zombies_however_often_it_is_applied(client, deployed):
    # given the automation twice, one of them altered
    altered = zombies.automation().model_copy(update={"enabled": False})
    client.create_automation(altered)

    # when it is applied again
    zombies.apply(client)

    # then one is left, and it is as it should be
    (found,) = client.read_automations_by_name(zombies.NAME)
    assert found.enabled
    assert found.trigger.within == zombies.SILENCE
    assert "prefect.flow-run.heartbeat" in found.trigger.expect


def test_a_deployment_that_was_taken_out_of_the_file_is_told(
    prefect_server, client, deployed, monkeypatch
):
    # given a server to which everything else has been deployed already
    monkeypatch.setattr(deploy, "_prefect_deploy", lambda server, file: None)

    # when it is deployed to again
    again = deploy.deploy_all(prefect_server.api_url, auth_string=prefect_server.login)

    # then what no longer stands in the file is named
    assert again.stale == ("taken-out",)


def test_what_somebody_changed_on_the_server_is_found(
    prefect_server, client, deployed, monkeypatch
):
    from prefect.client.schemas.actions import DeploymentUpdate

    # given a deployment whose tags somebody has changed, and a deploy that changes nothing
    post = on_server(client, "post")
    client.update_deployment(post.id, DeploymentUpdate(tags=["v2g"]))
    monkeypatch.setattr(deploy, "_prefect_deploy", lambda server, file: None)

    # when it is read back
    with pytest.raises(DeployedOtherwiseError) as caught:
        deploy.deploy_all(prefect_server.api_url, auth_string=prefect_server.login)

    # then that is told, and nothing else
    (difference,) = caught.value.differences
    assert (difference.deployment, difference.key) == ("post", "tags")
    client.update_deployment(post.id, DeploymentUpdate(tags=post.tags))


def test_without_a_server_or_its_login_it_says_what_to_look_at(prefect_server):
    for api_url, cause in (
        ("http://127.0.0.1:1/api", "ConnectError"),
        (prefect_server.api_url, "401"),
    ):
        with pytest.raises(ServerUnusableError, match=cause) as caught:
            deploy.deploy_all(api_url)
        assert "PREFECT_API_AUTH_STRING" in str(caught.value)


def test_what_prefect_refuses_is_an_error_with_its_words(prefect_server, deployed, tmp_path):
    # given a file with one deployment, of a flow that is none
    said = yaml.safe_load(deploy.FILE.read_text())
    [post] = [one for one in said["deployments"] if one["name"] == "post"]
    post["entrypoint"] = "flows.post_pending.nothing"
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump(said | {"deployments": [post]}))

    with pytest.raises(DeployFailedError) as caught:
        deploy.deploy_all(prefect_server.api_url, auth_string=prefect_server.login, file=file)

    assert "nothing" in caught.value.output


@pytest.mark.slow
def test_a_worker_runs_what_is_deployed_by_its_entrypoint(
    prefect_server, client, deployed, plain_database, tmp_path
):
    # given a worker with an empty folder, and other deployments at rest
    for name in ("true-up", "post", "sync", "watch-certificates", "notices"):
        client.pause_deployment(on_server(client, name).id)
    settle = on_server(client, "settle")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}
    worker = Supervised(
        "worker",
        [sys.executable, "-m", "prefect", "worker", "start", "--pool", "v2g", "--type", "process"],
        log=tmp_path / "worker.log",
        environment=environment
        | prefect_server.environment
        | {
            "V2G_DATABASE_URL": plain_database,
            "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
        },
        folder=tmp_path,
    )

    # when a run is asked for
    with worker:
        run = client.create_flow_run_from_deployment(settle.id)

        def has_ended() -> bool:
            return bool(client.read_flow_run(run.id).state.is_final())

        worker.wait_ready(has_ended, deadline_s=150, what="the end of the run")

    # then it has found its code, its settings and its database
    assert client.read_flow_run(run.id).state.name == "NothingDue", worker.log.read_text()[-3000:]


@HERE
def test_an_evening_is_fetched_settled_and_paid(client, enrolled, utility, clearinghouse):
    from flows.post_pending import post_pending
    from flows.sync_grid_events import sync_grid_events

    # given a car that discharged through an event
    store(enrolled, discharged())

    # when events and prices are fetched, the period is settled, and what is booked is posted
    synced = sync_grid_events(return_state=True)
    settled = settle(start=START, end=END)
    posted = post_pending(return_state=True)

    # then each run says how it ended: 7.2 kWh × 0.42 × 0.85 × 1.265 (tiers by rate and duration)
    assert (synced.name, synced.message) == (
        "Synced",
        "lab: 1 events, 1 of them new or changed, 1 prices, 1 of them new or changed",
    )
    assert settled.name == "Settled"
    assert "7.200 kWh paid, 3.25 USD payable, 3.25 USD booked" in str(settled.message)
    assert (posted.name, dict(clearinghouse.truth().totals_minor)) == ("AllPosted", {"USD": 325})

    # and the UI has the totals, with money as text
    table = latest_table(client, "settlement-totals")
    assert {"what": "paid", "energy": "7.200 kWh", "money": "3.25 USD", "count": ""} in table
    assert latest_table(client, "quality-checks")

    # and again, there is nothing to do
    assert sync_grid_events(return_state=True).name == "NothingNew"
    assert "0.00 USD booked by this run in 0 settlements" in str(
        settle(start=START, end=END).message
    )
    assert post_pending(return_state=True).name == "NothingToPost"
    assert rows(enrolled, "select count(*) from posting") == [(1,)]


@HERE
def test_a_period_in_critical_doubt_is_held_visibly_and_nothing_is_booked(
    client, enrolled, utility
):
    from flows.sync_grid_events import sync_grid_events

    # given meters whose registers and powers have nothing to do with each other
    sync_grid_events(return_state=True)
    store(enrolled, discharged(power_start_w=POWER_W // 10, power_end_w=POWER_W // 10))

    # when the period is settled
    state = settle(start=START, end=END)

    # then the run ends as held, and says why
    assert (state.name, state.type.value) == ("HeldByQuality", "COMPLETED")
    assert "registers agree with powers: 120 of 120 rows" in str(state.message)

    # and the database says so too, and holds no money
    ((run_state, reason),) = rows(enrolled, "select state, reason from settlement_run")
    assert run_state == "held"
    assert "registers agree with powers" in reason
    assert rows(enrolled, "select worst from quality_result") == [("critical",)]
    for table in ("settlement", "journal_entry", "posting"):
        assert rows(enrolled, f"select 1 from {table}") == []

    # and the failed check is the first row of the table in the UI
    assert latest_table(client, "quality-checks")[0]["result"] == "FAILED"


@HERE
def test_a_dry_run_computes_and_books_nothing(enrolled, utility):
    from flows.sync_grid_events import sync_grid_events

    sync_grid_events(return_state=True)
    store(enrolled, discharged())

    state = settle(start=START, end=END, dry_run=True)

    assert state.name == "DryRun"
    assert "3.25 USD payable" in str(state.message)
    assert rows(enrolled, "select 1 from settlement_run") == []


@HERE
def test_a_scheduled_run_settles_what_is_due_and_then_finds_nothing(client, enrolled):
    # given readings of this evening, none settled, and no period named
    ago = datetime.now(UTC) - timedelta(hours=3)
    store(enrolled, [reading(0, started_at=ago, ended_at=ago + STEP, received_at=ago + STEP)])

    # when two runs follow each other
    first, second = settle(), settle()

    # then the first settles all whole quarter hours up to the time of grace
    assert first.name == "Settled"
    ((started_at, ended_at),) = rows(
        enrolled, "select period_started_at, period_ended_at from settlement_run"
    )
    assert started_at <= ago < started_at + timedelta(minutes=15)
    assert timedelta(minutes=15) <= datetime.now(UTC) - ended_at < timedelta(minutes=31)
    assert second.name == "NothingDue"

    # and its name in the UI says when it was due
    assert client.read_flow_run(first.state_details.flow_run_id).name.startswith(
        "settle what is due at 20"
    )


@HERE
def test_the_calendar_books_late_truth_and_shows_it_first(client, enrolled, utility):
    from flows.sync_grid_events import sync_grid_events
    from flows.true_up import true_up

    # given a car whose event ended long before its program's last run, and nothing settled
    sync_grid_events(return_state=True)
    store(enrolled, discharged())

    # when the calendar is run dry
    dry = true_up(dry_run=True, return_state=True)

    # then the UI has what its first run would book, vehicle by vehicle, and nothing is booked
    assert dry.name == "TruedUp"
    (shown,) = latest_table(client, "true-up")
    assert (shown["run"], shown["vehicle"], shown["money"]) == ("initial", "car", "3.25 USD")
    assert rows(enrolled, "select 1 from settlement_run") == []

    # and when it is run for real, each run is done once
    first, again = true_up(return_state=True), true_up(return_state=True)
    assert (first.name, again.name) == ("TruedUp", "NothingDue")
    assert first.message == "3 runs of the calendar"
    names = [name for (name,) in rows(enrolled, "select name from calendar_run order by done_at")]
    assert names == ["initial", "true_up", "final"]
    assert rows(enrolled, "select sum(amount_minor)::int from posting") == [(325,)]


@HERE
def test_a_missing_price_is_told_by_the_end_of_the_run(enrolled, utility):
    from flows.sync_grid_events import sync_grid_events

    utility.revise_price("2026-07-01T17:00:00Z", "unknown")
    synced = sync_grid_events(return_state=True)
    store(enrolled, discharged())

    settled = settle(start=START, end=END)

    assert synced.name == "SyncedPartly"
    assert "prices[0].price_per_kwh: 'unknown'" in str(synced.message)
    assert settled.name == "PartlyHeld"
    assert "1 settlements held" in str(settled.message)


@HERE
def test_a_sync_in_which_nothing_could_be_read_fails_and_says_why(enrolled, utility, tmp_path):
    from flows.sync_grid_events import sync_grid_events

    # given a token that others may read
    token = tmp_path / "utility-token"
    token.chmod(0o644)
    failed = sync_grid_events(return_state=True)

    # when it is put right, the feed is still tried again in a minute only, or on request
    token.chmod(0o600)
    later = sync_grid_events(return_state=True)
    now = sync_grid_events(all_feeds=True, return_state=True)

    # then each run says what it came to
    assert failed.is_failed()
    assert str(failed.message).startswith(f"lab failed: {token}: mode 0644, open to others")
    assert (later.name, later.message) == ("NothingNew", "1 feeds want to be read later")
    assert now.name == "Synced"


@HERE
def test_half_a_period_fails_at_once_and_says_what_is_missing(environment, client):
    state = settle(start=START)

    assert state.is_failed()
    assert "give both, or neither" in str(state.message)

    def choices():
        runs = client.read_task_runs(limit=200)
        mine = [one for one in runs if one.flow_run_id == state.state_details.flow_run_id]
        return [
            one
            for one in mine
            if one.name == "choose the period"
            and one.run_count
            and one.state
            and one.state.is_final()
        ]

    # the server hears of task runs a little later
    wait_until(lambda: len(choices()) == 1, deadline_s=60, what="the task run on the server")
    assert choices()[0].run_count == 1


@HERE
def test_a_run_by_hand_is_named_after_its_period(environment, client):
    state = settle(start=START, end=END)

    name = client.read_flow_run(state.state_details.flow_run_id).name
    assert name == "settle 2026-07-01T16:30:00+00:00/2026-07-01T18:00:00+00:00"


@HERE
def test_a_large_payout_waits_suspended_for_somebody_who_did_not_set_the_limits(
    client, deployed, enrolled, utility, clearinghouse
):
    from prefect.exceptions import Pause
    from prefect.flow_engine import run_flow
    from prefect.flow_runs import resume_flow_run

    from flows.approve_payouts import approve_payouts
    from flows.post_pending import post_pending
    from flows.sync_grid_events import sync_grid_events
    from settlement.limits import DEFAULTS
    from storage import limits

    # given limits of anna's, under which 3.25 dollars are large, and an evening that comes to them
    dollars = replace(DEFAULTS.currencies["USD"], approval_above_minor=324)
    with connect(enrolled, Role.OPERATOR) as conn:
        limits.put(
            conn, replace(DEFAULTS, currencies={"USD": dollars}), by="anna", why="test", now=START
        )
    store(enrolled, discharged())
    sync_grid_events(return_state=True)
    settle(start=START, end=END)

    # when it is posted, twice
    posted = [post_pending(return_state=True) for _ in range(2)]

    # then nothing is sent, somebody is called, and one run was made to ask about it
    assert [one.name for one in posted] == ["NeedsAttention", "NeedsAttention"]
    assert "1 of them for approval" in str(posted[0].message)
    ((posting_id,),) = rows(enrolled, "select posting_id from posting")
    chosen = DeploymentFilter(id=DeploymentFilterId(any_=[on_server(client, "approve").id]))
    (run,) = client.read_flow_runs(deployment_filter=chosen)
    assert run.parameters == {"posting_id": posting_id}

    # and when it runs, it waits without a process, with a form that says what about
    def go_on() -> State | None:
        again = client.read_flow_run(run.id)
        try:
            ended = run_flow(approve_payouts, flow_run=again, return_type="state")
        except Pause:  # what ends a process that waits for no answer
            return None
        assert isinstance(ended, State)
        return ended

    assert go_on() is None
    waiting = client.read_flow_run(run.id).state
    assert waiting.name == "Suspended"
    keys = waiting.state_details.run_input_keyset
    described = client.read_flow_run_input(run.id, keys["description"])
    assert "May 3.25 USD go to account account?" in described
    assert "approval_above_minor: 3.25 USD in one posting, 3.24 USD allowed" in described

    # and anna's own approval does not count: it asks again
    said = {"decision": "approve", "reason": "looks right"}
    resume_flow_run(run.id, run_input={**said, "approver": "Anna"})
    assert go_on() is None
    again = client.read_flow_run(run.id).state
    assert again.name == "Suspended"
    described = client.read_flow_run_input(
        run.id, again.state_details.run_input_keyset["description"]
    )
    assert "set the limits under which it waits" in described
    assert dict(clearinghouse.truth().totals_minor) == {}

    # but bob's does, and the payout is sent
    resume_flow_run(run.id, run_input={**said, "approver": "bob"})
    decided = go_on()
    assert decided is not None
    assert (decided.name, decided.message) == ("Approved", "3.25 USD: approved by bob")
    assert rows(enrolled, "select decision, by, why from payout_decision") == [
        ("approved", "bob", "looks right")
    ]
    assert post_pending(return_state=True).name == "AllPosted"
    assert dict(clearinghouse.truth().totals_minor) == {"USD": 325}
