"""``Time``: what a server's clock says (clause 10.3), in whole seconds."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from grid.sep2.fields import POLL_RATE_DEFAULT_S, UINT8_MAX, UINT32_MAX, Fields, one

__all__ = ["INTENTIONALLY_UNCOORDINATED", "ServerTime", "server_time"]

INTENTIONALLY_UNCOORDINATED: Final = 7
"""Of ``quality``: the server does not claim to know the time."""

_OFFSET_MAX_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class ServerTime:
    """One ``Time`` document.

    Attributes:
        now: ``currentTime``, cut to the second; from 1970 on, as a clock that is off says that too.
        quality: 3 an authoritative source, 4 a level 3 source … 7 intentionally uncoordinated; 0: not
            said, as one server does, though the schema demands it.
        zone_offset_s: of its local time from UTC, without daylight saving.
        poll_rate_s: after how many seconds to ask again.
    """

    href: str
    now: datetime
    quality: int
    zone_offset_s: int
    poll_rate_s: int


def server_time(body: bytes, *, where: str) -> ServerTime:
    """What a ``Time`` document says.

    Raises:
        Sep2Error: it cannot be read.
    """
    return one(body, where=where, root="Time", read=_read)


def _read(fields: Fields) -> ServerTime:
    return ServerTime(
        href=fields.href(""),
        now=fields.moment("currentTime", low=0),
        quality=fields.whole("quality", low=0, high=UINT8_MAX, default=0),
        zone_offset_s=fields.whole("tzOffset", low=-_OFFSET_MAX_S, high=_OFFSET_MAX_S, default=0),
        poll_rate_s=fields.attribute_whole(
            "pollRate", low=0, high=UINT32_MAX, default=POLL_RATE_DEFAULT_S
        ),
    )
