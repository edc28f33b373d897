"""Facts: everything but the readings that a run knows, read in one transaction as known at one time."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from settlement.facts import SEASON_USED, Facts
from settlement.periods import Period
from settlement.programs import Product, Program, in_force
from settlement.schemas import TEMPERATURE
from settlement.seasons import governing, season_of
from settlement.timeline import Window
from storage.engine import Connection
from storage.grid import load_prices
from storage.registry import load_contracts, load_programs
from storage.temperatures import load_temperatures
from storage.terms import load_baselines, load_orders, load_sites
from storage.windows import in_force as events_in_force
from storage.windows import load_competing, load_windows

Programs = Mapping[str, Sequence[Program]]

_STEP: Final = timedelta(microseconds=1)
_SETTLING_TIMES: Final = 8
"""After eight time constants 0.03 % of a step is left in the filter: at 100 K, 0.03 K."""
_TEMPERATURES_AT_LEAST: Final = timedelta(hours=24)
"""As long as a program can call a sample fresh."""


def load_facts(
    conn: Connection,
    reach: Period,
    *,
    known_at: datetime,
    period: Period | None = None,
    programs: Programs | None = None,
    vehicles: Collection[str] | None = None,
) -> Facts:
    """What the grid's side, the contracts and the sensors had said by then.

    Args:
        conn: REPEATABLE READ, so that all of it agrees; see ``storage.fence.moment``.
        reach: over which a run needs them. Events reach back further, to the start of their season,
            where a program counts over a season; temperatures, until the filter has settled.
        known_at: only what was known by then counts.
        period: what the run settles, if it is not all of the reach: energy of events that ended
            before it is taken from the books.
        programs: that count in place of the stored ones.
        vehicles: temperatures, baselines and orders of these only; None for all.

    Raises:
        ProgramError: a stored program cannot be used.
    """
    programs = load_programs(conn, known_at=known_at) if programs is None else programs
    touching = load_windows(conn, reach, known_at=known_at)
    season = _since_season(programs, touching, reach)
    return Facts(
        programs=programs,
        windows=load_competing(conn, season, known_at=known_at),
        prices=load_prices(conn, reach, known_at=known_at),
        contracts=load_contracts(conn, known_at=known_at),
        sites=load_sites(conn, known_at=known_at),
        temperatures=_temperatures(conn, programs, reach, known_at, vehicles),
        baselines=load_baselines(conn, reach, known_at=known_at, vehicles=vehicles),
        orders=load_orders(conn, reach, known_at=known_at, vehicles=vehicles),
        season_used=load_season_used(conn, programs, period or reach, known_at=known_at),
    )


def load_season_used(
    conn: Connection, programs: Programs, period: Period, *, known_at: datetime
) -> pl.DataFrame:
    """What vehicles have been paid for in the season before a period: ``facts.SEASON_USED``.

    Of each settlement the last revision that was booked by then counts, of programs that cap a
    vehicle's energy per season.
    """
    capped = [
        name
        for name, versions in programs.items()
        if any(v.caps.season_milliwh is not None for v in versions)
    ]
    since = min(
        (
            season_of(version, period.started_at).started_at
            for name in capped
            for version in programs[name]
        ),
        default=period.started_at,
    )
    rows = conn.execute(
        """
        select distinct on (program, event_id, vehicle_id) program, vehicle_id, event_id, energy_milliwh
        from settlement
        where program = any(%(programs)s) and state = 'booked' and known_at <= %(known_at)s
          and event_id in (select event_id from event_version
                           where started_at >= %(since)s and ended_at <= %(until)s)
        order by program, event_id, vehicle_id, revision desc
        """,
        {"programs": capped, "known_at": known_at, "since": since, "until": period.started_at},
    ).fetchall()
    events = events_in_force(conn, {event for _, _, event, _ in rows}, known_at=known_at)
    paid = [
        (program, vehicle, season_of(in_force(programs[program], at), at).year, energy)
        for program, vehicle, event, energy in rows
        if event in events
        and since <= (at := events[event].window.started_at)
        and events[event].window.ended_at <= period.started_at
    ]
    return (
        pl.DataFrame(paid, schema=SEASON_USED, orient="row")
        .group_by("program", "vehicle_id", "season")
        .agg(pl.col("energy_milliwh").sum())
        .sort("program", "vehicle_id", "season")
    )


def _since_season(programs: Programs, windows: Iterable[Window], reach: Period) -> Period:
    """The reach, back to the start of the earliest season over which something is counted.

    A capacity program settles a season without any event in its last days, too.
    """
    starts = [reach.started_at]
    for versions in programs.values():
        if any(v.product is Product.CAPACITY for v in versions):
            starts.extend(
                season_of(in_force(versions, at), at).started_at
                for at in (reach.started_at, reach.ended_at - _STEP)
            )
    for window in windows:
        if window.program in programs:
            terms = governing(programs[window.program], window.started_at)
            if terms.caps.season_us is not None or terms.product is Product.CAPACITY:
                starts.append(season_of(terms, window.started_at).started_at)
    return Period(min(starts), reach.ended_at)


def temperature_reach(programs: Programs, reach: Period) -> Period | None:
    """The time over which temperatures are needed; None, where no program asks for them: they are many."""
    thermal = [v.thermal for versions in programs.values() for v in versions if v.thermal]
    if not thermal:
        return None
    back = max(
        _TEMPERATURES_AT_LEAST,
        *(_SETTLING_TIMES * timedelta(microseconds=t.time_constant_us) for t in thermal),
    )
    return Period(reach.started_at - back, reach.ended_at)


def _temperatures(
    conn: Connection,
    programs: Programs,
    reach: Period,
    known_at: datetime,
    vehicles: Collection[str] | None,
) -> pl.DataFrame:
    needed = temperature_reach(programs, reach)
    if needed is None:
        return TEMPERATURE.empty()
    return load_temperatures(conn, needed, known_at=known_at, vehicles=vehicles)
