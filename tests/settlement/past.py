"""Small makers of a vehicle's past, and of the programs and events that are compared with it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import polars as pl

from settlement import baselines, programs
from settlement.programs import Program
from settlement.schemas import BASELINE, READING
from settlement.timeline import Window

LOS_ANGELES = ZoneInfo("America/Los_Angeles")


def tariff(baseline: Mapping[str, object], holidays: Sequence[str] = ()) -> Program:
    return programs.parse(
        {
            "program": "reduce",
            "version": 1,
            "currency": "USD",
            "product": "energy",
            "quantity": "against_baseline",
            "timezone": "America/Los_Angeles",
            "baseline": dict(baseline),
            "season": {"holidays": list(holidays)},
        },
        "test",
    )


def like_days(days: int, **more: object) -> Program:
    return tariff({"method": "like_days", "days": days, "absent": "excluded", **more})


def local(text: str) -> datetime:
    """A time of the clock in Los Angeles, as UTC.

    >>> local("07-15 17:00").isoformat()
    '2026-07-16T00:00:00+00:00'
    """
    return datetime.fromisoformat(f"2026-{text}").replace(tzinfo=LOS_ANGELES).astimezone(UTC)


def window(
    start: str,
    end: str,
    *,
    event: str = "event",
    created: str | None = None,
    cancelled: str | None = None,
    program: str = "reduce",
    primacy: int = 0,
) -> Window:
    """A window; its notice is given as it starts unless said otherwise."""
    return Window(
        event_id=event,
        program=program,
        started_at=local(start),
        ended_at=local(end),
        created_at=local(created or start),
        primacy=primacy,
        cancelled_at=local(cancelled) if cancelled else None,
    )


EVENING = window("07-15 17:00", "07-15 19:00", created="07-15 09:00")
"""A Wednesday."""


def reading(
    start: datetime,
    end: datetime,
    drawn_wh: int,
    *,
    vehicle: str = "car",
    evse: str | None = None,
    received: datetime | None = None,
    **changes: object,
) -> dict[str, object]:
    """A reading that drew so much, or gave it where it is negative; received as it ends."""
    row: dict[str, object] = dict.fromkeys(READING.schema, 0)
    return (
        row
        | {
            "evse_id": evse or f"at {vehicle}",
            "vehicle_id": vehicle,
            "session_id": "",
            "key_id": "",
            "digest": b"",
            "started_at": start,
            "ended_at": end,
            "import_start_milliwh": 5_000_000,
            "import_end_milliwh": 5_000_000 + max(drawn_wh, 0) * 1000,
            "export_start_milliwh": 7_000_000,
            "export_end_milliwh": 7_000_000 + max(-drawn_wh, 0) * 1000,
            "received_at": received or end,
            "conflicted": False,
        }
        | changes
    )


def history(*each: Mapping[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(each), schema={**READING.schema, "conflicted": pl.Boolean()})


def evenings(wh_by_day: Mapping[str, int], vehicle: str = "car") -> list[dict[str, object]]:
    """One reading per day from 17:00 to 19:00 by the local clock."""
    return [
        reading(local(f"{day} 17:00"), local(f"{day} 19:00"), wh, vehicle=vehicle)
        for day, wh in wh_by_day.items()
    ]


def watts(
    past: pl.DataFrame,
    program: Program,
    event: Window = EVENING,
    others: Sequence[Window] = (),
) -> int | None:
    """The baseline of the car for one event; None where there is none."""
    result = baselines.compute(past, [event], [event, *others], program, ["car"])
    assert result.schema == BASELINE.schema
    if result.is_empty():
        return None
    certain = event.certain
    assert certain is not None
    assert result.select("vehicle_id", "started_at", "ended_at").rows() == [
        ("car", certain.started_at, certain.ended_at)
    ]
    average: int = result["baseline_w"].item()
    return average


def days_compared(program: Program, event: Window) -> list[str]:
    """The local days of which readings are needed, latest first."""
    needed = baselines.history_needed(program, [event])
    assert needed == sorted(needed)
    return [f"{p.started_at.astimezone(LOS_ANGELES):%m-%d}" for p in reversed(needed)]
