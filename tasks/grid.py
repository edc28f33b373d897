"""Fetch what the grid's side says: every version of its events and of its prices, as evidence.

    GridFeedError
    ├── FeedUnavailableError   no whole answer in time, or 5xx or 429: asking again may help
    ├── FeedRefusedError       any other status: somebody must change something first
    └── FeedUnreadableError    an answer, or one item of it, that is not what was agreed

One item that cannot be understood does not keep the others out: it is counted, logged, and told in
``GridSummary.refused`` with where it stood, what was found and what was expected.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

import httpx

from storage.engine import Role, connect
from storage.grid import EventRow, PriceRow, put_events, put_prices
from storage.secrets import read_secret
from tasks.grid_items import FeedUnreadableError, GridFeedError, Item, event_row, items, price_row

__all__ = [
    "FeedRefusedError",
    "FeedUnavailableError",
    "FeedUnreadableError",
    "GridFeedError",
    "GridSummary",
    "sync_grid",
    "utility_client",
]

BODY_MAX_BYTES: Final = 4 * 1024 * 1024
READ_TIMEOUT: Final = httpx.Timeout(10.0, connect=5.0)
ANSWER_DEADLINE_S: Final = 30.0
"""For one whole answer: a server that sends a byte now and then resets every shorter timeout."""
REFUSED_MAX: Final = 100
"""Refusals kept in words; beyond that they are only counted."""

_TRY_AGAIN: Final = frozenset({429})
_SERVER_ERROR: Final = 500

log = logging.getLogger(__name__)

Row = TypeVar("Row", EventRow, PriceRow)


class FeedUnavailableError(GridFeedError):
    """No whole answer this time.

    Attributes:
        path: what was asked for.
        found: what came instead.
    """

    def __init__(self, path: str, found: str) -> None:
        super().__init__(f"GET {path}: {found}; nothing is stored, asking again may help")
        self.path = path
        self.found = found


class FeedRefusedError(GridFeedError):
    """The utility answers, but not to this question from us.

    Attributes:
        path: what was asked for.
        status: the HTTP status.
    """

    def __init__(self, path: str, status: int) -> None:
        super().__init__(
            f"GET {path}: HTTP {status}; expected 200; look at V2G_UTILITY_URL and"
            " V2G_UTILITY_TOKEN_FILE, asking again will not help"
        )
        self.path = path
        self.status = status


@dataclass(frozen=True, slots=True)
class GridSummary:
    """One fetch.

    Attributes:
        events: events understood.
        events_new: versions of them not seen before.
        prices: prices understood.
        prices_new: versions of them not seen before.
        refused_count: items that could not be understood.
        refused: the first of those, in words: where, what was found, what was expected.
    """

    events: int
    events_new: int
    prices: int
    prices_new: int
    refused_count: int
    refused: list[str]


def utility_client(token_file: Path | None) -> httpx.Client:
    """A client for the utility's feed: its token, bounded waits, no proxy from the environment.

    Args:
        token_file: file with the bearer token (RFC 6750), mode 0600; None if the feed needs none.

    Raises:
        InsecureSecretError: the file does not keep the token.
    """
    # The body is counted as it comes: a compressed one could unfold to any size.
    headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if token_file is not None:
        headers["Authorization"] = f"Bearer {read_secret(token_file)}"
    return httpx.Client(headers=headers, timeout=READ_TIMEOUT, trust_env=False)


def sync_grid(
    dsn: str,
    utility_url: str,
    *,
    client: httpx.Client,
    now: datetime,
    clock: Callable[[], float] = time.monotonic,
) -> GridSummary:
    """Fetch events and prices and keep every version that is new.

    Args:
        dsn: libpq conninfo without a user; writes as v2g_settle, in one transaction.
        utility_url: root of the feed.
        client: as ``utility_client`` makes it.
        now: the time of receipt, timezone-aware. Where a run has fixed what it knows since then,
            what is new counts as received right after it (``storage.fence``).
        clock: seconds, for the deadline of an answer.

    Raises:
        FeedUnavailableError: no whole answer, 5xx or 429.
        FeedRefusedError: another status.
        FeedUnreadableError: an answer that is no feed at all.
        DatabaseUnavailableError: no connection to store it.
    """
    root = utility_url.rstrip("/")
    refused: list[FeedUnreadableError] = []

    def fetch(name: str, read: Callable[[Item, datetime], Row]) -> list[Row]:
        body = _get(client, f"{root}/v1/{name}", clock)
        return list(_understood(items(body, name), read, now, refused))

    events = fetch("events", event_row)
    prices = fetch("prices", price_row)
    for error in refused[:REFUSED_MAX]:
        log.warning("refused from the utility's feed: %s", error)
    with connect(dsn, Role.SETTLE) as conn:
        events_new = put_events(conn, events)
        prices_new = put_prices(conn, prices)
    return GridSummary(
        events=len(events),
        events_new=events_new,
        prices=len(prices),
        prices_new=prices_new,
        refused_count=len(refused),
        refused=[str(error) for error in refused[:REFUSED_MAX]],
    )


def _understood(
    feed: Sequence[Item],
    read: Callable[[Item, datetime], Row],
    now: datetime,
    refused: list[FeedUnreadableError],
) -> Iterator[Row]:
    for item in feed:
        try:
            yield read(item, now)
        except FeedUnreadableError as error:
            refused.append(error)


def _get(client: httpx.Client, url: str, clock: Callable[[], float]) -> bytes:
    path = httpx.URL(url).path
    deadline = clock() + ANSWER_DEADLINE_S
    body = bytearray()
    try:
        with client.stream("GET", url) as response:
            status = response.status_code
            if status >= _SERVER_ERROR or status in _TRY_AGAIN:
                raise FeedUnavailableError(path, f"HTTP {status}")
            if status != httpx.codes.OK:
                raise FeedRefusedError(path, status)
            encoding = response.headers.get("Content-Encoding", "identity")
            if encoding != "identity":
                raise FeedUnreadableError(
                    path, f"Content-Encoding {encoding[:40]!r}", "identity, as asked"
                )
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > BODY_MAX_BYTES:
                    raise FeedUnreadableError(
                        path, "a longer body", f"at most {BODY_MAX_BYTES} bytes"
                    )
                if clock() > deadline:
                    raise FeedUnavailableError(
                        path, f"no whole body within {ANSWER_DEADLINE_S:.0f} s"
                    )
    except httpx.TransportError as error:
        raise FeedUnavailableError(path, f"{type(error).__name__}: {error}") from error
    return bytes(body)
