"""Settle what is due, or one period by hand."""

from datetime import datetime

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Completed

from tasks import held, words
from tasks.prefect_tasks import publishing
from tasks.prefect_tasks import settling as steps


def run_name() -> str:
    """The run's name in the UI: its period where it was given, else when it was scheduled."""
    start, end = (flow_run.parameters.get(name) for name in ("start", "end"))
    if isinstance(start, datetime) and isinstance(end, datetime):
        return f"settle {start.isoformat()}/{end.isoformat()}"
    return f"settle what is due at {flow_run.scheduled_start_time:%Y-%m-%dT%H:%MZ}"


@flow(name="settle-period", flow_run_name=run_name, persist_result=False)
def settle_period(
    start: datetime | None = None, end: datetime | None = None, *, dry_run: bool = False
) -> State:
    """Settle a period: judge what has landed, doubt it, settle it.

    With neither start nor end, everything is settled that is due: from the end of the last settled
    period until shortly ago. Before that, periods that are held are tried again: those that a person
    has released, and those of which something new is known. With both, that period is settled, again if
    it was settled before: what has changed since is booked as an adjustment. What is due is left to the
    first run of its program's calendar, where that comes a day or more later; a period by hand is booked
    at once.

    Args:
        start: Start of the period, with its time zone. It belongs to the period.
        end: End of the period, with its time zone. It does not belong to the period.
        dry_run: Compute and report, book nothing.
    """
    log = get_run_logger()
    judged = steps.judge()
    log.info("judged %d packets: %d are readings", judged.packets, judged.readings)

    told = [] if start or end or dry_run else _try_held()
    period = steps.choose_period(start, end)
    if period is None:
        nothing = "Everything that is due is settled."
        return Completed(name="NothingDue", message="; ".join([nothing, *told]))

    quality = steps.doubt(period)
    said = steps.hear(period, quality)
    if said.hold:
        log.error("%s is held: %s", period, said.hold)

    summary = steps.settle(
        period,
        hold=said.hold,
        released=said.released,
        excused=said.excused,
        dry_run=dry_run,
        by_hand=start is not None,
    )
    publishing.publish_settled(summary, quality)
    message = "; ".join([words.settled(summary), *told])
    return Completed(name=_ending(summary.state, summary.held), message=message)


def _try_held() -> list[str]:
    """Held periods that are due to be tried, each with a page of its own; what became of them."""
    log = get_run_logger()
    found = steps.try_held()
    for one in found:
        log.info(held.told(one))
        if one.summary is not None and one.quality is not None:
            publishing.publish_settled(one.summary, one.quality)
    return [held.told(one) for one in found]


def _ending(state: str, held: int) -> str:
    match state:
        case "held":
            return "HeldByQuality"
        case "dry_run":
            return "DryRun"
        case _:
            return "PartlyHeld" if held else "Settled"
