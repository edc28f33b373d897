"""Read the grid's feeds, keep every version of every event and price, post the answers that are owed.

Each feed is read by itself, in a thread, under a deadline. One that fails, stalls, or whose clock is
off is told of in ``GridSummary`` and in ``v2g grid status``, and keeps no other one from being read.
All that one feed says goes in with one transaction, or not at all (``tasks.grid_storing``); what of it
may, says ``tasks.grid_rules``. Afterwards the answers that the utility is owed are posted, and what
became of each is kept.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from grid.config import FeedConfig, GridConfig
from grid.feeds import Answered, Feed, FeedReading, ResponseDue, ResponseSent, Secrets, open_feed
from storage import feeds
from storage.engine import Role, connect
from storage.feeds import FeedState
from tasks.deadlines import Job, at_once
from tasks.grid_storing import FeedOutcome, Storing

__all__ = ["FeedOutcome", "GridSummary", "NoSuchFeedError", "sync_grid"]

DUE_SLACK: Final = timedelta(seconds=5)
"""A schedule is not punctual: a feed that is due so soon is read now, not a whole minute later."""
ANSWERS_COUNT: Final = timedelta(days=90)
"""Answers older than that belong to events that no server shows any more."""

log = logging.getLogger(__name__)


class NoSuchFeedError(ValueError):
    """A feed that is not configured."""

    def __init__(self, name: str, config: GridConfig) -> None:
        names = ", ".join(feed.name for feed in config.feeds) or "none"
        super().__init__(f"no feed is called {name!r}; configured: {names}")


@dataclass(frozen=True, slots=True)
class GridSummary:
    """One call.

    Attributes:
        feeds: what became of each feed that was due, in the order of the configuration.
        not_due: feeds that want to be read later.
    """

    feeds: tuple[FeedOutcome, ...] = ()
    not_due: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[FeedOutcome, ...]:
        """Feeds of which nothing was stored."""
        return tuple(one for one in self.feeds if one.error)

    @property
    def news(self) -> int:
        """Versions of events and prices not seen before."""
        return sum(one.events_new + one.prices_new for one in self.feeds)

    @property
    def refused_count(self) -> int:
        """Items that could not be understood, or were not their feed's to say."""
        return sum(one.refused_count for one in self.feeds)


def sync_grid(
    dsn: str,
    config: GridConfig,
    *,
    secrets: Secrets,
    clock: Callable[[], datetime],
    due_only: bool = True,
    only: str = "",
    opener: Callable[[FeedConfig, Secrets], Feed] = open_feed,
    report: Callable[[str], None] = lambda _: None,
) -> GridSummary:
    """Read what is due, keep what is new, and post the answers that are owed.

    Args:
        dsn: libpq conninfo without a user; writes as v2g_settle, one transaction per feed.
        config: all feeds.
        secrets: reads the files that they name; ``storage.secrets``.
        clock: gives now, in UTC. Where a run has fixed what it knows since then, what is new counts as
            received right after it (``storage.fence``).
        due_only: leave out feeds that want to be read later.
        only: the name of one feed, which is read whether due or not; empty: all.
        opener: opens a feed.
        report: hears what is being done.

    Raises:
        NoSuchFeedError: ``only`` is not configured.
        DatabaseUnavailableError: no connection to store it; what was stored stays.
    """
    by_name = {feed.name: feed for feed in config.feeds}
    if only and only not in by_name:
        raise NoSuchFeedError(only, config)
    with connect(dsn, Role.SETTLE) as conn:
        feeds.forget_feeds(conn, configured=by_name)
        states = feeds.feed_states(conn)
        asked_at = clock()
        answered = {
            name: feeds.answered(conn, name, since=asked_at - ANSWERS_COUNT) for name in by_name
        }
    due = {
        name: feed
        for name, feed in by_name.items()
        if (name == only if only else not (due_only and _later(states.get(name), asked_at)))
    }
    storing = Storing(dsn, config, asked_at, clock)
    outcomes: dict[str, FeedOutcome] = {}
    opened: dict[str, Feed] = {}
    report(f"reading {', '.join(due)}")
    for name, result in at_once(
        {name: _reading(due[name], opener, secrets, clock, answered[name]) for name in due}
    ):
        if isinstance(result, Exception):
            outcomes[name] = storing.failed(due[name], result, states.get(name))
        else:
            opened[name], reading = result
            outcomes[name] = storing.keep(due[name], reading, states.get(name))
        report(f"waiting for {', '.join(name for name in due if name not in outcomes)}")
    for name, (owed, sent) in _respond(dsn, due, opened, clock).items():
        posted = sum(one.state == "posted" for one in sent)
        outcomes[name] = replace(outcomes[name], posted=posted, not_posted=owed - posted)
    return GridSummary(
        feeds=tuple(outcomes[name] for name in due),
        not_due=() if only else tuple(name for name in by_name if name not in due),
    )


def _later(state: FeedState | None, now: datetime) -> bool:
    if state is None or state.next_at is None or state.tried_at > now:
        # One that was tried later than now: our clock was ahead then, and what it said is nothing.
        return False
    return state.next_at > now + DUE_SLACK


def _reading(
    feed: FeedConfig,
    opener: Callable[[FeedConfig, Secrets], Feed],
    secrets: Secrets,
    clock: Callable[[], datetime],
    answered: Answered,
) -> Job[tuple[Feed, FeedReading]]:
    def read() -> tuple[Feed, FeedReading]:
        opened = opener(feed, secrets)
        return opened, opened.read(clock, answered)

    return Job(read, feed.deadline_s)


def _respond(
    dsn: str,
    due: Mapping[str, FeedConfig],
    opened: Mapping[str, Feed],
    clock: Callable[[], datetime],
) -> dict[str, tuple[int, list[ResponseSent]]]:
    """Post what feeds that could be read are owed: by feed how much that is, and what became of it.

    An answer that the feed does not speak of was not tried, for want of time, and no try is counted. Of
    two who do this at once, one posts the answers of a feed.
    """
    with connect(dsn, Role.SETTLE) as holding:
        ours = {name: one for name, one in opened.items() if feeds.lock_answers(holding, name)}
        return _posted(dsn, due, ours, clock)


def _posted(
    dsn: str,
    due: Mapping[str, FeedConfig],
    opened: Mapping[str, Feed],
    clock: Callable[[], datetime],
) -> dict[str, tuple[int, list[ResponseSent]]]:
    with connect(dsn, Role.SETTLE) as conn:
        owed = {name: feeds.due_responses(conn, name, now=clock()) for name in opened}
    jobs = {
        name: _responding(opened[name], owed[name], due[name].deadline_s, clock)
        for name in opened
        if owed[name]
    }
    done: dict[str, list[ResponseSent]] = {}
    for name, result in at_once(jobs):
        if isinstance(result, Exception):
            log.warning("feed %s: answers not posted: %s", name, result)
            # Nobody knows which of them arrived: all are still due, and each try is counted.
            done[name] = [ResponseSent(one, "due", str(result)) for one in owed[name]]
        else:
            done[name] = [one for one in result if one.response in owed[name]]
        with connect(dsn, Role.SETTLE) as conn:
            feeds.put_sent(conn, done[name], now=clock())
    return {name: (len(owed[name]), sent) for name, sent in done.items()}


def _responding(
    feed: Feed, owed: list[ResponseDue], deadline_s: float, clock: Callable[[], datetime]
) -> Job[list[ResponseSent]]:
    return Job(lambda: list(feed.respond(owed, clock)), deadline_s)
