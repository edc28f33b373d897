"""Settle: one period's readings, events, prices and contracts in; booked settlements out."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from importlib.metadata import version
from typing import Any, Final
from uuid import uuid4

import polars as pl

from settlement import booking, claims, matching, pricing, units
from settlement.booking import Revision
from settlement.matching import Grid
from settlement.periods import Period, floor
from settlement.posting import Facts, Posting, compose
from settlement.timeline import Window
from storage import books, outbox
from storage.engine import Connection, Role, connect
from storage.grid import ended_events, load_prices, load_windows
from storage.readings import load_claims, load_readings
from storage.registry import load_contracts, load_programs

PARTNER: Final = "clearinghouse"


class PeriodNotOverError(ValueError):
    """A period of which part is still to come. Settle it when it is over."""


@dataclass(frozen=True)
class ReasonTotal:
    """Energy of one reason and the money it would have been; ``packets`` only where it is quarantine."""

    reason: str
    energy_milliwh: int
    would_have_been_micros: int
    packets: int = 0


@dataclass(frozen=True)
class SettleSummary:
    """What one run computed and booked. Amounts of all programs of the run are in one currency.

    Attributes:
        state: settled, held, or dry_run.
        reason: why it is held, or why a person released it.
        vehicles: vehicles with energy in the period.
        discharged_milliwh: verified energy in the run's reach: paid plus unpaid.
        paid_milliwh: energy of the booked settlements.
        amount_minor: payable for the period, whether booked now or before.
        booked_minor: booked by this run: the difference to what was booked before.
        revisions: how many settlements are new or changed.
        held: how many settlements are held.
        unpaid: verified energy that earned nothing, by reason.
        quarantined: what packets claimed that are no reading, by reason.
    """

    run_id: str
    period: str
    state: str
    reason: str
    currency: str
    minor_units: int
    vehicles: int
    discharged_milliwh: int
    paid_milliwh: int
    amount_minor: int
    booked_minor: int
    revisions: int
    held: int
    unpaid: list[ReasonTotal]
    quarantined: list[ReasonTotal]


def summary_of(stored: Mapping[str, Any]) -> SettleSummary:
    """A summary from what ``settlement_run`` keeps of it, with its run_id and period."""
    totals = {
        name: [ReasonTotal(**one) for one in stored[name]] for name in ("unpaid", "quarantined")
    }
    return SettleSummary(**{**stored, **totals})


@dataclass(frozen=True)
class _Computed:
    grid: Grid
    events: Mapping[str, Period]
    unpaid: pl.DataFrame
    priced: pricing.Priced
    claimed: pl.DataFrame
    revisions: list[Revision]
    vehicles: int
    discharged_milliwh: int


def settle_period(
    dsn: str,
    period: Period,
    *,
    known_at: datetime,
    dry_run: bool = False,
    hold: str = "",
    released: str = "",
    new_id: Callable[[], object] = uuid4,
) -> SettleSummary:
    """Settle a period: the events that end in it, and the discharge outside of every event in it.

    Settling the same period again books only what has changed since, on the original period.

    Args:
        dsn: the database.
        period: half-open.
        known_at: only what was known by then counts; the time of booking too.
        dry_run: compute and report, book nothing.
        hold: why the period must not be booked (a failed critical expectation); the run is recorded
            as held then, and books nothing.
        released: why a person settles a period in spite of a hold; recorded with the run.
        new_id: makes the id of the run.

    Raises:
        PeriodNotOverError: the period ends after ``known_at``.
        ConcurrentRunError: another run is settling; run again.
        ProgramError: a stored program cannot be used.
    """
    if period.ended_at > known_at:
        raise PeriodNotOverError(f"{period} is not over; expected an end until {known_at:%FT%TZ}")
    run_id = str(new_id())
    with books.settling(dsn) as conn:
        computed = _compute(conn, dsn, period, known_at)
        state = "dry_run" if dry_run else "held" if hold else "settled"
        revisions = computed.revisions if state == "settled" else []
        summary = _summary(run_id, period, state, hold or released, computed, revisions)
        if dry_run:
            return summary
        totals = {
            name: value
            for name, value in asdict(summary).items()
            if name not in ("run_id", "period")
        }
        run = books.Run(
            run_id, period, known_at, state, summary.reason, version("v2g-settlement"), totals
        )
        books.record_run(conn, run, revisions, computed.unpaid)
        outbox.enqueue(conn, _postings(revisions, computed), now=known_at)
    return summary


def _compute(conn: Connection, dsn: str, period: Period, known_at: datetime) -> _Computed:
    reach = _reach(period, load_windows(conn, period, known_at=known_at))
    grid = Grid(
        # Not the version of today: settling a period again must not change its tariff.
        programs=load_programs(conn, at=period.started_at),
        # All that touch the reach: one that another run settles may have been in force over part of it.
        windows=load_windows(conn, reach, known_at=known_at),
        prices=load_prices(conn, reach, known_at=known_at),
        contracts=load_contracts(conn),
    )
    readings = load_readings(conn, dsn, _with_neighbours(reach))
    matched = matching.match(readings, grid, period)
    priced = pricing.price(matched.matched, matched.unpaid, grid.programs)
    events = ended_events(conn, period, known_at=known_at)
    booked = books.load_books(conn, list(events))
    energies = pl.concat(
        frame.select("vehicle_id", "energy_milliwh") for frame in (matched.matched, matched.unpaid)
    )
    return _Computed(
        grid=grid,
        events=events,
        unpaid=matched.unpaid,
        priced=priced,
        claimed=claims.worth(load_claims(conn, period), grid, period),
        revisions=booking.revisions(priced.settlements, priced.lines, booked),
        vehicles=energies["vehicle_id"].n_unique(),
        discharged_milliwh=int(energies["energy_milliwh"].sum()),
    )


def _reach(period: Period, windows: list[Window]) -> Period:
    """The period, extended back to the start of the earliest event that ends in it."""
    starts = [w.started_at for w in windows if period.started_at < w.ended_at <= period.ended_at]
    return Period(min([period.started_at, *starts]), period.ended_at)


def _with_neighbours(reach: Period) -> Period:
    """Wide enough to hold every reading that overlaps one in reach: whichever run looks at a pair of
    readings over the same time, it sees both.
    """
    return Period(reach.started_at - units.INTERVAL_MAX, reach.ended_at + units.INTERVAL_MAX)


def _postings(revisions: list[Revision], computed: _Computed) -> list[Posting]:
    """One instruction per revision that moves money, to the account of the contract in force."""
    postings = []
    for one in revisions:
        if not one.entries:
            continue
        facts = one.settlement
        event = computed.events[str(facts["event_id"])]
        postings.append(
            compose(
                Facts(
                    settlement_id=one.settlement_id,
                    program=str(facts["program"]),
                    event_id=str(facts["event_id"]),
                    vehicle_id=str(facts["vehicle_id"]),
                    account=_account(computed.grid.contracts, facts, event),
                    currency=str(facts["currency"]),
                    amount_minor=one.adjustment_minor,
                    period_started_at=event.started_at,
                    period_ended_at=event.ended_at,
                    supersedes=one.supersedes,
                ),
                partner=PARTNER,
            )
        )
    return postings


def _account(contracts: pl.DataFrame, facts: Mapping[str, object], event: Period) -> str:
    """The account of the contract in force as the event starts; where a correction finds none any
    more, that of the vehicle's latest contract, from which the money must come back.
    """
    mine = contracts.filter(
        (pl.col("vehicle_id") == facts["vehicle_id"]) & (pl.col("program") == facts["program"])
    ).sort("valid_from")
    in_force = mine.filter(
        (pl.col("valid_from") <= event.started_at)
        & (pl.col("valid_to").is_null() | (pl.col("valid_to") > event.started_at))
    )
    return str((mine if in_force.is_empty() else in_force)["account"][-1])


def _summary(
    run_id: str, period: Period, state: str, hold: str, computed: _Computed, booked: list[Revision]
) -> SettleSummary:
    settlements = computed.priced.settlements
    paid = settlements.filter(pl.col("state") == "booked")
    programs = list(computed.grid.programs.values())
    unpaid = computed.unpaid.group_by("reason").agg(
        pl.col("energy_milliwh").sum(), pl.col("would_have_been_micros").sum()
    )
    return SettleSummary(
        run_id=run_id,
        period=str(period),
        state=state,
        reason=hold,
        currency=programs[0].currency if programs else "",
        minor_units=programs[0].minor_units if programs else 2,
        vehicles=computed.vehicles,
        discharged_milliwh=computed.discharged_milliwh,
        paid_milliwh=int(paid["energy_milliwh"].sum()),
        amount_minor=int(paid["amount_minor"].sum()),
        booked_minor=sum(one.adjustment_minor for one in booked),
        revisions=len(booked),
        held=settlements.height - paid.height,
        unpaid=[ReasonTotal(**row) for row in unpaid.sort("reason").iter_rows(named=True)],
        quarantined=[ReasonTotal(**row) for row in computed.claimed.iter_rows(named=True)],
    )


def due_period(dsn: str, *, now: datetime, grace: timedelta) -> Period | None:
    """What a scheduled run has to settle: from where runs have left off to ``now - grace``, in whole
    quarter hours. None while there is nothing.

    A run asks what is due instead of settling "its slot", because a scheduler that was down creates
    no runs for the slots it has missed. A period that its quality has held is not taken up again
    together with a better one, in which its faults would drown: it waits for a person.
    """
    with connect(dsn, Role.READ) as conn:
        since = books.left_off(conn)
    end = floor(now - grace)
    if since is None or floor(since) >= end:
        return None
    return Period(floor(since), end)
