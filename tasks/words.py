"""How summaries are told to people: exact decimals as text, one sentence, one table."""

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING

from settlement import units

if TYPE_CHECKING:  # whoever tells of one step must not load all of them
    from settlement.limits import Limits
    from tasks.grid import FeedOutcome, GridSummary
    from tasks.notices.deliver import DeliverySummary
    from tasks.payouts import Payout
    from tasks.posting.expiry import Watched
    from tasks.posting.run import PostSummary
    from tasks.quality import QualitySummary
    from tasks.screening import ScreenSummary
    from tasks.settle import SettleSummary
    from tasks.true_up import CalendarRun, TrueUpSummary

Table = list[dict[str, str]]
"""Rows of a table artifact. All cells are text: Prefect refuses decimals, and no float is money."""


def money(minor: int, minor_units: int, currency: str) -> str:
    """An amount in minor units, as decimal text with its currency.

    >>> money(377, 2, "USD"), money(-5, 2, "USD"), money(1200, 0, "JPY")
    ('3.77 USD', '-0.05 USD', '1200 JPY')
    """
    return f"{Decimal(minor).scaleb(-minor_units):f} {currency}".rstrip()


def micros(amount: int, currency: str) -> str:
    """An amount in micros, to its last digit.

    >>> micros(1625778, "USD")
    '1.625778 USD'
    """
    return money(amount, 6, currency)


def kwh(milliwh: int) -> str:
    """Energy, to the watt-hour.

    >>> kwh(7_650_000)
    '7.650 kWh'
    """
    return f"{Decimal(milliwh) / units.MILLIWH_PER_KWH:.3f} kWh"


def settled(summary: "SettleSummary") -> str:
    """What one settling run came to."""
    amount = money(summary.amount_minor, summary.minor_units, summary.currency)
    booked = money(summary.booked_minor, summary.minor_units, summary.currency)
    told = (
        f"{summary.period}: {summary.vehicles} vehicles,"
        f" {kwh(summary.discharged_milliwh)} discharged, {kwh(summary.paid_milliwh)} paid,"
        f" {amount} payable, {booked} {_booked(summary)} in {summary.revisions} settlements"
    )
    if summary.held:
        told += f", {summary.held} settlements held"
    if summary.deferred:
        told += f", {summary.deferred} settlements left to the calendar"
    if summary.differences:
        told += f", {summary.differences} differences reported and not booked"
    told += second_opinion(summary, before="; ")
    if not summary.reason:
        return told
    return f"{told}; {'held' if summary.state == 'held' else 'released'}: {summary.reason}"


def second_opinion(summary: "SettleSummary", *, before: str = "") -> str:
    """How much of a run the oracle has settled again, and what it found; empty where it was not asked."""
    said = summary.second_opinion
    if said is None:
        return ""
    told = f"{before}second opinion on {said.vehicles} vehicles and {said.lines} lines: "
    told += f"{said.differences} differences"
    if said.passed_over:
        told += "; not judged: " + ", ".join(
            f"{count} vehicles ({why})" for why, count in said.passed_over.items()
        )
    return f"{told}; {said.reason}" if said.reason not in ("", summary.reason) else told


def _booked(summary: "SettleSummary") -> str:
    return "would be booked" if summary.state == "dry_run" else "booked by this run"


def calendar_run(run: "CalendarRun") -> str:
    """What one run of the calendar came to."""
    told = f"{run.program}, {run.day}, {run.name}: {run.state}"
    if run.summary is not None:
        one = run.summary
        amount = money(one.booked_minor, one.minor_units, one.currency)
        told += f", {amount} {_booked(one)} in {one.revisions} settlements"
        if one.differences:
            told += f", {one.differences} differences reported and not booked"
    return f"{told}; {run.reason}" if run.reason else told


def trued_up(summary: "TrueUpSummary") -> str:
    """What one call of the calendar came to."""
    told = f"{len(summary.runs)} runs of the calendar"
    if summary.held:
        told += f", {summary.held} of them held"
    return f"{told}; {summary.left} more are due" if summary.left else told


def changes(summary: "TrueUpSummary") -> Table:
    """What the calendar's runs booked, or would, vehicle by vehicle."""
    return [
        {
            "program": run.program,
            "day": run.day,
            "run": run.name,
            "event": one.event_id,
            "vehicle": one.vehicle_id,
            "money": money(one.amount_minor, run.summary.minor_units, one.currency),
            "": f"reported only: {one.why}" if one.why else _booked(run.summary),
        }
        for run in summary.runs
        if run.summary is not None
        for one in run.changes
    ]


def totals(summary: "SettleSummary") -> Table:
    """The totals of one settling run, what was not paid with its reasons, row by row."""

    def row(what: str, energy: str, amount: str, count: object) -> dict[str, str]:
        return {"what": what, "energy": energy, "money": amount, "count": str(count)}

    def pay(minor: int) -> str:
        return money(minor, summary.minor_units, summary.currency)

    return [
        row("discharged", kwh(summary.discharged_milliwh), "", f"{summary.vehicles} vehicles"),
        row("paid", kwh(summary.paid_milliwh), pay(summary.amount_minor), ""),
        row(_booked(summary), "", pay(summary.booked_minor), f"{summary.revisions} settlements"),
        row("settlements held", "", "", summary.held),
        row("settlements left to the calendar", "", "", summary.deferred),
        row("differences reported and not booked", "", "", summary.differences),
        row("second opinion", "", "", second_opinion(summary) or "not asked"),
        *(
            row(
                f"not paid: {one.reason}",
                kwh(one.energy_milliwh),
                f"would have been {micros(one.would_have_been_micros, summary.currency)}",
                "",
            )
            for one in summary.unpaid
        ),
        *(
            row(
                f"quarantined: {one.reason}",
                f"claimed {kwh(one.energy_milliwh)}",
                f"would have been {micros(one.would_have_been_micros, summary.currency)}",
                f"{one.packets} packets",
            )
            for one in summary.quarantined
        ),
    ]


def checks(summary: "QualitySummary") -> Table:
    """Every check of the quality gate, those that failed first."""

    def row(check: Mapping[str, object]) -> dict[str, str]:
        words = {key: str(check[key]) for key in ("check", "severity", "limit", "observed")}
        return {"result": "passed" if check["passed"] else "FAILED", **words}

    return [row(check) for check in sorted(summary.checks, key=lambda check: bool(check["passed"]))]


def synced(summary: "GridSummary") -> str:
    """What one reading of the grid's feeds came to."""
    if not summary.feeds:
        waiting = f"{len(summary.not_due)} feeds want to be read later"
        return waiting if summary.not_due else "no feeds: V2G_GRID_FILE names none (docs/grid.md)"
    return "; ".join(fed(one) for one in summary.feeds)


def fed(outcome: "FeedOutcome") -> str:
    """What became of one feed."""
    if outcome.error:
        return f"{outcome.feed} failed: {outcome.error}"
    told = (
        f"{outcome.feed}: {outcome.events} events, {outcome.events_new} of them new or changed,"
        f" {outcome.prices} prices, {outcome.prices_new} of them new or changed"
    )
    if outcome.posted or outcome.not_posted:
        told += f", {outcome.posted} answers posted"
        told += f", {outcome.not_posted} not taken" if outcome.not_posted else ""
    if outcome.unknown:
        told += f", not enrolled: {', '.join(outcome.unknown)}"
    if not outcome.whole:
        told += ", not all of which could be had"
    if outcome.refused_count:
        told += f", {outcome.refused_count} items refused, such as {outcome.refused[0]}"
    return told


def posted(summary: "PostSummary") -> str:
    """What one posting run came to."""
    done = ", ".join(f"{count} {name}" for name, count in sorted(summary.done.outcomes.items()))
    told = (
        f"{summary.done.attempts} calls ({done or 'nothing was due'}); {summary.open} still queued"
    )
    if summary.parked:
        told += f"; {summary.parked} wait for a person"
    if summary.rest is not None:
        told += f"; nobody sends until {summary.rest.until:%Y-%m-%d %H:%M:%S} UTC"
        told += f" ({summary.rest.why}; {summary.rest.by})"
    return told


def watched(found: "list[Watched]") -> str:
    """How long the keys of posting still count."""
    if not found:
        return "no settlement key and no key of the clearinghouse is configured"
    return "; ".join(_watched(one) for one in found)


def _watched(one: "Watched") -> str:
    if one.problem:
        return one.problem
    if one.not_after is None:
        return f"{one.what} {one.key_id}: no certificate says how long it counts"
    return f"{one.what} {one.key_id}: {one.days_left} days left, until {one.not_after:%Y-%m-%d %H:%M} UTC"


def notices(summary: "DeliverySummary") -> str:
    """What one run of telling partners came to."""
    if not summary.destination:
        return f"nobody has said where notices go; {summary.pending} wait"
    told = (
        f"{summary.noted} noted, {summary.delivered} delivered, {summary.failed} failed;"
        f" {summary.pending} still pending"
    )
    if summary.died:
        told += f"; {summary.died} given up"
    return f"{told}; {summary.destination} is left alone for now" if summary.rested else told


def screened(summary: "ScreenSummary") -> str:
    """What one run of screening came to."""
    if not summary.screened:
        return "nothing to screen"
    told = [f"{summary.cleared} cleared"]
    for count, what in (
        (summary.waiting, "wait for approval"),
        (summary.breached, "broke a limit"),
        (summary.held, "parked as their account is held"),
    ):
        if count:
            told.append(f"{count} {what}")
    if summary.accounts:
        told.append(f"accounts held: {', '.join(summary.accounts)} (v2g payouts list)")
    return "; ".join(told)


def payout(one: "Payout", limits: "Limits") -> str:
    """The amount of a payout; in minor units where no limits say how many its currency has."""
    known = limits.currencies.get(one.currency)
    if known is None:
        return f"{one.amount_minor} minor units of {one.currency}"
    return money(one.amount_minor, known.minor_units, one.currency)
