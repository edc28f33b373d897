"""What a feed is, whatever it speaks: it is read as a whole, and says when it wants to be read again.

A kind of feed is a module with ``open_feed(config, secrets)``; ``OPENERS`` names them all. Modules are
loaded when one of their kind is opened, so that a system without IEEE 2030.5 never loads its models.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Final, Protocol, cast

from grid.config import FeedConfig
from grid.records import ClockReading, Document, EventSaid, PriceSaid, Refusal

__all__ = [
    "OPENERS",
    "Answered",
    "Feed",
    "FeedReading",
    "Opener",
    "ResponseDue",
    "ResponseSent",
    "Secrets",
    "open_feed",
]


Answered = Collection[tuple[str, str, int]]
"""mRID of the event, LFDI of the device (upper case) and status of each answer; of ``ResponseDue``."""


class Secrets(Protocol):
    """How a feed reads files that nobody else may read. The module ``storage.secrets`` is one.

    Both raise an error of the caller's that says how to put it right; a feed lets it pass.
    """

    def read_secret(self, path: Path) -> str:
        """One line of printable ASCII, without surrounding white space."""

    def read_private(self, path: Path, *, bytes_max: int) -> bytes:
        """The whole file. Also the check to make before a library reads the path itself."""


@dataclass(frozen=True, slots=True)
class ResponseDue:
    """An answer that the utility is owed (IEEE 2030.5 clause 10.2.2), due as soon as it is true.

    Attributes:
        feed: the feed's name.
        mrid: of the event.
        lfdi: of the device that answers, upper case.
        status: number of the Response, such as 1 for received.
        reply_to: where to, as an absolute path or address.
        due_at: when that became true. Not later than the reading: a feed names what has happened, and
            asks by ``next_in`` to be read again when the next thing will have.
    """

    feed: str
    mrid: str
    lfdi: str
    status: int
    reply_to: str
    due_at: datetime

    @property
    def created_at(self) -> datetime:
        """What ``createdDateTime`` says, at the first try and at every later one."""
        return self.due_at


@dataclass(frozen=True, slots=True)
class ResponseSent:
    """What became of one answer.

    Attributes:
        response: the answer that was to be posted.
        state: "posted"; "refused", which is not tried again; or "due", which is.
        detail: in words, such as ``HTTP 201`` or what went wrong.
    """

    response: ResponseDue
    state: str
    detail: str


@dataclass(frozen=True, slots=True)
class FeedReading:
    """All that a feed says at one time.

    Attributes:
        events: every event shown, whether known already or not; ``feed`` names the feed.
        prices: every price shown. ``digest`` is that of one of ``documents``, as is ``EventSaid.source``.
        documents: those that said something; kept once, and only where something of them is new.
        refused: what of it could not be understood, or could not be had.
        notes: what is left out rightly and should be known, such as a program that is not ours.
        whole: whether all was had that the server says there is; if not, what is missing could supersede
            what was shown.
        clock: how far its clock is from ours, where it has one that was asked.
        responses: answers that are due; said again and again until posted, kept once.
        next_in: when it wants to be read again.
    """

    events: Sequence[EventSaid] = ()
    prices: Sequence[PriceSaid] = ()
    documents: Sequence[Document] = ()
    refused: Sequence[Refusal] = ()
    notes: Sequence[str] = ()
    whole: bool = True
    clock: ClockReading | None = None
    responses: Sequence[ResponseDue] = ()
    next_in: timedelta = field(default=timedelta(minutes=1))


class Feed(Protocol):
    """One configured feed, opened. Read in a thread of its own; it holds nothing open between calls.

    Every call is given up after the ``deadline_s`` of its configuration. Its thread cannot be stopped
    from outside, so each wait in it has a bound of its own, and none outlasts that deadline.
    """

    @property
    def name(self) -> str:
        """As configured; ``feed`` of all it says."""

    @property
    def kind(self) -> str:
        """As configured."""

    def read(self, now: Callable[[], datetime], answered: Answered = ()) -> FeedReading:
        """Ask for everything.

        Args:
            now: gives the time in UTC.
            answered: what was answered, or is kept to be answered, before.

        Raises:
            GridFeedError: nothing of it can be used.
        """

    def respond(
        self, due: Sequence[ResponseDue], now: Callable[[], datetime]
    ) -> Sequence[ResponseSent]:
        """Post answers, each once. What is not told of here was not tried, and is still due."""


Opener = Callable[[FeedConfig, Secrets], Feed]

OPENERS: Final[Mapping[str, str]] = {
    "comed": "grid.comed",
    "file": "grid.file_feed",
    "ieee2030.5": "grid.sep2.feed",
    "json": "grid.json_feed",
    "openadr3": "grid.openadr",
}
"""Kind → the module whose ``open_feed`` opens it."""


def open_feed(config: FeedConfig, secrets: Secrets) -> Feed:
    """The feed that a configuration describes, ready to be read.

    Args:
        config: of one feed.
        secrets: reads the files that it names.

    Raises:
        GridFeedError: it cannot be opened as configured.
    """
    opener = cast("Opener", import_module(OPENERS[config.kind]).open_feed)
    return opener(config, secrets)
