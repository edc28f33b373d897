"""The demonstration's flows, one after the other, in one process beside Prefect's server.

    python -m cli.demo.flows FOLDER START END

runs sync-grid-events, settle-period over [START, END), and post-pending until nothing is open; then,
when a file GO_ON has appeared in FOLDER, true-up, and post-pending again. After each it leaves a file
in FOLDER with its name, and in it what became of it, or why it failed; so the demonstration can tell
how far it is. Exit 0 when all ended well.
"""

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from prefect.client.schemas.objects import State

from cli.demo.flow_names import GO_ON, POST, POST_AGAIN, SETTLE, SYNC, TRUE_UP
from embedded.processes import wait_until
from flows.post_pending import post_pending
from flows.settle_period import settle_period
from flows.sync_grid_events import sync_grid_events
from flows.true_up import true_up
from storage import reports
from storage.engine import Role, connect
from tasks.settings import Settings

HELD: Final = "HeldByQuality"

POST_RUNS_MAX: Final = 20
"""Each run sends what is due and leaves the rest to the next, as the schedule would have it."""

GO_ON_DEADLINE_S: Final = 300.0


def main(folder: Path, start: datetime, end: datetime) -> int:
    """Run the flows. Stops at the first that does not end well."""
    steps: dict[str, Callable[[], str]] = {
        SYNC: lambda: _ended(sync_grid_events(return_state=True)),
        SETTLE: lambda: _ended(settle_period(start, end, return_state=True)),
        POST: _post,
        TRUE_UP: lambda: _true_up(folder / GO_ON),
        POST_AGAIN: _post,
    }
    for flow, run in steps.items():
        try:
            outcome = run()
        except Exception as error:
            _leave(folder / flow, f"failed: {error}")
            raise
        _leave(folder / flow, outcome)
    return 0


def _true_up(go_on: Path) -> str:
    wait_until(go_on.exists, deadline_s=GO_ON_DEADLINE_S, what="the word to go on")
    return _ended(true_up(return_state=True))


def _post() -> str:
    with connect(Settings().database_url, Role.READ) as conn:
        conn.autocommit = True
        for number in range(1, POST_RUNS_MAX + 1):
            _ended(post_pending(return_state=True))
            states = reports.postings_by_state(conn)
            if states.keys() <= {"acknowledged"}:
                return f"{sum(states.values())} postings acknowledged, {number} runs"
    raise RuntimeError(f"after {POST_RUNS_MAX} runs, postings are {states}")


def _ended(state: State[Any]) -> str:
    """The final state's name and message; raises what the flow raised, and where it was held."""
    state.result()
    if state.name == HELD:
        raise RuntimeError(f"held: {state.message}")
    return f"{state.name}: {state.message}"


def _leave(path: Path, said: str) -> None:
    unfinished = path.with_suffix(".part")
    unfinished.write_text(said)
    unfinished.rename(path)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *map(datetime.fromisoformat, sys.argv[2:4])))
