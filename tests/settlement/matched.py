"""Small makers of what pricing and booking start from: say what matters, default the rest."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import polars as pl

from settlement import programs
from settlement.pricing import Priced, price
from settlement.programs import Program
from settlement.schemas import MATCHED_DISCHARGE, UNPAID

PROGRAM = "tariff"
MINUTE_US = 60_000_000

TIERS: Mapping[str, object] = {
    "mode": "slab",
    "power_kw": [
        {"from": "0", "multiplier": "1.00"},
        {"from": "5", "multiplier": "1.15"},
        {"from": "10", "multiplier": "1.30"},
    ],
    "duration_min": [
        {"from": "0", "multiplier": "1.00"},
        {"from": "60", "multiplier": "1.10"},
    ],
}


def at(clock: str) -> datetime:
    return datetime.fromisoformat(f"2026-07-01T{clock}").replace(tzinfo=UTC)


def tariff(**changes: object) -> Program:
    """A program that buys energy, with some top-level keys changed."""
    body: dict[str, object] = {
        "program": PROGRAM,
        "version": 1,
        "currency": "USD",
        "product": "energy",
    }
    return programs.parse(body | changes, "test")


def row(
    vehicle: str, start: datetime, end: datetime, milliwh: int, **changes: object
) -> dict[str, object]:
    """A matched interval of one event, discharged throughout, at 0.42 per kWh and a rate of 1."""
    us = (end - start) // timedelta(microseconds=1)
    made: dict[str, object] = {
        "program": PROGRAM,
        "program_version": 1,
        "event_id": "peak",
        "vehicle_id": vehicle,
        "contract_id": f"contract-{vehicle}",
        "event_started_at": start,
        "started_at": start,
        "ended_at": end,
        "exported_milliwh": max(milliwh, 0),
        "imported_milliwh": max(-milliwh, 0),
        "baseline_milliwh": None,
        "energy_milliwh": milliwh,
        "power_milliwh": milliwh,
        "discharged_us": us,
        "discharged_before_us": 0,
        "event_discharged_us": us,
        "event_us": us,
        "readings": 1,
        "price_micros_per_kwh": 420_000,
        "incentive_rate_ppm": 1_000_000,
        "thermal_factor_ppm": 1_000_000,
        "ordered_w": None,
        "ordered_us": us,
    }
    return made | changes


def unpaid_row(vehicle: str, reason: str, **changes: object) -> dict[str, object]:
    made: dict[str, object] = {
        "program": PROGRAM,
        "event_id": "peak",
        "vehicle_id": vehicle,
        "evse_id": f"EVSE-{vehicle}",
        "started_at": at("17:00"),
        "ended_at": at("17:30"),
        "energy_milliwh": 1_000,
        "reason": reason,
        "would_have_been_micros": None,
    }
    return made | changes


def matched(*rows: Mapping[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=MATCHED_DISCHARGE.schema)


def unpaid(*rows: Mapping[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=UNPAID.schema)


def priced(
    *rows: Mapping[str, object],
    program: Program | None = None,
    without: list[dict[str, object]] | None = None,
) -> Priced:
    """Price rows under one version of one program."""
    version = program or tariff()
    return price(matched(*rows), unpaid(*(without or [])), {version.program: [version]})
