"""What an evening is settled by: who is under contract, which event is in force when, at what price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Final

from simulators import netting
from simulators.grid import PROGRAM, GridEvent, Price
from simulators.heat import Temperature
from simulators.plans import Plan

FULL_RATE: Final = Fraction(1)
"""What is counted for a vehicle without a contract, to say what its energy would have been worth."""


@dataclass(frozen=True)
class Terms:
    """What the evening is settled by.

    Attributes:
        program: of each vehicle that has a contract.
        rates: the contract's rate, by vehicle.
        events: half-open windows; those of one program may overlap.
        prices: half-open, without a gap in any window; neighbours differ.
        temperatures: of the batteries that have a sensor, by time for each vehicle.
    """

    program: Mapping[str, str]
    rates: Mapping[str, Fraction]
    events: Sequence[GridEvent]
    prices: Sequence[Price]
    temperatures: Sequence[Temperature]

    def edges(self) -> list[datetime]:
        """Every time at which something begins or ends."""
        looked_back = {one.started_at - netting.LOOK_BACK for one in self.events}
        called_off = {one.until for one in self.events}
        windows = {edge for one in self.events for edge in (one.started_at, one.ended_at)}
        prices = {edge for one in self.prices for edge in (one.started_at, one.ended_at)}
        return sorted(windows | prices | called_off | looked_back)

    def rate(self, vehicle: str) -> Fraction:
        """The rate of a vehicle's contract."""
        return self.rates.get(vehicle, FULL_RATE)

    def event_at(self, vehicle: str, moment: datetime) -> GridEvent | None:
        """The event in force at a moment for a vehicle's program."""
        program = self._program_of(vehicle)
        return next(
            (one for one, (start, end) in self._in_force[program] if start <= moment < end), None
        )

    def called_off_at(self, vehicle: str, moment: datetime) -> GridEvent | None:
        """The event that would be in force had it not been called off."""
        program = self._program_of(vehicle)
        return next(
            (
                one
                for one in self.events
                if one.program == program and one.until <= moment < one.ended_at
            ),
            None,
        )

    def interval_at(self, event: GridEvent, moment: datetime) -> netting.Span:
        """The part of an event's time in force in which its price stays the same."""
        price = self.price_at(event.program, moment)
        start, end = next(
            span
            for one, span in self._in_force[event.program]
            if one.event_id == event.event_id and span[0] <= moment < span[1]
        )
        return max(price.started_at, start), min(price.ended_at, end)

    def price_at(self, program: str, moment: datetime) -> Price:
        """The price in force."""
        return next(
            one
            for one in self.prices
            if one.program == program and one.started_at <= moment < one.ended_at
        )

    def _program_of(self, vehicle: str) -> str:
        return self.program.get(vehicle, PROGRAM)

    @cached_property
    def _in_force(self) -> dict[str, list[tuple[GridEvent, netting.Span]]]:
        """By program, each event with every span of time in which it is in force, in time order.

        Of those that have begun and not ended, nor been called off, the one created last: all are of
        one primacy and set the same control.
        """
        found: dict[str, list[tuple[GridEvent, netting.Span]]] = {}
        for program in sorted({one.program for one in self.events}):
            own = [one for one in self.events if one.program == program]
            spans = found.setdefault(program, [])
            cuts = sorted({edge for one in own for edge in (one.started_at, one.until)})
            for start, end in pairwise(cuts):
                under_way = [one for one in own if one.started_at <= start < one.until]
                if not under_way:
                    continue
                latest = max(under_way, key=lambda one: (one.created_at, one.event_id))
                if spans and spans[-1][0] == latest and spans[-1][1][1] == start:
                    start = spans.pop()[1][0]  # noqa: PLW2901 - grown
                spans.append((latest, (start, end)))
        return found


def terms_of(
    plans: Sequence[Plan],
    events: Sequence[GridEvent],
    prices: Sequence[Price],
    temperatures: Sequence[Temperature],
) -> Terms:
    """The terms of a fleet."""
    contracted = [plan for plan in plans if plan.contracted]
    return Terms(
        program={plan.vehicle_id: plan.program for plan in contracted},
        rates={plan.vehicle_id: Fraction(plan.incentive_rate) for plan in contracted},
        events=events,
        prices=prices,
        temperatures=temperatures,
    )
