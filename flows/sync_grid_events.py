"""Fetch the grid's events and prices from the utility."""

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed

from tasks import prefect_tasks as steps
from tasks import words


@flow(name="sync-grid-events", persist_result=False)
def sync_grid_events() -> State:
    """Fetch events and prices from the utility and keep every version that is new.

    One item that cannot be understood does not keep the others out; the run then ends as
    SyncedPartly and says what was wrong with it.
    """
    log = get_run_logger()
    summary = steps.fetch_grid()
    told = words.fetched(summary)
    if summary.refused_count:
        log.error(told)
        return Completed(name="SyncedPartly", message=told)
    news = summary.events_new or summary.prices_new
    return Completed(name="Synced" if news else "NothingNew", message=told)
