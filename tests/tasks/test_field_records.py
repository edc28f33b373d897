"""Meters' own records in a real database: readings across packets, in any order, each paid once."""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import permutations

import pytest

from settlement.reasons import PacketReason
from statements.pack import Pack, Subject
from statements.packing import read, write
from statements.verify import verify
from tasks.statement import collect
from tasks.verify_run import verify_run
from tests.ocmf import make_meter, make_record
from tests.packets import make_packet_2
from tests.tasks.metered import EVSE, METERS_CAR, WH_PER_STEP, Metered, in_ocpp
from tests.tasks.scene import Scene, now, vehicle_of


@pytest.fixture
def world(plain_database: str) -> Metered:
    made = Metered(Scene(plain_database))
    made.set_up()
    return made


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(2) as executor:
        yield executor


def stated(world: Metered, vehicle: str = METERS_CAR) -> Pack:
    """A statement, through its file."""
    subject = Subject(vehicle_id=vehicle)
    return read(write(collect(world.scene.dsn, subject, now=now())))


def holds(pack: Pack, threads: Executor) -> None:
    found = verify(pack, threads)
    assert found.stands, [(check.name, check.detail) for check in found.checks]


STEPS = [(n, n + 1, WH_PER_STEP) for n in range(3)]


def test_records_become_the_same_readings_in_whatever_order_they_come(world: Metered) -> None:
    for order in permutations(range(3)):
        # given a meter of its own
        one = Metered(world.scene, make_meter(meter_id="M" + "".join(map(str, order))))
        one.enrol()
        # when records of one point each come in packets of their own
        for number in order:
            one.deliver([one.record(number)])
        # then
        assert one.intervals() == STEPS[:2], order
    assert world.scene.one("select count(*) from meter_record") == 6 * 3
    assert world.scene.one("select count(*) from quarantine") == 0


def test_records_of_one_batch_and_points_of_one_record_are_joined_too(world: Metered) -> None:
    # when
    world.bring([world.record(2, 3), world.record(0, 0, 1), world.record(1, 2)])
    judged = world.scene.judge()
    # then
    assert (judged.packets, judged.records, judged.readings) == (3, 3, 3)
    assert world.intervals() == STEPS
    # and judging once more finds nothing to do
    assert world.scene.judge().packets == 0


def test_no_gap_is_bridged_until_what_is_missing_has_come(world: Metered) -> None:
    # given
    world.deliver([world.record(n) for n in (0, 1, 3)])
    assert world.intervals() == STEPS[:1]
    # when
    world.deliver([world.record(2)])
    # then
    assert world.intervals() == STEPS


def test_a_new_transaction_does_not_continue_the_old_one(world: Metered) -> None:
    world.deliver([world.record(0, 0, 1), world.record(1, 2, 3, kind="B")])
    assert world.intervals() == [STEPS[0], (2, 3, WH_PER_STEP)]


def test_the_same_record_again_in_another_wrapping_is_a_duplicate(world: Metered) -> None:
    # given
    record = world.record(0, 0, 1)
    world.deliver([record])
    # when it comes again in OCPP's object, on a topic and over HTTP without one
    world.deliver([in_ocpp(record)])
    world.bring([in_ocpp(record)], topic=None, source="http")
    world.scene.judge()
    # then
    assert world.intervals() == STEPS[:1]
    assert world.scene.rows("select distinct reason from quarantine") == [("DUPLICATE_CONTENT",)]


def test_another_content_of_a_number_leaves_neither_paid(world: Metered, threads: Executor) -> None:
    # given a record between two others, and another one of its number, before the last has come
    world.deliver([world.record(0), world.record(1)])
    world.deliver([world.record(1, more_wh=900)])
    world.deliver([world.record(2), world.record(3)])
    assert world.scene.rows("select reason from quarantine") == [("CONFLICTING_CONTENT",)]
    # when
    summary = world.scene.settle()
    # then what rests on either is not paid, and what does not is
    assert world.intervals() == STEPS
    assert {one.reason: one.energy_milliwh for one in summary.unpaid} == {
        "ERR_DATA_INCONSISTENCY": 2 * WH_PER_STEP * 1000
    }
    assert summary.paid_milliwh == WH_PER_STEP * 1000
    # and the statement shows both contents
    pack = stated(world)
    assert len(pack.packets) == 5
    holds(pack, threads)


def test_what_lies_between_two_records_and_can_be_no_reading_is_named(world: Metered) -> None:
    # given records more than an hour apart
    world.deliver([world.record(0, 0), world.record(1, 6.5)])
    # when
    summary = world.scene.settle()
    # then
    assert world.intervals() == []
    assert [(one.reason, one.packets, one.energy_milliwh) for one in summary.quarantined] == [
        (PacketReason.VALUE_OUT_OF_RANGE, 1, 6.5 * WH_PER_STEP * 1000)
    ]
    assert "1:05:00" in world.scene.one("select detail from refused_interval")


def test_a_meters_energy_is_settled_recomputed_and_verified_offline(
    world: Metered, threads: Executor
) -> None:
    # given an hour of records, the first half of which one record tells
    world.deliver([world.record(0, 0, 1, 2, 3), *(world.record(n, n + 3) for n in (1, 2, 3))])
    # when
    summary = world.scene.settle()
    # then 7.2 × 0.42 × 0.85 × 1.265 = 3.251556
    assert summary.amount_minor == 325
    assert world.scene.owed() == {"payable:owner:a-meter": 325}
    assert verify_run(world.scene.dsn, summary.run_id).stands
    # and the statement holds each packet once, and the meter's key
    pack = stated(world)
    assert len(pack.packets) == 4
    assert [one.key.meter_id for one in pack.keys] == [world.meter.meter_id]
    holds(pack, threads)
    # and a pack that lacks a record does not stand
    less = read(write(collect(world.scene.dsn, Subject(vehicle_id=METERS_CAR), now=now())))
    without = type(less)(**{**vars(less), "packets": less.packets[1:]})
    assert not verify(without, threads).stands


def test_a_gateways_records_are_found_where_they_were_filed(
    world: Metered, threads: Executor
) -> None:
    # given a meter, on another curve, whose records a gateway brings for the EVSE
    other = Metered(world.scene, make_meter("secp256k1", "GATEWAY-METER"))
    other.enrol(client_id="gateway-1")
    # when they come, one of them twice with different contents, one on a foreign topic
    other.deliver([other.record(n) for n in range(7)], topic="gateway-1")
    other.deliver([other.record(6, more_wh=100)], topic="gateway-1")
    other.deliver([other.record(7)], topic="DE*V2G*E00666")
    summary = world.scene.settle()
    # then
    assert other.intervals() == [(n, n + 1, WH_PER_STEP) for n in range(6)]
    assert world.scene.rows("select reason from quarantine order by 1") == [
        ("CONFLICTING_CONTENT",),
        ("WRONG_TOPIC",),
    ]
    assert summary.paid_milliwh == 5 * WH_PER_STEP * 1000
    holds(stated(other), threads)


def test_a_forgery_that_lands_first_does_not_keep_the_true_record_out(
    world: Metered, threads: Executor
) -> None:
    # given a record under a signature of somebody else, and then the true one
    true = world.record(0, 0, 1)
    forged = b"|".join([*true.split(b"|")[:2], make_record(make_meter()).split(b"|")[2]])
    world.bring([forged])
    world.bring([true])
    # when
    world.scene.judge()
    summary = world.scene.settle()
    # then
    assert world.scene.rows("select reason from quarantine") == [("BAD_SIGNATURE",)]
    assert summary.paid_milliwh == WH_PER_STEP * 1000
    holds(stated(world), threads)


def test_a_packet_around_a_record_is_paid_and_proven_by_the_meters_key(
    world: Metered, threads: Executor
) -> None:
    # given a packet of the charger that carries its meter's record
    scene = world.scene
    scene.land([make_packet_2(scene.keys[EVSE], [make_record(world.meter)], evse_id=EVSE)])
    scene.judge()
    # when
    summary = scene.settle()
    # then
    assert summary.paid_milliwh == 30_000
    pack = stated(world, vehicle_of(EVSE))
    assert {one.key.meter_id for one in pack.keys} == {"", world.meter.meter_id}
    holds(pack, threads)


def test_one_energy_brought_in_two_ways_is_not_paid_twice(world: Metered) -> None:
    # given a record by itself and inside a packet of the charger
    scene, record = world.scene, make_record(world.meter)
    world.deliver([record])
    scene.land([make_packet_2(scene.keys[EVSE], [record], evse_id=EVSE)])
    scene.judge()
    # when
    summary = scene.settle()
    # then both claim the same time of one EVSE
    assert summary.paid_milliwh == 0
    assert [one.reason for one in summary.unpaid] == ["ERR_DATA_INCONSISTENCY"]
