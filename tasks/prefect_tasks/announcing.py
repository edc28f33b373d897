"""What each step's outcome is told as: which event, of what, with which figures (docs/run-pages.md).

Money is in minor units with its currency beside it, energy in milliwatt-hours, times in ISO 8601.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tasks.posting.expiry import Standing, Watched
from tasks.posting.instructions import PARTNER
from tasks.prefect_tasks.telling import (
    Fact,
    certificate_resource,
    lane_resource,
    period_resource,
    tell,
)

if TYPE_CHECKING:  # whoever tells of one step must not load all of them
    from settlement.periods import Period
    from storage.lane_figures import LaneFigures
    from tasks.payouts import Waiting
    from tasks.quality import QualitySummary
    from tasks.reconciling.comparing import Compared
    from tasks.screening import ScreenSummary
    from tasks.settle import SettleSummary
    from tasks.true_up import TrueUpSummary

CALENDAR: Final = "v2g.calendar"


def settled(summary: "SettleSummary") -> None:
    """A period was settled, held, or settled because a person released it; a dry run is not told."""
    resource = period_resource(summary.period)
    figures = {
        "run_id": summary.run_id,
        "kind": summary.kind,
        "currency": summary.currency,
        "amount_minor": summary.amount_minor,
        "booked_minor": summary.booked_minor,
        "paid_milliwh": summary.paid_milliwh,
        "vehicles": summary.vehicles,
        "settlements": summary.revisions,
        "settlements_held": summary.held,
        "reason": summary.reason,
    }
    match summary.state:
        case "held":
            worth = sum(one.would_have_been_micros for one in summary.unpaid)
            tell(Fact.PERIOD_HELD, resource, figures | {"would_have_been_micros": worth})
        case "settled":
            tell(Fact.PERIOD_SETTLED, resource, figures)
            if summary.reason:
                tell(Fact.PERIOD_RELEASED, resource, figures)


def doubted(period: "Period", summary: "QualitySummary") -> None:
    """The quality gate has looked at a period."""
    failed = [check for check in summary.checks if not check["passed"]]
    payload = {
        "quality_id": summary.quality_id,
        "worst": summary.worst,
        "checks": len(summary.checks),
        "failed": [str(check["check"]) for check in failed],
        "hold": summary.hold,
    }
    tell(Fact.QUALITY_CHECKED, period_resource(period), payload)


def trued_up(summary: "TrueUpSummary") -> None:
    """The calendars' runs were done; each day that is held is told by itself."""
    booked = [one for one in summary.runs if one.state == "settled" and one.summary is not None]
    payload = {
        "runs": len(summary.runs),
        "held": summary.held,
        "left": summary.left,
        "booked_minor": _sums((s.currency, s.booked_minor) for one in booked if (s := one.summary)),
    }
    if booked or summary.held:
        tell(Fact.CALENDAR_DONE, CALENDAR, payload)
    for one in summary.runs:
        if one.state == "held":
            held = {"program": one.program, "day": one.day, "kind": one.name, "reason": one.reason}
            period = one.summary.period if one.summary else f"{one.program}/{one.day}"
            tell(Fact.PERIOD_HELD, period_resource(period), held)


def screened(summary: "ScreenSummary") -> None:
    """Payouts were parked: a limit was broken, or their account is held, or they wait for approval."""
    if not summary.parked:
        return
    payload = {
        "parked": summary.parked,
        "waiting": summary.waiting,
        "breached": summary.breached,
        "held": summary.held,
        "accounts": summary.accounts,
        "limits_version": summary.limits_version,
    }
    tell(Fact.PAYOUTS_PARKED, lane_resource(PARTNER), payload)


def waiting(found: "Waiting") -> None:
    """Large payouts wait for a named person."""
    if not found.payouts:
        return
    payload = {
        "payouts": len(found.payouts),
        "amount_minor": _sums((one.currency, one.amount_minor) for one in found.payouts),
        "posting_ids": [one.posting_id for one in found.payouts],
    }
    tell(Fact.PAYOUTS_WAITING, lane_resource(PARTNER), payload)


def measured(lanes: Sequence["LaneFigures"], *, now: datetime, window_s: int) -> None:
    """How the queue to each partner stands; and again, where more came in than left.

    Args:
        lanes: as they stand at ``now``.
        now: by which ages are told.
        window_s: over how many seconds additions were held against what left.
    """
    for one in lanes:
        age = None if one.oldest_at is None else int((now - one.oldest_at).total_seconds())
        payload = {
            "queued": one.queued,
            "queued_minor": one.queued_minor,
            "oldest_s": age,
            "parked": one.parked,
            "parked_minor": one.parked_minor,
            "added": one.added,
            "left": one.left,
            "window_s": window_s,
            "rests_until": one.rests_until,
        }
        tell(Fact.QUEUE_MEASURED, lane_resource(one.partner), payload)
        if one.growing:
            tell(Fact.QUEUE_GROWING, lane_resource(one.partner), payload)


def watched(found: Iterable[Watched]) -> None:
    """A key's certificate ends soon, or is over."""
    for one in found:
        if one.standing is not Standing.GOOD:
            payload = {
                "what": one.what,
                "standing": one.standing.value,
                "days_left": one.days_left,
                "not_after": one.not_after,
                "problem": one.problem,
            }
            tell(Fact.CERTIFICATE_EXPIRING, certificate_resource(one.key_id or one.what), payload)


def reconciled(found: Iterable["Compared"]) -> None:
    """A partner's or a bank's statement differs from what was posted; told when that is news."""
    for one in found:
        if not (one.differences and one.is_new):
            continue
        made = one.reconciliation
        at_stake = _sums((each.currency, each.at_stake_minor) for each in one.differences)
        payload = {
            "reconciliation_id": made.reconciliation_id,
            "way": made.way,
            "period": str(made.period),
            "differences": len(one.differences),
            "at_stake_minor": at_stake,
        }
        tell(Fact.RECONCILIATION_DIFFERS, lane_resource(made.partner), payload)


def _sums(amounts: Iterable[tuple[str, int]]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for currency, minor in amounts:
        found[currency] = found.get(currency, 0) + minor
    return found
