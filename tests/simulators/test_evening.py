"""The evening: repeatable, honest about itself, and with every fault in it."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from joserfc import jws
from joserfc.jwk import ECKey

from settlement import packets
from settlement.reasons import PacketReason, UnpaidReason
from settlement.signatures import DeviceKey, stands
from settlement.verdicts import LandedPacket, Policy, judge
from simulators.evening import UnusableEveningError
from simulators.labels import ALREADY_LANDED, READING, Label, Phase
from simulators.mischief import NoRoomError, give_out
from simulators.plans import make_plans
from simulators.signing import payload_of
from tests.simulators.evenings import DAY, RECEIVED_BY, fresh, small


def device_keys(evening):
    return {
        row.key_id: DeviceKey(row.key_id, row.evse_id, row.public_key, row.valid_from, row.valid_to)
        for row in evening.roster()
    }


def test_the_same_seed_gives_the_same_bytes_in_the_same_order():
    # given two evenings of one seed
    one, other = fresh(), fresh()

    # when both are made
    packets_of = [
        [(d.topic_evse_id, d.packet, d.label) for d in e.deliveries] for e in (one, other)
    ]

    # then nothing tells them apart
    assert packets_of[0] == packets_of[1]
    assert one.truth == other.truth
    assert one.feed == other.feed
    assert one.roster() == other.roster()


def test_another_seed_gives_another_evening():
    assert fresh(seed=8).truth != small().truth


def test_given_keys_change_the_signatures_and_not_the_truth():
    # given keys from elsewhere
    plans = make_plans(7, DAY, evses=12, step=timedelta(seconds=30))
    keys = {plan.evse_id: generate_private_key(SECP256R1()) for plan in plans}

    # when the evening is made with them
    evening = fresh(keys=keys)

    # then other packets say the same
    assert evening.truth.paid == small().truth.paid
    assert evening.truth.refused == small().truth.refused
    good = [{d.packet for d in e.deliveries if d.label is Label.GOOD} for e in (evening, small())]
    assert good[0].isdisjoint(good[1])


def test_every_label_occurs():
    assert set(small().truth.deliveries) == set(Label)


def test_every_reason_for_a_refused_packet_occurs_and_is_one_the_rules_know():
    assert set(small().truth.refused) == {reason.value for reason in PacketReason}


def test_every_delivery_becomes_what_the_simulator_expects():
    # given the keys of the roster, and what the identities of storage decide, which is not judged here
    evening = small()
    by_storage = {
        "DUPLICATE_CONTENT": READING,
        "CONFLICTING_CONTENT": READING,
        ALREADY_LANDED: READING,
    }
    landed = [LandedPacket(d.packet, RECEIVED_BY, 1, d.topic_evse_id) for d in evening.deliveries]

    # when the rules judge every delivery
    with ThreadPoolExecutor(2) as executor:
        verdicts = judge(landed, device_keys(evening), Policy(), executor)

    # then each gets the verdict that its label asks for
    found = [v.reason.value if v.reason else READING for v in verdicts]
    assert found == [by_storage.get(d.expected, d.expected) for d in evening.deliveries]


def test_a_packet_stands_for_a_jose_library_and_for_the_rules():
    # given the first good packet of each EVSE
    evening = small()
    keys = {row.key_id: row for row in evening.roster()}
    first = {d.evse_id: d for d in evening.deliveries if d.label is Label.GOOD}

    for delivery in first.values():
        # when both check it
        envelope = packets.split(delivery.packet)
        row = keys[envelope.key_id]
        jose = jws.deserialize_compact(delivery.packet, ECKey.import_key(row.public_key), ["ES256"])

        # then both say that it stands, and what was meant was signed
        assert stands(device_keys(evening)[row.key_id], envelope)
        assert jose.payload == payload_of(delivery.content)
        assert packets.read(envelope) == delivery.content


def test_what_was_exported_is_paid_or_unpaid_or_unverified_to_the_last_milliwatt_hour():
    # given the truth
    truth = small().truth

    # when each vehicle's parts are added up
    parts: Counter[str] = Counter()
    for energies in (truth.paid, truth.unpaid, truth.unverified):
        for (vehicle, _), energy in energies.items():
            parts[vehicle] += energy

    # then they are what its meter counted
    registers: dict[str, tuple[int, int]] = {}
    for step in small().steps:
        low, _ = registers.get(step.content.vehicle_id, (step.content.export_start_milliwh, 0))
        registers[step.content.vehicle_id] = (low, step.content.export_end_milliwh)
    assert dict(parts) == {vehicle: high - low for vehicle, (low, high) in registers.items()}
    assert truth.exported == dict(parts)


def test_energy_by_price_adds_up_to_energy_by_event():
    sums: Counter[tuple[str, str]] = Counter()
    for (vehicle, event, _), energy in small().truth.paid_by_price.items():
        sums[vehicle, event] += energy
    assert dict(sums) == small().truth.paid


def test_each_reason_for_unpaid_energy_occurs_and_is_one_the_rules_know():
    reasons = set(small().truth.unpaid_by_reason)
    assert reasons == {"ERR_DATA_INCONSISTENCY", "NO_CONTRACT", "OUTSIDE_WINDOW"}
    assert reasons <= {reason.value for reason in UnpaidReason}


def test_the_vehicle_without_a_contract_has_a_key_and_earns_nothing():
    # given the one row without a contract among the keys in force
    [row] = [row for row in small().roster() if not row.has_contract and row.valid_to is None]

    # when its energy is looked up
    truth = small().truth

    # then all of it is unpaid for that one reason
    assert truth.exported[row.vehicle_id] > 0
    assert truth.unpaid[row.vehicle_id, "NO_CONTRACT"] == truth.exported[row.vehicle_id]


def test_registers_follow_the_powers_within_one_percent_unless_the_meter_lies():
    for step in small().steps:
        # given what the powers say
        c = step.content
        trapezoid = (c.power_start_w + c.power_end_w) * 30 * 1_000 / 7_200

        # when the registers are compared with it
        net = (
            c.export_end_milliwh
            - c.export_start_milliwh
            - c.import_end_milliwh
            + c.import_start_milliwh
        )

        # then they agree, or disagree by far
        if step.lies:
            assert net > 2.5 * trapezoid > 0
        else:
            assert abs(net - trapezoid) <= 0.01 * abs(trapezoid) + 2


def test_registers_state_of_charge_and_sequence_run_on_without_a_gap_within_a_stay():
    for one, other in pairwise(step.content for step in small().steps):
        if one.session_id != other.session_id:
            continue
        assert other.started_at == one.ended_at
        assert other.export_start_milliwh == one.export_end_milliwh
        assert other.import_start_milliwh == one.import_end_milliwh
        assert other.soc_start_ppm == one.soc_end_ppm
        assert (other.stream_epoch, other.sequence) in {
            (one.stream_epoch, one.sequence + 1),
            (one.stream_epoch + 1, 0),
        }


def test_the_state_of_charge_stays_within_the_battery_and_the_power_within_its_range():
    for step in fresh(seed=3, evses=60).steps:
        assert 0 < step.content.soc_end_ppm <= 1_000_000
        power = step.content.power_start_w
        assert power <= 0 or 3_000 <= power <= 11_000


def test_some_intervals_straddle_the_edge_of_a_window_while_exporting():
    edges = {edge for event in small().events for edge in (event.started_at, event.ended_at)}
    straddling = [
        step
        for step in small().steps
        for edge in edges
        if step.content.started_at < edge < step.content.ended_at
        and step.content.export_end_milliwh > step.content.export_start_milliwh
    ]
    assert straddling


def test_late_packets_and_replays_come_after_everything_live():
    phases = [d.phase for d in small().deliveries]
    assert phases == sorted(phases)
    assert {d.phase for d in small().deliveries if d.label is Label.LATE} == {Phase.BUFFERED}
    assert {d.phase for d in small().deliveries if d.label is Label.CONFLICTING} == {Phase.REPLAY}


def test_a_duplicate_is_byte_for_byte_what_came_before_and_a_twin_differs_in_its_signature_only():
    seen: set[bytes] = set()
    for d in small().deliveries:
        if d.expected == ALREADY_LANDED:
            assert d.packet in seen
        if d.label is Label.OTHER_SIGNATURE:
            signed = d.packet.rpartition(b".")[0]
            assert d.packet not in seen
            assert signed in {packet.rpartition(b".")[0] for packet in seen}
        seen.add(d.packet)


def test_refused_packets_are_different_bytes_except_for_replays_elsewhere():
    # given everything that is refused, and the bytes that also came on their own topic
    refused = [d for d in small().deliveries if d.expected not in (READING, ALREADY_LANDED)]
    good = {d.packet for d in small().deliveries if d.expected == READING}

    # when bytes are counted
    counts = Counter(d.packet for d in refused)

    # then no packet is counted twice, and only replays elsewhere are also readings
    assert set(counts.values()) == {1}
    assert {d.label for d in refused if d.packet in good} == {Label.REPLAYED_ELSEWHERE}


def test_tampered_packets_come_both_beside_the_good_one_and_instead_of_it():
    def identity(d):
        return d.content.evse_id, d.content.stream_epoch, d.content.sequence

    good = {identity(d) for d in small().deliveries if d.expected == READING}
    beside = {identity(d) in good for d in small().deliveries if d.label is Label.TAMPERED}
    assert beside == {True, False}


def test_prices_cover_the_evening_without_a_gap():
    prices = small().prices
    assert all(one.ended_at == other.started_at for one, other in pairwise(prices))
    assert prices[0].started_at <= min(step.content.started_at for step in small().steps)
    assert prices[-1].ended_at >= max(event.ended_at for event in small().events)


def test_the_smallest_fleet_has_every_fault_too():
    assert set(fresh(evses=4, step_s=15).truth.deliveries) == set(Label)


@pytest.mark.parametrize("seed", range(5))
def test_the_default_evening_has_the_size_of_a_demonstration(seed):
    steps = len(fresh(seed=seed, evses=50, step_s=15).steps)
    assert 20_000 <= steps <= 30_000


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"evses": 3}, "evses"),
        ({"evses": 5_001}, "evses"),
        ({"step_s": 7}, "step_s"),
        ({"received_by": RECEIVED_BY - timedelta(days=1)}, "received_by"),
        ({"received_by": RECEIVED_BY.replace(tzinfo=None)}, "received_by"),
    ],
)
def test_an_evening_out_of_bounds_is_refused_by_name(changes, named):
    with pytest.raises(UnusableEveningError, match=named):
        fresh(**changes)


def test_an_evening_without_room_for_every_fault_says_what_to_do():
    with pytest.raises(NoRoomError, match="take more chargers"):
        give_out(range(20), former=frozenset({1}), of=40, rng=Random(7))


def test_a_future_packet_is_signed_an_hour_after_the_last_receipt():
    future = [
        packets.identify(packets.split(d.packet))
        for d in small().deliveries
        if d.label is Label.FUTURE
    ]
    assert all(one.signed_at > RECEIVED_BY + timedelta(hours=1) for one in future)


def test_the_truth_divides_a_straddling_interval_by_time_with_the_rest_to_the_last_part():
    # given 1,000 mWh over 30 s of which 10 s lie before the edge
    from simulators.truth import divide

    content = replace(small().steps[0].content, export_start_milliwh=0, export_end_milliwh=1_000)
    edge = content.started_at + timedelta(seconds=10)

    # when it is divided
    parts = divide(content, [edge])

    # then the earlier part is rounded down
    assert parts == [(content.started_at, 333), (edge, 667)]
