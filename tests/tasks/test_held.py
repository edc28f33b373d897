"""Held periods: tried when the data comes, when a person has spoken, and now and then; never in the way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from expectations.gate import GateBrokenError
from settlement.periods import Period
from storage.held import Held
from storage.quality_releases import ReleaseRefusedError
from tasks.held import WAIT_LEAST, WAIT_MOST, next_try, try_held
from tasks.settle import due_period
from tests.tasks.holding import CHECK, EXPECTED, Hours, complete, hour
from tests.tasks.scene import HOUR, START

AT = datetime(2026, 7, 1, 18, tzinfo=UTC)
HELD = Held(
    Period(AT - HOUR, AT), "run", "scheduled", AT, AT, 1, "why", frozenset(), 5, 5, "USD"
)  # fmt: skip
REASON = f"{CHECK}: 1 readings, expected {EXPECTED}"


def test_a_held_period_says_what_it_would_have_paid_and_why(plain_database):
    # given an hour with an event, of which one reading is there and three are missing
    hours = Hours(plain_database)
    hours.deliver(0, [0])

    # when it is settled
    summary = hours.settle(0)

    # then it is held, nothing is paid, and what it would have been is unpaid with its reason
    assert (summary.state, summary.paid_milliwh, summary.amount_minor) == ("held", 0, 0)
    ((reason, energy, worth),) = hours.scene.rows(
        "select reason, energy_milliwh, would_have_been_micros from unpaid"
    )
    assert (reason, energy, worth) == ("PERIOD_HELD", 30_000, 10_710)
    assert summary.discharged_milliwh == 30_000
    assert [one.reason for one in summary.unpaid] == ["PERIOD_HELD"]

    # and the list of what is held says the same
    (one,) = hours.held()
    assert (one.period, one.reason, one.tries) == (hour(0), REASON, 1)
    assert (one.energy_milliwh, one.would_have_been_micros, one.currency) == (30_000, 10_710, "USD")


def test_what_is_booked_already_stays_paid_when_the_period_is_held_later(plain_database):
    # given a settled hour, which would now be held
    hours = Hours(plain_database)
    hours.deliver(0, range(EXPECTED))
    paid = hours.settle(0).amount_minor

    # when it is
    held = hours.scene.settle(hour(0), hold="rubbish")

    # then what stands in the books is neither taken back nor said to be unpaid
    assert (held.state, held.amount_minor, held.unpaid) == ("held", paid, [])


def test_a_held_period_settles_by_itself_when_the_data_comes(plain_database):
    # given a held hour, tried again without news
    hours = Hours(plain_database)
    hours.deliver(0, [0])
    hours.settle(0)
    assert hours.run() == []

    # when the missing readings come
    hours.deliver(0, range(1, EXPECTED))
    (tried,) = hours.run()

    # then it is tried for that reason, settled once, and its unpaid rows are gone
    assert tried.why == "news: readings"
    assert tried.summary is not None
    assert (tried.summary.state, tried.summary.kind, tried.is_news) == (
        "settled",
        "scheduled",
        True,
    )
    assert hours.states(0) == [("held", REASON), ("settled", "")]
    assert hours.held() == []
    assert hours.run() == []


def test_news_of_another_hour_is_no_reason_to_try(plain_database):
    # given two hours, the first held
    hours = Hours(plain_database, hours=2)
    hours.deliver(0, [0])
    hours.settle(0)

    # when readings of the second come
    hours.deliver(1, range(EXPECTED))

    # then the first is left alone
    assert hours.run() == []


@pytest.mark.parametrize("what", ["prices", "events", "contracts", "refused packets"])
def test_whatever_a_verdict_rests_on_is_news(plain_database, what):
    hours = Hours(plain_database)
    hours.deliver(0, [0])
    hours.settle(0)

    match what:
        case "prices":
            hours.scene.price(hour(0).started_at, hour(0).ended_at, 500_000)
        case "events":
            hours.scene.event("event-0", hour(0).started_at, hour(0).ended_at, status="cancelled")
        case "contracts":
            hours.scene.contract("DE*V2G*E00001", incentive_rate_ppm=900_000)
        case _:
            hours.scene.deliver([hours.scene.packet("DE*V2G*E00001", 7, header={"kid": "nobody"})])

    (tried,) = hours.run()
    assert tried.why == f"news: {what}"


def test_without_news_it_is_tried_again_after_a_while(plain_database):
    # given a held hour
    hours = Hours(plain_database)
    hours.deliver(0, [0])
    hours.settle(0)

    # when a quarter of an hour has passed
    hours.ahead = WAIT_LEAST + timedelta(seconds=1)
    (tried,) = hours.run()

    # then it is tried, is held as before, and that is no news; nothing is written about it twice
    assert (tried.why, tried.is_news) == ("time", False)
    assert hours.states(0) == [("held", REASON)] * 2
    assert hours.scene.one("select count(*) from unpaid") == 1
    assert hours.held()[0].tries == 2


@pytest.mark.parametrize(
    ("held_for", "wait"),
    [
        (timedelta(), WAIT_LEAST),
        (timedelta(hours=4), timedelta(hours=2)),
        (timedelta(days=30), WAIT_MOST),
    ],
)
def test_the_longer_it_is_held_the_longer_it_waits_within_a_day(held_for, wait):
    assert next_try(replace(HELD, since=AT - held_for)) == AT + wait


def test_a_released_period_is_settled_and_says_who_released_it(plain_database):
    # given a held hour
    hours = Hours(plain_database)
    hours.deliver(0, [0])
    hours.settle(0)

    # when a person releases it
    hours.release(0, by="Ada", why="the other charger was being mended")
    (tried,) = hours.run()

    # then the next run settles it, and its reason names them
    assert tried.why == "released"
    assert tried.summary is not None
    assert (tried.summary.state, tried.summary.booked_minor) == ("settled", 1)
    (_, (state, reason)) = hours.states(0)
    assert state == "settled"
    assert reason.startswith("released by Ada at ")
    assert reason.endswith("Z: the other charger was being mended")
    assert hours.held() == []


def test_what_is_worse_than_what_was_released_holds_again(plain_database):
    # given an hour that was released with a quarter of its readings missing
    hours = Hours(plain_database)
    hours.deliver(0, range(EXPECTED - 1))
    hours.settle(0)
    hours.release(0)

    # when the gate finds, before it is settled, that half of them are
    def half(period):
        return complete(hours.dsn, period, hours.clock(), found=2)

    (tried,) = try_held(hours.dsn, clock=hours.clock, doubt=half)

    # then it is held again, and says how far the release went
    assert tried.summary is not None
    assert tried.summary.state == "held"
    assert tried.summary.reason.endswith(f"worse than what Ada released: {CHECK}")

    # and a second release, of that, settles it
    hours.release(0, by="Bob")
    assert [state for state, _ in hours.states(0)] == ["held", "held"]
    (again,) = try_held(hours.dsn, clock=hours.clock, doubt=half)
    assert again.summary is not None
    assert again.summary.reason.startswith("released by Bob")


@pytest.mark.parametrize(
    ("by", "why", "said"), [("", "why", "--by"), ("Ada", " ", "--why"), ("A\x07", "why", "--by")]
)
def test_a_release_needs_a_name_and_a_reason(plain_database, by, why, said):
    hours = Hours(plain_database)
    with pytest.raises(ReleaseRefusedError, match=said):
        hours.release(0, by=by, why=why)


def test_only_what_is_held_can_be_released_and_once(plain_database):
    # given a held hour and one that is not
    hours = Hours(plain_database, hours=2)
    hours.deliver(0, [0])
    hours.settle(0)
    with pytest.raises(ReleaseRefusedError, match="not held"):
        hours.release(1)

    # when it is released twice before it is settled
    hours.release(0)

    # then the second is told of the first
    with pytest.raises(ReleaseRefusedError, match="released already \\(by Ada: looked at\\)"):
        hours.release(0, by="Bob")


def test_a_held_period_does_not_keep_later_ones_from_being_settled(plain_database):
    # given two hours, the first held
    hours = Hours(plain_database, hours=2)
    hours.deliver(0, [0])
    hours.deliver(1, range(EXPECTED))
    hours.settle(0)

    # when the first cannot even be looked at
    def broken(_period):
        raise GateBrokenError("a check", "no such column")

    hours.release(0)
    (tried,) = try_held(hours.dsn, clock=hours.clock, doubt=broken)

    # then that is told, and what is due is the second, which is settled
    assert tried.summary is None
    assert "no such column" in tried.error
    due = due_period(hours.dsn, now=START + 2 * HOUR, grace=timedelta())
    assert due == hour(1)
    assert hours.settle(1).state == "settled"
    assert [one.period for one in hours.held()] == [hour(0)]


def test_only_a_few_are_tried_in_one_run_and_all_get_their_turn(plain_database):
    # given three held hours, the last one released
    hours = Hours(plain_database, hours=3)
    for number in range(3):
        hours.deliver(number, [0])
        hours.settle(number)
    hours.release(2)
    hours.ahead = timedelta(days=1)

    # when runs try one each
    turns = []
    for _ in range(3):
        (tried,) = hours.run(most=1)
        turns.append((tried.before.period, tried.why))
        hours.ahead += timedelta(seconds=1)

    # then the released one comes first, then those that were tried longest ago
    assert turns == [(hour(2), "released"), (hour(0), "time"), (hour(1), "time")]


def test_a_longer_run_that_settles_all_of_a_held_period_ends_its_hold(plain_database):
    hours = Hours(plain_database, hours=2)
    hours.deliver(0, [0])
    hours.settle(0)

    hours.scene.settle(Period(hour(0).started_at, hour(1).ended_at), released="seen")

    assert hours.held() == []
