"""F19: a poster that ends at each exact point between booking, sending and recording."""

import contextlib
from datetime import timedelta
from random import Random

import pytest

from simulators.clearinghouse import WELL_BEHAVED, ClearingHouse
from tasks.posting.run import Clearinghouse, post_pending
from tests.chaos import crashes, setting
from tests.chaos.judgement import judge
from tests.chaos.simulation import Crash
from tests.postings import empty, outbox_database


@pytest.fixture(scope="module")
def migrated(plain_postgres):
    with outbox_database(plain_postgres) as dsn:
        yield dsn


@pytest.mark.parametrize(
    ("point", "sent_before"),
    [("claimed", 0), ("answered", 1), ("recording", 1), ("recorded", 1)],
)
def test_f19_whatever_was_done_before_the_crash_the_next_poster_ends_at_one_effect(
    migrated, point, sent_before
):
    # given a booked posting, and a poster that ends at this point
    empty(migrated)
    booked = setting.made(1, 1)
    at = setting.now()
    setting.book(migrated, booked, at=at)

    def die() -> None:
        raise Crash

    def post(at):
        post_pending(
            migrated, Clearinghouse(house.url, setting.TOKEN), clock=lambda: at, random=Random(1)
        )

    with ClearingHouse(token=setting.TOKEN, misbehaviour=WELL_BEHAVED) as house:
        with pytest.MonkeyPatch.context() as patch, contextlib.suppress(Crash):
            crashes.arm(patch, point, 1, die)
            post(at)
            pytest.fail(f"nothing passed by {point}")
        assert house.calls() == sent_before
        # when another one comes before the lease is over, and after
        post(at)
        assert house.calls() == sent_before
        post(at + timedelta(minutes=1))
        truth = house.truth()

    # then there is one effect, and everybody knows of it
    judgement = judge(migrated, booked, truth)
    assert (str(judgement), judgement.wrong) == ("posted 1, double 0, missing 0, open 0", ())


def test_every_point_is_tried():
    assert crashes.POINTS == ("claimed", "answered", "recording", "recorded")
