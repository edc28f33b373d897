"""Statements: what was booked for whom, and everything that it came from, gathered into one pack."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version

import polars as pl

from settlement import engine
from settlement.booking import Key
from settlement.facts import Facts
from settlement.periods import Period
from settlement.programs import in_force
from statements.pack import (
    UNPAID_SCHEMA,
    Booking,
    EventVersion,
    Known,
    Pack,
    ProgramVersion,
    Run,
    Subject,
)
from storage import evidence, signed, stated
from storage.engine import Connection
from storage.evidence import Found, FoundRun
from storage.facts import temperature_reach
from tasks import computing

_KEY = ("program", "event_id", "vehicle_id")


class NothingBookedError(ValueError):
    """There is nothing to state about ``subject``."""

    def __init__(self, subject: Subject) -> None:
        super().__init__(
            f"{subject}: no settlement and nothing unpaid; expected a vehicle, event, account or period"
            " that a run has settled"
        )
        self.subject = subject


@dataclass
class _Pool:
    """What the runs of a pack refer to, each once."""

    programs: dict[tuple[str, int], ProgramVersion] = field(default_factory=dict)
    events: dict[tuple[str, int], EventVersion] = field(default_factory=dict)
    temperatures: list[pl.DataFrame] = field(default_factory=list)


def collect(
    dsn: str,
    subject: Subject,
    *,
    now: datetime,
    with_evidence: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Pack:
    """Gather a statement.

    Args:
        dsn: the database.
        subject: at least one of its parts given.
        now: stands in the pack.
        with_evidence: whether all that the amounts are computed from is gathered too. Without it a
            statement can be shown and not be verified.
        progress: told what is being gathered.

    Raises:
        NothingBookedError: there is nothing to state.
        TooMuchError: more than one statement can hold.
        ProgramError: a stored program cannot be used.
    """
    with evidence.reading(dsn) as conn:
        progress("settlements")
        found = evidence.latest(conn, subject)
        booked, seals = evidence.bookings(conn, found)
        runs = {run.run_id: run for run in evidence.runs(conn, {one.run_id for one in found})}
        unpaid, others = _unpaid(conn, subject, found, list(runs.values()))
        runs |= {run.run_id: run for run in others}
        if not found and unpaid.is_empty():
            raise NothingBookedError(subject)
        pack = Pack(
            made_at=now,
            made_by=f"v2g-settlement {version('v2g-settlement')}",
            subject=subject,
            bookings=tuple(booked),
            seals=tuple(seals),
            unpaid=unpaid,
            runs=tuple(
                _run(run, booked, unpaid)
                for run in sorted(runs.values(), key=lambda run: (run.known_at, run.run_id))
            ),
        )
        if not with_evidence:
            latest = max(run.known_at for run in pack.runs)
            return replace(pack, programs=tuple(stated.programs(conn, known_at=latest)))
        return _with_evidence(conn, pack, progress)


def _run(run: FoundRun, booked: Iterable[Booking], unpaid: pl.DataFrame) -> Run:
    accounts = {one.key for one in booked if one.run_id == run.run_id}
    accounts |= set(unpaid.filter(pl.col("run_id") == run.run_id).select(_KEY).unique().iter_rows())
    return Run(
        run_id=run.run_id,
        period=run.period,
        known_at=run.known_at,
        programs=run.programs,
        stretch=computing.STRETCH,
        accounts=tuple(sorted(accounts)),
    )


def _unpaid(
    conn: Connection, subject: Subject, found: Sequence[Found], runs: Sequence[FoundRun]
) -> tuple[pl.DataFrame, list[FoundRun]]:
    """What was not paid, and the runs that say so beside those that booked.

    Beside a settlement stands what the run that booked it left unpaid. Of what no settlement came of,
    and of discharge outside of every event, the latest run of each period counts.
    """
    settled = {one.key: one.run_id for one in found}
    vehicles = _vehicles(conn, subject)
    own = evidence.unpaid(conn, runs, vehicles={key[2] for key in settled})
    keys = pl.DataFrame(
        [(run_id, *key) for key, run_id in settled.items()],
        schema=dict.fromkeys(("run_id", *_KEY), pl.String()),
        orient="row",
    )
    beside = own.join(keys, on=["run_id", *_KEY], how="semi")
    latest = evidence.latest_runs(conn, subject.period)
    rest = evidence.unpaid(conn, latest, vehicles=vehicles, event_id=subject.event_id)
    rest = _concerning(rest, subject, conn).join(keys, on=list(_KEY), how="anti")
    rest = _of_latest_runs(rest, latest)
    named = set(rest["run_id"])
    columns = UNPAID_SCHEMA.names()
    return (
        pl.concat([beside, rest]).sort(columns[1:7]),
        [run for run in latest if run.run_id in named],
    )


def _vehicles(conn: Connection, subject: Subject) -> frozenset[str] | None:
    if subject.account:
        whose = frozenset(evidence.vehicles_of(conn, subject.account))
        return whose & {subject.vehicle_id} if subject.vehicle_id else whose
    if subject.vehicle_id:
        return frozenset({subject.vehicle_id})
    return None


def _concerning(rows: pl.DataFrame, subject: Subject, conn: Connection) -> pl.DataFrame:
    """Of these rows those in the subject's period, and of an account's those under its contracts."""
    if subject.period is not None:
        rows = rows.filter(
            (pl.col("started_at") < subject.period.ended_at)
            & (pl.col("ended_at") > subject.period.started_at)
        )
    if not subject.account:
        return rows
    spans = evidence.vehicles_of(conn, subject.account)
    terms = pl.DataFrame(
        [(vehicle, span.started_at, span.ended_at) for vehicle, of in spans.items() for span in of],
        schema={
            "vehicle_id": pl.String(),
            "valid_from": pl.Datetime("us", "UTC"),
            "valid_to": pl.Datetime("us", "UTC"),
        },
        orient="row",
    )
    under = (
        rows.with_row_index("row")
        .join(terms, on="vehicle_id")
        .filter(
            (pl.col("started_at") < pl.col("valid_to"))
            & (pl.col("ended_at") > pl.col("valid_from"))
        )["row"]
    )
    return rows.with_row_index("row").filter(pl.col("row").is_in(under.implode())).drop("row")


def _of_latest_runs(rows: pl.DataFrame, latest: Sequence[FoundRun]) -> pl.DataFrame:
    """Each event's rows from the run that knew most of it; other discharge from runs whose period no
    run that knew more has covered.
    """
    taken: set[Key] = set()
    covered: list[Period] = []
    kept = [rows.clear()]
    for run in latest:
        own = rows.filter(pl.col("run_id") == run.run_id)
        again = any(
            one.started_at <= run.period.started_at and run.period.ended_at <= one.ended_at
            for one in covered
        )
        keys = set(own.select(_KEY).unique().iter_rows())
        fresh = {key for key in keys if (key not in taken if key[1] else not again)}
        taken |= {key for key in fresh if key[1]}
        covered.append(run.period)
        if fresh:
            names = pl.DataFrame(
                sorted(fresh), schema=dict.fromkeys(_KEY, pl.String()), orient="row"
            )
            kept.append(own.join(names, on=list(_KEY), how="semi"))
    return pl.concat(kept)


def _with_evidence(conn: Connection, pack: Pack, progress: Callable[[str], None]) -> Pack:
    recorder = signed.Recorder(conn)
    pool = _Pool()
    runs = []
    for number, run in enumerate(pack.runs, 1):
        progress(f"what run {number} of {len(pack.runs)} knew")
        runs.append(_knowing(conn, run, recorder, pool))
    progress(f"{len(recorder.readings)} packets")
    latest = max(run.known_at for run in pack.runs)
    packets = signed.packets(conn, recorder)
    conflicts, others = signed.conflicts(conn, recorder, known_at=latest)
    packets += others
    temperatures = pl.concat([pack.temperatures, *pool.temperatures])
    return replace(
        pack,
        runs=tuple(runs),
        programs=tuple(pool.programs[key] for key in sorted(pool.programs)),
        events=tuple(pool.events[key] for key in sorted(pool.events)),
        temperatures=temperatures.unique().sort("vehicle_id", "measured_at", "evse_id"),
        packets=tuple(packets),
        conflicts=tuple(conflicts),
        keys=tuple(signed.keys(conn, packets)),
    )


def _knowing(conn: Connection, run: Run, recorder: signed.Recorder, pool: _Pool) -> Run:
    """The run with what it knew of the vehicles that it accounts for; its readings are recorded."""
    vehicles = frozenset(vehicle for _, _, vehicle in run.accounts)
    known_at = run.known_at
    facts = computing.facts_of(conn, run.period, known_at=known_at, vehicles=vehicles)
    own = _restricted(facts, vehicles)
    past = recorder.open(vehicles, known_at=known_at, record=False)
    own = computing.with_baselines(conn, past, own, run.period, known_at=known_at)
    engine.compute(
        recorder.open(vehicles, known_at=known_at, record=True),
        own,
        run.period,
        stretch=run.stretch,
    )
    bodies = stated.programs(conn, known_at=known_at)
    pool.programs |= {(one.program, one.version): one for one in bodies}
    documents = {event for _, event, _ in run.accounts} | _of_seasons(facts)
    events = stated.events(conn, facts.windows, known_at=known_at, with_documents=documents)
    for one in events:
        key = one.window.event_id, one.version
        if one.document or key not in pool.events:
            pool.events[key] = one
    reach = computing.reach_of(conn, run.period, known_at=known_at)
    needed = temperature_reach(facts.programs, reach)
    if needed is not None:
        pool.temperatures.append(
            stated.temperatures(conn, needed, known_at=known_at, vehicles=vehicles)
        )
    # Whoever shared a charger is looked at too: what their contracts say may explain a register.
    seen = _restricted(facts, vehicles | recorder.vehicles)
    known = Known(
        programs=tuple((one.program, one.version) for one in bodies),
        events=tuple((one.window.event_id, one.version) for one in events),
        prices=tuple(seen.prices),
        contracts=seen.contracts,
        sites=seen.sites,
        temperatures=needed,
        baselines=own.baselines,
        orders=own.orders,
        season_used=own.season_used,
    )
    return replace(run, known=known)


def _of_seasons(facts: Facts) -> set[str]:
    """Events of programs that settle by season."""
    return {
        window.event_id
        for window in facts.windows
        if window.program in facts.programs
        and in_force(facts.programs[window.program], window.started_at).capacity is not None
    }


def _restricted(facts: Facts, vehicles: Collection[str]) -> Facts:
    """What concerns some vehicles, and nothing of the others."""
    mine = pl.col("vehicle_id").is_in(sorted(vehicles))
    contracts = facts.contracts.filter(mine)
    # Those without a contract are looked at under the first program.
    names = set(contracts["program"]) | set(sorted(facts.programs)[:1])
    return replace(
        facts,
        prices=[price for price in facts.prices if price.program in names],
        contracts=contracts,
        sites=None
        if facts.sites is None
        else facts.sites.filter(pl.col("site_id").is_in(contracts["site_id"].unique().implode())),
        temperatures=facts.temperatures.filter(mine),
        baselines=facts.baselines.filter(mine),
        orders=facts.orders.filter(mine),
        season_used=facts.season_used.filter(mine),
    )
