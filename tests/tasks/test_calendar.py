"""To which local day an event belongs, and when that day is settled again."""

from datetime import UTC, date, datetime
from typing import Any

import pytest

from settlement import programs
from settlement.programs import Program
from storage.calendar import Ending
from tasks.calendar import Settled, closed, day_of, deferred, due, settled_at_once

CALENDAR = [
    {"name": "initial", "after_days": 1},
    {"name": "final", "after_days": 3},
]


def program(**changes: Any) -> Program:
    body: dict[str, Any] = {
        "program": "tariff",
        "version": 1,
        "currency": "USD",
        "product": "energy",
        "timezone": "America/Los_Angeles",
        "runs": CALENDAR,
    }
    return programs.parse(body | changes, "test")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def event(started_at: str, ended_at: str, name: str = "peak") -> Settled:
    return Settled("tariff", name, at(started_at), at(ended_at))


@pytest.mark.parametrize(
    ("ended_at", "day", "started_at", "over_at", "due_at"),
    [
        pytest.param(
            "2026-07-02T02:00Z", date(2026, 7, 1), "2026-07-01T07:00Z", "2026-07-02T07:00Z",
            "2026-07-03T07:00Z", id="an evening that is past midnight in UTC",
        ),
        pytest.param(
            "2026-07-02T07:00Z", date(2026, 7, 1), "2026-07-01T07:00Z", "2026-07-02T07:00Z",
            "2026-07-03T07:00Z", id="one that ends at midnight belongs to the day that ends",
        ),
        pytest.param(
            "2026-07-02T07:00:00.000001Z", date(2026, 7, 2), "2026-07-02T07:00Z",
            "2026-07-03T07:00Z", "2026-07-04T07:00Z", id="one microsecond later, to the next",
        ),
        pytest.param(
            "2026-11-01T20:00Z", date(2026, 11, 1), "2026-11-01T07:00Z", "2026-11-02T08:00Z",
            "2026-11-03T08:00Z", id="a day of 25 hours",
        ),
        pytest.param(
            "2026-03-08T20:00Z", date(2026, 3, 8), "2026-03-08T08:00Z", "2026-03-09T07:00Z",
            "2026-03-10T07:00Z", id="a day of 23 hours",
        ),
    ],
)  # fmt: skip
def test_a_day_goes_from_local_midnight_to_local_midnight(
    ended_at: str, day: date, started_at: str, over_at: str, due_at: str
) -> None:
    # given an event of the hour before
    one = Settled("tariff", "peak", at(ended_at).replace(minute=0) - _HOUR, at(ended_at))
    # when
    found = day_of({"tariff": [program()]}, one)
    # then
    assert found.day == day
    assert (found.period.started_at, found.period.ended_at) == (at(started_at), at(over_at))
    assert found.due_at(found.runs[0]) == at(due_at)


_HOUR = at("2026-01-01T01:00Z") - at("2026-01-01T00:00Z")


def test_runs_are_due_oldest_first_across_days_and_until_they_are_done() -> None:
    # given two days of events
    tariff = {"tariff": [program()]}
    events = [
        event("2026-07-01T17:00-07:00", "2026-07-01T18:00-07:00"),
        event("2026-07-02T17:00-07:00", "2026-07-02T18:00-07:00", "next"),
        event("2026-07-02T19:00-07:00", "2026-07-02T20:00-07:00", "the same day"),
    ]

    def names(now: str, *done: tuple[str, date, str]) -> list[str]:
        found = due(tariff, events, set(done), at(now))
        return [f"{one.day.day:%d} {one.terms.name}" for one in found]

    # when, then
    assert names("2026-07-02T23:59:59-07:00") == []
    assert names("2026-07-03T00:00-07:00") == ["01 initial"]
    assert names("2026-07-30T00:00-07:00") == ["01 initial", "02 initial", "01 final", "02 final"]
    assert names("2026-07-30T00:00-07:00", ("tariff", date(2026, 7, 1), "initial")) == [
        "02 initial",
        "01 final",
        "02 final",
    ]


def test_what_had_its_final_run_is_closed_and_what_had_not_its_first_is_deferred() -> None:
    # given two days, of which one has had its first run and the other its final one
    tariff = {"tariff": [program()]}
    first = event("2026-07-01T17:00-07:00", "2026-07-01T18:00-07:00", "closed")
    second = event("2026-07-02T17:00-07:00", "2026-07-02T18:00-07:00", "open")
    third = event("2026-07-03T17:00-07:00", "2026-07-03T18:00-07:00", "waiting")
    done = {
        ("tariff", date(2026, 7, 1), "initial"),
        ("tariff", date(2026, 7, 1), "final"),
        ("tariff", date(2026, 7, 2), "initial"),
    }
    # when, then
    assert closed(tariff, [first, second, third], done) == {("tariff", "closed")}
    assert deferred(tariff, [first, second, third], done) == {("tariff", "waiting")}


def test_a_program_whose_first_run_comes_at_once_defers_nothing() -> None:
    at_once = {"tariff": [program(runs=[{"name": "initial", "after_days": 0}])]}
    one = event("2026-07-01T17:00-07:00", "2026-07-01T18:00-07:00")
    assert deferred(at_once, [one], set()) == frozenset()


def test_events_of_a_capacity_program_lead_to_their_season_once() -> None:
    # given two events of a summer, and one of another program that nobody knows
    capacity = program(
        product="capacity",
        capacity={"per_avg_kw": "100.00"},
        season={"months": [6, 7, 8, 9]},
    )
    endings = [
        Ending("one", "tariff", at("2026-07-01T17:00Z"), at("2026-07-01T18:00Z")),
        Ending("two", "tariff", at("2026-08-01T17:00Z"), at("2026-08-01T18:00Z")),
        Ending("three", "unknown", at("2026-08-01T17:00Z"), at("2026-08-01T18:00Z")),
    ]
    # when
    found = list(settled_at_once({"tariff": [capacity]}, endings))
    # then its last day is that of the season
    (season,) = found
    assert season.event_id == "season-2026"
    assert day_of({"tariff": [capacity]}, season).day == date(2026, 9, 30)
    assert due({"tariff": [capacity]}, found, set(), at("2026-09-30T12:00Z")) == []


def test_the_calendar_is_that_of_the_version_in_force_as_the_day_begins() -> None:
    # given a version with other runs from the second day on
    from dataclasses import replace

    second = replace(
        program(version=2, runs=[{"name": "only", "after_days": 9}]),
        valid_from=at("2026-07-02T00:00-07:00"),
    )
    tariff = {"tariff": [program(), second]}
    # when, then
    for ended_at, names in (
        ("2026-07-01T18:00-07:00", ["initial", "final"]),
        ("2026-07-02T18:00-07:00", ["only"]),
    ):
        day = day_of(tariff, Settled("tariff", "peak", at(ended_at) - _HOUR, at(ended_at)))
        assert [run.name for run in day.runs] == names
