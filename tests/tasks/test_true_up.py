"""The calendar's runs, in a real database: late truth is booked on its original day, until the last one."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from tasks.settle import SettleSummary, replay_period
from tasks.true_up import NothingToReleaseError, Release, TrueUpSummary, true_up
from tasks.verify_run import verify_run
from tests.tasks.scene import HOUR, PROGRAM, START, WHOLE, Scene, now, vehicle_of

ONE, TWO = "DE*V2G*E00001", "DE*V2G*E00002"
HALF_HOUR = range(120)
DAY = timedelta(days=1)
RUNS = [
    {"name": "initial", "after_days": 1},
    {"name": "true_up", "after_days": 12, "materiality": "0.10"},
    {"name": "final", "after_days": 55},
]


@pytest.fixture
def scene(plain_database: str) -> Scene:
    """A program with days in UTC and runs after 1, 12 and 55 of them; half an hour of one car."""
    made = Scene(plain_database)
    made.set_up(ONE, TWO)
    made.program(version=2, valid_from=START - 2 * DAY, timezone="UTC", runs=RUNS)
    made.deliver(made.packet(ONE, n) for n in HALF_HOUR)
    return made


def after(days: int) -> Callable[[], datetime]:
    """A clock that shows so many days after the settled day's end, and a bit."""
    ahead = START.replace(hour=0, minute=1) + (days + 1) * DAY - now()
    return lambda: now() + ahead


def names(summary: TrueUpSummary) -> list[tuple[str, str, int]]:
    return [
        (one.name, one.state, one.summary.booked_minor if one.summary else 0)
        for one in summary.runs
    ]


def test_the_first_run_books_what_was_deferred_and_only_once(scene: Scene) -> None:
    # given a period that was settled on schedule, which left the booking to the calendar
    assert scene.settle(kind="scheduled").deferred == 1
    # when the calendar is asked before its time, at its time, and again
    early, first, again = (true_up(scene.dsn, clock=after(days)) for days in (0, 1, 2))
    # then
    assert names(early) == []
    assert names(first) == [("initial", "settled", 129)]
    assert names(again) == []
    assert scene.rows("select program, day, name from calendar_run") == [
        (PROGRAM, START.date(), "initial")
    ]


def test_after_a_downtime_what_was_missed_is_done_in_order(scene: Scene) -> None:
    # given a second event on the day before, and nobody who ran the calendar for two months
    scene.event("the day before", START - DAY, START - DAY + HOUR)
    # when
    done = true_up(scene.dsn, clock=after(60))
    # then
    assert [(one.day, one.name) for one in done.runs] == [
        (f"{START - back * DAY:%F}", name)
        for name in ("initial", "true_up", "final")
        for back in (1, 0)
    ]
    assert scene.owed() == {f"payable:owner:a-{vehicle_of(ONE)}": 129}


def test_no_more_runs_than_asked_for_and_the_rest_is_told(scene: Scene) -> None:
    some = true_up(scene.dsn, clock=after(60), max_runs=1)
    rest = true_up(scene.dsn, clock=after(60))
    assert (names(some), some.left) == ([("initial", "settled", 129)], 2)
    assert (names(rest), rest.left) == ([("true_up", "settled", 0), ("final", "settled", 0)], 0)


def test_late_packets_are_booked_on_their_original_day(scene: Scene) -> None:
    # given a first run, and packets that come days after
    true_up(scene.dsn, clock=after(1))
    scene.deliver(scene.packet(ONE, n) for n in range(120, 240))
    # when the true-up is due
    done = true_up(scene.dsn, clock=after(12))
    # then 7.2 × 0.42 × 0.85 × 1.265 = 3.251556, and 1.29 is booked already
    assert names(done) == [("true_up", "settled", 325 - 129)]
    assert scene.rows("select kind, period_at from journal_entry order by booked_at") == [
        (kind, START.replace(hour=0)) for kind in ("payout", "adjustment")
    ]


def test_an_event_that_was_changed_too_late_is_trued_up_once_it_is_approved(scene: Scene) -> None:
    # given a first run, and a utility that says days later that the event had begun at 17:10
    true_up(scene.dsn, clock=after(1))
    scene.event(start=START + timedelta(minutes=10))
    # when one run comes before a person has approved it, and one after
    before = true_up(scene.dsn, clock=after(12))
    scene.approve(2)
    final = true_up(scene.dsn, clock=after(55))
    # then 2.4 × 0.42 × 0.85 = 0.8568 on the original day, and the runs of before replay as they were
    assert names(before) == [("true_up", "settled", 0)]
    assert names(final) == [("final", "settled", 86 - 129)]
    assert scene.rows("select kind, period_at from journal_entry order by booked_at") == [
        (kind, START.replace(hour=0)) for kind in ("payout", "adjustment")
    ]
    for (run_id,) in scene.rows("select run_id from settlement_run"):
        verdict = verify_run(scene.dsn, run_id)
        assert verdict.stands
        assert verdict.inputs_same


def test_below_the_threshold_it_is_reported_and_the_run_without_one_books_it(scene: Scene) -> None:
    # given a price that changes the amount by 6 cents, below the true-up's 10
    true_up(scene.dsn, clock=after(1))
    scene.price(START, START + HOUR, 440_000)
    # when
    middle = true_up(scene.dsn, clock=after(12))
    final = true_up(scene.dsn, clock=after(55))
    # then 3.6 × 0.44 × 0.85 = 1.3464
    assert names(middle) == [("true_up", "settled", 0)]
    assert [(one.amount_minor, one.why) for one in middle.runs[0].changes] == [(6, "materiality")]
    assert names(final) == [("final", "settled", 6)]
    assert scene.rows("select booked_minor, computed_minor, why from difference") == [
        (129, 135, "materiality")
    ]


def test_after_the_final_run_differences_are_reported_and_not_booked(scene: Scene) -> None:
    # given a day that has had its final run
    true_up(scene.dsn, clock=after(55))
    scene.deliver(scene.packet(ONE, n) for n in range(120, 240))
    # when somebody settles it by hand once more
    late = scene.settle()
    # then
    assert (late.amount_minor, late.booked_minor, late.revisions) == (325, 0, 0)
    assert late.differences == 1
    assert scene.rows("select booked_minor, computed_minor, why from difference") == [
        (129, 325, "final")
    ]
    assert true_up(scene.dsn, clock=after(90)).runs == []


def test_a_dry_run_shows_what_would_be_booked_and_books_nothing(scene: Scene) -> None:
    scene.deliver(scene.packet(TWO, n) for n in range(60))
    shown = true_up(scene.dsn, clock=after(60), dry_run=True)
    # then the first run due of the day is shown, vehicle by vehicle
    assert names(shown) == [("initial", "dry_run", 129 + 64)]
    assert [(one.vehicle_id, one.amount_minor) for one in shown.runs[0].changes] == [
        (vehicle_of(ONE), 129),
        (vehicle_of(TWO), 64),
    ]
    for table in ("settlement_run", "settlement", "calendar_run", "posting", "difference"):
        assert scene.one(f"select count(*) from {table}") == 0


def test_two_at_once_do_each_run_once(scene: Scene) -> None:
    # given two who start together
    barrier = threading.Barrier(2)
    clock = after(60)

    def run(_: int) -> TrueUpSummary:
        barrier.wait()
        return true_up(scene.dsn, clock=clock)

    # when
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(run, range(2)))
    # then
    assert sorted(one.name for summary in both for one in summary.runs) == [
        "final",
        "initial",
        "true_up",
    ]
    assert scene.one("select count(*) from calendar_run") == 3
    assert scene.one("select count(*) from settlement_run") == 3
    assert scene.one("select sum(amount_minor)::int from posting") == 129


def test_a_doubtful_day_waits_for_a_person_and_others_do_not_wait_for_it(scene: Scene) -> None:
    # given two days, and doubt about the first
    scene.event("the day before", START - DAY, START - DAY + HOUR)

    def doubt(period: object) -> str:
        return "half of it is rubbish" if f"{START - DAY:%F}" in str(period).split("/")[0] else ""

    # when the calendar runs, and runs again without being asked to doubt
    first = true_up(scene.dsn, clock=after(12), doubt=doubt)
    second = true_up(scene.dsn, clock=after(12))
    # then the day is held, by its own run and then by that one's word
    assert [(one.day, one.name, one.state) for one in first.runs] == [
        (f"{START - DAY:%F}", "initial", "held"),
        (f"{START:%F}", "initial", "settled"),
        (f"{START:%F}", "true_up", "settled"),
    ]
    assert [(one.state, one.summary) for one in second.runs] == [("held", None)]
    assert "half of it is rubbish" in second.runs[0].reason
    # and a person's word books it
    day = (START - DAY).date()
    with pytest.raises(NothingToReleaseError, match="no run due"):
        true_up(scene.dsn, clock=after(12), release=Release("nothing", day, "why not"))
    released = true_up(scene.dsn, clock=after(12), release=Release(PROGRAM, day, "looked at"))
    assert [(one.name, one.state) for one in released.runs] == [
        ("initial", "settled"),
        ("true_up", "settled"),
    ]


def test_a_period_that_a_scheduled_run_has_held_is_not_booked_by_the_calendar(scene: Scene) -> None:
    scene.settle(kind="scheduled", hold="half of it is rubbish")
    held = true_up(scene.dsn, clock=after(1))
    assert [one.state for one in held.runs] == ["held"]
    assert scene.one("select count(*) from settlement") == 0
    # until a person settles it by hand
    assert scene.settle(released="looked at").booked_minor == 129
    assert names(true_up(scene.dsn, clock=after(1))) == [("initial", "settled", 0)]


def test_runs_of_the_calendar_are_replayed_bit_for_bit(scene: Scene) -> None:
    # given all runs of a day, with late packets in between
    true_up(scene.dsn, clock=after(1))
    scene.deliver(scene.packet(ONE, n) for n in range(120, 240))
    true_up(scene.dsn, clock=after(60))
    # when, then
    runs = [run_id for (run_id,) in scene.rows("select run_id from calendar_run")]
    assert len(runs) == 3
    assert all(verify_run(scene.dsn, run_id).stands for run_id in runs)


def test_any_way_through_the_calendar_ends_at_what_one_run_would_give(scene: Scene) -> None:
    # given what comes late between the runs
    steps: list[tuple[int, Callable[[], object]]] = [
        (1, lambda: scene.deliver(scene.packet(ONE, n) for n in range(120, 200))),
        (12, lambda: scene.price(START, START + HOUR, 500_000)),
        (13, lambda: scene.deliver(scene.packet(TWO, n) for n in range(200))),
        (55, lambda: None),
    ]
    for days, change in steps:
        true_up(scene.dsn, clock=after(days))
        change()
    # when all of it is computed at once
    at_once: SettleSummary = replay_period(scene.dsn, WHOLE, as_of=after(56)())
    # then
    assert sum(scene.owed().values()) == at_once.amount_minor
    assert at_once.paid_milliwh == 400 * 30_000
