"""What every step is to Prefect: its name, its time limit, and when it is worth another try.

A retry is left to what passes by itself: a lost connection, a busy database. Bad data, bad settings and
bad queries fail at once, as they would fail again.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final, ParamSpec, TypeVar

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff

from storage.transient import is_transient

RETRIES: Final = 4
FIRST_DELAY_S: Final = 2.0
"""Doubles with each retry (2, 4, 8, 16 s), and is drawn longer by up to half at random, so that
runs that failed together do not come back together."""
JITTER: Final = 0.5

P = ParamSpec("P")
R = TypeVar("R")


class JudgeBusyError(Exception):
    """Another process is judging; a period settled before it has ended would miss its packets."""

    def __init__(self) -> None:
        super().__init__("another process is judging landed packets; it will have finished soon")


def passes_by_itself(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed step may succeed when tried again, with nothing repaired in between."""
    try:
        state.result()
    except JudgeBusyError:
        return True
    except Exception as error:  # noqa: BLE001 - whatever else it is, the database knows or it stays
        return is_transient(error)
    return False


def step(name: str, *, run_name: str, timeout_s: int) -> Callable[[Callable[P, R]], Task[P, R]]:
    """A plain step as a Prefect task.

    Args:
        name: of the task, in the UI.
        run_name: of each run; may hold parameters, as ``settle {period}``.
        timeout_s: for one attempt; longer than every limit inside the step.
    """
    return task(
        name=name,
        task_run_name=run_name,
        timeout_seconds=timeout_s,
        retries=RETRIES,
        retry_delay_seconds=exponential_backoff(backoff_factor=FIRST_DELAY_S),
        retry_jitter_factor=JITTER,
        retry_condition_fn=passes_by_itself,
        cache_policy=NO_CACHE,
        persist_result=False,
    )


def now() -> datetime:
    """The process's clock."""
    return datetime.now(UTC)
