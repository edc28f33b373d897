"""The physics of one charger's evening: powers, registers and state of charge, in exact integers.

The registers are the truth. The power is sampled at each edge of an interval; a register rises by
the trapezoid of the two powers, off by at most ``METER_NOISE_PPM``, as a real meter's would.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random
from typing import Final

from settlement.packets import Content
from simulators.grid import GridEvent
from simulators.plans import OFF_BEAT_S, Plan

BATTERY_MILLIWH: Final = 60_000_000
CHARGE_W: Final = -7_200
TRICKLE_W: Final = 3_000
POWER_MIN_W: Final = 3_000
POWER_MAX_W: Final = 11_000
METER_NOISE_PPM: Final = 4_000
DRIFT_PPM: Final = 20_000
LIE_FACTOR: Final = 3
LIES_FOR: Final = 12
"""Intervals in which a lying meter lies."""

INTERRUPTION: Final = (timedelta(minutes=35), timedelta(minutes=45))
"""When, in the first event, a vehicle that interrupts its discharge charges instead."""

ERRAND_PPM: Final = 50_000
"""State of charge that a drive between two stays costs."""

_STEPS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """One interval as the charger's meter has it, and whether the meter lied in it."""

    content: Content
    lies: bool


def _level_w(plan: Plan, now: datetime, arrived: datetime, events: Sequence[GridEvent]) -> int:
    """The power meant for an instant, W, before it varies.

    Zero at the edges of a window: a car that keeps to the windows exports nothing outside them.
    """
    if plan.interrupts:
        begins, ends = (events[0].started_at + after for after in INTERRUPTION)
        if begins <= now < ends:
            return CHARGE_W
    for event in events:
        if event.started_at - plan.eager < now < event.ended_at + plan.eager:
            middle = event.started_at + (event.ended_at - event.started_at) / 2
            return 0 if plan.pauses and abs(now - middle) < timedelta(minutes=6) else plan.base_w
    for earlier, later in pairwise(events):
        gap = (later.started_at - earlier.ended_at) / 5
        if plan.between and earlier.ended_at + 2 * gap < now < later.started_at - 2 * gap:
            return TRICKLE_W
    charging_ends = events[0].started_at - timedelta(minutes=15)
    if plan.charges and arrived + timedelta(minutes=1) <= now < charging_ends:
        return CHARGE_W
    return 0


def _powers_w(
    plan: Plan, instants: Sequence[datetime], events: Sequence[GridEvent], rng: Random
) -> list[int]:
    powers, drift = [], 0
    for now in instants:
        level = _level_w(plan, now, instants[0], events)
        drift = max(-DRIFT_PPM, min(DRIFT_PPM, drift + rng.randint(-1_500, 1_500)))
        power = level + level * (drift + rng.randint(-2_000, 2_000)) // 1_000_000
        powers.append(max(POWER_MIN_W, min(POWER_MAX_W, power)) if level > 0 else power)
    powers[0] = powers[-1] = 0
    return powers


def energy_milliwh(power_start_w: int, power_end_w: int, length: timedelta) -> int:
    """The trapezoid of two powers, thousandths of a watt-hour, rounded down.

    >>> energy_milliwh(7_200, 7_200, timedelta(seconds=15))
    30000
    """
    return (power_start_w + power_end_w) * (length // timedelta(microseconds=1)) // 7_200_000


def _lying(
    plan: Plan, edges: Sequence[datetime], powers: Sequence[int], events: Sequence[GridEvent]
) -> set[int]:
    """Which steps of this stay the meter lies in: some steady ones inside the first event."""
    if not plan.lies:
        return set()
    inside = [
        i
        for i, (start, end) in enumerate(pairwise(edges))
        if events[0].started_at <= start
        and end <= events[0].ended_at
        and min(powers[i : i + 2]) > 0
    ]
    return set(inside[len(inside) // 3 :][:LIES_FOR])


def drive(plan: Plan, events: Sequence[GridEvent], step: timedelta, rng: Random) -> list[Step]:
    """Everything the charger's meter sees on the evening, in order, one step per interval."""
    steps: list[Step] = []
    exported, imported = rng.randrange(10**8, 5 * 10**9), rng.randrange(10**8, 5 * 10**9)
    stored = BATTERY_MILLIWH * rng.randrange(750_000, 900_000) // 1_000_000
    epoch, sequence = 1, rng.randrange(1_000, 90_000)
    for stay, (arrives, departs) in enumerate(plan.stays):
        first = arrives + timedelta(seconds=OFF_BEAT_S if plan.off_beat else 0)
        edges = [first + step * i for i in range(min(_STEPS_MAX, (departs - first) // step + 1))]
        powers = _powers_w(plan, edges, events, rng)
        lying = _lying(plan, edges, powers, events)
        session = f"{rng.getrandbits(64):016X}"
        stored -= BATTERY_MILLIWH * ERRAND_PPM // 1_000_000 if stay else 0
        for i, (start, end) in enumerate(pairwise(edges)):
            if plan.reboots and stay == 0 and i == len(edges) // 2:
                epoch, sequence = epoch + 1, 0
            flow = energy_milliwh(powers[i], powers[i + 1], step)
            metered = flow + abs(flow) * rng.randint(-METER_NOISE_PPM, METER_NOISE_PPM) // 1_000_000
            gain = metered * LIE_FACTOR if i in lying else metered
            export_end, import_end = exported + max(0, gain), imported + max(0, -gain)
            stored_end = stored - flow
            steps.append(
                Step(
                    Content(
                        evse_id=plan.evse_id,
                        vehicle_id=plan.vehicle_id,
                        session_id=session,
                        stream_epoch=epoch,
                        sequence=sequence,
                        started_at=start,
                        ended_at=end,
                        power_start_w=powers[i],
                        power_end_w=powers[i + 1],
                        export_start_milliwh=exported,
                        export_end_milliwh=export_end,
                        import_start_milliwh=imported,
                        import_end_milliwh=import_end,
                        soc_start_ppm=_soc_ppm(stored),
                        soc_end_ppm=_soc_ppm(stored_end),
                        latitude_microdeg=plan.latitude_microdeg + rng.randint(-60, 60),
                        longitude_microdeg=plan.longitude_microdeg + rng.randint(-60, 60),
                        clock_offset_us=rng.randint(-8_000, 8_000),
                    ),
                    lies=i in lying,
                )
            )
            exported, imported, stored, sequence = export_end, import_end, stored_end, sequence + 1
    return steps


def _soc_ppm(stored_milliwh: int) -> int:
    return stored_milliwh * 1_000_000 // BATTERY_MILLIWH
