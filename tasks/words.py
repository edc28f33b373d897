"""How summaries are told to people: exact decimals as text, one sentence, one table."""

from collections.abc import Mapping
from decimal import Decimal

from settlement import units
from tasks.grid import GridSummary
from tasks.post import PostSummary
from tasks.quality import QualitySummary
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


def settled(summary: SettleSummary) -> str:
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


def second_opinion(summary: SettleSummary, *, before: str = "") -> str:
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


def _booked(summary: SettleSummary) -> str:
    return "would be booked" if summary.state == "dry_run" else "booked by this run"


def calendar_run(run: CalendarRun) -> str:
    """What one run of the calendar came to."""
    told = f"{run.program}, {run.day}, {run.name}: {run.state}"
    if run.summary is not None:
        one = run.summary
        amount = money(one.booked_minor, one.minor_units, one.currency)
        told += f", {amount} {_booked(one)} in {one.revisions} settlements"
        if one.differences:
            told += f", {one.differences} differences reported and not booked"
    return f"{told}; {run.reason}" if run.reason else told


def trued_up(summary: TrueUpSummary) -> str:
    """What one call of the calendar came to."""
    told = f"{len(summary.runs)} runs of the calendar"
    if summary.held:
        told += f", {summary.held} of them held"
    return f"{told}; {summary.left} more are due" if summary.left else told


def changes(summary: TrueUpSummary) -> Table:
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


def totals(summary: SettleSummary) -> Table:
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


def checks(summary: QualitySummary) -> Table:
    """Every check of the quality gate, those that failed first."""

    def row(check: Mapping[str, object]) -> dict[str, str]:
        words = {key: str(check[key]) for key in ("check", "severity", "limit", "observed")}
        return {"result": "passed" if check["passed"] else "FAILED", **words}

    return [row(check) for check in sorted(summary.checks, key=lambda check: bool(check["passed"]))]


def fetched(summary: GridSummary) -> str:
    """What one fetch from the utility came to."""
    told = (
        f"{summary.events} events, {summary.events_new} of them new or changed;"
        f" {summary.prices} prices, {summary.prices_new} of them new or changed"
    )
    if not summary.refused_count:
        return told
    return f"{told}; {summary.refused_count} items refused, such as {summary.refused[0]}"


def posted(summary: PostSummary) -> str:
    """What one posting run came to."""
    done = ", ".join(f"{count} {name}" for name, count in sorted(summary.done.outcomes.items()))
    told = (
        f"{summary.done.attempts} calls ({done or 'nothing was due'}); {summary.open} still queued"
    )
    return f"{told}; {summary.parked} wait for a person" if summary.parked else told
