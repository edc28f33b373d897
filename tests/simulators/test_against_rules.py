"""The truth of an evening beside what the rules make of it: written apart, they must come to the same."""

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

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
from simulators.labels import READING as BECOMES_A_READING
from simulators.labels import Delivery, Label
from simulators.truth import Truth
from tests.simulators.evenings import DAY, fresh

PERIOD = Period(
    datetime(DAY.year, DAY.month, DAY.day, 16, tzinfo=UTC),
    datetime(DAY.year, DAY.month, DAY.day, 21, tzinfo=UTC),
)

Energies = dict[tuple[str, str], int]


def facts_of(evening: Evening) -> Facts:
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
            for one in evening.events
        ],
        prices=[
            Price(one.program, one.started_at, one.ended_at, one.price_micros_per_kwh, PERIOD.ended_at)
            for one in evening.prices
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


def settled(evening: Evening, deliveries: list[Delivery]) -> tuple[Energies, Energies]:
    readings = readings_of(evening, deliveries)

    def overlapping(period: Period) -> pl.DataFrame:
        return readings.filter(
            (pl.col("started_at") < period.ended_at) & (pl.col("ended_at") > period.started_at)
        )

    found = engine.compute(overlapping, facts_of(evening), PERIOD, stretch=timedelta(hours=4))
    paid = {
        (row["vehicle_id"], row["event_id"]): row["energy_milliwh"]
        for row in found.settlements.filter(pl.col("state") == "booked").iter_rows(named=True)
        if row["energy_milliwh"]
    }
    unpaid = Counter[tuple[str, str]]()
    for vehicle, reason, energy in found.unpaid.select(
        "vehicle_id", "reason", "energy_milliwh"
    ).iter_rows():
        unpaid[vehicle, reason] += energy
    return paid, {key: energy for key, energy in unpaid.items() if energy}


def compared(truth: Truth) -> tuple[Energies, Energies]:
    return dict(truth.paid), dict(truth.unpaid)


@pytest.mark.parametrize("seed", range(3))
def test_the_rules_pay_what_the_truth_says_and_refuse_the_rest_for_its_reasons(seed):
    # given an evening, and what of it is there in time and in the end
    evening = fresh(seed=seed, step_s=30, evses=14)

    # when the rules settle both
    in_time = settled(evening, evening.in_time)
    in_the_end = settled(evening, evening.deliveries)

    # then they come to the truth
    assert in_time == compared(evening.truth_in_time)
    assert in_the_end == compared(evening.truth)
