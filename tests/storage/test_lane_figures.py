"""How the queue to each partner stands."""

from datetime import timedelta

import psycopg
import pytest

from settlement.posting import State
from storage import lanes as standing
from storage import outbox
from storage.engine import Role, connect
from storage.lane_figures import LaneFigures, lanes
from tests.postings import NOON, empty, outbox_database, posting

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def migrated(plain_postgres):
    with outbox_database(plain_postgres) as dsn:
        yield dsn


@pytest.fixture
def database(migrated):
    empty(migrated)
    return migrated


def booked(dsn: str, *several, now) -> None:
    with connect(dsn, Role.SETTLE) as conn:
        outbox.enqueue(conn, several, now=now)


def moved(dsn: str, number: int, state: State, now, **of) -> None:
    with psycopg.connect(dsn, user="v2g") as conn:
        conn.execute(
            "update posting_state set state = %s, changed_at = %s where posting_id = %s",
            [state.value, now, posting(number, **of).posting_id],
        )


def figures(dsn: str, now, window=HOUR) -> list[LaneFigures]:
    with connect(dsn, Role.READ) as conn:
        return lanes(conn, since=now - window, now=now)


def test_each_lane_tells_its_money_its_oldest_and_what_waits_for_a_person(database):
    # given a lane with money in two currencies and one parked, and another lane that rests
    booked(database, posting(1), posting(2, currency="EUR"), now=NOON)
    booked(database, posting(3), posting(4, partner="bank"), now=NOON + MINUTE)
    moved(database, 3, State.PARKED, NOON + 2 * MINUTE)
    with connect(database, Role.POSTER) as conn:
        standing.prolong(conn, partner="bank", until=NOON + HOUR, why="429", now=NOON)

    # when it is measured
    bank, clearinghouse = figures(database, NOON + 5 * MINUTE)

    # then
    assert clearinghouse == LaneFigures(
        partner="clearinghouse",
        queued=2,
        queued_minor={"USD": 101, "EUR": 102},
        oldest_at=NOON,
        parked=1,
        parked_minor={"USD": 103},
        added=3,
        left=1,
        rests_until=None,
    )
    assert (bank.queued, bank.queued_minor, bank.rests_until) == (1, {"USD": 104}, NOON + HOUR)


def test_a_queue_grows_while_more_comes_in_than_leaves_and_not_when_it_is_old_or_empty(database):
    # given two postings of which one leaves
    booked(database, posting(1), posting(2), now=NOON)
    (before,) = figures(database, NOON + MINUTE)
    moved(database, 1, State.ACKNOWLEDGED, NOON + 2 * MINUTE)
    (after,) = figures(database, NOON + 3 * MINUTE)

    # then it grows at first and still does
    assert (before.growing, after.growing) == (True, True)

    # but not once nothing was added for as long as it is looked back, nor once it is empty
    (old,) = figures(database, NOON + 2 * HOUR)
    moved(database, 2, State.REJECTED, NOON + 2 * HOUR)
    (done,) = figures(database, NOON + 2 * HOUR)
    assert (old.queued, old.added, old.growing) == (1, 0, False)
    assert (done.queued, done.oldest_at, done.growing) == (0, None, False)


def test_without_postings_there_is_no_lane(database):
    assert figures(database, NOON) == []
