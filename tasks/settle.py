"""Settle: one period's readings, events, prices and contracts in; booked settlements out."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Final
from uuid import uuid4

import polars as pl

from settlement import booking
from settlement.booking import Difference, Policy, Revised, Revision
from settlement.periods import Period, floor
from settlement.pricing import micros_per_minor
from settlement.programs import in_force
from storage import books, calendar, fence, outbox, runs
from storage.engine import Connection, Role, connect
from storage.registry import load_program_bodies, load_shares
from tasks import computing
from tasks.calendar import closed, deferred
from tasks.computing import Computed
from tasks.posting.instructions import postings
from tasks.second_opinion import SHARE_PPM, Opinion, Sample, ask, bodies_of, salt_of
from tasks.settle_summary import Outcome, ReasonTotal, SettleSummary, summarise, summary_of
from tasks.withheld import withhold

__all__ = [
    "MANUAL",
    "SCHEDULED",
    "Order",
    "PeriodNotOverError",
    "Ran",
    "ReasonTotal",
    "SettleSummary",
    "due_period",
    "replay_period",
    "settle_in",
    "settle_period",
    "summary_of",
]

MANUAL: Final = "manual"
SCHEDULED: Final = "scheduled"


class PeriodNotOverError(ValueError):
    """A period of which part is still to come. Settle it when it is over."""

    def __init__(self, period: Period, known_at: datetime) -> None:
        super().__init__(f"{period} is not over; expected an end until {known_at:%FT%TZ}")
        self.period = period
        self.known_at = known_at


@dataclass(frozen=True)
class Order:
    """How a period is to be settled.

    Attributes:
        period: half-open.
        kind: manual, scheduled, or the name of a run of the calendar.
        programs: only these; None for all.
        dry_run: compute and report, book nothing.
        hold: why the period must not be booked (a failed critical expectation); the run is recorded
            as held then, and books nothing.
        released: why a person settles a period in spite of a hold; recorded with the run.
        excused: vehicles on which a difference of the second opinion is released with it; None: all.
        materiality_micros: differences below it are reported and not booked.
        oracle_share_ppm: of its vehicles, that the oracle settles again; any difference holds the run,
            unless it is released. 0: none.
        run_id: of the run.
    """

    period: Period
    kind: str = MANUAL
    programs: frozenset[str] | None = None
    dry_run: bool = False
    hold: str = ""
    released: str = ""
    excused: frozenset[str] | None = None
    materiality_micros: int = 0
    oracle_share_ppm: int = SHARE_PPM
    run_id: str = field(default_factory=lambda: str(uuid4()))


@dataclass(frozen=True)
class Ran:
    """A run's summary, with what it booked, or would, and what it reports instead."""

    summary: SettleSummary
    revisions: Sequence[Revision]
    differences: Sequence[Difference]


def settle_period(
    dsn: str,
    period: Period,
    *,
    clock: Callable[[], datetime],
    kind: str = MANUAL,
    programs: frozenset[str] | None = None,
    dry_run: bool = False,
    hold: str = "",
    released: str = "",
    excused: frozenset[str] | None = None,
    oracle_share_ppm: int = SHARE_PPM,
) -> SettleSummary:
    """Settle a period: the events that end in it, and the discharge outside of every event in it.

    Settling the same period again books only what has changed since, on the original period. A run of
    kind ``scheduled`` leaves to the calendar what the calendar's first run has yet to book.

    Args:
        dsn: the database.
        period: half-open.
        clock: gives now; what is known by the moment that it fixes counts.
        kind: see ``Order``, as all that follows.
        programs: see there.
        dry_run: see there.
        hold: see there.
        released: see there.
        excused: see there.
        oracle_share_ppm: see there.

    Raises:
        PeriodNotOverError: the period has not ended.
        ConcurrentRunError: another run is settling; run again.
        WritersBusyError: facts are being written without an end; run again.
        ProgramError: a stored program cannot be used.
        BookingError: shares or currencies with which nothing can be booked.
    """
    order = Order(
        *(period, kind, programs, dry_run, hold, released, excused),
        oracle_share_ppm=oracle_share_ppm,
    )
    with books.settling(dsn) as conn:
        return settle_in(conn, dsn, order, known_at=fence.moment(conn, clock)).summary


def settle_in(conn: Connection, dsn: str, order: Order, *, known_at: datetime) -> Ran:
    """The same in the transaction of ``books.settling``, as known at the moment that it has fixed."""
    if order.period.ended_at > known_at:
        raise PeriodNotOverError(order.period, known_at)
    computed, opinion = _compute(conn, dsn, order, known_at)
    hold = order.hold or _against(opinion, order)
    revised, waiting = _revise(conn, computed, order)
    state = "dry_run" if order.dry_run else "held" if hold else "settled"
    if state == "held":
        computed = withhold(conn, computed)
    outcome = Outcome(
        order.run_id,
        order.kind,
        state,
        hold or order.released,
        [] if state == "held" else revised.revisions,
        revised.differences,
        waiting,
        opinion,
    )
    summary = summarise(computed, outcome)
    if state != "dry_run":
        _record(conn, computed, order, outcome, summary)
    return Ran(summary, outcome.revisions, outcome.differences)


def _against(opinion: Opinion | None, order: Order) -> str:
    """Why the second opinion holds a run; empty where it does not, or where that was released."""
    if opinion is None or not opinion.reason:
        return ""
    answered = order.excused is None or order.excused.issuperset(opinion.differing)
    return "" if order.released and answered else opinion.reason


def _compute(
    conn: Connection, dsn: str, order: Order, known_at: datetime
) -> tuple[Computed, Opinion | None]:
    """What a run comes to, and what the oracle says of a part of it."""
    if order.oracle_share_ppm == 0:
        return computing.compute(
            conn, dsn, order.period, known_at=known_at, programs=order.programs
        ), None
    sample = Sample(
        salt_of(order.run_id, order.period, known_at),
        order.oracle_share_ppm,
        again=runs.differing(conn, order.period),
    )
    computed = computing.compute(
        conn,
        dsn,
        order.period,
        known_at=known_at,
        programs=order.programs,
        watch=sample.watching,
    )
    bodies = bodies_of(load_program_bodies(conn, known_at=known_at))
    return computed, ask(sample, computed, bodies, order.programs)


def replay_period(
    dsn: str, period: Period, *, as_of: datetime, programs: frozenset[str] | None = None
) -> SettleSummary:
    """What a period came to as known at an earlier time: computed again, nothing booked.

    The same digest as that of the run which knew as much proves that it can be told again bit for bit.

    Raises:
        PeriodNotOverError: the period had not ended by then.
        ProgramError: a stored program cannot be used.
    """
    if period.ended_at > as_of:
        raise PeriodNotOverError(period, as_of)
    with books.reading(dsn) as conn:
        computed = computing.compute(conn, dsn, period, known_at=as_of, programs=programs)
    return summarise(computed, Outcome("", "replay", "replayed", "", [], [], 0))


def _revise(conn: Connection, computed: Computed, order: Order) -> tuple[Revised, int]:
    """What differs from the books, and how many settlements are left to the calendar."""
    facts = computed.facts
    done = calendar.done(conn, {one.program for one in computed.scope})
    scope = {(one.program, one.event_id) for one in computed.scope}
    final = closed(facts.programs, computed.scope, done)
    waiting = frozenset[tuple[str, str]]()
    if order.kind == SCHEDULED:
        waiting = deferred(facts.programs, computed.scope, done)
    settled = scope - waiting
    booked = {
        key: one
        for key, one in books.load_books(conn, {event for _, event in scope}).items()
        if key[:2] in settled or _went_over(key, settled)
    }
    settlements, lines = (
        frame.filter(~_among(waiting)) for frame in (computed.settlements, computed.lines)
    )
    revised = booking.revisions(
        settlements,
        lines,
        booked,
        load_shares(conn, known_at=computed.known_at),
        _policies(computed, order),
        final,
    )
    return revised, computed.settlements.height - settlements.height


def _went_over(key: booking.Key, settled: Collection[tuple[str, str]]) -> bool:
    """Whether an event that is settled now was booked under another program, to which it belonged."""
    return key[:2] not in settled and any(event == key[1] for _, event in settled)


def _among(pairs: frozenset[tuple[str, str]]) -> pl.Expr:
    names = [f"{program}\0{event}" for program, event in sorted(pairs)]
    return pl.concat_str("program", "event_id", separator="\0").is_in(names)


def _policies(computed: Computed, order: Order) -> Mapping[str, Policy]:
    in_use = {
        name: in_force(versions, computed.period.started_at)
        for name, versions in computed.facts.programs.items()
    }
    return {
        name: Policy(program.correction, order.materiality_micros, micros_per_minor(program))
        for name, program in in_use.items()
    }


def _record(
    conn: Connection, computed: Computed, order: Order, outcome: Outcome, summary: SettleSummary
) -> None:
    totals = {
        name: value for name, value in asdict(summary).items() if name not in ("run_id", "period")
    }
    run = runs.Run(
        order.run_id,
        computed.period,
        computed.known_at,
        outcome.state,
        outcome.reason,
        version("v2g-settlement"),
        totals,
        order.kind,
        order.programs,
        computed.inputs_digest,
        computed.outputs.all,
        computed.outputs.unpaid,
    )
    versions = books.load_versions(conn, outcome.revisions, known_at=computed.known_at)
    books.record_run(
        conn,
        run,
        outcome.revisions,
        computed.unpaid,
        versions=versions,
        differences=outcome.differences,
    )
    outbox.enqueue(conn, postings(outcome.revisions, computed.scope), now=computed.known_at)


def due_period(dsn: str, *, now: datetime, grace: timedelta) -> Period | None:
    """What a scheduled run has to settle: from where runs have left off to ``now - grace``, in whole
    quarter hours. None while there is nothing.

    A run asks what is due instead of settling "its slot", because a scheduler that was down creates
    no runs for the slots it has missed. A period that its quality has held is not taken up again
    together with a better one, in which its faults would drown: ``tasks.held`` tries it by itself.
    """
    with connect(dsn, Role.READ) as conn:
        since = runs.left_off(conn)
    end = floor(now - grace)
    if since is None or floor(since) >= end:
        return None
    return Period(floor(since), end)
