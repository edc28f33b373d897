"""How warm the batteries are: what the charger's interface to each car reads once a minute."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from random import Random
from typing import Final

from simulators.grid import CLOSES, OPENS, WINDOWS, at
from simulators.plans import Battery, Plan

EVERY: Final = timedelta(minutes=1)
SPREAD_MILLICELSIUS: Final = 300

COOL_MILLICELSIUS: Final = 26_000
WARM_MILLICELSIUS: Final = 49_000
HOT_MILLICELSIUS: Final = 70_000
"""Measured from the start of the first event to its end: the inertia of the pack lets it reach 55 °C
after half an hour, and it is back at 45 °C twenty minutes after it has ended."""


@dataclass(frozen=True, slots=True)
class Temperature:
    """One temperature as measured, thousandths of a degree Celsius."""

    evse_id: str
    vehicle_id: str
    measured_at: datetime
    battery_millicelsius: int


def _level(battery: Battery, now: datetime, day: date) -> int:
    windows = [(at(day, start), at(day, end)) for start, end in WINDOWS]
    if battery is Battery.HOT and windows[0][0] <= now < windows[0][1]:
        return HOT_MILLICELSIUS
    if battery is Battery.WARM and any(start <= now < end for start, end in windows):
        return WARM_MILLICELSIUS
    return COOL_MILLICELSIUS


def _measured(plan: Plan, battery: Battery, day: date, rng: Random) -> Iterator[Temperature]:
    now = at(day, OPENS)
    while now < at(day, CLOSES):
        level = _level(battery, now, day) + rng.randint(-SPREAD_MILLICELSIUS, SPREAD_MILLICELSIUS)
        yield Temperature(plan.evse_id, plan.vehicle_id, now, level)
        now += EVERY


def temperatures(seed: int, day: date, plans: Sequence[Plan]) -> list[Temperature]:
    """What is measured of every battery that has a sensor, by vehicle and time."""
    return [
        one
        for plan in plans
        if plan.battery not in (None, Battery.UNMEASURED)
        for one in _measured(
            plan, plan.battery, day, Random(f"heat {seed} {day} {plan.vehicle_id}")
        )
    ]
