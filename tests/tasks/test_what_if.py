"""A past period of the database under other terms: told vehicle by vehicle, and nothing is written."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

from settlement.comparing import Comparison
from settlement.periods import Period
from tasks.key_values import UnusableChangeError
from tasks.other_terms import Change
from tasks.settle import PeriodNotOverError
from tasks.what_if import WhatIf, of_period
from tests.packets import EXPORT_PER_PERIOD_WH
from tests.tasks.scene import (
    HOUR,
    PROGRAM_FILE,
    START,
    WHOLE,
    Scene,
    administrator,
    now,
    vehicle_of,
)

SLOW, EVEN, FAST = "DE*V2G*E00001", "DE*V2G*E00002", "DE*V2G*E00003"
TIERS = "tiers.power_kw=[{from: 0, multiplier: 0.9}, {from: 3, multiplier: 1}, {from: 5, multiplier: 1.5}]"  # fmt: skip


@pytest.fixture
def scene(plain_database: str) -> Scene:
    """Half an hour at 3.6, 7.2 and 14.4 kW, in an event of an hour: on average the half of it."""
    made = Scene(plain_database)
    made.set_up(SLOW, EVEN, FAST)
    for evse, times in ((SLOW, 0.5), (EVEN, 1), (FAST, 2)):
        made.deliver(discharge(made, evse, n, times) for n in range(120))
    return made


def discharge(scene: Scene, evse: str, sequence: int, times: float) -> bytes:
    """A packet of 15 s at so many times 7.2 kW."""
    step = EXPORT_PER_PERIOD_WH * times
    return scene.packet(
        evse,
        sequence,
        power_start_w=f"{7200 * times:.0f}",
        power_end_w=f"{7200 * times:.0f}",
        export_start_wh=f"{1_000_000 + step * sequence:.3f}",
        export_end_wh=f"{1_000_000 + step * (sequence + 1):.3f}",
    )


def asked(scene: Scene, as_of: datetime | None = None, **change: Any) -> WhatIf:
    return of_period(scene.dsn, WHOLE, Change(**change), clock=now, as_of=as_of)


def everything(scene: Scene) -> dict[str, Any]:
    """How many rows each table has, and how far each sequence is."""
    with administrator(scene.dsn) as conn:
        tables = conn.execute(
            "select format('%I.%I', schemaname, tablename) from pg_tables"
            " where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        rows = {name: conn.execute(f"select count(*) from {name}").fetchone() for (name,) in tables}
        ahead = conn.execute(
            "select schemaname || sequencename, last_value from pg_sequences"
        ).fetchall()
    return rows | dict(ahead)


def test_one_wins_one_loses_one_is_unchanged_and_nothing_is_written(scene: Scene) -> None:
    # given a settled period
    scene.settle()
    before = everything(scene)
    told: list[str] = []
    # when
    found = of_period(scene.dsn, WHOLE, Change(settings=(TIERS,)), clock=now, progress=told.append)
    # then 1.8, 3.6 and 7.2 kWh at 0.42 × 0.85, times 1.00 → 0.90, 1.00 → 1.00, 1.15 → 1.50
    assert found.comparison.vehicles.select("vehicle_id", "before_micros", "after_micros").rows() == [
        (vehicle_of(FAST), 2_960_000, 3_860_000),
        (vehicle_of(EVEN), 1_290_000, 1_290_000),
        (vehicle_of(SLOW), 640_000, 580_000),
    ]  # fmt: skip
    assert found.comparison.currencies.select("winners", "losers", "unchanged").rows() == [
        (1, 1, 1)
    ]
    assert found.notes == ()
    assert everything(scene) == before
    assert any("under the other terms: " in one for one in told)


def test_what_would_have_been_is_what_is_once_the_terms_are_in_force(
    scene: Scene, tmp_path: Path
) -> None:
    # given other terms in a file
    tiers = {"mode": "slab", "power_kw": [{"from": "0", "multiplier": "2.00"}]}
    body = yaml.safe_load(PROGRAM_FILE.read_text()) | {"version": 2, "tiers": tiers}
    file = tmp_path / "other.yaml"
    file.write_text(yaml.safe_dump(body))
    # when they are asked about, and then put in force
    found = asked(scene, programs=(file,))
    scene.program(valid_from=START - timedelta(days=2), version=2, tiers=tiers)
    summary = scene.settle()
    # then
    (then,) = found.comparison.currencies["after_micros"]
    assert then == summary.amount_minor * 10_000
    assert then != found.comparison.currencies["before_micros"][0]


def test_books_that_differ_from_what_is_known_now_are_said_so_in_one_line(scene: Scene) -> None:
    # given a period whose price was revised after it was settled
    assert asked(scene, settings=(TIERS,)).notes == ()
    scene.settle()
    scene.price(WHOLE.started_at, WHOLE.ended_at, 210_000)
    # when
    found = asked(scene, settings=(TIERS,))
    # then 1.8, 3.6 and 7.2 × 1.15 kWh at 0.21 × 0.85: 0.32, 0.64 and 1.48
    assert found.notes == (
        "the books differ from now in 3 of 3 settlements: 4.89 USD booked and 2.44 USD computed",
    )
    assert found.comparison.currencies["before_micros"].to_list() == [2_440_000]


def test_a_period_is_compared_as_known_at_an_earlier_time(scene: Scene) -> None:
    # given a price that is revised
    earlier = now()
    scene.price(WHOLE.started_at, WHOLE.ended_at, 210_000)
    # when
    found = asked(scene, earlier, settings=(TIERS,))
    # then
    assert found.known_at == earlier
    assert found.comparison.currencies["before_micros"].to_list() == [4_890_000]


def test_other_terms_find_what_only_they_need(scene: Scene, tmp_path: Path) -> None:
    # given that nobody has reported a temperature, or provided a baseline
    curve = "thermal={curve_c: [['20', '1'], ['55', '0']]}"
    file = tmp_path / "baselines.csv"
    file.write_text(
        "vehicle_id,started_at,ended_at,baseline_kw\n"
        f"{vehicle_of(EVEN)},{WHOLE.started_at.isoformat()},{WHOLE.ended_at.isoformat()},2\n"
    )
    against = "quantity=against_baseline"
    # when
    derated = asked(scene, settings=(curve,)).comparison
    provided = asked(scene, settings=(against,), baselines=file).comparison
    # then what is missing holds the settlement, and what is there counts
    assert derated.settlements["after_reason"].unique().to_list() == ["THERMAL_MISSING"]
    states = dict(provided.settlements.select("vehicle_id", "after_state").iter_rows())
    assert states == {
        vehicle_of(SLOW): "held",
        vehicle_of(EVEN): "booked",
        vehicle_of(FAST): "held",
    }
    # 3.6 kWh and 2 kW over the half hour that readings cover: 4.6 kWh × 0.42 × 0.85 = 1.6422
    assert differences_of(provided, vehicle_of(EVEN)) == 1_640_000 - 1_290_000


def test_a_method_computes_the_baselines_that_the_other_terms_need(scene: Scene) -> None:
    # given a further quarter of an hour at 7.2 kW, and an event over it that is created afterwards
    scene.event(end=START + HOUR / 2)
    scene.approve(2)
    scene.deliver(discharge(scene, EVEN, n, 1) for n in range(120, 180))
    scene.event("late", START + HOUR / 2, START + HOUR, created_at=now())
    scene.approve(1, "late")
    # when the power of the half hour before counts as the baseline
    found = asked(
        scene,
        settings=(
            "quantity=against_baseline",
            "baseline.method=before_event",
            "baseline.before_min=30",
        ),
    ).comparison
    # then that event has one, −7.2 kW, against which nothing was delivered
    rows = found.settlements.filter(
        (pl.col("vehicle_id") == vehicle_of(EVEN)) & (pl.col("event_id") == "late")
    )
    assert rows.select("before_micros", "after_state", "after_micros").rows() == [(640_000, "", 0)]
    assert found.reasons.select("reason", "after_milliwh").rows() == [
        ("BASELINE_MISSING", 12_600_000),
        ("NETTED", 1_800_000),
    ]


def differences_of(comparison: Comparison, vehicle: str) -> int:
    rows = comparison.vehicles.filter(pl.col("vehicle_id") == vehicle)
    return int(rows["difference_micros"].item())


def test_a_period_that_is_not_over_is_refused(scene: Scene) -> None:
    with pytest.raises(PeriodNotOverError, match="not over"):
        asked(scene, START + HOUR, settings=(TIERS,))


def test_a_period_without_events_has_nothing_to_set_and_nothing_to_compare(scene: Scene) -> None:
    # given
    period = Period(START - 3 * HOUR, START - 2 * HOUR)
    with pytest.raises(UnusableChangeError, match="settles any event here"):
        of_period(scene.dsn, period, Change(settings=(TIERS,)), clock=now)
    # when
    found = of_period(scene.dsn, period, Change(programs=(PROGRAM_FILE,)), clock=now)
    # then
    assert found.comparison.settlements.is_empty()
    assert found.comparison.currencies.is_empty()
