"""The truth: every exported milliwatt-hour in one place, for one reason."""

from collections import Counter
from datetime import timedelta

from settlement.reasons import UnpaidReason
from simulators.labels import Phase
from simulators.truth import divide
from tests.simulators.evenings import small


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
    assert reasons == {
        "CHARGED_BEFORE",
        "ERR_DATA_INCONSISTENCY",
        "EVENT_CANCELLED",
        "NETTED",
        "NO_CONTRACT",
        "OUTSIDE_WINDOW",
        "THERMAL_LIMIT_REACHED",
        "THERMAL_MISSING",
    }
    assert reasons <= {reason.value for reason in UnpaidReason}


def test_what_straggles_changes_what_is_paid_for_its_event_and_nothing_else():
    # given the truth while packets are still to come, and in the end
    before, after = small().truth_in_time, small().truth
    [plan] = [plan for plan in small().plans if plan.straggles]

    # when they are compared
    changed = {key for key in after.paid if before.paid.get(key) != after.paid[key]}

    # then one settlement has grown by exactly what was still to come
    assert changed == {(plan.vehicle_id, small().events[0].event_id)}
    (key,) = changed
    assert after.paid[key] - before.paid[key] == before.unverified[plan.vehicle_id, "NOT_YET_SENT"]
    assert before.unpaid == after.unpaid
    assert {d.phase for d in small().stragglers} == {Phase.DAYS_LATER}
    assert len(small().in_time) + len(small().stragglers) == len(small().deliveries)


def test_the_vehicle_without_a_contract_has_a_key_and_earns_nothing():
    # given the one row without a contract among the keys in force
    [row] = [row for row in small().roster() if not row.has_contract and row.valid_to is None]

    # when its energy is looked up
    truth = small().truth

    # then all of it is unpaid for that one reason
    assert truth.exported[row.vehicle_id] > 0
    assert truth.unpaid[row.vehicle_id, "NO_CONTRACT"] == truth.exported[row.vehicle_id]


def test_the_truth_divides_a_straddling_interval_by_time_with_the_rest_to_the_last_part():
    # given 1,000 mWh over 30 s of which 10 s lie before the edge
    content = small().steps[0].content
    edge = content.started_at + timedelta(seconds=10)

    # when it is divided
    parts = divide(1_000, content, [edge])

    # then the earlier part is rounded down
    assert parts == [(content.started_at, 333), (edge, 667)]
