"""True up: run what the programs' calendars have due, the oldest first.

Each run settles one local day of one program again, as known now, and books what has changed since; it
is recorded in the same transaction, so that two who start at once do it once. Whoever was down for a
while catches up in order.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from settlement.booking import Difference, Revision
from settlement.periods import Period
from storage import books, calendar, fence, runs
from storage.engine import Role, connect
from storage.registry import load_programs
from tasks.calendar import DueRun, due, settled_at_once
from tasks.second_opinion import SHARE_PPM
from tasks.settle import Order, Ran, SettleSummary, settle_in

MAX_RUNS: Final = 100
"""Runs of one call; what is due beyond them is due at the next."""

Doubt = Callable[[Period], str]
"""Why a period must not be booked; empty where nothing is against it."""


class NothingToReleaseError(ValueError):
    """``program`` has no run due on ``day``."""

    def __init__(self, program: str, day: date) -> None:
        super().__init__(
            f"{program} has no run due for {day}; expected a program and day that are due or held"
        )
        self.program = program
        self.day = day


@dataclass(frozen=True)
class Change:
    """What a run books, or would, for one vehicle; ``why`` it is only reported, else empty."""

    event_id: str
    vehicle_id: str
    currency: str
    amount_minor: int
    why: str


@dataclass(frozen=True)
class CalendarRun:
    """What became of one run.

    Attributes:
        day: the local day, ISO 8601.
        due_at: ISO 8601.
        state: settled, held, or dry_run.
        reason: why it is held, or why a person released it.
        summary: None where it was held before it was computed.
        changes: per vehicle.
    """

    program: str
    day: str
    name: str
    due_at: str
    state: str
    reason: str
    summary: SettleSummary | None
    changes: list[Change]


@dataclass(frozen=True)
class TrueUpSummary:
    """What one call came to.

    Attributes:
        runs: in the order in which they were due.
        left: how many are due and were not tried, because ``max_runs`` were done.
    """

    runs: list[CalendarRun]
    left: int

    @property
    def held(self) -> int:
        """How many runs wait for a person."""
        return sum(one.state == "held" for one in self.runs)


@dataclass(frozen=True)
class Release:
    """A person's word that a held day is to be booked all the same, and why."""

    program: str
    day: date
    why: str


def true_up(
    dsn: str,
    *,
    clock: Callable[[], datetime],
    dry_run: bool = False,
    max_runs: int = MAX_RUNS,
    doubt: Doubt = lambda _period: "",
    release: Release | None = None,
    oracle_share_ppm: int = SHARE_PPM,
) -> TrueUpSummary:
    """Do what is due by now, the oldest first.

    A day that is held, in whole or in part, waits for a person, with all its later runs; the days
    after it do not. Held are also days of which a part is held by another run.

    Args:
        dsn: the database.
        clock: gives now, by which runs are due and up to which facts are known.
        dry_run: show what the first run due of each day would book, and book nothing.
        max_runs: at most so many are computed.
        doubt: asked before each run; see ``Doubt``.
        release: only this day is run, without being doubted.
        oracle_share_ppm: see ``tasks.settle.Order``.

    Raises:
        NothingToReleaseError: the day to be released has no run that is due.
        ConcurrentRunError: another run is settling; run again.
        WritersBusyError: facts are being written without an end; run again.
        ProgramError: a stored program cannot be used.
    """
    waiting = _due(dsn, clock())
    if release is not None:
        waiting = [
            one
            for one in waiting
            if (one.day.program, one.day.day) == (release.program, release.day)
        ]
        if not waiting:
            raise NothingToReleaseError(release.program, release.day)
    found: list[CalendarRun] = []
    over: set[tuple[str, date]] = set()
    computed = 0
    for number, one in enumerate(waiting):
        key = (one.day.program, one.day.day)
        if key in over:
            continue
        if computed == max_runs:
            rest = (
                later
                for later in waiting[number:]
                if (later.day.program, later.day.day) not in over
            )
            return TrueUpSummary(found, sum(1 for _ in rest))
        hold = "" if release else _standing_hold(dsn, one.day.period, one.day.program)
        if hold:
            ran = _told(one, None, hold)
        else:
            computed += 1
            hold = "" if release else doubt(one.day.period)
            why = release.why if release else ""
            order = _order(one, hold=hold, released=why, dry_run=dry_run, share=oracle_share_ppm)
            try:
                done = _run(dsn, one, clock, order)
            except (ArithmeticError, ValueError) as error:
                # What one program's day cannot be settled for must not keep the others waiting.
                found.append(_told(one, None, f"cannot be settled: {error}"))
                over.add(key)
                continue
            if done is None:
                continue
            ran = _told(one, done, done.summary.reason)
        found.append(ran)
        if ran.state != "settled":
            over.add(key)
    return TrueUpSummary(found, 0)


def _due(dsn: str, now: datetime) -> list[DueRun]:
    with connect(dsn, Role.READ) as conn:
        programs = load_programs(conn, known_at=now)
        settled = list(settled_at_once(programs, calendar.endings(conn, until=now)))
        return due(programs, settled, calendar.done(conn, programs.keys()), now)


def _standing_hold(dsn: str, period: Period, program: str) -> str:
    with connect(dsn, Role.READ) as conn:
        held = runs.held_within(conn, period, program)
    return f"{held[0]} is held: {held[1]}" if held else ""


def _order(one: DueRun, *, hold: str, released: str, dry_run: bool, share: int) -> Order:
    return Order(
        one.day.period,
        kind=one.terms.name,
        programs=frozenset({one.day.program}),
        dry_run=dry_run,
        hold=hold,
        released=released,
        materiality_micros=one.terms.materiality_micros,
        oracle_share_ppm=share,
    )


def _run(dsn: str, one: DueRun, clock: Callable[[], datetime], order: Order) -> Ran | None:
    """Do it, unless somebody else has done it by now."""
    program, day = one.day.program, one.day.day
    with books.settling(dsn) as conn:
        known_at = fence.moment(conn, clock)
        if (program, day, one.terms.name) in calendar.done(conn, [program]):
            return None
        ran = settle_in(conn, dsn, order, known_at=known_at)
        if ran.summary.state == "settled":
            calendar.mark_done(
                conn, program, day, one.terms.name, run_id=order.run_id, done_at=known_at
            )
    return ran


def _told(one: DueRun, ran: Ran | None, reason: str) -> CalendarRun:
    return CalendarRun(
        program=one.day.program,
        day=one.day.day.isoformat(),
        name=one.terms.name,
        due_at=one.due_at.isoformat(),
        state=ran.summary.state if ran else "held",
        reason=reason,
        summary=ran.summary if ran else None,
        changes=_changes(ran.revisions, ran.differences) if ran else [],
    )


def _changes(revisions: Sequence[Revision], differences: Sequence[Difference]) -> list[Change]:
    booked = [
        Change(
            str(one.settlement["event_id"]),
            str(one.settlement["vehicle_id"]),
            str(one.settlement["currency"]),
            one.adjustment_minor,
            "",
        )
        for one in revisions
    ]
    reported = [
        Change(
            one.event_id,
            one.vehicle_id,
            one.currency,
            one.computed_minor - one.booked_minor,
            one.why,
        )
        for one in differences
    ]
    return sorted(booked + reported, key=lambda one: (one.event_id, one.vehicle_id))
