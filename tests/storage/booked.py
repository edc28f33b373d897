"""Bookings without a run that computes them: for tests of what is kept of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from settlement.booking import Allocation, Entry, Kind, Movement, Revision
from settlement.periods import Period
from settlement.schemas import UNPAID
from storage import books, runs

NOON = datetime(2026, 7, 1, 12, tzinfo=UTC)
PERIOD = Period(NOON, NOON + timedelta(hours=1))


def revision(number: int, **changes: Any) -> Revision:
    """A payout of ``number`` cents to one owner, with two lines."""
    lines = [_line(number, start) for start in range(2)]
    made = Revision(
        settlement_id=f"settlement-{number}",
        supersedes=None,
        revision=1,
        adjustment_minor=number,
        settlement={
            "program": "tariff",
            "program_version": 1,
            "event_id": "peak",
            "vehicle_id": f"car-{number}",
            "contract_id": f"contract-{number}",
            "currency": "USD",
            "energy_milliwh": 2_000,
            "lines_micros": number * 10_000,
            "amount_minor": number,
            "rounding_difference_micros": 0,
            "state": "booked",
            "reason": "",
        },
        lines=lines,
        allocations=(Allocation("owner", "alice", number),),
        movements=(Movement(Kind.PAYOUT, "owner", "alice", number),),
        entries=(
            Entry(Kind.PAYOUT, "receivable:utility:tariff", "USD", number),
            Entry(Kind.PAYOUT, "payable:owner:alice", "USD", -number),
        ),
    )
    return replace(made, **changes)


def _line(number: int, start: int) -> dict[str, object]:
    return {
        "program": "tariff",
        "event_id": "peak",
        "vehicle_id": f"car-{number}",
        "started_at": NOON + start * timedelta(minutes=15),
        "ended_at": NOON + (start + 1) * timedelta(minutes=15),
        "term": "energy",
        "exported_milliwh": 1_000,
        "imported_milliwh": 0,
        "baseline_milliwh": None,
        "energy_milliwh": 1_000,
        "avg_w": 4,
        "readings": 1,
        "price_micros_per_kwh": 420_000,
        "price_micros_per_kw": None,
        "over_us": None,
        "incentive_rate_ppm": 1_000_000,
        "tier_multiplier_ppm": 1_000_000,
        "tiered_nanowh": 1_000_000_000,
        "thermal_factor_ppm": 1_000_000,
        "amount_micros": number * 5_000,
    }


def book(dsn: str, *numbers: int, known_at: datetime = NOON + timedelta(hours=2)) -> None:
    """A run that books these, in this order."""
    with books.settling(dsn) as conn:
        run = runs.Run(f"run-{numbers}-{known_at}", PERIOD, known_at, "settled", "", "0", {})
        books.record_run(
            conn,
            run,
            [revision(number) for number in numbers],
            UNPAID.empty(),
            versions=books.Versions({"peak": 3}, {}),
        )
