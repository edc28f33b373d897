"""Reading the grid's feeds, and watching what ends by itself: keys and certificates.

A feed that does not answer is no failure of the step: it is told of, and tried again when it is due
(``tasks.grid_storing``).
"""

from storage import secrets
from tasks.grid import GridSummary, sync_grid
from tasks.posting.expiry import Watched, tell, watch
from tasks.posting.key_settings import KeySettings
from tasks.prefect_tasks import announcing
from tasks.prefect_tasks.step import now, step
from tasks.settings import Settings, grid_of


@step("sync grid", run_name="read the grid's feeds", timeout_s=600)
def fetch_grid(*, all_feeds: bool) -> GridSummary:
    settings = Settings()
    return sync_grid(
        settings.database_url,
        grid_of(settings),
        secrets=secrets,
        clock=now,
        due_only=not all_feeds,
    )


@step("watch certificates", run_name="look how long the keys count", timeout_s=60)
def watch_certificates() -> list[Watched]:
    found = watch(KeySettings(), now=now())
    announcing.watched(found)
    return found


@step("note certificates", run_name="note what ends soon", timeout_s=60)
def note_certificates(found: list[Watched]) -> int:
    return tell(Settings().database_url, found, now=now())
