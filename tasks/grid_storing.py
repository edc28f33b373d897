"""Store what one feed said, all of it or nothing; or why nothing was stored, and when it is tried again."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from grid.config import FeedConfig, GridConfig
from grid.errors import ClockOffError, FeedUnavailableError, GridFeedError
from grid.feeds import FeedReading
from grid.records import one_line
from storage import feeds, versions
from storage.engine import Connection, Role, StorageError, connect
from storage.feeds import FeedState
from storage.grid import put_documents, put_events, put_prices
from storage.transient import is_transient
from tasks.deadlines import Late
from tasks.grid_rules import Known, admitted

__all__ = ["FeedOutcome", "Storing"]

REFUSED_MAX: Final = 100
"""Refusals of one feed kept in words; beyond that they are only counted."""
NEXT_MIN: Final = timedelta(seconds=1)
NEXT_MAX: Final = timedelta(days=1)
"""A feed says itself when it wants to be read again, within these."""
RETRY_MIN: Final = timedelta(minutes=1)
RETRY_MAX: Final = timedelta(minutes=15)
"""After a failure: the first wait, which doubles with each further one, up to the last."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FeedOutcome:
    """What became of one feed that was due.

    Attributes:
        feed: its name.
        kind: what it speaks.
        error: why nothing of it was stored; empty where it was read whole.
        events: events understood.
        events_new: versions of them not seen before.
        prices: prices understood.
        prices_new: versions of them not seen before.
        refused_count: items that could not be understood, or were not this feed's to say.
        refused: the first of those, in words: where, what was found, what was expected.
        notes: what it left out rightly, such as programs that are not ours.
        whole: whether it had all that the server says there is.
        unknown: programs of which it speaks and that are not enrolled: nothing is paid under them.
        posted: answers that the utility has taken.
        not_posted: answers that it has not taken, this time or for good.
    """

    feed: str
    kind: str
    error: str = ""
    events: int = 0
    events_new: int = 0
    prices: int = 0
    prices_new: int = 0
    refused_count: int = 0
    refused: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    whole: bool = True
    unknown: tuple[str, ...] = ()
    posted: int = 0
    not_posted: int = 0


@dataclass(frozen=True, slots=True)
class Storing:
    """Stores what feeds said.

    Attributes:
        dsn: libpq conninfo without a user; writes as v2g_settle.
        config: all feeds.
        asked_at: when they were asked.
        clock: gives now, in UTC.
    """

    dsn: str
    config: GridConfig
    asked_at: datetime
    clock: Callable[[], datetime]

    def keep(self, feed: FeedConfig, reading: FeedReading, before: FeedState | None) -> FeedOutcome:
        """All that a feed says, in one transaction; or why nothing of it.

        Raises:
            Exception: the database is away or busy, which no other feed would be spared.
        """
        try:
            with connect(self.dsn, Role.SETTLE) as conn:
                return self._put(conn, feed, reading, before)
        except Exception as error:
            if is_transient(error):
                raise
            return self.failed(feed, error, before)

    def failed(self, feed: FeedConfig, error: Exception, before: FeedState | None) -> FeedOutcome:
        """Nothing of a feed: why, and when it is tried again."""
        if isinstance(error, Late):
            late = f"no whole reading within {error.deadline_s:g} s (deadline_s)"
            error = FeedUnavailableError(f"feed {feed.name}", late)
        told = one_line(str(error))
        if isinstance(error, GridFeedError | StorageError):
            log.error("feed %s: %s", feed.name, told)
        else:
            told = f"{type(error).__name__}: {told}; a fault of this program, its log says where"
            log.error("feed %s: %s", feed.name, told, exc_info=error)
        with connect(self.dsn, Role.SETTLE) as conn:
            feeds.put_failed(
                conn,
                feed.name,
                feed.kind,
                asked_at=self.asked_at,
                next_at=self.asked_at + _retry_in(before),
                error=told,
                clock=error.clock if isinstance(error, ClockOffError) else None,
            )
        return FeedOutcome(feed.name, feed.kind, error=told)

    def _put(
        self, conn: Connection, feed: FeedConfig, reading: FeedReading, before: FeedState | None
    ) -> FeedOutcome:
        now = self.clock()
        # From here to the commit nobody else stores versions: what is looked at stays as it is.
        stamped = versions.stamp(conn, now)
        said = admitted(
            reading,
            feed,
            self.config,
            Known(
                feed_of=feeds.feeds_of_events(conn, {one.event_id for one in reading.events}),
                currencies=feeds.program_currencies(conn),
            ),
        )
        refused = tuple(str(one) for one in said.refused[:REFUSED_MAX])
        notes = tuple(one_line(one) for one in reading.notes[:REFUSED_MAX])
        current = feeds.put_read(
            conn,
            feed.name,
            feed.kind,
            asked_at=self.asked_at,
            next_at=self.asked_at + min(max(reading.next_in, NEXT_MIN), NEXT_MAX),
            clock=reading.clock,
            events=len(said.events),
            prices=len(said.prices),
            refused=len(said.refused),
            refusals=refused,
            notes=notes,
            whole=reading.whole,
        )
        if not current:
            # Somebody has asked later and was quicker: putting this on top would turn time back.
            log.info("feed %s: read again in the meantime, this reading is old", feed.name)
            return FeedOutcome(feed.name, feed.kind)
        events = put_events(conn, said.events)
        prices = put_prices(conn, said.prices)
        put_documents(
            conn,
            reading.documents,
            cited=events.sources | prices.sources,
            feed=feed.name,
            now=stamped,
        )
        feeds.put_responses(conn, reading.responses, now=stamped)
        for told in refused:
            log.warning("refused from feed %s: %s", feed.name, told)
        for told in notes:
            if before is None or told not in before.notes:
                log.info("feed %s: %s", feed.name, told)
        for program in said.unknown:
            log.warning("feed %s speaks of program %r, which is not enrolled", feed.name, program)
        return FeedOutcome(
            feed.name,
            feed.kind,
            events=len(said.events),
            events_new=events.new,
            prices=len(said.prices),
            prices_new=prices.new,
            refused_count=len(said.refused),
            refused=refused,
            notes=notes,
            whole=reading.whole,
            unknown=said.unknown,
        )


def _retry_in(before: FeedState | None) -> timedelta:
    """Twice the wait that was made after the last failure; the first time ``RETRY_MIN``."""
    if before is None or not before.error or before.next_at is None:
        return RETRY_MIN
    return min(max(2 * (before.next_at - before.tried_at), RETRY_MIN), RETRY_MAX)
