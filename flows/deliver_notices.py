"""Tell partners what became of payouts."""

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks import words
from tasks.prefect_tasks import paying as steps
from tasks.prefect_tasks import publishing


@flow(name="deliver-notices", persist_result=False)
def deliver_notices() -> State:
    """Note what has happened to payouts and accounts, and send what is due to the configured destination.

    What is not taken stays in the database and is sent again under the same id; two runs at once harm
    nothing. A destination that fails again and again is left alone until the next run.
    """
    log = get_run_logger()
    summary = steps.tell_partners()
    told = words.notices(summary)
    log.info(told)
    if summary.noted or summary.delivered or summary.failed:
        publishing.publish_notices(summary)
    if not summary.destination:
        return Completed(name="NoDestination", message=told)
    if summary.died:
        return Completed(name="NeedsAttention", message=told)
    if summary.pending:
        return Completed(name="StillPending", message=told)
    return Completed(name="AllTold" if summary.delivered else "NothingToTell", message=told)
