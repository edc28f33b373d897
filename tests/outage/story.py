"""The outage from beginning to end, and the bounds that it is held to; for pytest and the long run alike.

The bounds:

* TEN_TIMES: the backlog comes in at ten times real time or better; and so that a long interval
  makes it no easier, ten times as many packets a second as the fleet makes at 15 s.
* A live packet of a charger that has its connection to the broker is receipted before the next one would be due at
  15 s, and before more than ``ahead`` packets of the backlog that came later: what one room of the
  daemon and the half windows of all chargers hold. So it never waits for more than can stand in front of
  the database at one moment, however much waits in the chargers.
"""

import tempfile
from pathlib import Path
from typing import Final

from tests.outage.judgement import (
    Waits,
    assert_each_stands_once,
    assert_paid_once,
    enrol,
    waits,
)
from tests.outage.plan import Plan
from tests.outage.proof import ROOM, WINDOW, Drained, Proof
from tests.tasks.scene import Scene

TEN_TIMES: Final = 10
SHORTEST_S: Final = 15
"""SettlementInterval in the field."""
LIVE_MIN: Final = 50
"""Fewer live packets during the drain show nothing."""


def store_folder(under: Path | None = None) -> Path:
    """A new folder; in memory where the machine has a place there, unless it is said where.

    What is killed here is a process, not the machine: that a store survives the loss of power is not
    shown here.
    """
    memory = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
    if under is None and memory.is_dir():
        under = memory
    return Path(tempfile.mkdtemp(prefix="v2g-outage-", dir=under))


def ahead(plan: Plan) -> int:
    """Packets of the backlog that may overtake a live one."""
    return ROOM + plan.chargers * WINDOW // 2


def outage_and_drain(proof: Proof, *, kills: int) -> tuple[Drained, Waits, Waits]:
    """All of it up to empty stores, held to the bounds. How it drained; waits before, and meanwhile."""
    plan = proof.plan
    proof.normally()
    proof.outage(kills=kills)
    proof.back()
    drained = proof.drain()
    before, during = waits(proof.database, proof.fleet)
    proof.say(
        f"{drained.packets} packets in {drained.seconds:.1f} s: {drained.times_real_time:.0f} times real"
        f" time, {drained.packets_a_second:.0f} a second, {drained.sources}"
    )
    proof.say(f"before the outage  {before}")
    proof.say(f"during the drain   {during}")
    assert drained.times_real_time >= TEN_TIMES
    assert drained.packets_a_second >= TEN_TIMES * plan.chargers / SHORTEST_S
    assert drained.sources.get("http", 0) > 0
    assert during.packets >= LIVE_MIN
    assert during.longest_s < SHORTEST_S
    assert during.overtaken <= ahead(plan)
    return drained, before, during


def pay(proof: Proof, *, gate: bool = False) -> None:
    """Judge and settle what came in; everything once. ``gate``: the quality gate first, which is slow."""
    packets = assert_each_stands_once(proof.database, proof.plan)
    scene = Scene(proof.database)
    enrol(scene, proof.fleet)
    summary = assert_paid_once(scene, proof.plan, packets, gate=gate)
    proof.say(
        f"{sum(packets.values())} packets, as many readings; {summary.paid_milliwh} mWh delivered in"
        f" events, as many paid: {summary.amount_minor} minor units; settled again: nothing changes"
    )
