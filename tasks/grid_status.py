"""How the grid's feeds are: whether each is read as often as it wants to be, and what troubles it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from grid.config import FeedConfig, GridConfig
from storage import feeds
from storage.engine import Connection
from storage.event_decisions import late_versions
from storage.feeds import FeedState, ResponseCount

__all__ = ["FeedStatus", "GridStatus", "Health", "grid_status"]

LATE_AFTER: Final = timedelta(minutes=5)
"""Beyond the time at which a feed wanted to be read: the schedule has missed several turns then."""


class Health(StrEnum):
    """How a feed is."""

    GOOD = "good"
    LATE = "late"
    """It should have been read by now: does ``sync`` run?"""
    INCOMPLETE = "incomplete"
    """Not everything could be had that its server says there is: what is missing may supersede the rest."""
    FAILING = "failing"
    """The last try brought nothing."""
    NEVER = "never read"


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """One configured feed.

    Attributes:
        feed: its name.
        kind: what it speaks.
        health: see ``Health``.
        state: what is stored of it; None where it was never tried.
        age: since its last whole reading; None: there was none.
        responses: answers that the utility is owed, has taken, or has refused.
    """

    feed: str
    kind: str
    health: Health
    state: FeedState | None
    age: timedelta | None
    responses: ResponseCount


@dataclass(frozen=True, slots=True)
class GridStatus:
    """All configured feeds.

    Attributes:
        now: of which time this is said.
        feeds: in the order of the configuration.
        waiting: versions of events that wait for a person: ``v2g grid events --pending``.
    """

    now: datetime
    feeds: tuple[FeedStatus, ...]
    waiting: int

    @property
    def good(self) -> bool:
        """Whether every feed is."""
        return all(one.health is Health.GOOD for one in self.feeds)


def grid_status(conn: Connection, config: GridConfig, *, now: datetime) -> GridStatus:
    """How all configured feeds are. Any role that may read."""
    states = feeds.feed_states(conn)
    counts = feeds.response_counts(conn)
    return GridStatus(
        now,
        tuple(_statuses(config.feeds, states, counts, now)),
        waiting=len(late_versions(conn)),
    )


def _statuses(
    configured: Iterable[FeedConfig],
    states: dict[str, FeedState],
    counts: dict[str, ResponseCount],
    now: datetime,
) -> Iterable[FeedStatus]:
    for feed in configured:
        state = states.get(feed.name)
        read_at = state.read_at if state else None
        yield FeedStatus(
            feed.name,
            feed.kind,
            _health(state, now),
            state,
            None if read_at is None else now - read_at,
            counts.get(feed.name, ResponseCount()),
        )


def _health(state: FeedState | None, now: datetime) -> Health:
    if state is not None and state.error:
        return Health.FAILING
    if state is None or state.read_at is None:
        return Health.NEVER
    if state.next_at is not None and now > state.next_at + LATE_AFTER:
        return Health.LATE
    return Health.GOOD if state.whole else Health.INCOMPLETE
