"""The evening: repeatable, honest about itself, and with every fault in it."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import pairwise
from random import Random

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from joserfc import jws
from joserfc.jwk import ECKey

from settlement import packets
from settlement.reasons import PacketReason
from settlement.signatures import DeviceKey, Keyring, stands
from settlement.verdicts import LandedPacket, Policy, judge
from simulators import grid
from simulators.evening import UnusableEveningError
from simulators.grid import EVENT_NAMES, THERMAL_PROGRAM
from simulators.labels import ALREADY_LANDED, READING, Label, Phase
from simulators.mischief import NoRoomError, give_out
from simulators.plans import Battery, make_plans
from simulators.roster import RATED_W
from simulators.signing import payload_of
from tests.simulators.evenings import DAY, RECEIVED_BY, fresh, small


def device_keys(evening):
    return Keyring(
        DeviceKey(row.key_id, row.evse_id, row.public_key, row.valid_from, row.valid_to)
        for row in evening.roster()
    )


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
    # but the one that only a meter's own record is refused for: the fleet sends none
    known = {reason.value for reason in PacketReason} - {PacketReason.NOT_BILLABLE.value}
    assert set(small().truth.refused) == known


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


def test_each_program_and_each_kind_of_battery_occurs_and_only_the_thermal_one_asks_for_it():
    plans = fresh(evses=10, step_s=60).plans
    assert {plan.program for plan in plans} == set(EVENT_NAMES)
    assert {plan.battery for plan in plans if plan.program == THERMAL_PROGRAM} == set(Battery)
    assert {plan.battery for plan in plans if plan.program != THERMAL_PROGRAM} == {None}


def test_the_event_that_is_called_off_is_called_off_while_it_is_under_way():
    [event] = [event for event in small().events if event.cancelled_at]
    assert event.until == event.cancelled_at
    assert event.started_at < event.until < event.ended_at
    assert (event.as_json()["status"], "cancelled_at" in event.as_json()) == ("cancelled", True)


def test_the_event_that_supersedes_another_is_announced_meanwhile_before_it_starts():
    first, other = grid.superseded(small().day)
    assert other in small().events
    assert first.program == other.program
    assert first.created_at < first.started_at < other.created_at < other.started_at
    assert other.ended_at <= first.ended_at
    assert len({one.event_id for one in small().events}) == len(small().events)


def test_one_price_is_revised_and_still_differs_from_its_neighbours():
    # given the prices as first published and as they count in the end
    changed = [
        (first, last)
        for first, last in zip(small().first_prices, small().prices, strict=True)
        if first != last
    ]

    # when what has changed is looked at
    [(first, last)] = changed

    # then it is the price of one half hour in an event that stands then, and it is down
    assert last.price_micros_per_kwh < first.price_micros_per_kwh
    assert (first.program, first.started_at) == (last.program, last.started_at)
    assert any(
        one.program == last.program
        and one.started_at <= last.started_at
        and last.ended_at <= one.until
        for one in small().events
    )
    assert small().feed["prices"] == [one.as_json() for one in small().first_prices]


def test_registers_follow_the_powers_within_one_percent_unless_the_meter_lies():
    for step in small().steps:
        # given what the powers say
        c = step.content
        assert c.power_start_w is not None
        assert c.power_end_w is not None
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
        charge, power = step.content.soc_end_ppm, step.content.power_start_w
        assert charge is not None
        assert power is not None
        assert 0 < charge <= 1_000_000
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
    assert {d.phase for d in small().deliveries if d.label is Label.STRAGGLING} == {
        Phase.DAYS_LATER
    }
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


@pytest.mark.parametrize("said", ["first_prices", "prices"])
def test_prices_cover_the_evening_without_a_gap(said):
    for program in EVENT_NAMES:
        prices = [price for price in getattr(small(), said) if price.program == program]
        assert all(one.ended_at == other.started_at for one, other in pairwise(prices))
        assert all(
            one.price_micros_per_kwh != other.price_micros_per_kwh
            for one, other in pairwise(prices)
        )
        assert prices[0].started_at <= min(step.content.started_at for step in small().steps)
        assert prices[-1].ended_at >= max(event.ended_at for event in small().events)


@pytest.mark.parametrize("seed", range(8))
def test_the_smallest_fleet_has_every_fault_too_and_every_trouble_of_the_grid_and_the_batteries(
    seed,
):
    # given the smallest evening
    evening = fresh(seed=seed, evses=10, step_s=60)

    # when its truth is looked at
    truth = evening.truth
    _, superseding = grid.superseded(evening.day)
    revised = evening.prices[grid.revised_at(evening.prices)]

    # then everything has happened to somebody
    assert set(truth.deliveries) == set(Label)
    assert {reason for _, _, reason in truth.unpaid_of_event} == {
        "EVENT_CANCELLED",
        "THERMAL_LIMIT_REACHED",
    }
    assert any(event == superseding.event_id for _, event in truth.paid)
    assert any(start == revised.started_at for _, _, start in truth.paid_by_price)


@pytest.mark.parametrize("seed", range(5))
def test_the_default_evening_has_the_size_of_a_demonstration(seed):
    steps = len(fresh(seed=seed, evses=50, step_s=15).steps)
    assert 20_000 <= steps <= 30_000


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"evses": 9}, "evses"),
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


def test_what_a_meter_lies_is_no_more_than_its_charger_could_have_delivered():
    # given the intervals in which a meter lies
    lies = [step.content for step in small().steps if step.lies]

    # when what it counts is compared with the charger's rating
    counted = sum(one.export_end_milliwh - one.export_start_milliwh for one in lies)
    hours = sum(((one.ended_at - one.started_at) for one in lies), timedelta()) / timedelta(hours=1)

    # then the register is nowhere that it could not have got to
    assert lies
    assert counted < 1.1 * RATED_W * 1_000 * hours
