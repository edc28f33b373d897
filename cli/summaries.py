"""What the steps return, as tables for people."""

from cli.output import console, table
from tasks import words
from tasks.post import PostSummary
from tasks.settle import ReasonTotal, SettleSummary


def show_settled(summary: SettleSummary) -> None:
    """Print what a settling run computed and booked, and what was not paid, with its reason."""
    columns = (
        "vehicles",
        "discharged",
        "paid",
        "payable",
        "booked now",
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


def show_posted(summary: PostSummary) -> None:
    """Print what a posting run did and what remains."""
    console.print(words.posted(summary))
