"""Read the grid's feeds: events and prices come in, answers go out."""

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from tasks import words
from tasks.prefect_tasks import publishing
from tasks.prefect_tasks import watching as steps


@flow(name="sync-grid-events", persist_result=False)
def sync_grid_events(*, all_feeds: bool = False) -> State:
    """Read the feeds that are due, keep every version that is new, and post the answers that are owed.

    A feed that fails does not keep the others out, nor does an item that cannot be understood; the run
    then ends as SyncedPartly and says what was wrong. It fails where nothing could be read at all.

    Args:
        all_feeds: also those that want to be read later.
    """
    log = get_run_logger()
    summary = steps.fetch_grid(all_feeds=all_feeds)
    told = words.synced(summary)
    if summary.news or summary.failed or summary.refused_count:
        publishing.publish_synced(summary)
    if summary.failed or summary.refused_count:
        log.error(told)
        if summary.feeds == summary.failed:
            return Failed(message=told)
        return Completed(name="SyncedPartly", message=told)
    return Completed(name="Synced" if summary.news else "NothingNew", message=told)
