"""Send what is booked, and within the limits, to the clearinghouse."""

from typing import Annotated

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed
from pydantic import Field

from flows.approve_payouts import ask_for_approvals
from tasks import words
from tasks.posting.key_errors import SettlementKeyError
from tasks.prefect_tasks import paying as steps
from tasks.prefect_tasks import publishing


@flow(name="post-pending", persist_result=False)
def post_pending(limit: Annotated[int, Field(ge=0, le=1_000_000)] = 0) -> State:
    """Hold what is booked against the limits, and send what is clear and due to the clearinghouse.

    What gets no answer stays queued and is sent again, under the same id, by a later run. Two runs
    at once send nothing twice. What breaks a limit is parked with its account and the run ends as
    NeedsAttention; for each payout that waits for approval there is a suspended run of approve. Where
    the settlement key does not count it ends as AuthExpired, and nothing was sent.

    Args:
        limit: Send at most this many; 0 means as many as V2G_POST_LIMIT says.
    """
    log = get_run_logger()
    screened = steps.screen_postings()
    (log.error if screened.breached else log.info)(words.screened(screened))
    try:
        summary = steps.post(limit or None)
    except SettlementKeyError as error:
        steps.measure_queues()
        return Failed(name="AuthExpired", message=str(error))
    queues = steps.measure_queues()
    if screened.screened or summary.done.attempts or summary.remaining:
        publishing.publish_posted(screened, summary, queues)
    told = words.posted(summary)
    log.info(told)
    if summary.parked:
        waiting = ask_for_approvals()
        told += f", {waiting} of them for approval" if waiting else ""
        return Completed(name="NeedsAttention", message=told)
    if summary.open:
        return Completed(name="StillQueued", message=told)
    return Completed(name="AllPosted" if summary.done.attempts else "NothingToPost", message=told)
