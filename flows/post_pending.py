"""Send what is booked to the clearinghouse."""

from typing import Annotated

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

from tasks import prefect_tasks as steps
from tasks import words


@flow(name="post-pending", persist_result=False)
def post_pending(limit: Annotated[int, Field(ge=0, le=1_000_000)] = 0) -> State:
    """Send postings that are due to the clearinghouse.

    What gets no answer stays queued and is sent again, under the same id, by a later run. Two runs
    at once send nothing twice.

    Args:
        limit: Send at most this many; 0 means as many as V2G_POST_LIMIT says.
    """
    log = get_run_logger()
    summary = steps.post(limit or None)
    told = words.posted(summary)
    log.info(told)
    if summary.parked:
        return Completed(name="NeedsAttention", message=told)
    if summary.open:
        return Completed(name="StillQueued", message=told)
    return Completed(name="AllPosted" if summary.done.attempts else "NothingToPost", message=told)
