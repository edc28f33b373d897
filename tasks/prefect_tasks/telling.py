"""Facts that matter for money, told to Prefect as custom events: automations and people listen.

An event is a courtesy. What happened stands in the database; a settlement neither waits for an event nor
fails with it, and a process without a server says once that nobody listens.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Final

from prefect.events import emit_event
from prefect.settings import PREFECT_API_URL

ITEMS_MAX: Final = 50
"""Of a list or mapping in a payload so many are told, then how many more there are."""
TEXT_MAX: Final = 500
DEPTH_MAX: Final = 4

_log: Final = logging.getLogger(__name__)


class Fact(StrEnum):
    """The names of the events; docs/run-pages.md says when each is told, and what it holds."""

    PERIOD_SETTLED = "v2g.period.settled"
    PERIOD_HELD = "v2g.period.held"
    PERIOD_RELEASED = "v2g.period.released"
    PAYOUTS_PARKED = "v2g.payouts.parked"
    PAYOUTS_WAITING = "v2g.payouts.waiting"
    QUEUE_MEASURED = "v2g.queue.measured"
    QUEUE_GROWING = "v2g.queue.growing"
    CERTIFICATE_EXPIRING = "v2g.certificate.expiring"
    BACKFILL_WAITING = "v2g.backfill.waiting"
    BACKFILL_DONE = "v2g.backfill.done"
    QUALITY_CHECKED = "v2g.quality.checked"
    RECONCILIATION_DIFFERS = "v2g.reconciliation.differs"
    CALENDAR_DONE = "v2g.calendar.done"


def tell(event: str, resource: str, payload: Mapping[str, object]) -> None:
    """Tell Prefect's server that something has happened; never raises, and never waits for the server.

    The event is put into a queue of this process and sent from a thread of its own; inside a run Prefect
    adds which run it was.

    Args:
        event: one of ``Fact``.
        resource: what it happened to, such as ``v2g.period.<start>/<end>`` (``period_resource``).
        payload: what a reader needs to act. Times, decimals and floats become text; long texts, lists and
            mappings are cut.
    """
    if not PREFECT_API_URL.value():
        _say_that_nobody_listens()
        return
    try:
        emit_event(
            str(event),
            resource={"prefect.resource.id": resource, "prefect.resource.name": resource},
            payload=exact(payload),
        )
    except Exception:  # noqa: BLE001 - an event is never worth the failure of a run
        _log.exception("%s of %s was not told to Prefect", event, resource)


def period_resource(period: object) -> str:
    """The resource of a period, from the period or its text."""
    return f"v2g.period.{period}"


def lane_resource(partner: str) -> str:
    """The resource of what is queued for one partner."""
    return f"v2g.lane.{partner}"


def certificate_resource(key: str) -> str:
    """The resource of one key's certificate."""
    return f"v2g.certificate.{key}"


def backfill_resource(backfill: str) -> str:
    """The resource of one backfill."""
    return f"v2g.backfill.{backfill}"


def exact(payload: Mapping[str, object]) -> dict[str, object]:
    """A payload as JSON can hold it exactly and in bounds: whole numbers, text, truth, nothing, and lists
    and mappings of them.

    >>> exact({"share": 0.5, "amount_minor": 325})
    {'share': '0.5', 'amount_minor': 325}
    """
    return {_text(key): _plain(value) for key, value in payload.items()}


def _plain(value: object, depth: int = 0) -> object:
    match value:
        case None | bool() | int():
            return value
        case datetime():
            return value.isoformat()
        case float() | Decimal():
            return str(value)
        case Mapping() if depth < DEPTH_MAX:
            kept: dict[str, object] = {
                _text(key): _plain(one, depth + 1) for key, one in list(value.items())[:ITEMS_MAX]
            }
            return kept | _more(len(value))
        case Sequence() if depth < DEPTH_MAX and not isinstance(value, str | bytes):
            return [
                *(_plain(one, depth + 1) for one in value[:ITEMS_MAX]),
                *_more(len(value)).values(),
            ]
        case _:
            return _text(value)


def _more(count: int) -> dict[str, object]:
    return {"more": f"{count - ITEMS_MAX} more"} if count > ITEMS_MAX else {}


def _text(value: object) -> str:
    text = str(value)
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX - 1]}…"


@cache
def _say_that_nobody_listens() -> None:
    _log.info("PREFECT_API_URL is not set: events such as %s go nowhere", Fact.PERIOD_SETTLED)
