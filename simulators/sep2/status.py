"""What the server says of an event: its EventStatus, by edition and manner."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from simulators.sep2.records import Cancellation, Content, Control, Edition, Manner

SCHEDULED: Final = 0
ACTIVE: Final = 1
CANCELLED: Final = 2
CANCELLED_RANDOMIZED: Final = 3
SUPERSEDED: Final = 4
COMPLETED: Final = 5


@dataclass(frozen=True, slots=True)
class Status:
    """An EventStatus: its number, since when, and whether the event may be superseded in part."""

    number: int
    since: datetime
    potentially: bool = False
    potentially_since: datetime | None = None
    reason: str | None = None


def status(
    control: Control,
    others: Iterable[Control],
    moment: datetime,
    *,
    edition: Edition,
    manner: Manner,
) -> Status:
    """The status of a control that is served at that moment.

    Args:
        control: which.
        others: the controls of its program; it may be among them.
        moment: the server's time.
        edition: of 2018, which marks superseded events, or of 2023, which marks completed ones.
        manner: when and what it marks as superseded.
    """
    content = control.at(moment)
    assert content is not None, "only a control that is served has a status"
    if control.claimed is not None:
        return Status(control.claimed[0], control.claimed[1])
    newer = [
        (other, theirs)
        for other in others
        if other is not control
        and (theirs := other.at(moment)) is not None
        and theirs.overlaps(content)
        and (theirs.created_at, other.number) > (content.created_at, control.number)
    ]
    if edition is Edition.E2023:
        number, since = _plain(control, content, moment)
        if number == ACTIVE and content.latest_end <= moment:
            number, since = COMPLETED, content.latest_end
        return Status(number, since, potentially=True, reason=_reason(control, moment))
    marked = [
        when
        for other, theirs in newer
        if (when := _superseded_at(content, other, theirs, moment, manner)) is not None
    ]
    number, since = _plain(control, content, moment)
    if marked and number in {SCHEDULED, ACTIVE}:
        number, since = SUPERSEDED, min(marked)
    partly = [theirs.created_at for _, theirs in newer if _partly(content, theirs)]
    return Status(
        number,
        since,
        potentially=bool(partly),
        potentially_since=min(partly, default=None),
        reason=_reason(control, moment),
    )


def price_status(
    content_start: datetime,
    content_end: datetime,
    created_at: datetime,
    cancellation: Cancellation | None,
    moment: datetime,
    *,
    edition: Edition,
) -> Status:
    """The status of a TimeTariffInterval."""
    potentially = edition is Edition.E2023
    if cancellation is not None and cancellation.at <= moment:
        return Status(CANCELLED, cancellation.at, potentially, reason=cancellation.reason)
    if edition is Edition.E2023 and content_end <= moment:
        return Status(COMPLETED, content_end, potentially)
    if content_start <= moment:
        return Status(ACTIVE, max(content_start, created_at), potentially)
    return Status(SCHEDULED, created_at, potentially)


def _plain(control: Control, content: Content, moment: datetime) -> tuple[int, datetime]:
    cancelled = control.cancelled(moment)
    if cancelled is not None:
        return CANCELLED_RANDOMIZED if cancelled.randomized else CANCELLED, cancelled.at
    if content.earliest_start <= moment:
        return ACTIVE, max(content.earliest_start, content.created_at)
    return SCHEDULED, content.created_at


def _reason(control: Control, moment: datetime) -> str | None:
    cancelled = control.cancelled(moment)
    return cancelled.reason if cancelled else None


def _superseded_at(
    content: Content, other: Control, theirs: Content, moment: datetime, manner: Manner
) -> datetime | None:
    if manner is Manner.EARLY:
        return theirs.created_at
    # The standard marks the very same set of controls only, when the newer one may first start.
    when = max(theirs.earliest_start, theirs.created_at)
    called_off = other.cancelled(moment)
    if theirs.mode_names != content.mode_names or not when <= moment or when >= content.latest_end:
        return None
    return None if called_off is not None and called_off.at <= when else when


def _partly(content: Content, theirs: Content) -> bool:
    shared = content.mode_names & theirs.mode_names
    return bool(shared) and theirs.mode_names != content.mode_names
