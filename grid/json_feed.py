"""Kind ``json``: events and prices as plain JSON over HTTP, at ``/v1/events`` and ``/v1/prices``."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from grid.config import FeedConfig, JsonConfig
from grid.feeds import Answered, FeedReading, ResponseDue, ResponseSent, Secrets
from grid.fetching import client, get
from grid.json_items import EVENTS, PRICES, Reader
from grid.prices import once_each
from grid.records import Document

_REPAIR: Final = "look at url: and token_file: of this feed; asking again will not help"


@dataclass(frozen=True, slots=True)
class JsonFeed:
    """See ``grid.config.JsonConfig``.

    Attributes:
        config: of this feed.
        token: the bearer token; empty: none is sent.
        clock: seconds, for the deadline.
    """

    config: JsonConfig
    token: str = field(repr=False)
    clock: Callable[[], float] = time.monotonic

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def kind(self) -> str:
        return self.config.kind

    def read(self, now: Callable[[], datetime], answered: Answered = ()) -> FeedReading:
        """Both lists.

        Raises:
            FeedUnavailableError: no whole answer, 5xx or 429.
            FeedRefusedError: another status.
            FeedUnreadableError: an answer that is no such list at all.
        """
        del answered
        deadline = self.clock() + self.config.deadline_s
        headers = {"Accept": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        root = self.config.url.rstrip("/")
        documents = []
        with client(headers=headers, ca=self.config.ca, seconds=self.config.deadline_s) as http:
            for name in (EVENTS, PRICES):
                url = f"{root}/v1/{name}"
                body = get(http, url, deadline=deadline, repair=_REPAIR, clock=self.clock)
                documents.append(Document(url, "application/json", body))
        events, prices = documents
        reader = Reader(self.name, now())
        said = reader.events(events.body)
        kept, contradictory = once_each(reader.prices(prices.body))
        return FeedReading(
            events=said,
            prices=kept,
            documents=documents,
            refused=[*reader.refused, *contradictory],
            next_in=timedelta(seconds=self.config.every_s),
        )

    def respond(
        self, due: Sequence[ResponseDue], now: Callable[[], datetime]
    ) -> Sequence[ResponseSent]:
        """This kind of feed takes no answers."""
        del due, now
        return ()


def open_feed(config: FeedConfig, secrets: Secrets) -> JsonFeed:
    """A feed of plain JSON; its token is read from a file that nobody else may read."""
    assert isinstance(config, JsonConfig)
    token = "" if config.token_file is None else secrets.read_secret(config.token_file)
    return JsonFeed(config, token)
