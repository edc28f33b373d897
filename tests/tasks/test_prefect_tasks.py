"""The steps as Prefect sees them: what is tried again, and what never is. No server is needed."""

import subprocess
import sys
from pathlib import Path

import pytest
from prefect import Task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import TaskRun
from prefect.states import Completed, Failed
from psycopg import errors

from expectations.gate import GateBrokenError
from grid.errors import GridConfigError
from storage.books import ConcurrentRunError
from storage.errors import DatabaseUnavailableError, InsecureSecretError, UnsafeDatabaseError
from tasks.prefect_tasks import paying, publishing, settling, step, watching

RUN = TaskRun(task_key="step", dynamic_key="0")
PARTS = (settling, publishing, paying, watching)
STEPS = [one for part in PARTS for one in vars(part).values() if isinstance(one, Task)]


def test_there_is_a_wrapper_for_every_step():
    assert {one.name for one in STEPS} == {
        "judge packets",
        "choose period",
        "check quality",
        "hear releases",
        "try held periods",
        "settle period",
        "publish totals",
        "run the calendar",
        "publish the calendar's runs",
        "publish postings",
        "publish feeds",
        "publish judgements",
        "publish quality",
        "publish reconciliation",
        "publish certificates",
        "publish notices",
        "publish a table",
        "measure queues",
        "sync grid",
        "screen postings",
        "find large payouts",
        "decide about a payout",
        "post pending",
        "watch certificates",
        "note certificates",
        "tell partners",
    }


@pytest.mark.parametrize("one", STEPS, ids=lambda one: one.name)
def test_nothing_of_a_step_is_cached_or_kept_and_every_attempt_ends(one):
    assert one.cache_policy is NO_CACHE
    assert one.persist_result is False
    assert one.timeout_seconds > 0


@pytest.mark.parametrize("one", STEPS, ids=lambda one: one.name)
def test_retries_come_later_each_time_and_not_all_at_once(one):
    delays = one.retry_delay_seconds

    assert one.retries == len(delays) == 4
    assert delays == sorted(set(delays))
    assert one.retry_jitter_factor > 0


PASSING = [
    DatabaseUnavailableError("connecting", "refused"),
    ConcurrentRunError("another run is settling"),
    errors.SerializationFailure(),
    errors.DeadlockDetected(),
    errors.AdminShutdown(),
    errors.ConnectionFailure(),
    step.JudgeBusyError(),
]
LASTING = [
    errors.QueryCanceled(),
    errors.CheckViolation(),
    errors.InsufficientPrivilege(),
    errors.UndefinedColumn(),
    UnsafeDatabaseError({"fsync": "off"}),
    GridConfigError(Path("grid.yaml"), ["feeds: missing"]),
    GateBrokenError("a check", "no such column"),
    InsecureSecretError(Path("token"), "mode 0644", "chmod 600"),
    settling.HalfAPeriodError(None, None),
    ValueError("anything else"),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda e: type(e).__name__)
def test_what_passes_by_itself_is_tried_again(error):
    assert step.passes_by_itself(STEPS[0], RUN, Failed(data=error))


@pytest.mark.parametrize("error", LASTING, ids=lambda e: type(e).__name__)
def test_what_lasts_is_not_tried_again(error):
    assert not step.passes_by_itself(STEPS[0], RUN, Failed(data=error))


def test_a_step_that_succeeded_is_not_tried_again():
    assert not step.passes_by_itself(STEPS[0], RUN, Completed(data=None))


LOOK = """
import socket, sys
def refuse(*arguments, **words):
    raise SystemExit("a connection at import")
socket.socket.connect = socket.socket.connect_ex = refuse
import psycopg
psycopg.connect = refuse
import flows.settle_period, flows.true_up, flows.post_pending, flows.sync_grid_events, flows.deploy
from tasks.prefect_tasks import paying, publishing, settling, watching
assert "great_expectations" not in sys.modules, "Great Expectations is imported when a check runs"
"""


def test_importing_flows_and_tasks_opens_no_connection_and_reads_no_setting(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=Path(__file__).parents[2],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
    )

    assert done.returncode == 0, done.stderr[-2000:]
