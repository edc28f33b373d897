"""The demonstration's flows, one after the other, in one process beside Prefect's server.

    python -m cli.demo.flows FOLDER START END

waits for a file READY in FOLDER, then runs sync-grid-events, settle-period over [START, END), sets limits,
and runs post-pending until nothing is open but what waits for a person; then, when a file GO_ON has
appeared there, sync-grid-events again, true-up, and post-pending again; and once more when a file APPROVED
has. After each it leaves a file in FOLDER with its name, and in it what
became of it, or why it failed; so the demonstration can tell how far it is. Exit 0 when all ended well.

It is started early: Prefect and the quality suite are imported while the packets are being published.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread
from typing import Any, Final

from prefect.client.schemas.objects import State

from cli.demo import payout
from cli.demo.flow_names import (
    APPROVED,
    GO_ON,
    LIMIT,
    POST,
    POST_AGAIN,
    POST_APPROVED,
    READY,
    SETTLE,
    SYNC,
    SYNC_AGAIN,
    TRUE_UP,
)
from embedded.processes import wait_until
from expectations import readings
from flows.post_pending import post_pending
from flows.settle_period import settle_period
from flows.sync_grid_events import sync_grid_events
from flows.true_up import true_up
from storage import feeds, lanes, outbox_figures, reports
from storage.engine import Connection, Role, connect
from tasks.posting.instructions import PARTNER
from tasks.settings import Settings

HELD: Final = "HeldByQuality"

POST_RUNS_MAX: Final = 20
"""Each run sends what is due and leaves the rest to the next, as the schedule would have it."""

WORD_DEADLINE_S: Final = 300.0


def main(folder: Path, start: datetime, end: datetime) -> int:
    """Run the flows. Stops at the first that does not end well."""
    # Imports the library of the quality suite, which takes long, while the utility is waited for.
    Thread(target=readings.packets, daemon=True).start()
    steps: dict[str, Callable[[], str]] = {
        SYNC: lambda: _sync(folder / READY),
        SETTLE: lambda: _ended(settle_period(start, end, return_state=True)),
        LIMIT: lambda: payout.limit(Settings().database_url),
        POST: lambda: _post("acknowledged", "parked"),
        SYNC_AGAIN: lambda: _sync(folder / GO_ON),
        TRUE_UP: lambda: _ended(true_up(return_state=True)),
        POST_AGAIN: lambda: _post("acknowledged", "parked"),
        POST_APPROVED: lambda: _approved(folder / APPROVED),
    }
    for flow, run in steps.items():
        try:
            outcome = run()
        except Exception as error:
            _leave(folder / flow, f"failed: {error}")
            raise
        _leave(folder / flow, outcome)
    return 0


def _sync(word: Path) -> str:
    wait_until(word.exists, deadline_s=WORD_DEADLINE_S, what=f"the word {word.name}")
    with connect(Settings().database_url, Role.READ) as conn:
        conn.autocommit = True
        # As the schedule would: not before the utility wants to be asked again.
        wait_until(lambda: _due(conn), deadline_s=WORD_DEADLINE_S, what="the feeds to be due")
    return _ended(sync_grid_events(return_state=True))


def _due(conn: Connection) -> bool:
    now = datetime.now(UTC)
    return all(
        one.next_at is None or one.next_at <= now for one in feeds.feed_states(conn).values()
    )


def _approved(word: Path) -> str:
    wait_until(word.exists, deadline_s=WORD_DEADLINE_S, what=f"the word {word.name}")
    return _post("acknowledged")


def _post(*ends: str) -> str:
    """Post until every posting has come to one of these states."""
    with connect(Settings().database_url, Role.READ) as conn:
        conn.autocommit = True
        for number in range(1, POST_RUNS_MAX + 1):
            _ended(post_pending(return_state=True))
            states = reports.postings_by_state(conn)
            if states.keys() <= set(ends):
                told = ", ".join(f"{count} {state}" for state, count in states.items())
                return f"postings {told}, {number} runs"
            # As the schedule would: not before something is due, nor while the partner wants its rest.
            wait_until(
                lambda: _may_post(conn), deadline_s=WORD_DEADLINE_S, what="a posting to be due"
            )
    raise RuntimeError(f"after {POST_RUNS_MAX} runs, postings are {states}")


def _may_post(conn: Connection) -> bool:
    now = datetime.now(UTC)
    rest = lanes.standing(conn, partner=PARTNER)
    due_at = outbox_figures.next_due_at(conn, partner=PARTNER)
    return (rest is None or rest.until <= now) and (due_at is None or due_at <= now)


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
