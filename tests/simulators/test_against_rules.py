"""The truth of an evening beside what the rules make of it: written apart, they must come to the same."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

import polars as pl
import pytest
import yaml

from cli.demo.enrol import PROGRAMS, contract_of
from settlement import engine, programs
from settlement.facts import Facts
from settlement.periods import Period
from settlement.schemas import CONTRACT, READING, SITE, TEMPERATURE
from settlement.timeline import Price, Window
from simulators import grid
from simulators.evening import Evening
from simulators.grid import GridEvent
from simulators.grid import Price as PublishedPrice
from simulators.labels import READING as BECOMES_A_READING
from simulators.labels import Delivery, Label
from simulators.truth import Truth
from tests.simulators.evenings import DAY, fresh

PERIOD = Period(
    datetime(DAY.year, DAY.month, DAY.day, 16, tzinfo=UTC),
    datetime(DAY.year, DAY.month, DAY.day, 21, tzinfo=UTC),
)

WORTH = {"EVENT_CANCELLED", "THERMAL_LIMIT_REACHED"}
"""Reasons of which the truth says what the energy would have been worth."""

Energies = dict[tuple[str, str], int]
"""Energy, or money, by vehicle and event or reason."""


@dataclass(frozen=True)
class Outcome:
    """What came of an evening, as far as the truth says it too."""

    paid: Energies
    unpaid: Energies
    cents: Energies
    worth: dict[tuple[str, str, str], int]


@cache
def evening_of(seed: int) -> Evening:
    return fresh(seed=seed, step_s=60, evses=14)


def facts_of(
    evening: Evening, events: Sequence[GridEvent], prices: Sequence[PublishedPrice]
) -> Facts:
    roster = [row for row in evening.roster() if row.has_contract]
    places = {(row.site_id, row.latitude_microdeg, row.longitude_microdeg) for row in roster}
    return Facts(
        programs={
            name: (
                programs.parse(yaml.safe_load((PROGRAMS / f"{name}.yaml").read_text()), name),
            )
            for name in grid.EVENT_NAMES
        },
        windows=[
            Window(
                one.event_id, one.program, one.started_at, one.ended_at, one.created_at,
                cancelled_at=one.cancelled_at,
            )
            for one in events
        ],
        prices=[
            Price(one.program, one.started_at, one.ended_at, one.price_micros_per_kwh, PERIOD.ended_at)
            for one in prices
        ],
        contracts=pl.DataFrame(
            [
                {name: value for name, value in asdict(contract_of(row)).items() if name != "shares"}
                for row in roster
            ],
            schema_overrides=CONTRACT.schema,
        ).select(CONTRACT.schema.names()),
        sites=pl.DataFrame(
            [(*place, "") for place in sorted(places)], schema=SITE.schema, orient="row"
        ),
        temperatures=pl.DataFrame(
            [asdict(one) | {"received_at": one.measured_at} for one in evening.temperatures],
            schema=TEMPERATURE.schema,
        ),
    )  # fmt: skip


def readings_of(evening: Evening, deliveries: list[Delivery]) -> pl.DataFrame:
    kept = [one for one in deliveries if one.expected == BECOMES_A_READING]
    return (
        pl.DataFrame(
            [
                asdict(one.content)
                | {
                    "key_id": evening.signers[one.evse_id].key_id,
                    "digest": one.packet[:32],
                    "received_at": evening.received_by,
                    "conflicted": one.label is Label.CONFLICTED,
                }
                for one in kept
            ],
            schema_overrides=dict(READING.schema),
        )
        .select(*READING.schema.names(), "conflicted")
        .sort("started_at", "evse_id")
    )


def settled(evening: Evening, deliveries: list[Delivery], facts: Facts) -> Outcome:
    readings = readings_of(evening, deliveries)

    def overlapping(period: Period) -> pl.DataFrame:
        return readings.filter(
            (pl.col("started_at") < period.ended_at) & (pl.col("ended_at") > period.started_at)
        )

    found = engine.compute(overlapping, facts, PERIOD, stretch=timedelta(hours=4))
    booked = found.settlements.filter(
        (pl.col("state") == "booked") & (pl.col("energy_milliwh") > 0)
    )
    plain = booked.filter(pl.col("program") == grid.PROGRAM)
    unpaid = Counter[tuple[str, str]]()
    worth = Counter[tuple[str, str, str]]()
    for vehicle, event, reason, energy, micros in found.unpaid.select(
        "vehicle_id", "event_id", "reason", "energy_milliwh", "would_have_been_micros"
    ).iter_rows():
        unpaid[vehicle, reason] += energy
        if reason in WORTH:
            worth[vehicle, event, reason] += micros
    return Outcome(
        paid=by_event(booked, "energy_milliwh"),
        unpaid={key: energy for key, energy in unpaid.items() if energy},
        cents=by_event(plain, "amount_minor"),
        worth={key: micros for key, micros in worth.items() if micros},
    )


def by_event(frame: pl.DataFrame, column: str) -> Energies:
    return {
        (vehicle, event): number
        for vehicle, event, number in frame.select("vehicle_id", "event_id", column).iter_rows()
    }


def meant(truth: Truth) -> Outcome:
    return Outcome(
        paid=dict(truth.paid),
        unpaid=dict(truth.unpaid),
        cents=dict(truth.paid_cents),
        worth=dict(truth.worth_micros),
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_rules_pay_what_the_truth_says_and_refuse_the_rest_for_its_reasons(seed):
    # given an evening: what is there in time, in the end, and would be had no event superseded another
    evening = evening_of(seed)
    planned = [one for one in evening.events if one.created_at < one.started_at.replace(hour=13)]
    in_time = facts_of(evening, evening.events, evening.first_prices)
    in_the_end = facts_of(evening, evening.events, evening.prices)
    without = facts_of(evening, planned, evening.prices)

    # when the rules settle all three
    found = [
        settled(evening, evening.in_time, in_time),
        settled(evening, evening.deliveries, in_the_end),
        settled(evening, evening.deliveries, without),
    ]

    # then they come to the truth, to the last milliwatt-hour and cent
    assert found[0] == meant(evening.truth_in_time)
    assert found[1] == meant(evening.truth)
    assert found[2] == meant(evening.truth_without_superseding)


@pytest.mark.parametrize("seed", range(3))
def test_each_trouble_of_the_evening_costs_somebody_money(seed):
    # given
    evening = evening_of(seed)
    first, other = grid.superseded(evening.day)
    revised = evening.first_prices[grid.revised_at(evening.first_prices)]

    # when the truth is asked for each trouble
    truth, before = evening.truth, evening.truth_in_time
    reasons = {reason for _, _, reason in truth.worth_micros}
    moved = {vehicle for vehicle, event in truth.paid if event == other.event_id}
    stayed = {vehicle for vehicle, event in truth.paid if event == first.event_id}
    lowered = {
        key[1] for key, cents in truth.paid_cents.items() if cents < before.paid_cents.get(key, 0)
    }

    # then there is energy and money in it
    assert reasons == WORTH
    assert moved & stayed
    assert sum(truth.paid_cents.values()) != sum(
        evening.truth_without_superseding.paid_cents.values()
    )
    assert lowered == {
        one.event_id
        for one in evening.events
        if one.program == revised.program and one.started_at == revised.started_at
    }
