"""What of a feed's reading is admitted: each thing once, and only what this feed may say.

Whatever is not admitted becomes a refusal that names it; the rest of the reading goes in.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from grid.config import FeedConfig, FileConfig, GridConfig, JsonConfig
from grid.feeds import FeedReading
from grid.prices import StatedPrice, once_each
from grid.records import EventSaid, PriceSaid, Refusal

__all__ = ["Admitted", "Known", "admitted"]


@dataclass(frozen=True, slots=True)
class Known:
    """What the database knows already.

    Attributes:
        feed_of: of events that are known, the feed that announced each.
        currencies: of enrolled programs.
    """

    feed_of: Mapping[str, str]
    currencies: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Admitted:
    """What goes in, what does not, and programs that are spoken of and not enrolled."""

    events: Sequence[EventSaid]
    prices: Sequence[PriceSaid]
    refused: Sequence[Refusal]
    unknown: tuple[str, ...]


def admitted(reading: FeedReading, feed: FeedConfig, config: GridConfig, known: Known) -> Admitted:
    """What of a reading goes in.

    An event belongs to the feed that announced it, as long as that is configured: another one that
    cancels or moves it is refused. A price belongs to the one feed that is named for its program, and
    is in the currency of the program. What is said twice in one reading counts once, and not at all
    where it contradicts itself, as either choice would be chance.
    """
    refused = list(reading.refused)
    events = _events(reading.events, feed, config, known, refused)
    prices = _prices(reading.prices, feed, config, known, refused)
    programs = {event.program for event in events} | {price.program for price in prices}
    return Admitted(events, prices, refused, tuple(sorted(programs - known.currencies.keys())))


def _events(
    said: Iterable[EventSaid],
    feed: FeedConfig,
    config: GridConfig,
    known: Known,
    refused: list[Refusal],
) -> list[EventSaid]:
    configured = {one.name for one in config.feeds} - {feed.name}
    by_id: dict[str, list[EventSaid]] = defaultdict(list)
    for event in said:
        by_id[event.event_id].append(event)
    kept = []
    for event_id, versions in by_id.items():
        owner = known.feed_of.get(event_id, "")
        first = versions[0]
        if owner in configured:
            refused.append(
                Refusal(
                    f"event {event_id}",
                    f"said by feed {feed.name}",
                    f"feed {owner}, which announced it, to say it",
                )
            )
        elif any(_content(one) != _content(first) for one in versions):
            refused.append(
                Refusal(
                    f"event {event_id}",
                    f"{len(versions)} times in one reading, and not alike",
                    "each event once",
                )
            )
        elif not _may_speak_of(feed, first.program):
            refused.append(_not_its_program(f"event {event_id}", first.program, feed))
        else:
            kept.append(first)
    return kept


def _content(event: EventSaid) -> EventSaid:
    return replace(event, source=b"", received_at=datetime.max)  # noqa: DTZ901 - compared, never shown


def _prices(
    said: Iterable[PriceSaid],
    feed: FeedConfig,
    config: GridConfig,
    known: Known,
    refused: list[Refusal],
) -> list[PriceSaid]:
    taken = config.spoken_for(feed)
    stated = []
    for price in said:
        where = f"price of {price.program} from {price.started_at.isoformat()}"
        currencies = known.currencies.get(price.program)
        if price.program in taken:
            refused.append(
                Refusal(where, f"said by feed {feed.name}", "the feed that is named for its prices")
            )
        elif not _may_speak_of(feed, price.program):
            refused.append(_not_its_program(where, price.program, feed))
        elif currencies is not None and price.currency not in currencies:
            expected = f"{' or '.join(sorted(currencies))}, the currency of the program"
            refused.append(Refusal(where, f"in {price.currency}", expected))
        else:
            stated.append(StatedPrice(where, price))
    kept, contradictory = once_each(stated)
    refused.extend(contradictory)
    return kept


def _may_speak_of(feed: FeedConfig, program: str) -> bool:
    if not isinstance(feed, JsonConfig | FileConfig) or not feed.programs:
        return True
    return program in feed.programs


def _not_its_program(where: str, program: str, feed: FeedConfig) -> Refusal:
    return Refusal(where, f"of program {program!r}", f"one of programs: of feed {feed.name}")
