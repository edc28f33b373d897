"""What the grid's side said, whatever way it came: one record per event, per price, per document."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

__all__ = ["ClockReading", "Document", "EventSaid", "PriceSaid", "Refusal", "one_line"]

_SHOWN_CHARS: Final = 600


@dataclass(frozen=True, slots=True)
class EventSaid:
    """One version of an event as received.

    Attributes:
        event_id: of an IEEE 2030.5 control its mRID.
        program: ours, not the utility's name for it.
        created_at: when the utility made it (``creationTime``).
        status: a word of ``settlement.windows.STATUSES``; all but cancellations are evidence only.
        document: the bytes that said it, of this event alone.
        received_at: when this system first held it; see ``storage.grid.put_events``.
        primacy: of overlapping events the lower number is in force (IEEE 2030.5 clause 10.2.2.3).
        site_group: the devices that it addresses; empty: all of the program.
        cancelled_at: from then on it is out of force.
        modes: the controls that it sets, sorted (``opModFixedW`` …): events that share none do not
            supersede each other. Empty: not said, and it competes with every other one.
        randomize_start_s: seconds within which each device draws its own start, either sign.
        randomize_duration_s: the same of the duration.
        resumes: whether it goes on after an overlapping event of its program and its modes has ended
            (2023 edition); if not, it was superseded for good (2018 edition).
        source: SHA-256 of the document in which it stood; empty where it is ``document``.
        feed: who said it.
    """

    event_id: str
    program: str
    started_at: datetime
    ended_at: datetime
    created_at: datetime
    status: str
    document: bytes
    received_at: datetime
    primacy: int = 0
    site_group: str = ""
    cancelled_at: datetime | None = None
    modes: tuple[str, ...] = ()
    randomize_start_s: int = 0
    randomize_duration_s: int = 0
    resumes: bool = True
    source: bytes = b""
    feed: str = ""


@dataclass(frozen=True, slots=True)
class PriceSaid:
    """One version of a price, of a half-open interval.

    Attributes:
        program: ours, not the utility's name for it.
        price_micros_per_kwh: millionths of the currency unit per kWh.
        currency: ISO 4217, three letters.
        digest: SHA-256 of the document that stated it.
        received_at: when this system first held it.
        feed: who said it.
    """

    program: str
    started_at: datetime
    ended_at: datetime
    price_micros_per_kwh: int
    currency: str
    digest: bytes
    received_at: datetime
    feed: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """Bytes as received, and where they stood."""

    href: str
    media_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that could not be understood: where it stood, what was found, what was expected."""

    where: str
    found: str
    expected: str

    def __str__(self) -> str:
        return one_line(f"{self.where}: {self.found}; expected {self.expected}")


def one_line(text: str) -> str:
    r"""Text that others had a hand in, for logs and terminals: on one line, without control characters,
    not too long.

    >>> one_line("two\nlines, \x9b31m red")
    'two\\nlines, \\x9b31m red'
    """
    short = text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
    if short.isprintable():
        return short
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)


@dataclass(frozen=True, slots=True)
class ClockReading:
    """How far the server's clock is ahead of ours, microseconds, and how uncertain that is (±)."""

    offset_us: int
    uncertainty_us: int
