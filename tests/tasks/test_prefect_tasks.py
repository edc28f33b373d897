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
from storage.books import ConcurrentRunError
from storage.errors import DatabaseUnavailableError, InsecureSecretError, UnsafeDatabaseError
from tasks import prefect_tasks as steps
from tasks.grid import FeedRefusedError, FeedUnavailableError, FeedUnreadableError

RUN = TaskRun(task_key="step", dynamic_key="0")
STEPS = [one for one in vars(steps).values() if isinstance(one, Task)]


def test_there_is_a_wrapper_for_every_step():
    assert {one.name for one in STEPS} == {
        "judge packets",
        "choose period",
        "check quality",
        "settle period",
        "publish totals",
        "run the calendar",
        "publish the calendar's runs",
        "sync grid",
        "post pending",
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
    FeedUnavailableError("/v1/events", "HTTP 503"),
    steps.JudgeBusyError(),
]
LASTING = [
    errors.QueryCanceled(),
    errors.CheckViolation(),
    errors.InsufficientPrivilege(),
    errors.UndefinedColumn(),
    UnsafeDatabaseError({"fsync": "off"}),
    FeedRefusedError("/v1/events", 401),
    FeedUnreadableError("events", "[]", "an object"),
    GateBrokenError("a check", "no such column"),
    InsecureSecretError(Path("token"), "mode 0644", "chmod 600"),
    steps.HalfAPeriodError(None, None),
    ValueError("anything else"),
]


@pytest.mark.parametrize("error", PASSING, ids=lambda e: type(e).__name__)
def test_what_passes_by_itself_is_tried_again(error):
    assert steps.passes_by_itself(STEPS[0], RUN, Failed(data=error))


@pytest.mark.parametrize("error", LASTING, ids=lambda e: type(e).__name__)
def test_what_lasts_is_not_tried_again(error):
    assert not steps.passes_by_itself(STEPS[0], RUN, Failed(data=error))


def test_a_step_that_succeeded_is_not_tried_again():
    assert not steps.passes_by_itself(STEPS[0], RUN, Completed(data=None))


LOOK = """
import socket, sys
def refuse(*arguments, **words):
    raise SystemExit("a connection at import")
socket.socket.connect = socket.socket.connect_ex = refuse
import psycopg
psycopg.connect = refuse
import flows.settle_period, flows.true_up, flows.post_pending, flows.sync_grid_events, flows.deploy
import tasks.prefect_tasks
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
