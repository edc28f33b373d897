"""Postings per second to a partner that answers in 50 ms, against the bound concurrency ÷ 50 ms.

The partner is the simulator, in a process of its own on the same cores; the database is real, and
every attempt is claimed and recorded in it. Counted from the first group of answers to the last, so
that starting counts for nothing.
"""

import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks import queued
from benchmarks.figure import Figure
from embedded.postgres import create_database
from embedded.processes import Supervised, wait_until
from storage.migrate import migrate
from tasks.posting.run import Clearinghouse, Progress, post_pending

LATENCY_MS: Final = 50
CONCURRENCIES: Final = (8, 32)
SECONDS: Final = 12
"""How long a measurement takes at the bound."""
AIM: Final = 0.8
START_DEADLINE_S: Final = 30.0


def run() -> Sequence[Figure]:
    """Measure at each concurrency, each in a database of its own."""
    figures = []
    with queued.server() as server, partner(latency_ms=LATENCY_MS) as (url, token):
        for width in CONCURRENCIES:
            dsn = create_database(server, f"width_{width}")
            migrate(dsn)
            bound = width * 1000 / LATENCY_MS
            queued.queue(dsn, int(bound * SECONDS))
            measured = _rate(dsn, Clearinghouse(url, token), width)
            figures.append(
                Figure(
                    f"postings sent and recorded, {width} at a time",
                    measured,
                    "/s",
                    bound,
                    f"{width} ÷ {LATENCY_MS} ms of the partner",
                    f"ratio {AIM}",
                    measured / bound >= AIM,
                )
            )
    return figures


@contextmanager
def partner(*, latency_ms: int) -> Iterator[tuple[str, str]]:
    """A clearinghouse that always answers well, after ``latency_ms``: its address and its token."""
    with tempfile.TemporaryDirectory(prefix="v2g-bench-") as name:
        token_file = Path(name) / "token"
        token_file.write_text("benchmark", "ascii")
        log = Path(name) / "partner.log"
        command = (
            *(sys.executable, "-m", "simulators.clearinghouse", "--token-file", str(token_file)),
            *("--no-faults", "--latency-ms", str(latency_ms)),
        )
        with Supervised("partner", command, log=log) as house:
            wait_until(
                lambda: "\n" in house.log_tail(),
                deadline_s=START_DEADLINE_S,
                what="the simulated clearinghouse to start",
            )
            yield house.log_tail().splitlines()[0], token_file.read_text("ascii")


def _rate(dsn: str, clearinghouse: Clearinghouse, width: int) -> float:
    marks: list[tuple[float, int]] = []

    def note(progress: Progress) -> None:
        marks.append((perf_counter(), progress.attempts))

    summary = post_pending(
        dsn,
        clearinghouse,
        clock=lambda: datetime.now(UTC),
        random=random.Random(1),
        concurrency=width,
        until_empty=True,
        progress=note,
    )
    if summary.remaining:
        raise AssertionError(f"not everything was acknowledged: {summary.remaining}")
    (began, first), (ended, last) = marks[0], marks[-1]
    return (last - first) / (ended - began)
