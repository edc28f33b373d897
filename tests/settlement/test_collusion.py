"""Suspicions: a seeded ring is found, and an honest fleet is left in peace."""

from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from functools import cache

import polars as pl
import pytest

from settlement.collusion import Kind, Suspicion, suspicions
from settlement.schemas import READING
from simulators.evening import Evening

DAY = date(2026, 7, 1)
FLEET = 250
RING = 10


@cache
def fleet(seed: int = 1) -> pl.DataFrame:
    """An honest evening."""
    evening = Evening(
        seed=seed, day=DAY, received_by=datetime(2026, 7, 2, tzinfo=UTC), evses=FLEET, step_s=60
    )
    columns = [name for name in READING.schema.names() if name not in ("key_id", "digest")]
    rows = [
        {name: value for name, value in asdict(step.content).items() if name in columns}
        for step in evening.steps
    ]
    return pl.DataFrame(rows, infer_schema_length=None)


def own_accounts(frame: pl.DataFrame) -> dict[str, list[str]]:
    return {vehicle: [f"a-{vehicle}"] for vehicle in frame["vehicle_id"].unique()}


def victim(frame: pl.DataFrame) -> pl.DataFrame:
    """The readings of a vehicle that discharged for long."""
    export = pl.col("export_end_milliwh") - pl.col("export_start_milliwh")
    name = (
        frame.filter(export > 0)
        .group_by("vehicle_id")
        .agg(
            n=pl.len(), evses=pl.col("evse_id").n_unique(), epochs=pl.col("stream_epoch").n_unique()
        )
        .filter((pl.col("evses") == 1) & (pl.col("epochs") == 1))
        .sort("n", "vehicle_id", descending=[True, False])["vehicle_id"][0]
    )
    return frame.filter(pl.col("vehicle_id") == name)


def ring(
    frame: pl.DataFrame, *, scale: int = 0, shift: timedelta = timedelta(0), bias_us: int = 0
) -> pl.DataFrame:
    """A fleet to which ten made-up vehicles were added, all from one recording."""
    recorded = victim(frame)
    copies = [
        recorded.with_columns(
            vehicle_id=pl.lit(f"RING-{n}"),
            evse_id=pl.lit(f"DE*V2G*RING{n}"),
            started_at=pl.col("started_at") + n * shift,
            ended_at=pl.col("ended_at") + n * shift,
            clock_offset_us=pl.col("clock_offset_us") + n * bias_us,
            **{
                f"export_{edge}_milliwh": pl.col(f"export_{edge}_milliwh") * (1 + n * scale)
                for edge in ("start", "end")
            },
        )
        for n in range(RING)
    ]
    return pl.concat([frame, *copies])


def found(kind: Kind, frame: pl.DataFrame, accounts=None) -> list[Suspicion]:
    told = suspicions(frame, own_accounts(frame) if accounts is None else accounts)
    return [one for one in told if one.kind is kind]


@pytest.mark.parametrize("seed", [1, 2])
def test_s15_less_than_one_in_a_hundred_of_an_honest_fleet_is_suspected(seed: int) -> None:
    frame = fleet(seed)
    told = suspicions(frame, own_accounts(frame))
    suspected = {member for one in told for member in one.members}
    assert len(suspected) < FLEET / 100, told


@pytest.mark.parametrize("scale", [0, 1], ids=["as it was", "at ten scales"])
@pytest.mark.parametrize("minutes", [0, 7], ids=["at once", "shifted"])
def test_s15_a_ring_of_ten_with_one_recorded_curve_is_found(scale: int, minutes: int) -> None:
    frame = ring(fleet(), scale=scale, shift=timedelta(minutes=minutes))
    groups = found(Kind.IDENTICAL_CURVES, frame)
    [group] = [one for one in groups if "RING-0" in one.members]
    assert {f"RING-{n}" for n in range(RING)} <= set(group.members)
    # and nobody but whom they copied is drawn in
    assert len(group.members) == RING + 1


@pytest.mark.parametrize("bias_us", [0, 311], ids=["equal offsets", "offsets a constant apart"])
def test_s15_one_machine_that_pretends_to_be_ten_is_betrayed_by_its_clock(bias_us: int) -> None:
    frame = ring(fleet(), bias_us=bias_us)
    [group] = [one for one in found(Kind.CLOCKS_TOGETHER, frame) if "DE*V2G*RING0" in one.members]
    assert {f"DE*V2G*RING{n}" for n in range(RING)} <= set(group.members)
    assert len(group.members) == RING + 1


def test_s15_an_account_that_is_paid_for_many_vehicles_is_named_and_so_is_it_beside_the_curves() -> (
    None
):
    frame = ring(fleet())
    accounts = own_accounts(frame)
    accounts |= {f"RING-{n}": ["a-ring"] for n in range(RING)}
    accounts[victim(fleet())["vehicle_id"][0]] = ["a-ring"]
    told = suspicions(frame, accounts)
    [account] = [one for one in told if one.kind is Kind.SHARED_ACCOUNT]
    assert len(account.members) == RING + 1
    assert "a-ring" in account.detail
    [curves] = [one for one in told if one.kind is Kind.IDENTICAL_CURVES]
    assert "all paid to a-ring" in curves.detail


def test_s15_constant_power_that_all_chargers_deliver_alike_betrays_nobody() -> None:
    # given a fleet whose chargers are all held at 7.2 kW to the watt-hour
    start = datetime(2026, 7, 1, 17, tzinfo=UTC)
    step = timedelta(minutes=1)
    rows = [
        {
            "vehicle_id": f"V{n}",
            "evse_id": f"E{n}",
            "started_at": start + k * step,
            "ended_at": start + (k + 1) * step,
            "export_start_milliwh": k * 120_000,
            "export_end_milliwh": (k + 1) * 120_000,
            "clock_offset_us": 0,
            "latitude_microdeg": None,
            "longitude_microdeg": None,
        }
        for n in range(20)
        for k in range(120)
    ]
    schema = {"latitude_microdeg": pl.Int64, "longitude_microdeg": pl.Int64}
    frame = pl.DataFrame(rows, schema_overrides=schema)
    assert suspicions(frame, {}) == []


@pytest.mark.parametrize(("minutes", "suspect"), [(10, True), (149, True), (155, False)], ids=str)
def test_s8_one_vehicle_at_two_sites_500_km_apart_must_have_had_the_time_to_drive(
    minutes: int, suspect: bool
) -> None:
    # given a vehicle in Berlin, and then in Munich, 504 km away
    start = datetime(2026, 7, 1, 17, tzinfo=UTC)
    step = timedelta(minutes=1)
    again = start + step + timedelta(minutes=minutes)
    rows = [
        ("E1", start, 52_520_008, 13_404_954),
        ("E2", again, 48_137_154, 11_576_124),
    ]
    frame = pl.DataFrame(
        [
            {
                "vehicle_id": "V1",
                "evse_id": evse,
                "started_at": at,
                "ended_at": at + step,
                "export_start_milliwh": 0,
                "export_end_milliwh": 120_000,
                "clock_offset_us": 0,
                "latitude_microdeg": latitude,
                "longitude_microdeg": longitude,
            }
            for evse, at, latitude, longitude in rows
        ]
    )
    told = found(Kind.IMPOSSIBLE_TRAVEL, frame, {})
    assert bool(told) is suspect
    if told:
        assert told[0].members == ("V1",)
        assert "504 km from E1" in told[0].detail
