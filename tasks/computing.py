"""What a run computes before anything is booked: facts as known at one time in, frames out."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from settlement import baselines, claims, engine
from settlement.engine import Readings
from settlement.facts import Facts
from settlement.matching.scopes import buckets
from settlement.periods import Period
from settlement.programs import Program
from settlement.schemas import BASELINE, READING
from settlement.seasons import governing
from settlement.timeline import settles
from storage.engine import Connection
from storage.facts import load_facts
from storage.readings import load_claims, open_readings
from storage.registry import load_programs
from storage.windows import load_windows
from tasks import digests
from tasks.calendar import Settled, settled_at_once

STRETCH: Final = timedelta(hours=4)
"""Readings are measured about so much time at once: with 1,000 vehicles at 15 s under half a GiB."""


@dataclass(frozen=True)
class Computed:
    """What one run knows and what it comes to.

    Attributes:
        programs: those it settles; None for all. The frames hold no others.
        scope: the events and seasons that it settles, paid or not.
        claimed: quarantined packets by reason (``settlement.claims.SCHEMA``).
        vehicles: vehicles with energy in its reach.
    """

    period: Period
    known_at: datetime
    facts: Facts
    scope: tuple[Settled, ...]
    settlements: pl.DataFrame
    lines: pl.DataFrame
    unpaid: pl.DataFrame
    claimed: pl.DataFrame
    vehicles: int
    discharged_milliwh: int
    inputs_digest: bytes
    outputs: digests.Outputs


@dataclass(frozen=True)
class Instead:
    """Terms that count in place of what is stored.

    Attributes:
        programs: all versions of each, ascending, by name; None: the stored ones.
        baselines: ``schemas.BASELINE``, provided; None: the stored ones.
    """

    programs: Mapping[str, Sequence[Program]] | None = None
    baselines: pl.DataFrame | None = None


def compute(
    conn: Connection,
    dsn: str,
    period: Period,
    *,
    known_at: datetime,
    programs: frozenset[str] | None = None,
    instead: Instead | None = None,
    progress: Callable[[Period], None] = lambda _: None,
    watch: Callable[[Readings], Readings] = lambda readings: readings,
) -> Computed:
    """Compute a period as known at one time; writes nothing.

    Args:
        conn: as ``v2g_settle``, in a REPEATABLE READ transaction.
        dsn: of the same database.
        period: half-open.
        known_at: see ``storage.fence.moment``.
        programs: only what these settle is given; what others pay for is known all the same.
        instead: terms that count in place of what is stored.
        progress: told of each stretch of time whose readings are asked for.
        watch: sees every frame of readings that the engine is given.

    Raises:
        ProgramError: a stored program cannot be used.
        BoundExceededError: a value outside its declared range would wrap a product.
    """
    facts = _facts(conn, period, known_at, instead or Instead())
    with open_readings(conn, dsn, known_at=known_at) as readings:
        facts = with_baselines(conn, readings, facts, period, known_at=known_at)
        inputs = digests.Inputs(facts)
        counted = inputs.counting(watch(readings))

        def told(part: Period) -> pl.DataFrame:
            progress(part)
            return counted(part)

        found = engine.compute(told, facts, period, stretch=STRETCH)
    matched, unpaid, lines, settlements = (
        _of(frame, programs)
        for frame in (found.matched, found.unpaid, found.lines, found.settlements)
    )
    vehicles = pl.concat(frame.select("vehicle_id") for frame in (matched, unpaid))
    return Computed(
        period=period,
        known_at=known_at,
        facts=facts,
        scope=tuple(
            one for one in _scope(facts, period) if programs is None or one.program in programs
        ),
        settlements=settlements,
        lines=lines,
        unpaid=unpaid,
        claimed=claims.worth(load_claims(conn, period, known_at=known_at), facts, period),
        vehicles=vehicles["vehicle_id"].n_unique(),
        discharged_milliwh=int(matched["energy_milliwh"].sum())
        + int(unpaid["energy_milliwh"].sum()),
        inputs_digest=inputs.digest(),
        outputs=digests.outputs(settlements, lines, unpaid),
    )


def _of(frame: pl.DataFrame, programs: frozenset[str] | None) -> pl.DataFrame:
    return frame if programs is None else frame.filter(pl.col("program").is_in(sorted(programs)))


def reach_of(conn: Connection, period: Period, *, known_at: datetime) -> Period:
    """The time over which a run over a period needs readings and all else."""
    programs = load_programs(conn, known_at=known_at)
    windows = load_windows(conn, engine.horizon(programs, period), known_at=known_at)
    return engine.reach(programs, windows, period)


def facts_of(
    conn: Connection, period: Period, *, known_at: datetime, vehicles: Collection[str]
) -> Facts:
    """What a run over a period knows, but for computed baselines; of temperatures, baselines and
    orders only those of some vehicles.
    """
    return _facts(conn, period, known_at, Instead(), vehicles)


def with_baselines(
    conn: Connection, readings: Readings, facts: Facts, period: Period, *, known_at: datetime
) -> Facts:
    """The same facts with the baselines that programs compute."""
    return replace(facts, baselines=_baselines(conn, readings, facts, period, known_at))


def _facts(
    conn: Connection,
    period: Period,
    known_at: datetime,
    instead: Instead,
    vehicles: Collection[str] | None = None,
) -> Facts:
    programs = instead.programs
    if programs is None:
        programs = load_programs(conn, known_at=known_at)
    windows = load_windows(conn, engine.horizon(programs, period), known_at=known_at)
    reach = engine.reach(programs, windows, period)
    facts = load_facts(
        conn, reach, known_at=known_at, period=period, programs=programs, vehicles=vehicles
    )
    return facts if instead.baselines is None else replace(facts, baselines=instead.baselines)


def _scope(facts: Facts, period: Period) -> list[Settled]:
    settled = [
        window
        for window in facts.windows
        if window.program in facts.programs
        and settles(governing(facts.programs[window.program], window.started_at), window, period)
    ]
    return list(settled_at_once(facts.programs, settled))


def _baselines(
    conn: Connection, readings: Readings, facts: Facts, period: Period, known_at: datetime
) -> pl.DataFrame:
    """The provided baselines, and instead of those the computed ones of programs that compute them."""
    computed = []
    vehicles: set[str] = set()
    for bucket in buckets(facts, period):
        needed = baselines.history_needed(bucket.program, bucket.windows)
        if not needed or bucket.vehicles is None:
            continue
        since = min(one.started_at for one in needed)
        past = load_windows(conn, Period(since, period.ended_at), known_at=known_at)
        history = pl.concat([_no_readings(), *(readings(one) for one in needed)]).unique(
            ["evse_id", "stream_epoch", "sequence"]
        )
        computed.append(
            baselines.compute(
                history,
                bucket.windows,
                [w for w in past if w.program == bucket.program.program],
                bucket.program,
                sorted(bucket.vehicles),
                competing=bucket.competing,
            )
        )
        vehicles |= bucket.vehicles
    provided = facts.baselines.filter(~pl.col("vehicle_id").is_in(sorted(vehicles)))
    return pl.concat([BASELINE.empty(), provided, *computed])


def _no_readings() -> pl.DataFrame:
    return READING.empty().with_columns(conflicted=pl.lit(value=False))
