"""Controls: ``DERControlList`` and ``DERControl`` (clause 10.10), one reading for both editions."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from grid.sep2.documents import ANSWER, Limits, canonical
from grid.sep2.errors import quoted
from grid.sep2.fields import UINT16_MAX, UINT32_MAX, Fields, Page, one, page
from grid.sep2.setpoints import Asked, Setpoint, asked
from settlement import units
from settlement.windows import CANCELLATIONS, STATUSES

__all__ = [
    "STATUSES",
    "Control",
    "ControlPage",
    "DefaultControl",
    "Happening",
    "controls",
    "default_control",
    "happening",
]

_MRID_MAX_BYTES: Final = 16
_RANDOMIZE_MAX_S: Final = 3600
_BITS: Final = re.compile(r"[0-9A-Fa-f]{1,2}")
"""HexBinary8, also with one digit."""

_TEXT_MAX_CHARS: Final = 1024


@dataclass(frozen=True, slots=True)
class Happening:
    """What every event says, of whatever kind (``RandomizableEvent``).

    Attributes:
        mrid: its identity, hexadecimal in lower case.
        version: rises with every change; 0 where none is said.
        created_at: ``creationTime``.
        started_at: of its interval, as announced.
        duration_s: of its interval.
        status: ``currentStatus``, a place in ``settlement.windows.STATUSES``; completed, 5, came with the
            2023 edition.
        status_at: since when the status is so.
        randomize_start_s: bound within which each device draws its own delay, either sign.
        randomize_duration_s: the same of the duration.
        href: its address; empty where it says none.
        reply_to: where to send responses; empty: nowhere.
        response_required: bits: 1 received, 2 what became of it, 4 the user's.
        description: in words.
        line: where it stands in its document.
        raw: itself alone in canonical form (``documents.canonical``): its digest changes when, and only
            when, it says something else.
    """

    mrid: str
    version: int
    created_at: datetime
    started_at: datetime
    duration_s: int
    status: int
    status_at: datetime
    randomize_start_s: int
    randomize_duration_s: int
    href: str
    reply_to: str
    response_required: int
    description: str
    line: int
    raw: bytes

    @property
    def ended_at(self) -> datetime:
        """End of its interval, as announced."""
        return self.started_at + timedelta(seconds=self.duration_s)

    @property
    def status_word(self) -> str:
        """Its status as the rules name it."""
        return STATUSES[self.status]

    @property
    def cancelled(self) -> bool:
        """Whether it is cancelled, in either way; every other status is evidence only."""
        return self.status_word in CANCELLATIONS

    @property
    def cancelled_at(self) -> datetime | None:
        """Since when it is out of force; None while it is not cancelled."""
        return self.status_at if self.cancelled else None


@dataclass(frozen=True, slots=True)
class Control(Happening):
    """One ``DERControl``.

    Attributes:
        modes: the controls that it sets; see ``setpoints.Asked``.
        setpoints: the numbers it asks for.
        disabled: those of ``modes`` that are there to be off.
        device_category: of the devices that are meant, hexadecimal; empty: of all.
    """

    modes: tuple[str, ...]
    setpoints: tuple[Setpoint, ...]
    disabled: tuple[str, ...]
    device_category: str


@dataclass(frozen=True, slots=True)
class DefaultControl:
    """What holds while no event does (``DefaultDERControl``)."""

    mrid: str
    version: int
    href: str
    modes: tuple[str, ...]
    setpoints: tuple[Setpoint, ...]
    disabled: tuple[str, ...]
    raw: bytes


ControlPage = Page[Control]


def controls(body: bytes, *, where: str, limits: Limits = ANSWER) -> ControlPage:
    """The controls of a ``DERControlList``, or the one of a ``DERControl``.

    Args:
        body: the document.
        where: the address or file, for messages.
        limits: how large it may be.

    Raises:
        Sep2Error: the document as a whole cannot be read. A control that cannot be read is in
            ``refused`` and does not stop the others.
    """
    return page(
        body,
        where=where,
        roots=["DERControlList"],
        item="DERControl",
        read=_control,
        limits=limits,
    )


def default_control(body: bytes, *, where: str) -> DefaultControl:
    """The default of a program.

    Raises:
        Sep2Error: it cannot be read.
    """
    return one(body, where=where, root="DefaultDERControl", read=_default)


def happening(fields: Fields) -> dict[str, Any]:
    """What every event says, by the names of ``Happening``; strict about all that decides about money.

    Raises:
        Sep2Error: an element lacks, is there twice, or holds what does not fit.
    """
    started_at = fields.moment("interval/start")
    longest = (units.LATEST - started_at) // timedelta(seconds=1)
    return {
        "mrid": fields.hexadecimal("mRID", bytes_max=_MRID_MAX_BYTES),
        "version": fields.whole("version", low=0, high=UINT16_MAX, default=0),
        "created_at": fields.moment("creationTime"),
        "started_at": started_at,
        "duration_s": fields.whole("interval/duration", low=1, high=min(longest, UINT32_MAX)),
        "status": fields.whole("EventStatus/currentStatus", low=0, high=len(STATUSES) - 1),
        "status_at": fields.moment("EventStatus/dateTime"),
        "randomize_start_s": _randomize(fields, "randomizeStart"),
        "randomize_duration_s": _randomize(fields, "randomizeDuration"),
        "href": fields.href(""),
        "reply_to": fields.element.get("replyTo", "").strip(),
        "response_required": _response(fields),
        "description": fields.text("description", default="", longest=_TEXT_MAX_CHARS),
        "line": fields.element.line,
        "raw": canonical(fields.element),
    }


def _control(fields: Fields) -> Control:
    base = fields.child("DERControlBase")
    says = asked(base) if base is not None else Asked((), ())
    return Control(
        **happening(fields),
        modes=says.modes,
        setpoints=says.setpoints,
        disabled=says.disabled,
        device_category=fields.text("deviceCategory", default=""),
    )


def _default(fields: Fields) -> DefaultControl:
    base = fields.child("DERControlBase")
    says = asked(base) if base is not None else Asked((), ())
    return DefaultControl(
        mrid=fields.hexadecimal("mRID", bytes_max=_MRID_MAX_BYTES),
        version=fields.whole("version", low=0, high=UINT16_MAX, default=0),
        href=fields.href(""),
        modes=says.modes,
        setpoints=says.setpoints,
        disabled=says.disabled,
        raw=canonical(fields.element),
    )


def _randomize(fields: Fields, name: str) -> int:
    return fields.whole(name, low=-_RANDOMIZE_MAX_S, high=_RANDOMIZE_MAX_S, default=0)


def _response(fields: Fields) -> int:
    said = fields.element.get("responseRequired", "").strip()
    if not said:
        return 0
    if not _BITS.fullmatch(said):
        raise fields.error("responseRequired", quoted(said), "up to two hexadecimal digits")
    return int(said, 16)
