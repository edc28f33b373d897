"""Do what the programs' calendars have due."""

from typing import Annotated

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from tasks import words
from tasks.prefect_tasks import publishing
from tasks.prefect_tasks import settling as steps


@flow(name="true-up", persist_result=False)
def true_up(
    *, dry_run: bool = False, max_runs: Annotated[int, Field(ge=1, le=10_000)] = 100
) -> State:
    """Settle past days again, as the programs' calendars say, and book what has changed since.

    Each run covers one local day of one program, the oldest first. A day that its quality holds waits
    for a person. What differs after a final run is reported and not booked.

    Args:
        dry_run: Compute and report, book nothing.
        max_runs: Do at most this many; what is due beyond them is done by a later run.
    """
    log = get_run_logger()
    judged = steps.judge()
    log.info("judged %d packets: %d are readings", judged.packets, judged.readings)

    summary = steps.run_calendar(dry_run=dry_run, max_runs=max_runs)
    for one in summary.runs:
        (log.error if one.state == "held" else log.info)(words.calendar_run(one))
    publishing.publish_true_up(summary)
    return Completed(name=_ending(summary.held, len(summary.runs)), message=words.trued_up(summary))


def _ending(held: int, runs: int) -> str:
    if held:
        return "HeldByQuality"
    return "TruedUp" if runs else "NothingDue"
