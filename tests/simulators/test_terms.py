"""Which event is in force when, as the truth reckons it."""

from datetime import timedelta

from simulators import grid
from simulators.grid import PROGRAM, THERMAL_PROGRAM
from simulators.terms import terms_of
from tests.simulators.evenings import DAY, small

SECOND = timedelta(seconds=1)


def terms():
    evening = small()
    return terms_of(evening.plans, evening.events, evening.prices, evening.temperatures)


def vehicle_of(program: str) -> str:
    return next(
        plan.vehicle_id for plan in small().plans if plan.contracted and plan.program == program
    )


def name_at(program: str, moment) -> str:
    event = terms().event_at(vehicle_of(program), moment)
    return event.name if event else ""


def test_an_event_that_is_created_later_takes_over_as_it_starts_and_not_before():
    first, other = grid.superseded(DAY)
    assert (first.name, other.name) == ("GRID-1", "GRID-3")
    assert name_at(PROGRAM, other.created_at) == first.name
    assert name_at(PROGRAM, other.started_at - SECOND) == first.name
    assert name_at(PROGRAM, other.started_at) == other.name
    assert name_at(PROGRAM, other.ended_at - SECOND) == other.name
    assert name_at(PROGRAM, other.ended_at) == ""


def test_it_supersedes_nothing_of_another_program():
    _, other = grid.superseded(DAY)
    assert name_at(THERMAL_PROGRAM, other.started_at) == "HEAT-1"


def test_an_event_that_is_called_off_is_in_force_until_then():
    [event] = [one for one in small().events if one.cancelled_at]
    vehicle = vehicle_of(event.program)
    assert terms().event_at(vehicle, event.until - SECOND) == event
    assert terms().event_at(vehicle, event.until) is None
    assert terms().called_off_at(vehicle, event.until) == event
    assert terms().called_off_at(vehicle, event.until - SECOND) is None
    assert terms().called_off_at(vehicle, event.ended_at) is None


def test_an_interval_ends_where_the_price_changes_or_another_event_takes_over():
    first, other = grid.superseded(DAY)
    half_past = first.started_at + grid.PRICE_LENGTH
    assert terms().interval_at(first, first.started_at) == (first.started_at, half_past)
    assert terms().interval_at(first, half_past) == (half_past, other.started_at)
    assert terms().interval_at(other, other.started_at) == (other.started_at, other.ended_at)
