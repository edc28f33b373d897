"""One vehicle's time, cut into slots without gaps: in each, nothing that decides a line changes.

A vehicle belongs to every program that any of its contracts names, at any time; with no contract at
all, to the first program by name. Time in which none of its events is in force is spoken of by the first
program, by name, one of whose events has that time, with the vehicle under contract as it starts; else by the
first program. Where events of several of its programs are in force at once, those
count under which it is enrolled as they start: one pays, several are DOUBLE_ENROLMENT, which is said
once, under the first of them by name. Where it is enrolled in none, the first by name says NO_CONTRACT.

Plainest readings taken: two events overlap whether or not their programs pay at that hour. A price
covers the half-open interval of its row; of rows that overlap the one received last counts (an empty
received_at is the earliest), of those the last in the file. Time outside every event is cut where its
price changes, like other time: the price of the vehicle's first program, by name; that program also
names the event that was cancelled then, or is another group's. What is outside has the rate of the one
contract that is in force at any moment of the slot; of several or none the rate is 1.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from oracle.case import Row
from oracle.terms import BEGINNING, Terms
from oracle.windows import NOT_IN_FORCE, OUTSIDE_GROUP, Event, Stretch

EARLIEST = BEGINNING
LATEST = datetime(9999, 12, 31, tzinfo=UTC)
OUTSIDE_WINDOW = "OUTSIDE_WINDOW"
NO_CONTRACT = "NO_CONTRACT"
DOUBLE_ENROLMENT = "DOUBLE_ENROLMENT"


@dataclass(frozen=True, slots=True)
class Target:
    """An event in force, as it is for the vehicle. `why` None: it may be paid. `rate` is 1 where no
    single contract names one.
    """

    event: Event
    why: str | None
    price: Decimal | None
    rate: Decimal
    order: int | None = None
    # An interval also ends where these change, though the same is said of both sides.
    time: str | None = None  # what the program itself says of the time
    shared: bool = False  # several programs' events claim it


@dataclass(frozen=True, slots=True)
class Slot:
    """No target: no event is in force; then `outside` is the version that speaks of it, `price` the one
    that it would pay, `why` says what there was instead, and `named` is the event that was cancelled or is
    another group's.
    """

    started_at: datetime
    ended_at: datetime
    target: Target | None
    outside: Terms
    price: Decimal | None = None
    why: str | None = None
    named: str | None = None

    def alike(self, other: "Slot") -> bool:
        """Whether two neighbours belong to one settlement interval."""
        mine = (self.target, self.outside.name, self.price, self.why, self.named)
        theirs = (other.target, other.outside.name, other.price, other.why, other.named)
        return mine == theirs

    @property
    def terms(self) -> Terms:
        """The version that speaks of it."""
        return self.outside if self.target is None else self.target.event.terms


class Prices:
    """The price in force at each moment."""

    def __init__(self, rows: Iterable[Row], as_of: datetime | None) -> None:
        known = [
            row
            for row in rows
            if as_of is None or row.get("received_at") is None or row["received_at"] <= as_of
        ]
        # stable: of rows received together the last in the file stays last
        known.sort(key=lambda row: row.get("received_at") or EARLIEST)
        self.edges = sorted({row[edge] for row in known for edge in ("started_at", "ended_at")})
        self._values: list[Decimal | None] = [None] * len(self.edges)
        where = {at: position for position, at in enumerate(self.edges)}
        for row in known:
            for position in range(where[row["started_at"]], where[row["ended_at"]]):
                self._values[position] = row["price_per_kwh"]

    def at(self, moment: datetime) -> Decimal | None:
        position = bisect_right(self.edges, moment) - 1
        return None if position < 0 else self._values[position]

    def within(self, started_at: datetime, ended_at: datetime) -> list[datetime]:
        first = bisect_right(self.edges, started_at)
        found = []
        while first < len(self.edges) and self.edges[first] < ended_at:
            found.append(self.edges[first])
            first += 1
        return found


def contracts_at(contracts: Iterable[Row], program: str, at: datetime) -> list[Row]:
    """The contracts of one program that are in force at a time."""
    return [
        row
        for row in contracts
        if row["program"] == program
        and row["valid_from"] <= at
        and (row["valid_to"] is None or at < row["valid_to"])
    ]


def contracts_within(
    contracts: Iterable[Row], program: str, started_at: datetime, ended_at: datetime
) -> list[Row]:
    """The contracts of one program that are in force at any moment of a time."""
    return [
        row
        for row in contracts
        if row["program"] == program
        and row["valid_from"] < ended_at
        and (row["valid_to"] is None or started_at < row["valid_to"])
    ]


def single_rate(contracts: Sequence[Row]) -> Decimal:
    """The rate of the one contract in force; 1 where there is none, or no single one."""
    rate: Decimal = contracts[0]["incentive_rate"] if len(contracts) == 1 else Decimal(1)
    return rate


def _price(terms: Terms, prices: Prices, at: datetime) -> Decimal | None:
    if terms.product != "energy":
        return None
    return prices.at(at) if terms.fixed_price is None else terms.fixed_price


def slots(
    programs: Mapping[str, Sequence[Stretch]],
    contracts: Sequence[Row],
    prices: Prices,
    orders: Sequence[Row],
    outside: Mapping[str, Terms],
) -> list[Slot]:
    """All time, in order.

    `programs` holds the stretches of each of the vehicle's programs, `outside` the version of each that
    speaks of time outside every event.
    """
    first = outside[min(programs)]
    times = sorted(_edges(programs, prices, orders, outside))
    cursors = [_Cursor(programs[name]) for name in sorted(programs)]
    enrolled = {
        stretch.event: contracts_at(contracts, name, stretch.event.started_at)
        for name, found in programs.items()
        for stretch in found
    }
    result: list[Slot] = []
    for started_at, ended_at in pairwise(times):
        here = [cursor.at(started_at) for cursor in cursors]
        inside = [one for one in here if one is not None and one.why not in NOT_IN_FORCE]
        if inside:
            order = None
            stretch, why, shared = _accounting(inside, enrolled)
            if stretch.event.terms.product == "order":
                order = _order(orders, stretch.event, started_at)
            target = Target(
                stretch.event,
                why,
                _price(stretch.event.terms, prices, started_at),
                single_rate(enrolled[stretch.event]),
                order,
                stretch.why,
                shared,
            )
            slot = Slot(started_at, ended_at, target, first)
        else:
            missed = (
                one
                for one in here
                if one is not None and one.why != OUTSIDE_GROUP and enrolled[one.event]
            )
            named = next(missed, here[0])
            speaks = first if named is None else outside[named.event.terms.name]
            price = _price(speaks, prices, started_at)
            slot = Slot(started_at, ended_at, None, speaks, price, OUTSIDE_WINDOW)
            if named is not None:
                slot = replace(slot, why=named.why, named=named.event.id)
        if result and result[-1].alike(slot):
            result[-1] = replace(result[-1], ended_at=ended_at)
        else:
            result.append(slot)
    return result


def _accounting(
    inside: Sequence[Stretch], enrolled: Mapping[Event, Sequence[Row]]
) -> tuple[Stretch, str | None, bool]:
    """Whose time it is, why it is not paid, and whether several programs claim it."""
    mine = [stretch for stretch in inside if enrolled[stretch.event]]
    if not mine:
        return inside[0], NO_CONTRACT, False
    shared = len(mine) > 1
    if shared or len(enrolled[mine[0].event]) > 1:
        return mine[0], DOUBLE_ENROLMENT, shared
    return mine[0], mine[0].why, False


def _edges(
    programs: Mapping[str, Sequence[Stretch]],
    prices: Prices,
    orders: Sequence[Row],
    outside: Mapping[str, Terms],
) -> set[datetime]:
    edges = {EARLIEST, LATEST}
    if any(_by_price(terms) for terms in outside.values()):
        edges.update(prices.edges)
    for found in programs.values():
        for stretch in found:
            edges |= {stretch.started_at, stretch.ended_at}
            if _by_price(stretch.event.terms):
                edges.update(prices.within(stretch.started_at, stretch.ended_at))
    for row in orders:
        edges |= {row["started_at"], row["ended_at"]}
    return edges


class _Cursor:
    """The stretch at a time, asked for in time order."""

    def __init__(self, stretches: Sequence[Stretch]) -> None:
        self._stretches = stretches
        self._next = 0

    def at(self, moment: datetime) -> Stretch | None:
        while self._next < len(self._stretches) and self._stretches[self._next].ended_at <= moment:
            self._next += 1
        if self._next == len(self._stretches) or self._stretches[self._next].started_at > moment:
            return None
        return self._stretches[self._next]


def around(event: Event) -> list[tuple[datetime, datetime]]:
    """The time before and after an event in which charging is deducted; a cancelled one ends early. It
    reaches to where every device is in the event.
    """
    terms, said, found = event.terms, event.said, []
    draws = said.draws()
    if terms.lookback_us:
        begun = max(said.noticed_at, *(start for start, _ in draws))
        found.append((event.started_at - timedelta(microseconds=terms.lookback_us), begun))
    if terms.lookahead_us:
        over = min(said.until, *(end for _, end in draws))
        found.append((over, event.until + timedelta(microseconds=terms.lookahead_us)))
    return found


def _by_price(terms: Terms) -> bool:
    return terms.product == "energy" and terms.fixed_price is None


def _order(orders: Sequence[Row], event: Event, at: datetime) -> int | None:
    for number, row in enumerate(orders):
        if row["event_id"] == event.id and row["started_at"] <= at < row["ended_at"]:
            return number
    return None
