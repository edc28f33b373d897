"""The poster beside a queue of a million postings, against the same poster beside a thousand.

A poster in a process of its own sends a thousand postings to a partner that answers at once; its
peak of memory (``VmHWM``), and how long a claim takes, must not depend on how many wait.
"""

import multiprocessing
import random
import statistics
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter
from typing import Final

from benchmarks import queued
from benchmarks.figure import Figure
from benchmarks.posting import partner
from embedded.postgres import create_database
from storage import outbox
from storage.engine import Role, connect
from storage.migrate import migrate
from tasks.posting.run import Clearinghouse, post_pending

FEW: Final = 2_000
MANY: Final = 1_000_000
SENT: Final = 1_000
CONCURRENCY: Final = 32
CLAIMS: Final = 200
MARGIN: Final = 0.1
CLAIM_AIM_MS: Final = 10.0


def run() -> Sequence[Figure]:
    """Measure beside few and beside many."""
    with queued.server() as server, partner(latency_ms=0) as (url, token):
        clearinghouse = Clearinghouse(url, token)
        peaks, claims = [], []
        for count in (FEW, MANY):
            dsn = create_database(server, f"queue_{count}")
            migrate(dsn)
            queued.queue(dsn, count)
            claims.append(_claim_ms(dsn))
            peaks.append(_peak_mib(dsn, clearinghouse))
    (few, many), (quick, slow) = peaks, claims
    return [
        Figure(
            f"poster's peak of memory, {MANY:,} queued",
            many,
            "MiB",
            few,
            f"the same with {FEW:,} queued",
            f"ratio 1 ± {MARGIN}",
            abs(many / few - 1) <= MARGIN,
        ),
        Figure(
            f"claiming {CONCURRENCY} of {MANY:,} queued",
            slow,
            "ms",
            quick,
            f"the same of {FEW:,} queued",
            f"under {CLAIM_AIM_MS:.0f} ms",
            slow < CLAIM_AIM_MS,
        ),
    ]


def _claim_ms(dsn: str) -> float:
    """Median of many claims, none of which is sent: they come back once their lease is over."""
    with closing(connect(dsn, Role.POSTER)) as conn:
        taken = []
        for _ in range(CLAIMS):
            began = perf_counter()
            outbox.claim(
                conn,
                partner=queued.PARTNER,
                now=datetime.now(UTC),
                limit=CONCURRENCY // 8,
                lease=timedelta(seconds=1),
            )
            taken.append((perf_counter() - began) * 1000)
    return statistics.median(taken)


def _peak_mib(dsn: str, clearinghouse: Clearinghouse) -> float:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_post, args=(dsn, clearinghouse, theirs))
    child.start()
    theirs.close()
    peak: float = ours.recv()
    child.join()
    return peak


def _post(dsn: str, clearinghouse: Clearinghouse, answer: Connection) -> None:
    """Send a thousand, and answer with the peak of this process's memory."""
    summary = post_pending(
        dsn,
        clearinghouse,
        clock=lambda: datetime.now(UTC),
        random=random.Random(1),
        concurrency=CONCURRENCY,
        limit=SENT,
    )
    if summary.done.attempts != SENT:
        raise AssertionError(f"{summary.done.attempts} were sent instead of {SENT}")
    status = Path("/proc/self/status").read_text("ascii")
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    answer.send(int(peak.split()[1]) / 1024)
