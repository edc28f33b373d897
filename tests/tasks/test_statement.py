"""Statements from a real database: gathered, verified from the file alone, and bounded."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from datetime import timedelta

import polars as pl
import pytest

from settlement.booking import Share
from settlement.periods import Period
from settlement.schemas import SITE, TEMPERATURE
from statements.pack import Pack, Subject
from statements.packing import read, write
from statements.verify import State, Verified, verify
from storage import evidence, signed
from storage.engine import Role, connect
from storage.evidence import TooMuchError
from storage.temperatures import put_temperatures
from storage.terms import put_sites
from tasks.ledger import close_period
from tasks.statement import NothingBookedError, collect
from tests.tasks.scene import (
    HOUR,
    PERIOD,
    PROGRAM,
    START,
    WHOLE,
    Scene,
    now,
    rfc3339,
    vehicle_of,
)

A, B = "DE*V2G*E00001", "DE*V2G*E00002"
VEHICLE = vehicle_of(A)


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def scene(plain_database: str) -> Scene:
    return Scene(plain_database)


def delivering(scene: Scene, *evses: str, packets: int = 240) -> None:
    scene.set_up(*evses)
    scene.deliver(scene.packet(evse, n) for evse in evses for n in range(packets))


def stated(scene: Scene, **subject: object) -> Pack:
    """A statement, through its file."""
    return read(write(collect(scene.dsn, Subject(**subject), now=now())))  # type: ignore[arg-type]


def checks(found: Verified) -> dict[str, str]:
    return {check.name: f"{check.state} {check.detail}".strip() for check in found.checks}


def holds(pack: Pack, threads: Executor) -> None:
    found = verify(pack, threads)
    assert found.stands, checks(found)


def test_each_subject_gives_a_pack_that_stands(scene: Scene, threads: Executor) -> None:
    # given
    delivering(scene, A, B)
    scene.settle()
    close_period(scene.dsn, clock=now)
    # when
    packs = {
        "vehicle": stated(scene, vehicle_id=VEHICLE),
        "event": stated(scene, event_id="peak"),
        "owner": stated(scene, account=f"a-{VEHICLE}"),
        "period": stated(scene, period=WHOLE),
        "all of them": stated(
            scene, vehicle_id=VEHICLE, event_id="peak", account=f"a-{VEHICLE}", period=WHOLE
        ),
    }
    # then
    assert {name: len(pack.bookings) for name, pack in packs.items()} == {
        "vehicle": 1, "event": 2, "owner": 1, "period": 2, "all of them": 1,
    }  # fmt: skip
    for pack in packs.values():
        holds(pack, threads)
        assert all(one.proof for one in pack.bookings)
    kept = {one.number: one for one in packs["event"].seals}
    assert {c.state for c in verify(packs["event"], threads, against=kept).checks} == {State.HOLDS}


def test_what_earned_nothing_is_stated_with_its_reason(scene: Scene, threads: Executor) -> None:
    # given: discharge after the event too, and a vehicle without a contract
    scene.enrol(A)
    scene.enrol(B, contract=False)
    scene.event()
    scene.price(WHOLE.started_at, WHOLE.ended_at, 420_000)
    scene.deliver(scene.packet(evse, n) for evse in (A, B) for n in range(360))
    scene.settle()
    # when
    mine, other = stated(scene, vehicle_id=VEHICLE), stated(scene, vehicle_id=vehicle_of(B))
    # then
    assert mine.unpaid["reason"].to_list() == ["OUTSIDE_WINDOW"]
    assert len(mine.bookings) == 1
    assert set(other.unpaid["reason"]) == {"OUTSIDE_WINDOW", "NO_CONTRACT"}
    assert other.bookings == ()
    holds(mine, threads)
    holds(other, threads)


def test_a_revision_is_verified_as_known_by_its_own_run(scene: Scene, threads: Executor) -> None:
    # given: a price that is revised after the first booking, and packets that come late
    delivering(scene, A, packets=100)
    scene.settle()
    scene.price(WHOLE.started_at, WHOLE.ended_at, 500_000)
    scene.deliver(scene.packet(A, n) for n in range(100, 240))
    scene.settle()
    # when
    pack = stated(scene, vehicle_id=VEHICLE)
    # then
    (one,) = pack.bookings
    assert one.settlement["revision"] == "2"
    assert one.supersedes is not None
    assert [a.account for a in one.before] == [f"a-{VEHICLE}"]
    assert {entry["kind"] for entry in one.entries} == {"adjustment"}
    holds(pack, threads)


def test_a_correction_that_reverses_and_rebooks_is_verified(
    scene: Scene, threads: Executor
) -> None:
    # given
    scene.set_up(A)
    scene.program(valid_from=START - HOUR, version=2, correction="reverse_and_rebook")
    scene.deliver(scene.packet(A, n) for n in range(240))
    scene.settle()
    scene.price(WHOLE.started_at, WHOLE.ended_at, 500_000)
    scene.settle(Period(START - HOUR / 2, START + HOUR))
    # when
    pack = stated(scene, vehicle_id=VEHICLE)
    # then
    (one,) = pack.bookings
    assert {entry["kind"] for entry in one.entries} == {"reversal", "rebooking"}
    holds(pack, threads)


def test_a_settlement_that_lost_its_energy_is_stated_as_nothing(
    scene: Scene, threads: Executor
) -> None:
    # given: the event is cancelled after it was booked
    delivering(scene, A)
    scene.settle()
    scene.event(status="cancelled")
    scene.approve(2)
    scene.settle()
    # when
    pack = stated(scene, vehicle_id=VEHICLE)
    # then
    (one,) = pack.bookings
    assert pack.settlements["amount_minor"].to_list() == [0]
    assert one.lines == ()
    assert pack.unpaid["reason"].to_list() == ["EVENT_CANCELLED"]
    holds(pack, threads)


def test_a_baseline_that_was_computed_is_in_the_pack_as_used(
    scene: Scene, threads: Executor
) -> None:
    # given: half an hour of discharge before the event is the baseline, and an approved event that was
    # created when that was known
    scene.enrol(A)
    scene.price(WHOLE.started_at, WHOLE.ended_at, 420_000)
    scene.program(
        valid_from=START - HOUR,
        version=2,
        quantity="against_baseline",
        baseline={"method": "before_event", "before_min": 30},
    )
    scene.deliver(
        scene.packet(
            A,
            n,
            started_at=rfc3339(START + (n - 120) * PERIOD),
            ended_at=rfc3339(START + (n - 119) * PERIOD),
            **({"power_start_w": "3600", "power_end_w": "3600"} if n < 120 else {}),
            **(
                {
                    "export_start_wh": f"{1_000_000 - 15 * (120 - n) + 3600}.000",
                    "export_end_wh": f"{1_000_000 - 15 * (119 - n) + 3600}.000",
                }
                if n < 120
                else {}
            ),
        )
        for n in range(360)
    )
    scene.event(created_at=now(), status="active")
    scene.approve(1)
    scene.settle()
    # when
    pack = stated(scene, vehicle_id=VEHICLE)
    # then
    assert pack.runs[0].known.baselines["baseline_w"].unique().to_list() == [-3600]
    assert pack.settlements["energy_milliwh"].to_list() == [3_600_000]
    holds(pack, threads)


def test_a_run_that_found_nothing_new_changes_no_statement(scene: Scene, threads: Executor) -> None:
    # given
    delivering(scene, A, packets=360)
    scene.settle()
    before = stated(scene, vehicle_id=VEHICLE)
    # when
    scene.settle()
    after = stated(scene, vehicle_id=VEHICLE)
    # then
    assert [one.settlement_id for one in after.bookings] == [
        one.settlement_id for one in before.bookings
    ]
    assert after.unpaid.height == before.unpaid.height == 1
    holds(after, threads)


def test_a_conflict_is_in_the_pack_with_both_packets(scene: Scene, threads: Executor) -> None:
    # given
    delivering(scene, A)
    scene.deliver([scene.packet(A, 7, power_start_w="7100", power_end_w="7300")])
    scene.settle()
    # when
    pack = stated(scene, vehicle_id=VEHICLE)
    # then
    assert len(pack.conflicts) == 1
    assert sum(packet.judged_at is None for packet in pack.packets) == 1
    assert len(pack.packets) == 241
    holds(pack, threads)


def test_a_packet_that_landed_beside_a_false_one_is_found(scene: Scene, threads: Executor) -> None:
    # given: the same signed bytes came first under a signature that does not stand
    scene.set_up(A)
    true = scene.packet(A, 0)
    head, _, signature = true.rpartition(b".")
    scene.deliver([head + b"." + signature[::-1].replace(b"=", b"A")])
    scene.deliver([true, *(scene.packet(A, n) for n in range(1, 240))])
    scene.settle()
    # when
    pack = stated(scene, vehicle_id=VEHICLE)
    # then
    assert len(pack.packets) == 240
    assert true in {packet.packet for packet in pack.packets}
    holds(pack, threads)


def test_whoever_shared_the_charger_is_in_the_pack_and_nobody_else(
    scene: Scene, threads: Executor
) -> None:
    # given: another car at the same charger in the hour after
    delivering(scene, A, B)
    later = [scene.packet(A, n, vehicle_id="GUEST") for n in range(240, 300)]
    scene.deliver(later)
    scene.settle()
    # when
    pack = stated(scene, vehicle_id=VEHICLE)
    # then
    assert {one.key.evse_id for one in pack.keys} == {A}
    assert len(pack.packets) == 300
    holds(pack, threads)


def test_shares_sites_and_temperatures_are_in_the_pack(scene: Scene, threads: Executor) -> None:
    # given
    scene.set_up(A)
    scene.contract(
        A,
        account="",
        site_id="site-1",
        shares=(Share("aggregator", "agg", 100_000), Share("owner", "anna", 900_000)),
    )
    scene.program(
        valid_from=START - HOUR,
        version=2,
        thermal={"curve_c": [["20", "1"], ["45", "1"], ["55", "0"]], "missing": "hold"},
    )
    sites = pl.DataFrame([("site-1", 52_520_008, 13_404_954, "")], SITE.schema, orient="row")
    heat = pl.DataFrame(
        [(A, VEHICLE, START + n * timedelta(minutes=1), 50_000, now()) for n in range(-5, 61)],
        TEMPERATURE.schema,
        orient="row",
    )
    with connect(scene.dsn, Role.SETTLE) as conn:
        put_sites(conn, sites, now=now())
        conn.commit()
        put_temperatures(conn, heat, now=now())
    scene.deliver(scene.packet(A, n) for n in range(240))
    scene.settle()
    # when
    pack = stated(scene, account="agg")
    # then
    (one,) = pack.bookings
    assert one.shares == (Share("aggregator", "agg", 100_000), Share("owner", "anna", 900_000))
    assert pack.lines["thermal_factor_ppm"].to_list() == [500_000]
    assert pack.temperatures.height == 66
    assert pack.runs[0].known.sites is not None
    holds(pack, threads)


def test_a_calendar_of_events_is_verified_run_by_run(scene: Scene, threads: Executor) -> None:
    # given: two events, each settled by a run of its own
    scene.set_up(A)
    scene.event("late", START + HOUR, START + HOUR + HOUR / 2)
    scene.deliver(scene.packet(A, n) for n in range(360))
    scene.settle(Period(START - HOUR, START + HOUR))
    scene.settle(Period(START + HOUR, START + 3 * HOUR))
    # when
    both = stated(scene, vehicle_id=VEHICLE)
    late = stated(scene, period=Period(START + HOUR, START + 2 * HOUR))
    # then
    assert [one.key[1] for one in both.bookings] == ["peak", "late"]
    assert len(both.runs) == 2
    assert [one.key[1] for one in late.bookings] == ["late"]
    holds(both, threads)
    holds(late, threads)


def test_nothing_is_stated_of_what_nobody_settled(scene: Scene) -> None:
    delivering(scene, A)
    with pytest.raises(NothingBookedError) as caught:
        collect(scene.dsn, Subject(vehicle_id="NOBODY"), now=now())
    assert "vehicle NOBODY" in str(caught.value)


def test_more_than_a_statement_holds_is_refused(scene: Scene, monkeypatch) -> None:
    # given
    delivering(scene, A, B)
    scene.settle()
    # when
    monkeypatch.setattr(signed, "PACKETS_MAX", 300)
    with pytest.raises(TooMuchError) as packets:
        collect(scene.dsn, Subject(event_id="peak"), now=now())
    monkeypatch.setattr(evidence, "SETTLEMENTS_MAX", 1)
    with pytest.raises(TooMuchError) as settlements:
        collect(scene.dsn, Subject(event_id="peak"), now=now())
    # then
    assert "name a vehicle, an event or a shorter period" in str(packets.value)
    assert settlements.value.what == "settlements"


def test_a_statement_without_evidence_reads_no_packet(scene: Scene) -> None:
    # given
    delivering(scene, A)
    scene.settle()
    # when
    pack = collect(scene.dsn, Subject(event_id="peak"), now=now(), with_evidence=False)
    # then
    assert pack.packets == ()
    assert [one.program for one in pack.programs] == [PROGRAM]
    assert pack.settlements["amount_minor"].to_list() != [0]
