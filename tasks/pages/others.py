"""The pages of all runs but those that settle a period: one sentence, what came of it, what waits."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from settlement.reconciling import AGREEING
from tasks import words
from tasks.pages.markdown import bullets, link, page, part, sentence, table
from tasks.posting.expiry import Standing, Watched

if TYPE_CHECKING:  # whoever tells of one step must not load all of them
    from settlement.periods import Period
    from storage.claims import Total
    from storage.lane_figures import LaneFigures
    from tasks.grid import GridSummary
    from tasks.judge import JudgeSummary
    from tasks.notices.deliver import DeliverySummary
    from tasks.posting.run import PostSummary
    from tasks.quality import QualitySummary
    from tasks.reconciling.comparing import Compared
    from tasks.screening import ScreenSummary
    from tasks.true_up import CalendarRun, TrueUpSummary

MinorUnits = Mapping[str, int]
"""How many decimals a currency has; of one that is missing, amounts are told in minor units."""


def judged(summary: "JudgeSummary") -> str:
    """What has landed, and what judging found it to be."""
    rows = [
        ("packets judged", summary.packets),
        ("readings from them", summary.readings),
        ("records of meters among them", summary.records),
        ("temperatures that are new", summary.temperatures),
    ]
    refused = sorted(summary.quarantined.items(), key=lambda one: (-one[1], one[0]))
    return page(
        "Packets judged",
        part("What came in", table(("what", "how many"), rows)),
        part(
            "What was refused",
            table(("reason", "packets"), refused)
            + "\n\nWhat it would have been worth stands on the page of the run that settles its period.",
        ),
    )


def trued_up(summary: "TrueUpSummary", *, operator_url: str) -> str:
    """What the calendars had due: each run, what it booked, and what is held."""
    head = ("program", "day", "run", "state", "vehicles", "paid", "booked", "why")
    held = [
        f"{one.program}, {one.day}: {one.reason}" for one in summary.runs if one.state == "held"
    ]
    if summary.left:
        held.append(f"{summary.left} more runs are due, and left to the next run of this flow")
    look = link("all held periods, and how one is released", operator_url, "operator", "periods")
    return page(
        "The programs' calendars",
        sentence(words.trued_up(summary)),
        part("What was paid", table(head, [_calendar_row(one) for one in summary.runs])),
        part("What waits", bullets(held)),
        part("Look at", bullets([look])) if operator_url and summary.held else "",
    )


def _calendar_row(run: "CalendarRun") -> tuple[object, ...]:
    one = run.summary
    if one is None:
        return run.program, run.day, run.name, run.state, "", "", "", run.reason
    booked = words.money(one.booked_minor, one.minor_units, one.currency)
    paid = words.kwh(one.paid_milliwh)
    return run.program, run.day, run.name, run.state, one.vehicles, paid, booked, run.reason


def posted(
    screened: "ScreenSummary",
    summary: "PostSummary",
    lanes: "Sequence[LaneFigures]",
    minor_units: MinorUnits,
    *,
    now: datetime,
) -> str:
    """What was sent, what waits for a person, and how the queue to each partner stands."""
    outcomes = sorted(summary.done.outcomes.items())
    acknowledged = [
        (currency, _money(minor, currency, minor_units))
        for currency, minor in sorted(summary.done.acknowledged_minor.items())
    ]
    return page(
        "Postings to the clearinghouse",
        sentence(words.posted(summary)),
        part("What was screened", sentence(words.screened(screened))),
        part("What was acknowledged", table(("currency", "money"), acknowledged)),
        part("What became of the calls", table(("outcome", "calls"), outcomes)),
        part(
            "What waits",
            table(
                ("state", "postings", "money"),
                [_remaining(one, minor_units) for one in summary.remaining],
            ),
        ),
        part("The queues", queues(lanes, minor_units, now=now)),
    )


def _remaining(one: "Total", minor_units: MinorUnits) -> tuple[object, ...]:
    return one.state.value, one.postings, _money(one.amount_minor, one.currency, minor_units)


def queues(lanes: "Sequence[LaneFigures]", minor_units: MinorUnits, *, now: datetime) -> str:
    """The queue to each partner, how old it is, and whether it grows."""
    head = ("partner", "queued", "money", "oldest", "parked", "added", "left", "rests until")
    rows = [
        (
            one.partner,
            f"{one.queued}, growing" if one.growing else one.queued,
            _moneys(one.queued_minor, minor_units),
            ""
            if one.oldest_at is None
            else f"{int((now - one.oldest_at).total_seconds()) // 60} min",
            f"{one.parked}: {_moneys(one.parked_minor, minor_units)}" if one.parked else 0,
            one.added,
            one.left,
            "" if one.rests_until is None else f"{one.rests_until:%Y-%m-%d %H:%M} UTC",
        )
        for one in lanes
    ]
    return table(head, rows)


def synced(summary: "GridSummary") -> str:
    """What each feed said, and what of it could not be used."""
    head = ("feed", "events", "new", "prices", "new", "refused", "trouble")
    rows = [
        (
            one.feed,
            one.events,
            one.events_new,
            one.prices,
            one.prices_new,
            one.refused_count,
            one.error,
        )
        for one in summary.feeds
    ]
    refused = [f"{one.feed}: {item}" for one in summary.feeds for item in one.refused]
    return page(
        "The grid's feeds",
        part("What came in", table(head, rows)),
        part("What was refused", bullets(refused)),
        part("What waits", bullets(f"{name} wants to be read later" for name in summary.not_due)),
    )


def doubted(found: "Sequence[tuple[Period, QualitySummary]]", *, operator_url: str) -> str:
    """What the quality gate found in some periods: the checks that failed, and where the reports are."""
    head = ("period", "severity", "check", "observed", "expected")
    rows = [
        (period, *(check.get(name, "") for name in ("severity", "check", "observed", "limit")))
        for period, one in found
        for check in one.checks
        if not check["passed"]
    ]
    reports = [
        link(f"{period}: {one.worst}", operator_url, "operator", "quality", one.quality_id)
        for period, one in found
    ]
    return page(
        "Quality of the data",
        f"{len(found)} periods, {sum(bool(one.hold) for _, one in found)} of them held by it.",
        part("Checks that failed", table(head, rows)),
        part("Reports", bullets(reports)),
    )


def reconciled(found: "Sequence[Compared]", minor_units: MinorUnits) -> str:
    """What partners and banks say they paid, held against what was posted."""
    head = (
        "partner",
        "way",
        "period",
        "finding",
        "currency",
        "count",
        "ours",
        "theirs",
        "at stake",
    )
    rows = [
        (
            one.reconciliation.partner,
            one.reconciliation.way,
            one.reconciliation.period,
            total.kind.value,
            total.currency,
            total.postings,
            total.lines,
            _money(total.ours_minor, total.currency, minor_units),
            _money(total.theirs_minor, total.currency, minor_units),
            _money(total.at_stake_minor, total.currency, minor_units),
        )
        for one in found
        for total in sorted(one.reconciliation.totals, key=lambda t: (t.kind in AGREEING, t.kind))
    ]
    count = sum(len(one.differences) for one in found)
    waiting = [f"{count} differences: v2g reconcile differences"] if count else []
    return page(
        "Reconciliation",
        f"{len(found)} periods compared, {count} differences.",
        part("What was found", table(head, rows)),
        part("What waits", bullets(waiting)),
    )


def watched(found: Sequence[Watched]) -> str:
    """How long each key still counts, and what is to be done about those that end."""
    head = ("key", "standing", "days left", "until", "trouble")
    rows = [
        (
            f"{one.what} {one.key_id}",
            one.standing.value,
            "" if one.days_left is None else one.days_left,
            "" if one.not_after is None else f"{one.not_after:%Y-%m-%d %H:%M} UTC",
            one.problem,
        )
        for one in found
    ]
    waiting = [one.what for one in found if one.standing is not Standing.GOOD]
    return page(
        "Keys and certificates",
        part("What is watched", table(head, rows)),
        part(
            "What waits",
            bullets(f"the {what} is to be renewed: docs/signatures.md" for what in waiting),
        ),
    )


def noticed(summary: "DeliverySummary") -> str:
    """What partners were told."""
    rows = [
        ("noted", summary.noted),
        ("delivered", summary.delivered),
        ("failed", summary.failed),
        ("given up", summary.died),
        ("pending", summary.pending),
    ]
    return page("Notices", sentence(words.notices(summary)), table(("what", "how many"), rows))


def _moneys(minor: Mapping[str, int], minor_units: MinorUnits) -> str:
    return ", ".join(_money(amount, name, minor_units) for name, amount in sorted(minor.items()))


def _money(minor: int, currency: str, minor_units: MinorUnits) -> str:
    known = minor_units.get(currency)
    if known is None:
        return f"{minor} minor units of {currency}"
    return words.money(minor, known, currency)
