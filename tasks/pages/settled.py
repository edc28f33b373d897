"""The page of a settling run: what came in, what was paid, what was refused, what waits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from settlement.periods import Period
from settlement.programs import in_force
from storage.pages import (
    CameIn,
    LargestSettlement,
    PaidByProgram,
    Refused,
    came_in,
    largest_settlements,
    paid_by_program,
    reading,
    refused,
)
from storage.registry import load_programs
from tasks import words
from tasks.pages.markdown import bullets, link, page, part, sentence, table
from tasks.quality import QualitySummary
from tasks.settle import SettleSummary

REASONS_MAX: Final = 100
PROGRAMS_MAX: Final = 50
STATEMENTS_MAX: Final = 10
"""So many statements are linked to: of the settlements with which the run moved the most money."""


@dataclass(frozen=True)
class Known:
    """What the database adds to the summary of a run.

    Attributes:
        minor_units: of each program's currency, by program.
    """

    came_in: CameIn
    paid: list[PaidByProgram] = field(default_factory=list)
    largest: list[LargestSettlement] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    minor_units: Mapping[str, int] = field(default_factory=dict)

    def money(self, program: str, minor: int, currency: str) -> str:
        """An amount of a program."""
        known = self.minor_units.get(program)
        return (
            f"{minor} minor units of {currency}"
            if known is None
            else words.money(minor, known, currency)
        )


def period_of(summary: SettleSummary) -> Period:
    """The period that a summary is about."""
    return Period.parse(*summary.period.split("/"))


def look_up(dsn: str, summary: SettleSummary, *, now: datetime) -> Known:
    """What the page shows beside the summary.

    Raises:
        DatabaseUnavailableError: no connection.
        PageTooSlowError: a query took too long.
    """
    period = period_of(summary)
    with reading(dsn) as conn:
        programs = load_programs(conn, known_at=now)
        return Known(
            came_in=came_in(conn, period),
            paid=paid_by_program(conn, summary.run_id, most=PROGRAMS_MAX),
            largest=largest_settlements(conn, summary.run_id, most=STATEMENTS_MAX),
            refused=refused(conn, summary.run_id, most=REASONS_MAX),
            minor_units={
                name: in_force(versions, period.started_at).minor_units
                for name, versions in programs.items()
            },
        )


def settled(
    summary: SettleSummary, quality: QualitySummary, known: Known, *, operator_url: str
) -> str:
    """The page.

    Args:
        summary: of the run.
        quality: what the gate said of its period.
        known: what the database adds.
        operator_url: root of the operator's page; empty: no links.
    """
    period = period_of(summary)
    return page(
        f"{summary.state}: {period.started_at:%Y-%m-%d %H:%M} to {period.ended_at:%Y-%m-%d %H:%M} UTC",
        sentence(words.settled(summary)),
        part("What came in", _came_in(summary, known.came_in)),
        part("What was paid", _paid(summary, known)),
        part("What was refused", _refused(summary, known)),
        part("What waits", _waits(summary)),
        part("Quality", _quality(quality)),
        part("Look at", _links(summary, quality, known, operator_url)) if operator_url else "",
    )


def reasons(summary: SettleSummary, known: Known) -> words.Table:
    """Every reason with its money, the most money first: what was not paid, then packets refused."""
    head = ("reason", "what", "count", "energy", "money it would have been")
    rows = [dict(zip(head, row, strict=True)) for row in _reason_rows(summary, known)]
    if len(rows) <= REASONS_MAX:
        return rows
    more = f"…and {len(rows) - REASONS_MAX} more reasons"
    return [*rows[:REASONS_MAX], dict.fromkeys(head, "") | {"reason": more}]


def _came_in(summary: SettleSummary, known: CameIn) -> str:
    refused_packets = sum(one.packets for one in summary.quarantined)
    rows: list[tuple[str, object]] = [
        ("packets landed", known.packets),
        ("of them not judged yet", known.unjudged),
        ("packets refused", refused_packets),
        ("readings", known.readings),
        ("exported by their registers", words.kwh(known.exported_milliwh)),
        ("imported by their registers", words.kwh(known.imported_milliwh)),
        ("vehicles with energy in the run's reach", summary.vehicles),
        ("discharged in the run's reach", words.kwh(summary.discharged_milliwh)),
    ]
    return table(("what", "how much"), rows)


def _paid(summary: SettleSummary, known: Known) -> str:
    told = (
        f"{words.kwh(summary.paid_milliwh)} paid,"
        f" {words.money(summary.amount_minor, summary.minor_units, summary.currency)} payable in all."
        " What this run booked:"
    )
    rows = [
        (
            one.program,
            one.vehicles,
            one.settlements,
            words.kwh(one.energy_milliwh),
            known.money(one.program, one.amount_minor, one.currency),
            known.money(one.program, one.booked_minor, one.currency),
        )
        for one in known.paid
    ]
    head = ("program", "vehicles", "settlements", "energy", "payable", "booked by this run")
    return f"{told}\n\n{table(head, rows)}"


def _refused(summary: SettleSummary, known: Known) -> str:
    head = ("reason", "what", "count", "energy", "money it would have been")
    return table(head, list(_reason_rows(summary, known)))


def _reason_rows(summary: SettleSummary, known: Known) -> Iterator[tuple[str, str, str, str, str]]:
    counted = {one.reason: one for one in known.refused}
    for one in sorted(summary.unpaid, key=lambda one: (-one.would_have_been_micros, one.reason)):
        rows = counted.get(one.reason)
        money = words.micros(one.would_have_been_micros, summary.currency)
        if rows is not None and rows.unpriced:
            money += f", {rows.unpriced} without a known price"
        count = f"{rows.rows} pieces of {rows.vehicles} vehicles" if rows is not None else ""
        yield one.reason, "energy not paid", count, words.kwh(one.energy_milliwh), money
    for one in sorted(
        summary.quarantined, key=lambda one: (-one.would_have_been_micros, one.reason)
    ):
        yield (
            one.reason,
            "packets refused",
            f"{one.packets} packets",
            f"{words.kwh(one.energy_milliwh)} claimed",
            words.micros(one.would_have_been_micros, summary.currency),
        )


def _waits(summary: SettleSummary) -> str:
    waiting = []
    if summary.state == "held":
        waiting.append(f"the whole period is held: {summary.reason}")
    for count, what in (
        (summary.held, "settlements are held until their prices or baselines are known"),
        (summary.deferred, "settlements are left to the first run of their program's calendar"),
        (summary.differences, "differences are reported and not booked (v2g settle shows them)"),
    ):
        if count:
            waiting.append(f"{count} {what}")
    return bullets(waiting)


def _quality(quality: QualitySummary) -> str:
    failed = [check for check in quality.checks if not check["passed"]]
    told = (
        f"{len(quality.checks)} checks, {len(failed)} of them failed; the worst: {quality.worst}."
    )
    if not failed:
        return told
    names = ("severity", "check", "observed", "limit")
    return (
        f"{told}\n\n{table(names, [[check.get(name, '') for name in names] for check in failed])}"
    )


def _links(summary: SettleSummary, quality: QualitySummary, known: Known, operator_url: str) -> str:
    links = [
        link(
            "the quality report of this period",
            operator_url,
            "operator",
            "quality",
            quality.quality_id,
        )
    ]
    if summary.state == "held" or summary.held:
        links.append(
            link("all held periods, and how to release one", operator_url, "operator", "periods")
        )
    links += [
        link(
            f"statement of {one.vehicle_id}, {one.event_id}:"
            f" {known.money(one.program, one.booked_minor, one.currency)} booked",
            operator_url,
            "operator",
            "statements",
            one.settlement_id,
        )
        for one in known.largest
    ]
    told = bullets(links)
    every = sum(one.settlements for one in known.paid)
    if every > len(known.largest):
        told += f"\n\nThe {len(known.largest)} largest of {every} settlements of this run."
    return told
