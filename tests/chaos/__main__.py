"""`make chaos`: two posters, 1,000 kills, most answers bad; is what is booked paid, and paid once?

    python -m tests.chaos [--kills 1000] [--postings 10000] [--seed S] [--minutes 25]

On servers of its own, in a temporary folder. Ends with one line, and with 1 unless every number in it
but the first is 0 and nothing else is wrong.
"""

import argparse
import logging
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from embedded.postgres import PostgresServer, create_database
from storage.migrate import migrate
from tests.chaos.judgement import Judgement
from tests.chaos.posters import forkserver
from tests.chaos.trial import Trial


def main(arguments: Sequence[str]) -> int:
    """Run it as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--postings", type=int, default=10_000, help="booked while posters die")
    parser.add_argument("--seed", type=int, default=random.randrange(10**9), help="repeats a run")
    parser.add_argument("--minutes", type=float, default=25, help="no kills after that")
    chosen = parser.parse_args(arguments)
    if min(chosen.kills, chosen.postings) < 1:
        parser.error("expected at least one kill and one posting")
    # What is on its way when the simulated clearinghouse stops is cut off, and uvicorn says so.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    sys.stdout.write(f"seed {chosen.seed}: --seed {chosen.seed} draws the same again\n")
    with TemporaryDirectory(prefix="v2g-chaos-") as name:
        judgement = _run(Path(name), chosen)
    for text in judgement.wrong:
        sys.stdout.write(f"wrong: {text}\n")
    sys.stdout.write(f"{judgement}\n")
    return 0 if judgement.good else 1


def _run(folder: Path, chosen: argparse.Namespace) -> Judgement:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with (
        PostgresServer(folder / "data") as server,
        Progress(*columns, console=Console(stderr=True)) as bar,
    ):
        dsn = create_database(server, "v2g")
        migrate(dsn)
        task = bar.add_task("kills", total=chosen.kills)
        trial = Trial(
            dsn,
            folder,
            seed=chosen.seed,
            postings=chosen.postings,
            kills=chosen.kills,
            tell=lambda done: bar.update(task, completed=done),
        )
        judgement = trial.run(forkserver(), deadline_s=chosen.minutes * 60)
    deaths = ", ".join(f"{name} {count}" for name, count in sorted(trial.deaths.items()))
    sys.stdout.write(
        f"killed: {deaths}; calls {trial.calls}, attempts without a receipt {trial.cut_off},"
        f" parked and released by a person {trial.released}\n"
    )
    return judgement


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
