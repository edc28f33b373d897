"""Act: a second opinion on some vehicles of every run, by the oracle; a difference holds the run.

sample       which vehicles, and the readings that the run saw of them
limits       what the oracle is not asked
rows         what the run knew, as the oracle's plain rows
differences  both results, figure by figure
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import oracle
from storage.registry import ProgramBody
from tasks.computing import Computed
from tasks.second_opinion import limits
from tasks.second_opinion.differences import (
    Difference,
    Scope,
    compare,
    rows_of_oracle,
    rows_of_run,
)
from tasks.second_opinion.rows import Known, case_of
from tasks.second_opinion.sample import SHARE_PPM, Sample, salt_of

__all__ = ["SHARE_PPM", "Opinion", "Sample", "ask", "bodies_of", "salt_of"]

_TOLD: Final = 3
_NAMED: Final = 100

Bodies = Mapping[str, Sequence[Mapping[str, Any]]]
"""All versions of each program as they were written, ascending, by name; ``valid_from`` is the time
from which one counts.
"""


@dataclass(frozen=True)
class Opinion:
    """What the oracle came to.

    Attributes:
        vehicles: how many were settled again.
        readings: of these vehicles, and of others at the same EVSEs.
        lines: of these vehicles, in the run.
        settlements: likewise.
        unpaid: likewise, unpaid rows.
        differences: how many figures differ.
        passed_over: vehicles that were chosen and could not be judged, by reason.
        reason: why the run must not be booked: the first differences, or how the oracle failed; empty
            where nothing is against it.
        differing: vehicles that differ, a hundred at most; a later run over the time looks at them again.
    """

    vehicles: int = 0
    readings: int = 0
    lines: int = 0
    settlements: int = 0
    unpaid: int = 0
    differences: int = 0
    passed_over: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    differing: list[str] = field(default_factory=list)


def bodies_of(stored: Iterable[ProgramBody]) -> Bodies:
    """Stored versions of programs, in their order."""
    found: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for one in stored:
        found[one.program].append({**one.body, "valid_from": one.valid_from})
    return found


def ask(
    sample: Sample, computed: Computed, bodies: Bodies, programs: frozenset[str] | None = None
) -> Opinion:
    """Settle the vehicles of a sample again, and compare. Never raises: a failure is a reason to hold.

    Args:
        sample: that watched the run's readings.
        computed: what the run came to.
        bodies: see ``Bodies``; all that the run knew.
        programs: those that the run settles; None for all.
    """
    vehicles: list[str] = []
    try:
        vehicles = sample.choose(_lines(computed))
        groups, passed_over = _by_program(vehicles, computed, bodies, programs)
        return _asked(sample, computed, bodies, groups, passed_over)
    except Exception as error:  # noqa: BLE001 - whatever it is, nothing was confirmed
        return Opinion(
            vehicles=len(vehicles),
            reason=f"the second opinion failed: {type(error).__name__}: {error}",
            differing=vehicles[:_NAMED],
        )


def _asked(
    sample: Sample,
    computed: Computed,
    bodies: Bodies,
    groups: Mapping[str, Sequence[str]],
    passed_over: Mapping[str, int],
) -> Opinion:
    found: list[Difference] = []
    judged = Counter[str]()
    for program, members in groups.items():
        versions = limits.counting(bodies[program], computed.period)
        readings = sample.readings(members)
        known = Known(program, versions, members, computed.facts, readings, computed.period)
        scope = Scope(
            computed.period,
            frozenset(one.event_id for one in computed.scope if one.program == program),
            [window for window in computed.facts.windows if window.program == program],
            seasonal=any(body["product"] == "capacity" for body in versions),
        )
        run = rows_of_run(computed.settlements, computed.lines, computed.unpaid, members, scope)
        found += compare(run, rows_of_oracle(oracle.settle(case_of(known)), members, scope))
        judged.update(key.what for key in run)
        judged["vehicle"] += len(members)
        judged["reading"] += readings.height
    return Opinion(
        vehicles=judged["vehicle"],
        readings=judged["reading"],
        lines=judged["line"],
        settlements=judged["settlement"],
        unpaid=judged["unpaid"],
        differences=len(found),
        passed_over=dict(sorted(passed_over.items())),
        reason=_told(found, judged["line"]),
        differing=sorted({one.key.vehicle_id for one in found})[:_NAMED],
    )


def _lines(computed: Computed) -> dict[str, int]:
    """Vehicles that the run says anything about, with their lines."""
    lines = dict(computed.lines["vehicle_id"].value_counts().iter_rows())
    for frame in (computed.settlements, computed.unpaid):
        lines = dict.fromkeys(frame["vehicle_id"].unique(), 0) | lines
    return lines


def _by_program(
    vehicles: Sequence[str], computed: Computed, bodies: Bodies, settled: frozenset[str] | None
) -> tuple[dict[str, list[str]], Counter[str]]:
    """The vehicles that can be judged, by the program that accounts for them: that of their contracts,
    or, of those who never had one, the first by name. What another run settles is left out. And how
    many cannot be judged, by reason.
    """
    passed_over = Counter[str]()
    groups: dict[str, list[str]] = defaultdict(list)
    enrolled = limits.programs_of(vehicles, computed.facts.contracts)
    for vehicle in vehicles:
        programs = enrolled.get(vehicle) or sorted(bodies)[:1]
        if len(programs) > 1:
            passed_over[limits.SEVERAL_PROGRAMS] += 1
        elif not programs or programs[0] not in bodies:
            passed_over[limits.UNKNOWN_PROGRAM] += 1
        elif settled is None or programs[0] in settled:
            groups[programs[0]].append(vehicle)
    judged = {}
    for program, members in groups.items():
        versions = limits.counting(bodies[program], computed.period)
        if why := limits.of_program(versions):
            passed_over[why] += len(members)
            continue
        events = frozenset(one.event_id for one in computed.scope if one.program == program)
        missing = limits.of_vehicles(members, versions, computed.facts, events)
        passed_over.update(missing.values())
        if left := [vehicle for vehicle in members if vehicle not in missing]:
            judged[program] = left
    return judged, passed_over


def _told(found: Sequence[Difference], lines: int) -> str:
    if not found:
        return ""
    first = "; ".join(map(str, found[:_TOLD]))
    return f"the second opinion differs in {len(found)} figures over {lines} lines: {first}"
