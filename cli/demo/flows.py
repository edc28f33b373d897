"""The demonstration's flows, one after the other, in one process beside Prefect's server.

    python -m cli.demo.flows FOLDER START END

runs sync-grid-events, settle-period over [START, END), and post-pending until nothing is open. After
each it leaves a file in FOLDER named after the flow, with the final state's name, or why it failed;
so the demonstration can tell how far it is. Exit 0 when all ended well.
"""

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from prefect.client.schemas.objects import State

from cli.demo.flow_names import POST, SETTLE, SYNC
from flows.post_pending import post_pending
from flows.settle_period import settle_period
from flows.sync_grid_events import sync_grid_events
from storage import reports
from storage.engine import Role, connect
from tasks.settings import Settings

POST_RUNS_MAX: Final = 20
"""Each run sends what is due and leaves the rest to the next, as the schedule would have it."""


def main(folder: Path, start: datetime, end: datetime) -> int:
    """Run the flows. Stops at the first that does not end well."""
    steps: dict[str, Callable[[], str]] = {
        SYNC: lambda: _name(sync_grid_events(return_state=True)),
        SETTLE: lambda: _name(settle_period(start, end, return_state=True)),
        POST: _post,
    }
    for flow, run in steps.items():
        try:
            outcome = run()
        except Exception as error:
            _leave(folder / flow, f"failed: {error}")
            raise
        _leave(folder / flow, outcome)
    return 0


def _post() -> str:
    with connect(Settings().database_url, Role.READ) as conn:
        conn.autocommit = True
        for number in range(1, POST_RUNS_MAX + 1):
            _name(post_pending(return_state=True))
            states = reports.postings_by_state(conn)
            if states.keys() <= {"acknowledged"}:
                return f"{sum(states.values())} postings acknowledged in {number} runs"
    raise RuntimeError(f"after {POST_RUNS_MAX} runs, postings are {states}")


def _name(state: State[Any]) -> str:
    """The state's name; raises what the flow raised."""
    state.result()
    return str(state.name)


def _leave(path: Path, said: str) -> None:
    unfinished = path.with_suffix(".part")
    unfinished.write_text(said)
    unfinished.rename(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(datetime.fromisoformat, sys.argv[2:4])))
