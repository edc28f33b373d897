"""Kind ``comed``: ComEd's public prices of five minutes, a wholesale index for demonstrations.

    GET url?type=5minutefeed    [{"millisUTC": "1434686700000", "price": "2.0"}, …], newest first

The price is text, in US cents per kWh, and may be negative; the time is taken for the start of the five
minutes, which the publisher does not say. No contract should be settled on it.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final

from grid import strict_json
from grid.config import ComedConfig, FeedConfig
from grid.errors import FeedUnreadableError
from grid.feeds import Answered, FeedReading, ResponseDue, ResponseSent, Secrets
from grid.fetching import client, get
from grid.prices import StatedPrice, once_each
from grid.records import Document, PriceSaid, Refusal
from settlement import units
from settlement.decimals import decimal_text

LENGTH: Final = timedelta(minutes=5)
ITEMS_MAX: Final = 10_000
_CENT_PLACES: Final = 4
"""A millionth of a dollar is a ten-thousandth of a cent."""
_MILLIS_DIGITS: Final = 13
_SHAPE: Final = '[{"millisUTC": "1434686700000", "price": "2.0"}, …]'
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ComedFeed:
    """See ``grid.config.ComedConfig``."""

    config: ComedConfig
    clock: Callable[[], float] = time.monotonic

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def kind(self) -> str:
        return self.config.kind

    def read(self, now: Callable[[], datetime], answered: Answered = ()) -> FeedReading:
        """The last 24 hours.

        Raises:
            FeedUnavailableError: no whole answer, 5xx or 429.
            FeedRefusedError: another status.
            FeedUnreadableError: an answer that is no such list at all, such as a page in HTML.
        """
        del answered
        url = f"{self.config.url}?type=5minutefeed"
        with client(headers={"Accept": "application/json"}, seconds=self.config.deadline_s) as http:
            body = get(
                http,
                url,
                deadline=self.clock() + self.config.deadline_s,
                repair="look at url: of this feed; asking again will not help",
                clock=self.clock,
            )
        stated, refused = self.stated(body, now())
        kept, contradictory = once_each(stated)
        return FeedReading(
            prices=kept,
            documents=[Document(url, "application/json", body)],
            refused=[*refused, *contradictory],
            next_in=timedelta(seconds=self.config.every_s),
        )

    def stated(self, body: bytes, received_at: datetime) -> tuple[list[StatedPrice], list[Refusal]]:
        """The prices of a document, and what of it could not be understood. Raises FeedUnreadableError."""
        found = strict_json.parse(body, where="5minutefeed", expected=_SHAPE)
        if not isinstance(found, list) or len(found) > ITEMS_MAX:
            raise FeedUnreadableError("5minutefeed", type(found).__name__, _SHAPE)
        digest = sha256(body).digest()
        stated: list[StatedPrice] = []
        refused: list[Refusal] = []
        for number, item in enumerate(found):
            where = f"5minutefeed[{number}]"
            try:
                start, micros = _price(item)
            except ValueError as error:
                refused.append(Refusal(where, repr(item)[:80], str(error)))
                continue
            price = PriceSaid(self.config.program, start, start + LENGTH, micros, "USD",
                              digest, received_at, self.name)  # fmt: skip
            stated.append(StatedPrice(where, price))
        return stated, refused

    def respond(
        self, due: Sequence[ResponseDue], now: Callable[[], datetime]
    ) -> Sequence[ResponseSent]:
        """This feed takes no answers."""
        del due, now
        return ()


def open_feed(config: FeedConfig, secrets: Secrets) -> ComedFeed:
    """The public feed. It needs no secrets."""
    del secrets
    assert isinstance(config, ComedConfig)
    return ComedFeed(config)


def _price(item: object) -> tuple[datetime, int]:
    fields = item if isinstance(item, dict) else {}
    millis, price = fields.get("millisUTC"), fields.get("price")
    if not isinstance(millis, str) or not millis.isascii() or not millis.isdigit():
        raise ValueError("millisUTC: milliseconds since 1970, as text")
    if len(millis) > _MILLIS_DIGITS or int(millis) % (LENGTH // timedelta(milliseconds=1)):
        raise ValueError("millisUTC: a whole five minutes")
    start = _EPOCH + timedelta(milliseconds=int(millis))
    if not units.EARLIEST <= start < units.LATEST - LENGTH:
        raise ValueError(f"millisUTC: from {units.EARLIEST.year} to {units.LATEST.year}")
    try:
        micros = decimal_text(price if isinstance(price, str) else "", _CENT_PLACES)
    except ValueError as error:
        raise ValueError(
            f'price: US cents per kWh as text, such as "2.0", with at most {_CENT_PLACES} places'
        ) from error
    if abs(micros) > units.PRICE_MAX_MICROS_PER_KWH:
        raise ValueError("price: at most 10000 cents per kWh, either sign")
    return start, micros
