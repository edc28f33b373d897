"""How long the settlement key and the clearinghouse's key still count."""

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from tasks import words
from tasks.posting.expiry import Standing
from tasks.prefect_tasks import publishing
from tasks.prefect_tasks import watching as steps


@flow(name="watch-certificates", persist_result=False)
def watch_certificates() -> State:
    """Look at the keys of posting and at how long their certificates count.

    Ends as NeedsAttention when one ends within 30 days, and fails with ERR_AUTH_EXPIRED when one is
    over or badly kept: nothing is posted then. At 30, 14 and 3 days and at the end a notice is noted.
    """
    log = get_run_logger()
    found = steps.watch_certificates()
    told = words.watched(found)
    publishing.publish_watched(found)
    standings = {one.standing for one in found}
    if Standing.OVER in standings:
        log.error(told)
        state: State = Failed(name="AuthExpired", message=told)
    elif Standing.ENDS_SOON in standings:
        log.warning(told)
        state = Completed(name="NeedsAttention", message=told)
    else:
        log.info(told)
        state = Completed(name="AllValid" if found else "NothingToWatch", message=told)
    if standings - {Standing.GOOD}:
        steps.note_certificates(found)
    return state
