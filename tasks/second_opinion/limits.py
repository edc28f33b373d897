"""What the oracle is not asked, said by name, so that nobody takes its silence for agreement.

Two things it takes from the run as given: computed baselines, and which events a run settles.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import polars as pl

from settlement.facts import Facts
from settlement.periods import Period

Body = Mapping[str, Any]

SEVERAL_PROGRAMS: Final = "contracts in several programs"
"""Prices of a case are those of one program."""
UNKNOWN_PROGRAM: Final = "a contract in a program that is not known"
SEASON_KWH: Final = "caps.season_kwh with energy of other runs"
"""Of events that the run does not settle, not every reading is at hand."""
SEVERAL_SEASONS: Final = "several seasons a year"
"""The oracle counts years."""
SEVERAL_VERSIONS: Final = "several versions of a capacity program"
"""The oracle takes the version of each event, a season that of its start."""

_EVERYTHING: Final = frozenset[str]()
_MONTHS: Final = 12
_READ: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(
        (
            "program", "version", "valid_from", "currency", "minor_units", "timezone", "product",
            "quantity", "net_per", "negative_price",
            # how it is booked, and when; and baselines, which are given
            "runs", "correction", "baseline",
        ),
        _EVERYTHING,
    ),
    "price": frozenset({"source", "per_kwh"}),
    "tiers": frozenset({"mode", "power_kw", "duration_min"}),
    "thermal": frozenset({"time_constant_min", "curve_c", "missing", "fresh_min", "release_c"}),
    "season": frozenset({"months", "hours", "weekdays"}),
    "minimum": frozenset({"event_kwh", "avg_kw", "duration_min"}),
    "caps": frozenset({"season_hours", "event_hours", "event_kwh", "season_kwh"}),
    "capacity": frozenset({"per_avg_kw", "average_over", "absent"}),
    "order": frozenset({"price_per_kw", "penalty_per_kw", "cap_at_order"}),
    # the clock is judged before a packet becomes a reading
    "checks": frozenset(
        {
            "register_vs_power_pct", "soc_vs_energy_pct", "site_radius_m", "clock_offset_ms",
            "lookback_min", "lookahead_min",
        }
    ),
    "rounding": frozenset({"mode", "stage"}),
}  # fmt: skip
"""The keys of a program that the oracle reads, or that decide nothing it computes."""


def of_program(bodies: Sequence[Body]) -> str | None:
    """Why no vehicle of a program can be judged; None if they can."""
    for body in bodies:
        unread = _unread(body)
        if unread:
            return f"the key {unread}"
        caps = body.get("caps") or {}
        counts = body["product"] == "capacity" or "season_hours" in caps or "season_kwh" in caps
        if counts and _seasons(body) > 1:
            return SEVERAL_SEASONS
    if len(bodies) > 1 and any(body["product"] == "capacity" for body in bodies):
        return SEVERAL_VERSIONS
    return None


def of_vehicles(
    vehicles: Iterable[str], bodies: Sequence[Body], facts: Facts, events: frozenset[str]
) -> dict[str, str]:
    """Vehicles of a program of which something is missing, and what.

    Args:
        vehicles: that hold contracts in it, or in nothing.
        bodies: its versions.
        facts: of the run.
        events: that the run settles.
    """
    if not any("season_kwh" in (body.get("caps") or {}) for body in bodies):
        return {}
    program = bodies[0]["program"]
    others = any(w.program == program and w.event_id not in events for w in facts.windows)
    used = set(facts.season_used.filter(pl.col("program") == program)["vehicle_id"])
    return {vehicle: SEASON_KWH for vehicle in vehicles if others or vehicle in used}


def programs_of(vehicles: Iterable[str], contracts: pl.DataFrame) -> dict[str, list[str]]:
    """The programs in which each of these vehicles has contracts, ascending."""
    found: dict[str, set[str]] = defaultdict(set)
    wanted = contracts.filter(pl.col("vehicle_id").is_in(sorted(vehicles)))
    for vehicle, program in wanted.select("vehicle_id", "program").iter_rows():
        found[vehicle].add(program)
    return {vehicle: sorted(names) for vehicle, names in found.items()}


def counting(bodies: Sequence[Body], period: Period) -> list[Body]:
    """The versions that count by the end of a period: all that begin by then, and the first."""
    first, *later = bodies
    return [first, *(body for body in later if body["valid_from"] < period.ended_at)]


def _unread(body: Body) -> str | None:
    """A key with something to say that the oracle does not read."""
    for name, value in body.items():
        if name not in _READ:
            return name
        if _READ[name] and isinstance(value, Mapping):
            for key, said in value.items():
                if key not in _READ[name] and said not in (None, [], {}, ""):
                    return f"{name}.{key}"
    return None


def _seasons(body: Body) -> int:
    months = set((body.get("season") or {}).get("months") or range(1, _MONTHS + 1))
    return sum((month - 2) % _MONTHS + 1 not in months for month in months) or 1
