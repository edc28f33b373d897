"""How many retries may go out beside first attempts: a share of all calls, and a little each second."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlement.posting import RetryBudget

SECOND = timedelta(seconds=1)


def test_a_quiet_poster_may_retry_a_little_each_second():
    # given
    budget = RetryBudget(share_percent=20, per_second=1, most=100)
    assert budget.allows(0 * SECOND) == 1

    # when it is spent, and time goes by without a call
    budget.spend(first=0, retries=1)

    # then
    assert budget.allows(SECOND / 2) == 0
    assert budget.allows(SECOND) == 1
    assert budget.allows(5 * SECOND) == 5


def test_calls_earn_retries_by_their_share():
    # given a budget that time alone does not fill
    budget = RetryBudget(share_percent=20, per_second=0, most=100)
    assert budget.allows(SECOND) == 0

    # when
    budget.spend(first=10, retries=0)

    # then
    assert budget.allows(2 * SECOND) == 2
    budget.spend(first=8, retries=2)
    assert budget.allows(3 * SECOND) == 2


def test_a_quiet_night_does_not_end_in_a_burst():
    budget = RetryBudget(share_percent=20, per_second=1, most=10)
    budget.allows(timedelta())
    assert budget.allows(timedelta(hours=8)) == 10


def test_retries_beyond_the_budget_leave_no_debt():
    # given retries that went out because nothing else waited
    budget = RetryBudget(share_percent=20, per_second=0, most=100)
    budget.spend(first=0, retries=50)

    # when first attempts come, then they earn as ever
    budget.spend(first=5, retries=0)
    assert budget.allows(SECOND) >= 1


def test_a_clock_that_stands_still_or_goes_back_gives_nothing():
    budget = RetryBudget(per_second=5, most=100)
    budget.spend(first=0, retries=budget.allows(10 * SECOND))
    assert budget.allows(10 * SECOND) == budget.allows(3 * SECOND) == 1  # of what was earned


@given(
    groups=st.lists(
        st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(0, 10**6)), max_size=200
    ),
    share=st.integers(0, 100),
    per_second=st.integers(0, 20),
)
def test_never_more_than_the_share_and_the_seconds_while_first_attempts_wait(
    groups, share, per_second
):
    # given
    budget = RetryBudget(share_percent=share, per_second=per_second, most=1_000)
    at, sent, retried = timedelta(), 0, 0

    # when first attempts and retries go out in groups, retries as many as are allowed
    for first, wanted, micros in groups:
        at += timedelta(microseconds=micros)
        retries = min(wanted, budget.allows(at))
        budget.spend(first=first, retries=retries)
        sent += first + retries
        retried += retries

    # then
    seconds = at // SECOND + 1
    assert retried <= sent * share // 100 + per_second * (seconds + 1)


@pytest.mark.parametrize(
    "bad", [{"share_percent": 101}, {"share_percent": -1}, {"per_second": -1}, {"most": 0}], ids=str
)
def test_a_budget_without_sense_is_refused(bad):
    with pytest.raises(ValueError, match="expected 0 to 100 %"):
        RetryBudget(**bad)
