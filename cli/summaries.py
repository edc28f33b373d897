"""What the steps return, as tables for people."""

from cli.output import console, table
from tasks import words
from tasks.settle import ReasonTotal, SettleSummary
from tasks.true_up import TrueUpSummary


def show_settled(summary: SettleSummary) -> None:
    """Print what a settling run computed and booked, and what was not paid, with its reason."""
    columns = (
        "vehicles",
        "discharged",
        "paid",
        "payable",
        "would be booked" if summary.state == "dry_run" else "booked now",
        "settlements new or changed",
    )
    values = (
        str(summary.vehicles),
        words.kwh(summary.discharged_milliwh),
        words.kwh(summary.paid_milliwh),
        words.money(summary.amount_minor, summary.minor_units, summary.currency),
        words.money(summary.booked_minor, summary.minor_units, summary.currency),
        str(summary.revisions),
    )
    console.print(table(f"{summary.state}: {summary.period}", columns, [values], numbers=6))
    if summary.deferred:
        console.print(f"{summary.deferred} settlements are left to the calendar's first run")
    if summary.differences:
        console.print(
            f"{summary.differences} settlements differ from the books and are only reported"
        )
    if summary.second_opinion is not None:
        console.print(words.second_opinion(summary), soft_wrap=True)
    console.print(
        f"run {summary.run_id or 'none'}, outputs {summary.outputs_digest}", soft_wrap=True
    )
    _show_reasons(
        "Discharged, verified, and not paid", summary.unpaid, summary.currency, packets=False
    )
    _show_reasons(
        "Claimed by packets that did not stand", summary.quarantined, summary.currency, packets=True
    )


def _show_reasons(title: str, totals: list[ReasonTotal], currency: str, *, packets: bool) -> None:
    if not totals:
        return
    columns = ("reason", *(("packets",) if packets else ()), "energy", "would have been")
    rows = [
        (
            one.reason,
            *((str(one.packets),) if packets else ()),
            words.kwh(one.energy_milliwh),
            words.micros(one.would_have_been_micros, currency),
        )
        for one in totals
    ]
    console.print(table(title, columns, rows, numbers=len(columns) - 1))


def show_true_up(summary: TrueUpSummary) -> None:
    """Print what the calendar's runs came to, and what changes for each vehicle."""
    for one in summary.runs:
        console.print(words.calendar_run(one))
    rows = [tuple(row.values()) for row in words.changes(summary)]
    if rows:
        columns = ("program", "day", "run", "event", "vehicle", "money", "")
        console.print(table("Per vehicle", columns, rows))
    console.print(words.trued_up(summary))
