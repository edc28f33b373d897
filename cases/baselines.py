"""Baselines that a program computes from the case's own readings."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import polars as pl

from settlement import baselines
from settlement.programs import BaselineMethod, Program
from settlement.schemas import BASELINE
from settlement.seasons import governing
from settlement.timeline import Window


def computing(programs: Mapping[str, Sequence[Program]]) -> list[str]:
    """Programs of which any version computes the baseline that it needs."""
    return [
        name
        for name, versions in sorted(programs.items())
        if any(
            v.needs_baseline and v.baseline.method is not BaselineMethod.PROVIDED for v in versions
        )
    ]


def computed(
    readings: pl.DataFrame,
    programs: Mapping[str, Sequence[Program]],
    windows: Sequence[Window],
    contracts: pl.DataFrame,
    sites: pl.DataFrame | None,
) -> pl.DataFrame:
    """``schemas.BASELINE`` of every vehicle under contract in a program that computes it, for the
    events that address the vehicle, each by the version of the program in force as it starts.
    """
    frames = [BASELINE.empty()]
    for name in computing(programs):
        versions = programs[name]
        of_program = [w for w in windows if w.program == name]
        by_events: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
        for vehicle, groups in _groups(contracts.filter(pl.col("program") == name), sites).items():
            addressed = (
                place
                for place, window in enumerate(of_program)
                if groups is None or window.group in groups
            )
            by_events[tuple(addressed)].append(vehicle)
        for places, vehicles in sorted(by_events.items()):
            for version in versions:
                own = [
                    of_program[place]
                    for place in places
                    if governing(versions, of_program[place].started_at) is version
                ]
                frames.append(
                    baselines.compute(
                        readings,
                        own,
                        of_program,
                        version,
                        vehicles,
                        competing=[of_program[place] for place in places],
                    )
                )
    return pl.concat(frames).unique().sort(BASELINE.schema.names())


def _groups(
    contracts: pl.DataFrame, sites: pl.DataFrame | None
) -> dict[str, frozenset[str] | None]:
    """What each vehicle's events may be addressed to; None where nobody has declared any site."""
    if sites is None:
        return dict.fromkeys(sorted(set(contracts["vehicle_id"])), None)
    of_site = dict(sites.select("site_id", "site_group").iter_rows())
    groups: defaultdict[str, set[str]] = defaultdict(lambda: {""})
    for vehicle, site in contracts.select("vehicle_id", "site_id").iter_rows():
        groups[vehicle].update({site, of_site.get(site, "")})
    return {vehicle: frozenset(names) for vehicle, names in sorted(groups.items())}
