"""One reading of a server: its documents, each fetched once; what went wrong on the way; its clock."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, TypeVar

from grid.errors import FeedRefusedError, FeedUnavailableError, GridFeedError
from grid.records import ClockReading, Document, Refusal
from grid.sep2 import clock
from grid.sep2.connection import MEDIA_TYPE, Connection
from grid.sep2.errors import Sep2Error
from grid.sep2.fields import Page
from grid.sep2.paging import Listed, as_refusal, listed
from grid.sep2.tm import server_time

__all__ = ["Client", "OurClock"]

T = TypeVar("T")

REFUSED_MAX: Final = 1_000

_MICROSECOND = timedelta(microseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class OurClock:
    """Our time during one reading: asked for once, and counted on from there.

    If this machine's clock is set meanwhile, that moves neither the server's measured offset nor the
    times at which documents came.
    """

    def __init__(self, now: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._began_at = now()
        self._began_s = monotonic()
        self._monotonic = monotonic

    def at(self, monotonic_s: float) -> datetime:
        """The time at a moment of the monotonic clock, UTC."""
        return self._began_at + timedelta(seconds=monotonic_s - self._began_s)

    def now(self) -> datetime:
        """The time now, UTC."""
        return self.at(self._monotonic())

    def microseconds(self, monotonic_s: float) -> int:
        """The time at a moment of the monotonic clock, microseconds since 1970."""
        return (self.at(monotonic_s) - _EPOCH) // _MICROSECOND

    def now_us(self) -> int:
        """The time now, microseconds since 1970."""
        return self.microseconds(self._monotonic())


class Client:
    """To be used for one reading.

    Attributes:
        documents: every document fetched but the clock's, by SHA-256, in the order of fetching.
        notes: what was left out rightly.
        whole: whether every list was read to its end, and no part was left out for its clock.
        clocks: what is known of the clock of each Time that was asked, by its address.
    """

    def __init__(
        self,
        connection: Connection,
        ours: OurClock,
        *,
        tolerance: timedelta,
        sleep: Callable[[float], None],
    ) -> None:
        self.documents: dict[bytes, Document] = {}
        self.notes: list[str] = []
        self.whole = True
        self.clocks: dict[str, clock.Bound] = {}
        self._connection = connection
        self._ours = ours
        self._tolerance_us = tolerance // _MICROSECOND
        self._sleep = sleep
        self._refused: dict[Refusal, None] = {}
        self._refused_more = 0
        self._fetched: dict[str, Document] = {}
        self._failed: dict[str, GridFeedError | Sep2Error] = {}

    def fetch(self, href: str) -> Document:
        """The document at an address, asked for once per reading. Raises GridFeedError."""
        if href in self._failed:
            raise self._failed[href]
        if href not in self._fetched:
            try:
                answer = self._connection.get(href)
            except GridFeedError as error:
                self._failed[href] = error
                raise
            document = Document(answer.href, answer.media_type or MEDIA_TYPE, answer.body)
            self.documents.setdefault(sha256(document.body).digest(), document)
            self._fetched[href] = document
        return self._fetched[href]

    def one(self, href: str, decode: Callable[..., T]) -> tuple[T, Document]:
        """A document and what it says.

        Raises:
            GridFeedError: it cannot be had.
            Sep2Error: it cannot be read.
        """
        document = self.fetch(href)
        return decode(document.body, where=document.href), document

    def attempt(
        self, href: str, decode: Callable[..., T], *, may_lack: bool = False
    ) -> tuple[T, Document] | None:
        """The same; what goes wrong is added to ``refused``, but for what ``may_lack`` and does."""
        try:
            return self.one(href, decode)
        except (GridFeedError, Sep2Error) as error:
            if not (may_lack and isinstance(error, FeedRefusedError)):
                self.refuse(as_refusal(error))
            return None

    def listed(
        self, href: str, decode: Callable[..., Page[T]], key: Callable[[T], str]
    ) -> Listed[T]:
        """A list as far as it can be read; what goes wrong is added to ``refused``."""
        found = listed(self.fetch, href, decode, key)
        self.whole = self.whole and found.whole
        for refusal in found.refused:
            self.refuse(refusal)
        return found

    @property
    def missed(self) -> bool:
        """Whether a document could not be had: then it is worth asking again soon."""
        return any(isinstance(error, FeedUnavailableError) for error in self._failed.values())

    @property
    def refused(self) -> list[Refusal]:
        """What of the server could not be read, each thing once; beyond ``REFUSED_MAX`` a count."""
        more = Refusal("the server", f"{self._refused_more} more such things", "what can be read")
        return [*self._refused, *([more] if self._refused_more else [])]

    def refuse(self, refusal: Refusal) -> None:
        """Add to ``refused``, once."""
        if refusal in self._refused or len(self._refused) < REFUSED_MAX:
            self._refused[refusal] = None
        else:
            self._refused_more += 1

    def miss(self, refusal: Refusal) -> None:
        """The same, of what could not be had: what it says could supersede the rest."""
        self.whole = False
        self.refuse(refusal)

    def note(self, text: str) -> None:
        """Add to ``notes``, once."""
        if text not in self.notes and len(self.notes) < REFUSED_MAX:
            self.notes.append(text)

    def measure(self, href: str) -> ClockReading:
        """How far the clock of a Time is ahead of ours; measured once per reading.

        Raises:
            ClockOffError: further than agreed, or it was set meanwhile.
            GridFeedError: it cannot be had.
            Sep2Error: it cannot be read.
        """
        if href in self._failed:
            raise self._failed[href]
        if href not in self.clocks:
            try:
                self.clocks[href] = clock.measure(
                    lambda: self._tick(href),
                    tolerance_us=self._tolerance_us,
                    our_us=self._ours.now_us,
                    sleep=self._wait,
                    where=href,
                )
            except (GridFeedError, Sep2Error) as error:
                self._failed[href] = error
                raise
        return self.clocks[href].reading

    def check_clocks(self) -> None:
        """Ask each clock once more: whether all that was read since was said by the same one.

        One that does not answer any more is added to ``refused``.

        Raises:
            ClockSetError: it was set meanwhile.
        """
        for href, before in self.clocks.items():
            try:
                after = clock.Bound.of(self._tick(href))
            except (GridFeedError, Sep2Error) as error:
                self.refuse(as_refusal(error))
                continue
            if before.within(after).width_us < 1:
                raise clock.ClockSetError(href, before.reading, after.reading, self._tolerance_us)

    def _wait(self, seconds: float) -> None:
        """Not beyond the time for all of this; what is asked for after that is refused."""
        self._sleep(min(seconds, self._connection.deadline.all_left))

    def _tick(self, href: str) -> clock.Tick:
        answer = self._connection.get(href)
        said = server_time(answer.body, where=href)
        return clock.Tick(
            seconds=int(said.now.timestamp()),
            sent_us=self._ours.microseconds(answer.sent_s),
            received_us=self._ours.microseconds(answer.received_s),
        )
