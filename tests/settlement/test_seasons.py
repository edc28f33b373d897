"""When a program pays, by its own clock."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement import seasons
from settlement.periods import Period
from tests.settlement.frames import example_program

SUMMER = {"months": [5, 6, 7, 8, 9, 10], "hours": ["16:00", "21:00"]}


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def spans(season: dict[str, object], start: str, end: str) -> list[str]:
    program = example_program(season=season)
    return [str(p) for p in seasons.paid_spans(program, Period(utc(start), utc(end)))]


def test_the_hours_of_a_season_follow_the_local_clock_across_a_clock_change() -> None:
    # given Los Angeles, which goes from UTC-8 to UTC-7 in the night to 2026-03-08
    found = spans({"hours": ["16:00", "21:00"]}, "2026-03-07T08:00", "2026-03-09T08:00")
    # then five hours in the afternoon of each day, an hour earlier in UTC on the second
    assert found == [
        "2026-03-08T00:00:00+00:00/2026-03-08T05:00:00+00:00",
        "2026-03-08T23:00:00+00:00/2026-03-09T04:00:00+00:00",
    ]


@pytest.mark.parametrize(
    ("day", "hours"), [("2026-03-08", 23), ("2026-11-01", 25), ("2026-07-01", 24)]
)
def test_a_day_is_as_long_as_its_clock_makes_it(day: str, hours: int) -> None:
    # given a program that pays on this one day of the week only
    weekday = date.fromisoformat(day).strftime("%a").lower()
    around = utc(day) - timedelta(days=2), utc(day) + timedelta(days=3)
    # when
    program = example_program(season={"weekdays": [weekday]})
    (span,) = seasons.paid_spans(program, Period(*around))
    # then
    assert span.ended_at - span.started_at == timedelta(hours=hours)


def test_holidays_and_months_outside_the_season_do_not_pay() -> None:
    season = {**SUMMER, "holidays": ["2026-05-02"]}
    found = spans(season, "2026-04-29T12:00", "2026-05-04T12:00")
    assert [span[:13] for span in found] == ["2026-05-01T23", "2026-05-03T23"]


@pytest.mark.parametrize(
    ("months", "moment", "name", "start", "end"),
    [
        ([6, 7, 8, 9], "2026-07-01T12:00", "season-2026", "2026-06-01T07:00", "2026-10-01T07:00"),
        ([6, 7, 8, 9], "2026-06-01T07:00", "season-2026", "2026-06-01T07:00", "2026-10-01T07:00"),
        ([6, 7, 8, 9], "2026-06-01T06:59", "season-2025", "2025-06-01T07:00", "2025-10-01T07:00"),
        ([11, 12, 1, 2], "2027-01-15T12:00", "season-2026", "2026-11-01T07:00", "2027-03-01T08:00"),
        (list(range(1, 13)), "2026-07-01T12:00", "season-2026", "2026-01-01T08:00", "2027-01-01T08:00"),
        ([12], "2026-12-31T12:00", "season-2026", "2026-12-01T08:00", "2027-01-01T08:00"),
    ],
    ids=["summer", "its first moment", "a moment too early", "over new year", "all year", "one month"],
)  # fmt: skip
def test_a_season_is_its_months_from_local_midnight_to_local_midnight(
    months: list[int], moment: str, name: str, start: str, end: str
) -> None:
    season = seasons.season_of(example_program(season={"months": months}), utc(moment))
    assert (season.name, season.started_at, season.ended_at) == (name, utc(start), utc(end))


@given(st.datetimes(datetime(2021, 1, 1), datetime(2035, 1, 1)))  # noqa: DTZ001 - UTC is added
def test_a_moment_in_a_paying_month_lies_in_its_season(moment: datetime) -> None:
    program = example_program(season=SUMMER)
    at = moment.replace(tzinfo=UTC)
    season = seasons.season_of(program, at)
    paying = at.astimezone(program.timezone).month in program.season.months
    assert (season.started_at <= at < season.ended_at) is paying
    assert season.started_at <= at
