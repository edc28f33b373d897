"""Judge: landed packets in, readings and quarantine out, batch by batch, each batch once.

Samples of batteries' sensors become temperatures of vehicles here, too (``storage.attaching``).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from settlement.reasons import PacketReason
from settlement.verdicts import Policy, Verdict, judge
from storage import attaching, judging
from storage.engine import Connection, Role, connect
from storage.keys import load_keys

PACKETS_PER_PASS: Final = 20_000
"""About how many packets are held in memory at once."""

PASSES_MAX: Final = 10_000
ATTACHING_MAX: Final = 200
"""Steps of ``attaching.attach`` after judging; what is left is for the next call."""


@dataclass(frozen=True)
class JudgeSummary:
    """What one call judged.

    Attributes:
        packets: each of them is a reading, a record of a meter, or quarantined.
        readings: those of meters' records among them, of which a packet may give several, or none yet.
        busy: another judge was at work; it will judge these packets too.
        records: packets that are records of meters.
        temperatures: of vehicles, from samples of their sensors, that are new.
    """

    packets: int = 0
    readings: int = 0
    quarantined: dict[PacketReason, int] = field(default_factory=dict)
    busy: bool = False
    records: int = 0
    temperatures: int = 0


def judge_packets(
    dsn: str,
    *,
    clock: Callable[[], datetime],
    threads: int,
    policy: Policy | None = None,
    progress: Callable[[int], None] = lambda _: None,
    after_commit: Callable[[Sequence[Verdict]], None] = lambda _: None,
) -> JudgeSummary:
    """Judge everything that has landed and is not judged yet.

    Args:
        dsn: the database.
        clock: gives now, in UTC, for the record of when a batch was judged.
        threads: how many signatures are checked at once.
        policy: clock tolerances; the default ones if None.
        progress: called with the number of packets judged so far.
        after_commit: called with the verdicts of each pass once they stand; must not raise.

    Returns:
        What was judged, over all passes.

    Raises:
        DatabaseUnavailableError: what was committed so far stands; call again.
    """
    packets = readings = records = 0
    quarantined: dict[PacketReason, int] = {}
    with connect(dsn, Role.SETTLE) as conn, ThreadPoolExecutor(threads) as executor:
        if not judging.lock(conn):
            return JudgeSummary(busy=True)
        for _ in range(PASSES_MAX):
            batches = judging.next_batches(conn, packets=PACKETS_PER_PASS)
            if not batches:
                break
            # Anew for each pass: a key that is revoked meanwhile must not pass on.
            keys = load_keys(conn)
            landed = judging.fetch(conn, batches)
            conn.rollback()
            verdicts = judge(landed, keys, policy or Policy(), executor)
            judging.prepare(conn, verdicts)
            recorded = judging.record(conn, batches, verdicts, now=clock())
            conn.commit()
            after_commit(verdicts)
            packets += len(landed)
            readings += recorded.readings
            records += recorded.records
            for reason, count in recorded.quarantined.items():
                quarantined[reason] = quarantined.get(reason, 0) + count
            progress(packets)
        temperatures = _attach(conn, clock)
    return JudgeSummary(packets, readings, quarantined, records=records, temperatures=temperatures)


def _attach(conn: Connection, clock: Callable[[], datetime]) -> int:
    """How many temperatures are new."""
    temperatures = 0
    for _ in range(ATTACHING_MAX):
        step = attaching.attach(conn, now=clock())
        temperatures += step.temperatures
        if not step.more:
            break
    return temperatures
