"""Quarantine, worked: look at it, and judge it again after what was wrong has been put right.

A retry asks the same judge with the keys as they are now. What stands then is known from now on: runs
before did not know it, and the next true-up books the difference on its original period.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from settlement.verdicts import Policy, Verdict, judge
from storage import judging, quarantine, retries
from storage.engine import Role, connect
from storage.keys import load_keys
from storage.quarantine import Evidence, NoSuchPacketError, Quarantined, Selection

__all__ = [
    "Evidence",
    "NoSuchPacketError",
    "Quarantined",
    "RetrySummary",
    "Selection",
    "Waiting",
    "find",
    "listed",
    "retry",
    "show",
]

PACKETS_PER_PASS: Final = 1_000
"""Each pass is one transaction."""

PASSES_MAX: Final = 10_000


@dataclass(frozen=True)
class Waiting:
    """What is quarantined.

    Attributes:
        packets: the newest of them.
        by_reason: how many there are, by reason.
    """

    packets: Sequence[Quarantined]
    by_reason: dict[str, int]


@dataclass(frozen=True)
class RetrySummary:
    """What one retry came to.

    Attributes:
        packets: judged again.
        released: of these, quarantined no more.
        readings: that there are now, those of meters' records among them.
        records: packets that are records of meters.
        export_milliwh: what the new readings exported, mWh.
        started_at: of the first new reading; None where there is none.
        ended_at: of the last.
        refused: packets that stay, by reason.
        missing: packets of which the raw data has been removed.
        busy: a judge was at work, nothing was done.
    """

    packets: int = 0
    released: int = 0
    readings: int = 0
    records: int = 0
    export_milliwh: int = 0
    started_at: datetime | None = None
    ended_at: datetime | None = None
    refused: dict[str, int] = field(default_factory=dict)
    missing: int = 0
    busy: bool = False


def listed(dsn: str, selection: Selection, *, limit: int) -> Waiting:
    """What is quarantined still, newest first, at most ``limit`` of it, and how much there is."""
    with connect(dsn, Role.READ) as conn:
        return Waiting(
            quarantine.listed(conn, selection, limit=limit), quarantine.counted(conn, selection)
        )


def find(dsn: str, digest: str) -> bytes:
    """The whole digest of a quarantined packet from its beginning. Raises NoSuchPacketError."""
    with connect(dsn, Role.READ) as conn:
        return quarantine.find(conn, digest)


def show(dsn: str, digest: str) -> Evidence:
    """One quarantined packet with everything that is kept of it. Raises NoSuchPacketError."""
    with connect(dsn, Role.READ) as conn:
        return quarantine.show(conn, quarantine.find(conn, digest))


def retry(
    dsn: str,
    selection: Selection,
    *,
    clock: Callable[[], datetime],
    by: str,
    threads: int,
    policy: Policy | None = None,
    progress: Callable[[int], None] = lambda _: None,
    after_commit: Callable[[Sequence[Verdict]], None] = lambda _: None,
) -> RetrySummary:
    """Judge quarantined packets again, each once, in the order of their receipt.

    Safe to stop and to repeat: each pass is one transaction, and what it released is not asked again.

    Args:
        dsn: the database.
        selection: which packets.
        clock: gives now, in UTC: from when on the new readings are known.
        by: who asks; recorded with each packet.
        threads: how many signatures are checked at once.
        policy: clock tolerances; the default ones if None.
        progress: called with the number of packets judged so far.
        after_commit: called with the verdicts of each pass once they stand; must not raise.

    Raises:
        ValueError: ``by`` names nobody.
        DatabaseUnavailableError: what was committed so far stands; call again.
    """
    if not by.strip() or not by.isprintable():
        raise ValueError(f"by: {by!r}; expected the name of whoever asks for the retry")
    total = RetrySummary()
    after = None
    with connect(dsn, Role.SETTLE) as conn, ThreadPoolExecutor(threads) as executor:
        if not judging.lock(conn):
            return RetrySummary(busy=True)
        for _ in range(PASSES_MAX):
            keys = load_keys(conn)
            page = retries.page(conn, selection, after=after, size=PACKETS_PER_PASS)
            conn.rollback()
            verdicts = judge(page.landed, keys, policy or Policy(), executor)
            judging.prepare(conn, verdicts)
            done = retries.record_retry(conn, verdicts, now=clock(), by=by.strip())
            conn.commit()
            after_commit(verdicts)
            total = _with(total, done, page.missing)
            progress(total.packets)
            after = page.after
            if after is None:
                break
    return total


def _with(total: RetrySummary, done: retries.Retried, missing: int) -> RetrySummary:
    released = {name: done.outcomes.get(name, 0) for name in quarantine.RELEASED}
    refused = dict(total.refused)
    for outcome, count in done.outcomes.items():
        if outcome not in released:
            refused[outcome] = refused.get(outcome, 0) + count
    return RetrySummary(
        packets=total.packets + sum(done.outcomes.values()),
        released=total.released + sum(released.values()),
        readings=total.readings + done.readings,
        records=total.records + released[quarantine.RECORD],
        export_milliwh=total.export_milliwh + done.export_milliwh,
        started_at=min(filter(None, (total.started_at, done.started_at)), default=None),
        ended_at=max(filter(None, (total.ended_at, done.ended_at)), default=None),
        refused=dict(sorted(refused.items())),
        missing=total.missing + missing,
    )
