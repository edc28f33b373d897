"""Worlds ready made: from an evening's events and prices, or a lively one around now.

evening = Evening(grid.events(day), grid.prices(seed, day))
with Sep2Server(evening.world, …): …
evening.revise_price("example-energy", start, "0.3100")
"""

import re
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Final, Protocol

from simulators.sep2.clock import ServerClock
from simulators.sep2.modes import ModeValue
from simulators.sep2.records import Control, Edition, Interval, Manner, Program, Rate
from simulators.sep2.world import World, mrid_of

DISCHARGE: Final[Mapping[str, ModeValue]] = {"opModTargetW": 7_000}
MICROS: Final = 6
PRICE_LENGTH_S: Final = 300
MRID: Final = re.compile("[0-9a-f]{32}")


class EventSaid(Protocol):
    """A grid stress event, such as ``simulators.grid.GridEvent``."""

    @property
    def event_id(self) -> str:
        """Its mRID, where it is 32 hex digits, else that is made from it."""

    @property
    def name(self) -> str:
        """The control's description."""

    @property
    def program(self) -> str:
        """The DERProgram's description."""

    @property
    def started_at(self) -> datetime:
        """With its zone, as all of them."""

    @property
    def ended_at(self) -> datetime:
        """Not included."""

    @property
    def created_at(self) -> datetime:
        """The creationTime."""

    @property
    def cancelled_at(self) -> datetime | None:
        """None: it stands."""


class PriceSaid(Protocol):
    """The price of an interval, such as ``simulators.grid.Price``."""

    @property
    def program(self) -> str:
        """Whose; the tariff is named after it."""

    @property
    def started_at(self) -> datetime:
        """With its zone."""

    @property
    def ended_at(self) -> datetime:
        """Not included."""

    @property
    def price_micros_per_kwh(self) -> int:
        """Millionths of the currency unit."""

    @property
    def currency(self) -> str:
        """Letters of ISO 4217."""


class Evening:
    """A world that says these events and prices: a program and a tariff for each program's name.

    Args:
        events: each becomes a control of its program, created when it says.
        prices: each becomes an interval of its program's export tariff, served from the clock's
            present on.
        clock: the server's.
        edition: of 2018 or 2023.
        manner: how superseded events are marked.
        modes: what every control asks for.
        withheld: starts of prices that are left out until ``release_prices``.
        program_mrids: of the programs, by name; the others' are made from their names.
        poll_rates_s: as ``World`` takes them.
    """

    def __init__(
        self,
        events: Iterable[EventSaid],
        prices: Iterable[PriceSaid],
        *,
        clock: ServerClock | None = None,
        edition: Edition = Edition.E2018,
        manner: Manner = Manner.STANDARD,
        modes: Mapping[str, ModeValue] = DISCHARGE,
        withheld: Collection[datetime] = (),
        program_mrids: Mapping[str, str] | None = None,
        poll_rates_s: Mapping[str, int] | None = None,
    ) -> None:
        self.world = World(clock=clock, edition=edition, manner=manner, poll_rates_s=poll_rates_s)
        self._program_mrids = dict(program_mrids or {})
        self.programs: dict[str, Program] = {}
        self.controls: dict[str, Control] = {}
        self.rates: dict[str, Rate] = {}
        self.intervals: dict[tuple[str, datetime], Interval] = {}
        self._withheld: list[PriceSaid] = []
        for event in events:
            self.add_event(event, modes=modes)
        for price in prices:
            if price.started_at in withheld:
                self._withheld.append(price)
            else:
                self.add_price(price)

    def add_event(self, event: EventSaid, *, modes: Mapping[str, ModeValue] = DISCHARGE) -> Control:
        """Announce one more event."""
        control = self.world.add_control(
            self._program(event.program),
            start=event.started_at,
            duration_s=round((event.ended_at - event.started_at).total_seconds()),
            modes=modes,
            created_at=event.created_at,
            mrid=_mrid(event.event_id),
            description=event.name,
        )
        if event.cancelled_at is not None:
            self.world.cancel(control, at=event.cancelled_at)
        self.controls[event.event_id] = control
        return control

    def add_price(self, price: PriceSaid) -> Interval:
        """Announce one more price."""
        rate = self.rates.get(price.program)
        if rate is None:
            tariff = self.world.add_tariff(
                price.program,
                currency=price.currency,
                multiplier=-MICROS,
                mrid=mrid_of(f"tariff of {price.program}"),
            )
            rate = self.rates[price.program] = self.world.add_rate(tariff)
        interval = self.world.add_price(
            rate,
            start=price.started_at,
            duration_s=round((price.ended_at - price.started_at).total_seconds()),
            price=Decimal(price.price_micros_per_kwh).scaleb(-MICROS),
            mrid=mrid_of(f"price of {price.program} at {price.started_at.isoformat()}"),
        )
        self.intervals[price.program, price.started_at] = interval
        return interval

    def cancel(
        self, event_id: str, *, at: datetime | None = None, randomized: bool = False
    ) -> None:
        """Cancel an event, now or at a time. Raises KeyError for none."""
        self.world.cancel(self.controls[event_id], at=at, randomized=randomized)

    def revise_price(
        self, program: str, started_at: datetime, price_per_kwh: Decimal | str
    ) -> None:
        """Serve another price for the interval that starts then. Raises KeyError for none."""
        interval = self.intervals[program, started_at]
        self.world.revise_price(self.rates[program], interval, price_per_kwh)

    def release_prices(self) -> None:
        """Serve the prices that were withheld."""
        while self._withheld:
            self.add_price(self._withheld.pop(0))

    def _program(self, name: str) -> Program:
        if name not in self.programs:
            self.programs[name] = self.world.add_program(
                name,
                primacy=len(self.programs),
                mrid=self._program_mrids.get(name, mrid_of(f"program {name}")),
            )
        return self.programs[name]


def _mrid(event_id: str) -> str:
    return event_id if MRID.fullmatch(event_id) else mrid_of(event_id)


def lively(
    seed: int, clock: ServerClock | None = None, *, edition: Edition = Edition.E2018
) -> World:
    """A world in which something happens within minutes, and prices for two hours.

    Two programs. In the first: an event under way, one that starts in two minutes and is cancelled
    a minute into it, one at ten minutes that a newer one replaces half way. In the second: a limit
    on exports all along.
    """
    rng = Random(f"lively {seed}")
    world = World(clock=clock, edition=edition, poll_rates_s={"derp": 60, "tp": 60})
    now = world.clock.now().replace(microsecond=0)
    stress = world.add_program("Grid stress V2G", primacy=0)
    limits = world.add_program("Export limits", primacy=1)

    def add(minutes: int, lasting: int, watts: int, *, created: int = 0) -> Control:
        return world.add_control(
            stress,
            start=now + timedelta(minutes=minutes),
            duration_s=lasting * 60,
            modes={"opModTargetW": watts},
            created_at=now + timedelta(minutes=created),
        )

    add(-5, 6, 7_000, created=-60)
    called_off = add(2, 5, 9_000)
    world.cancel(called_off, at=now + timedelta(minutes=3), reason="the peak has passed")
    add(10, 10, 5_000)
    add(15, 10, 8_000, created=1)
    world.add_control(
        limits,
        start=now - timedelta(minutes=30),
        duration_s=4 * 3_600,
        modes={"csipaus:opModExpLimW": 11_000},
        created_at=now - timedelta(minutes=45),
    )
    rate = world.add_rate(world.add_tariff("RTP export"))
    start = now - timedelta(seconds=round(now.timestamp()) % PRICE_LENGTH_S)
    for number in range(-6, 24):
        world.add_price(
            rate,
            start=start + timedelta(seconds=number * PRICE_LENGTH_S),
            duration_s=PRICE_LENGTH_S,
            price=Decimal(rng.randrange(1_800, 6_200)).scaleb(-4),
        )
    return world
