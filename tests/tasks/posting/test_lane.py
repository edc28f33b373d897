"""When a partner is called, and when it is left alone."""

from datetime import timedelta
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.posting import RETRY_AFTER_MAX, Backoff, Outcome
from tasks.posting.lane import FAILURES_PER_WIDTH, Lane

WIDTH = 4
MANY = FAILURES_PER_WIDTH * WIDTH
BACKOFF = Backoff(first=timedelta(seconds=10), cap=timedelta(seconds=60))
SECONDS = timedelta(seconds=1)

FAILING = [
    Outcome.REFUSED_TEMPORARILY, Outcome.SERVER_FAILED, Outcome.NO_ANSWER,
    Outcome.CONNECTION_FAILED, Outcome.LOST,
]  # fmt: skip
ANSWERING = [Outcome.ACKNOWLEDGED, Outcome.ECHO_DIFFERS, Outcome.CONFLICT, Outcome.REJECTED]


@pytest.fixture
def lane() -> Lane:
    return Lane(width=WIDTH, backoff=BACKOFF, random=Random(1))


@pytest.mark.parametrize(("out", "room"), [(0, 4), (1, 3), (4, 0), (5, 0)])
def test_a_lane_lets_out_as_many_calls_as_it_is_wide(lane, out, room):
    assert lane.room(out, 0.0) == room


@pytest.mark.parametrize("outcome", list(Outcome))
def test_nobody_is_sent_before_the_time_the_partner_asked_for(lane, outcome):
    # given, when
    lane.heard(outcome, 503, 7 * SECONDS, 100.0)

    # then
    assert lane.room(0, 106.999) == 0
    assert lane.room(0, 107.0) > 0


def test_too_many_requests_rest_the_lane_even_without_a_time(lane):
    # given, when
    lane.heard(Outcome.REFUSED_TEMPORARILY, 429, None, 100.0)

    # then
    assert 100.0 < lane.rests_until <= 110.0
    assert lane.room(0, 100.0) == 0


def test_a_shorter_wait_does_not_end_a_longer_one(lane):
    # given, when
    lane.heard(Outcome.REFUSED_TEMPORARILY, 429, 30 * SECONDS, 100.0)
    lane.heard(Outcome.REFUSED_TEMPORARILY, 429, 1 * SECONDS, 101.0)

    # then
    assert lane.rests_until == 130.0


@pytest.mark.parametrize("outcome", FAILING)
def test_a_partner_that_is_down_is_asked_by_one_call_at_a_time(lane, outcome):
    # given as many failures as it takes, less one
    for _ in range(MANY - 1):
        lane.heard(outcome, None, None, 100.0)
    assert lane.room(0, 100.0) == WIDTH

    # when one more comes
    lane.heard(outcome, None, None, 100.0)

    # then the lane rests, and is narrow until a call succeeds
    assert lane.rests_until > 100.0
    assert lane.room(0, lane.rests_until) == 1
    assert lane.room(1, lane.rests_until) == 0
    lane.heard(Outcome.ACKNOWLEDGED, 200, None, 200.0)
    assert lane.room(0, 200.0) == WIDTH


@pytest.mark.parametrize("outcome", ANSWERING)
def test_any_answer_about_a_posting_shows_that_the_partner_is_up(lane, outcome):
    # given
    for _ in range(MANY - 1):
        lane.heard(Outcome.NO_ANSWER, None, None, 100.0)

    # when
    lane.heard(outcome, 200, None, 100.0)

    # then
    lane.heard(Outcome.NO_ANSWER, None, None, 100.0)
    assert lane.room(0, 100.0) == WIDTH


def test_a_partner_that_does_not_serve_us_is_not_asked_twice_at_once(lane):
    # given, when
    lane.heard(Outcome.NOT_SERVED, 401, None, 100.0)

    # then
    assert lane.rests_until > 100.0
    assert lane.room(0, lane.rests_until) == 1


@given(
    heard=st.lists(st.tuples(st.sampled_from(Outcome), st.sampled_from([None, 200, 401, 429, 503]),
                             st.none() | st.timedeltas(timedelta(), RETRY_AFTER_MAX))),
    seed=st.integers(),
)  # fmt: skip
def test_no_lane_rests_longer_than_the_longest_wait(heard, seed):
    # given
    lane = Lane(width=WIDTH, backoff=BACKOFF, random=Random(seed))

    # when
    for outcome, status, asked in heard:
        lane.heard(outcome, status, asked, 100.0)

    # then
    assert lane.rests_until <= 100.0 + RETRY_AFTER_MAX.total_seconds()
    assert lane.room(0, lane.rests_until) >= 1
