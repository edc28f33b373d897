"""Kind ``file``: a file that somebody puts there anew, with prices as CSV or both as JSON.

The file is taken only if it did not change while it was read. Whoever writes it should write another
one and rename it: a file half written is read as it stands, and its last line is refused.
"""

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from grid.config import FeedConfig, FileConfig
from grid.csv_prices import stated_prices
from grid.errors import FeedUnavailableError, FeedUnreadableError
from grid.feeds import Answered, FeedReading, ResponseDue, ResponseSent, Secrets
from grid.json_items import Reader
from grid.prices import once_each
from grid.records import Document

FILE_MAX_BYTES: Final = 4 * 1024 * 1024
"""Half a year of prices of five minutes."""


@dataclass(frozen=True, slots=True)
class FileFeed:
    """See ``grid.config.FileConfig``."""

    config: FileConfig

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def kind(self) -> str:
        return self.config.kind

    def read(self, now: Callable[[], datetime], answered: Answered = ()) -> FeedReading:
        """The file as it is now.

        Raises:
            FeedUnavailableError: it is not there, or changes while it is read.
            FeedUnreadableError: it is too long, or not of its kind at all.
        """
        del answered
        path = self.config.path
        body = _content(path)
        zone = None if self.config.timezone is None else ZoneInfo(self.config.timezone)
        reader = Reader(self.name, now(), zone=zone, program=self.config.program)
        if path.suffix.lower() == ".csv":
            media_type, events = "text/csv", []
            stated = stated_prices(body, reader, where=path.name)
        else:
            media_type = "application/json"
            events = reader.events(body, optional=True)
            stated = reader.prices(body, optional=True)
        prices, contradictory = once_each(stated)
        return FeedReading(
            events=events,
            prices=prices,
            documents=[Document(str(path), media_type, body)],
            refused=[*reader.refused, *contradictory],
            next_in=timedelta(seconds=self.config.every_s),
        )

    def respond(
        self, due: Sequence[ResponseDue], now: Callable[[], datetime]
    ) -> Sequence[ResponseSent]:
        """A file takes no answers."""
        del due, now
        return ()


def open_feed(config: FeedConfig, secrets: Secrets) -> FileFeed:
    """A feed from a file. It needs no secrets."""
    del secrets
    assert isinstance(config, FileConfig)
    return FileFeed(config)


def _content(path: Path) -> bytes:
    try:
        # O_NONBLOCK: opening a FIFO without a writer must not wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FeedUnavailableError(str(path), f"cannot be opened ({error.strerror})") from error
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise FeedUnreadableError(str(path), "no regular file", "a regular file")
        with open(descriptor, "rb", closefd=False) as stream:
            body = stream.read(FILE_MAX_BYTES + 1)
        after = os.fstat(descriptor)
    except OSError as error:
        raise FeedUnavailableError(str(path), f"cannot be read ({error.strerror})") from error
    finally:
        os.close(descriptor)
    if len(body) > FILE_MAX_BYTES:
        raise FeedUnreadableError(str(path), "a longer file", f"at most {FILE_MAX_BYTES} bytes")
    if (before.st_mtime_ns, before.st_size) != (after.st_mtime_ns, after.st_size):
        raise FeedUnavailableError(str(path), "it changed while it was read")
    return body
