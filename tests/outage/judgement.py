"""What must be true after the outage, asked of the database, and of the meters beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from typing import Any, Final

import polars as pl

from settlement.periods import Period
from storage.engine import Role, connect
from storage.keys import enrol_keys
from storage.registry import Contract, put_contracts
from tasks.quality import check_quality
from tasks.settle import SettleSummary
from tests.ingest_daemon.harness import count, rows
from tests.outage.fleet import Fleet
from tests.outage.plan import BEFORE, Meter, Plan
from tests.tasks.scene import PROGRAM, Scene

MICROS_PER_KWH: Final = 420_000


@dataclass(frozen=True)
class Waits:
    """What live packets waited, in seconds from stored to receipted, and for how many others."""

    packets: int
    median_s: float
    p99_s: float
    longest_s: float
    overtaken: int
    """The most packets of the backlog that came to the daemon after a live packet was stored, and were
    committed in a transaction before its own."""

    def __str__(self) -> str:
        return (
            f"{self.packets} live packets: receipted after {self.median_s:.2f} s (median),"
            f" {self.p99_s:.2f} s (99 %), {self.longest_s:.2f} s (longest);"
            f" at most {self.overtaken} packets of the backlog overtook one"
        )


def waits(database: str, fleet: Fleet) -> tuple[Waits, Waits]:
    """Of the live packets before the outage, and of those that were stored while the backlog drained.

    A charger that has no connection to the broker yet has no live packets: what it stores is backlog
    like all that it stored before. Each of those, too, must be receipted.
    """
    stored: dict[tuple[str, int], float] = {}
    receipted: dict[tuple[str, int], float] = {}
    alone: set[tuple[str, int]] = set()
    up: set[str] = set()
    for one in fleet.told():
        evse_id, packet = one["evse_id"], (one["evse_id"], one["sequence"])
        match one["what"]:
            case "up":
                up.add(evse_id)
            case "down":
                up.discard(evse_id)
                alone |= {key for key in stored.keys() - receipted.keys() if key[0] == evse_id}
            case "stored":
                stored[packet] = one["at"]
                if evse_id not in up:
                    alone.add(packet)
            case "receipted":
                receipted[packet] = one["at"]
    assert stored.keys() == receipted.keys()
    backlog = _backlog(database, fleet.plan)
    landed = _landed(database, fleet.plan)
    drained_at = backlog["landed"].max()
    assert isinstance(drained_at, float)
    before = [key for key in stored if key[1] < BEFORE]
    during = [
        key
        for key, at in stored.items()
        if key[1] >= BEFORE and at < drained_at and key not in alone
    ]

    def of(keys: Sequence[tuple[str, int]]) -> Waits:
        assert len(keys) > 1, "hardly a live packet: the drain was over before they began"
        seconds = [receipted[key] - stored[key] for key in keys]
        overtaken = max(
            backlog.filter((pl.col("received") > stored[key]) & (pl.col("landed") < landed[key]))[
                "packets"
            ].sum()
            for key in keys
        )
        return Waits(
            len(keys), median(seconds), quantiles(seconds, n=100)[98], max(seconds), int(overtaken)
        )

    return of(before), of(during)


def _landed(database: str, plan: Plan) -> dict[tuple[str, int], float]:
    """When each packet stood that is none of the outage."""
    found = rows(
        database,
        "select evse_id, sequence, extract(epoch from landed_at)::float8"
        " from raw_packet join landing_batch using (batch_id)"
        " where sequence < %s or signed_at > %s",
        BEFORE,
        plan.ended_at,
    )
    return {(evse_id, sequence): at for evse_id, sequence, at in found}


def _backlog(database: str, plan: Plan) -> pl.DataFrame:
    """When packets of the outage came to the daemon, and stood, in seconds since 1970."""
    found = rows(
        database,
        "select extract(epoch from received_at)::float8, extract(epoch from landed_at)::float8,"
        " count(*) from raw_packet join landing_batch using (batch_id)"
        " where sequence >= %s and signed_at <= %s group by 1, 2",
        BEFORE,
        plan.ended_at,
    )
    return pl.DataFrame(found, schema=["received", "landed", "packets"], orient="row")


def assert_each_stands_once(database: str, plan: Plan) -> dict[str, int]:
    """Of each charger one stream, without a gap, and each packet once. Packets by charger."""
    found = rows(
        database,
        "select evse_id, count(*)::int, count(distinct digest)::int, count(distinct stream_epoch)::int,"
        " count(distinct sequence)::int, min(sequence)::int, max(sequence)::int"
        " from raw_packet group by evse_id",
    )
    assert sorted(evse_id for evse_id, *_ in found) == plan.evses
    for evse_id, packets, contents, epochs, sequences, first, last in found:
        assert (epochs, first) == (1, 0), evse_id
        assert packets == contents == sequences == last + 1 >= plan.outage_last, evse_id
    assert count(database, "packet_aside") == 0
    return {evse_id: packets for evse_id, packets, *_ in found}


def enrol(scene: Scene, fleet: Fleet) -> None:
    """Keys, contracts, the events of the outage and a price."""
    plan, now = fleet.plan, datetime.now(UTC)
    with connect(scene.dsn, Role.REGISTRY) as conn:
        enrol_keys(conn, fleet.keys, now=now)
    long_ago = plan.began_at - timedelta(days=30)
    scene.program(valid_from=long_ago)
    with connect(scene.dsn, Role.SETTLE) as conn:
        vehicles = [f"VEHICLE-{evse_id[-5:]}" for evse_id in plan.evses]
        contracts = [
            Contract(f"c-{one}", one, PROGRAM, 850_000, f"a-{one}", long_ago) for one in vehicles
        ]
        put_contracts(conn, contracts, now=now)
    for number, (begin, end) in enumerate(plan.events):
        scene.event(f"day-{number}", begin, end, created_at=begin)
    whole = whole_of(plan)
    scene.price(whole.started_at, whole.ended_at, MICROS_PER_KWH)


def whole_of(plan: Plan) -> Period:
    """Everything that may have been measured."""
    hour = timedelta(hours=1)
    return Period(plan.ended_at - plan.outage - 2 * hour, plan.ended_at + timedelta(hours=23))


def assert_paid_once(
    scene: Scene, plan: Plan, packets: dict[str, int], *, gate: bool = False
) -> SettleSummary:
    """Each packet is one reading, all that the meters counted, and what they counted in events is paid.

    ``gate``: whether the quality gate is asked, as before every scheduled run; it holds nothing.
    """
    total = sum(packets.values())
    judged = scene.judge()
    assert (judged.packets, judged.readings, judged.quarantined) == (total, total, {})
    [(readings, once)] = scene.rows(
        "select count(*)::int, count(distinct (r.evse_id, r.stream_epoch, r.sequence))::int"
        " from reading r join raw_packet p on p.digest = r.digest and p.evse_id = r.evse_id"
    )
    assert readings == once == total
    meters = {evse_id: Meter(plan, evse_id) for evse_id in plan.evses}
    assert _by(
        scene,
        "select evse_id, sum(export_end_milliwh - export_start_milliwh)::bigint from reading group by 1",
    ) == {
        evse_id: meter.exported[packets[evse_id]] - meter.exported[0]
        for evse_id, meter in meters.items()
    }
    hold = check_quality(scene.dsn, whole_of(plan), now=datetime.now(UTC)).hold if gate else ""
    summary = scene.settle(whole_of(plan), hold=hold)
    paid = _by(
        scene,
        "select vehicle_id, sum(energy_milliwh)::bigint from settlement where state = 'booked' group by 1",
    )
    assert paid == {meter.vehicle_id: meter.in_events for meter in meters.values()}
    assert (summary.state, summary.held) == ("settled", 0)
    assert summary.paid_milliwh == sum(meter.in_events for meter in meters.values())
    assert summary.paid_milliwh > 0
    assert summary.amount_minor == summary.booked_minor == sum(scene.owed().values())
    _assert_nothing_changes(scene, plan, summary)
    return summary


def _assert_nothing_changes(scene: Scene, plan: Plan, first: SettleSummary) -> None:
    tables = ("settlement", "line", "journal_line", "posting")
    before = [scene.one(f"select count(*) from {table}") for table in tables]
    assert scene.judge().packets == 0
    # The oracle has been asked; what it would say of the same again is the same.
    again = scene.settle(whole_of(plan), oracle_share_ppm=0)
    assert (again.revisions, again.booked_minor, again.outputs_digest) == (
        0,
        0,
        first.outputs_digest,
    )
    assert [scene.one(f"select count(*) from {table}") for table in tables] == before


def _by(scene: Scene, statement: str) -> dict[str, Any]:
    return dict(scene.rows(statement))
