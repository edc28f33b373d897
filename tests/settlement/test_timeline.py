"""Which event and price are in force when, and where a program stops paying."""

from datetime import timedelta

import polars as pl
import pytest

from settlement import timeline
from settlement.periods import Period
from settlement.programs import Program
from settlement.timeline import Price, Scope, Window
from tests.settlement.frames import at, example_program, price, window

EVENING = Period(at("16:00"), at("21:00"))


def cells(
    *windows: Window,
    prices: tuple[Price, ...] = (),
    program: Program | None = None,
    period: Period = EVENING,
    **scope: object,
) -> list[tuple[str, str, str]]:
    """What lies between 16:00 and 21:00: start, event or reason, price."""
    version = program or example_program()
    frame = timeline.build(windows, prices, Scope(version, [version], period, **scope))  # type: ignore[arg-type]
    assert frame["started_at"].to_list()[1:] == frame["ended_at"].to_list()[:-1]
    return [
        (
            f"{row['started_at']:%H:%M}",
            row["why"] or row["event_id"],
            "" if row["price_micros_per_kwh"] is None else str(row["price_micros_per_kwh"]),
        )
        for row in frame.filter(pl.col("place") != "elsewhere").iter_rows(named=True)
    ]


def events(*windows: Window, **how: object) -> list[tuple[str, str]]:
    return [(start, what) for start, what, _ in cells(*windows, **how)]  # type: ignore[arg-type]


def test_the_event_of_lower_primacy_is_in_force_however_late_the_other_was_created() -> None:
    system = window("system", "17:00", "18:00", primacy=0)
    local = window("local", "17:30", "19:00", primacy=1, created="12:00")
    assert events(system, local) == [
        ("16:00", "OUTSIDE_WINDOW"),
        ("17:00", "system"),
        ("18:00", "local"),
        ("19:00", "OUTSIDE_WINDOW"),
    ]


def test_of_equal_primacy_the_event_created_last_is_in_force() -> None:
    older, newer = (
        window("older", "17:00", "19:00"),
        window("newer", "17:30", "18:00", created="12:00"),
    )
    assert events(older, newer)[1:-1] == [
        ("17:00", "older"),
        ("17:30", "newer"),
        ("18:00", "older"),
    ]


@pytest.mark.parametrize(
    ("cancelled", "expected"),
    [
        ("16:30", [("16:00", "OUTSIDE_WINDOW"), ("17:00", "EVENT_CANCELLED"), ("18:00", "OUTSIDE_WINDOW")]),
        ("17:00", [("16:00", "OUTSIDE_WINDOW"), ("17:00", "EVENT_CANCELLED"), ("18:00", "OUTSIDE_WINDOW")]),
        ("17:20", [("16:00", "OUTSIDE_WINDOW"), ("17:00", "peak"), ("17:20", "EVENT_CANCELLED"), ("18:00", "OUTSIDE_WINDOW")]),
        ("18:00", [("16:00", "OUTSIDE_WINDOW"), ("17:00", "peak"), ("18:00", "OUTSIDE_WINDOW")]),
    ],
    ids=["before it", "as it starts", "in flight", "as it ends"],
)  # fmt: skip
def test_an_event_counts_until_it_is_cancelled(
    cancelled: str, expected: list[tuple[str, str]]
) -> None:
    assert events(window("peak", "17:00", "18:00", cancelled_at=at(cancelled))) == expected


def test_a_cancelled_event_gives_way_to_the_one_it_had_superseded() -> None:
    older = window("older", "17:00", "19:00")
    newer = window("newer", "17:00", "19:00", created="12:00", cancelled_at=at("18:00"))
    assert events(older, newer)[1:-1] == [("17:00", "newer"), ("18:00", "older")]


def test_an_event_for_another_group_is_no_event_and_says_so() -> None:
    north = window("north", "17:00", "18:00", group="north")
    assert events(north, not_addressed=frozenset({"north"})) == [
        ("16:00", "OUTSIDE_WINDOW"),
        ("17:00", "OUTSIDE_GROUP"),
        ("18:00", "OUTSIDE_WINDOW"),
    ]


DRAWN = window("drawn", "17:00", "18:00", randomize_start_s=600, randomize_duration_s=-300)
LATE = window("late", "17:00", "18:00", created="17:40")


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([DRAWN], [("17:00", "EVENT_RANDOMISED"), ("17:10", "drawn"), ("17:55", "EVENT_RANDOMISED")]),
        ([LATE], [("17:00", "LATE_NOTICE"), ("17:40", "late")]),
        (
            [
                window("drawn", "17:00", "18:00", randomize_start_s=600, cancelled_randomly=True,
                       cancelled_at=at("17:30")),
            ],
            [("17:00", "EVENT_RANDOMISED"), ("17:10", "drawn"), ("17:30", "EVENT_RANDOMISED"),
             ("17:40", "EVENT_CANCELLED")],
        ),
        (
            [
                window("old", "17:00", "18:00", resumes=False),
                window("by", "17:10", "17:20", created="12:00"),
            ],
            [("17:00", "old"), ("17:10", "by"), ("17:20", "EVENT_SUPERSEDED")],
        ),
        ([DRAWN, window("also", "17:00", "18:00")],
         [("17:00", "also"), ("17:10", "drawn"), ("17:55", "also")]),
    ],
    ids=["drawn", "late notice", "cancelled with randomization", "superseded for good", "another is sure"],
)  # fmt: skip
def test_time_of_an_event_that_is_not_paid_says_why(
    windows: list[Window], expected: list[tuple[str, str]]
) -> None:
    found = events(*windows)
    assert found == [("16:00", "OUTSIDE_WINDOW"), *expected, ("18:00", "OUTSIDE_WINDOW")]


def test_an_event_for_another_group_supersedes_nobody_outside_of_it() -> None:
    # given an event for all, and a later one for a group that the vehicle is not in, by the edition of 2018
    everyone = window("all", "17:00", "18:00", resumes=False)
    north = window("north", "17:10", "17:20", created="12:00", group="north")
    # when, then
    assert events(everyone, north, not_addressed=frozenset({"north"}))[1:-1] == [("17:00", "all")]
    assert events(everyone, north)[1:-1] == [
        ("17:00", "all"),
        ("17:10", "north"),
        ("17:20", "EVENT_SUPERSEDED"),
    ]


def test_time_outside_the_seasons_hours_is_marked_within_the_event() -> None:
    # given 20:30 to 22:00 in Los Angeles, where the program pays until 21:00
    program = example_program(season={"hours": ["16:00", "21:00"]})
    night = Window("night", program.program, at("03:30"), at("05:00"), at("01:00"))
    found = events(night, program=program, period=Period(at("03:00"), at("06:00")))
    assert found[1:-1] == [("03:30", "night"), ("04:00", "OUTSIDE_SEASON")]


def test_the_hours_of_a_season_are_used_up_in_time_order_to_the_second() -> None:
    # given two hours a season, and four events of an hour, the second of them cut short
    program = example_program(caps={"season_hours": 2})
    found = events(
        window("a", "16:00", "17:00"),
        window("b", "17:00", "18:00", cancelled_at=at("17:45")),
        window("c", "18:00", "19:00"),
        window("d", "19:00", "20:00"),
        program=program,
    )
    assert found == [
        ("16:00", "a"),
        ("17:00", "b"),
        ("17:45", "EVENT_CANCELLED"),
        ("18:00", "c"),
        ("18:15", "OVER_CAP"),
        ("19:00", "OVER_CAP"),
        ("20:00", "OUTSIDE_WINDOW"),
    ]


def test_the_hours_of_an_event_are_capped_for_each_event() -> None:
    program = example_program(caps={"event_hours": 1})
    found = events(window("a", "17:00", "18:30"), window("b", "18:30", "19:20"), program=program)
    assert found[1:-1] == [("17:00", "a"), ("18:00", "OVER_CAP"), ("18:30", "b")]


def test_equal_neighbouring_prices_make_one_interval_and_a_gap_has_none() -> None:
    peak = window("peak", "17:00", "18:00")
    known = (price("17:00", "17:15", 5), price("17:15", "17:30", 5), price("17:45", "18:00", 6))
    assert cells(peak, prices=known)[1:-1] == [
        ("17:00", "peak", "5"),
        ("17:30", "peak", ""),
        ("17:45", "peak", "6"),
    ]


def test_a_fixed_price_counts_everywhere_and_the_feed_nowhere() -> None:
    program = example_program(price={"source": "fixed", "per_kwh": "2.00"})
    found = cells(
        window("peak", "17:00", "18:00"), prices=(price("17:00", "17:30", 5),), program=program
    )
    assert found == [
        ("16:00", "OUTSIDE_WINDOW", "2000000"),
        ("17:00", "peak", "2000000"),
        ("18:00", "OUTSIDE_WINDOW", "2000000"),
    ]


def test_orders_that_follow_each_other_stay_apart() -> None:
    program = example_program(
        product="order",
        quantity="net",
        tiers={},
        order={"price_per_kw": "7", "penalty_per_kw": "11"},
    )
    edges = frozenset(("peak", at(clock)) for clock in ("17:00", "17:30", "18:00"))
    found = events(window("peak", "17:00", "18:00"), program=program, edges=edges)
    assert found[1:-1] == [("17:00", "peak"), ("17:30", "peak")]


def test_every_version_settles_the_events_that_start_in_its_time() -> None:
    # given a second version from 17:30 on
    first = example_program()
    second = example_program(version=2, valid_from="2026-07-01T17:30:00Z")
    windows = [window("early", "17:00", "18:00"), window("late", "18:00", "19:00")]
    # when each version's timeline is built
    places = [
        timeline.build(windows, [], Scope(version, [first, second], EVENING))
        .filter(pl.col("place") == "event")["event_id"]
        .to_list()
        for version in (first, second)
    ]
    # then each event stands in one, and so does the time outside
    assert places == [["early"], ["late"]]


def test_a_capacity_programs_events_are_settled_as_their_season_ends() -> None:
    program = example_program(
        product="capacity", tiers={}, capacity={"per_avg_kw": "225"}, season={"months": [6, 7]}
    )
    end = at("07:00") + timedelta(days=31)
    peak = window("peak", "17:00", "18:00")
    assert timeline.settles(program, peak, Period(end - timedelta(hours=1), end))
    assert not timeline.settles(program, peak, EVENING)
