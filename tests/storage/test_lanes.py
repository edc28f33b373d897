"""The way to a partner, as posters and operators share it."""

from datetime import timedelta

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from storage import lanes
from storage.engine import Role, connect
from storage.lanes import BY_PARTNER, UNTIL_RESUMED, Rest
from tests.postings import NOON, empty, outbox_database

PARTNER = "clearinghouse"
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def migrated(plain_postgres):
    with outbox_database(plain_postgres) as dsn:
        yield dsn


@pytest.fixture
def database(migrated):
    empty(migrated)
    return migrated


@pytest.fixture
def poster(database):
    with connect(database, Role.POSTER) as conn:
        yield conn


@pytest.fixture
def operator(database):
    with connect(database, Role.OPERATOR) as conn:
        yield conn


@pytest.fixture
def versions(database):
    """Of the lane's row: how often it was written."""
    with psycopg.connect(database, user="v2g", autocommit=True) as conn:
        yield lambda: conn.execute("select xmin::text from partner_lane").fetchall()


def prolong(conn, seconds: int, why: str = "429") -> bool:
    return lanes.prolong(conn, partner=PARTNER, until=NOON + seconds * SECOND, why=why, now=NOON)


def decide(conn, until, *, by="anna", why="agreed by telephone", now=NOON) -> None:
    lanes.decide(conn, partner=PARTNER, until=until, why=why, by=by, now=now)


def test_a_rest_is_seen_by_whoever_looks(poster, operator):
    # given
    assert lanes.standing(operator, partner=PARTNER) is None

    # when
    assert prolong(poster, 30, "429: come again")

    # then
    assert lanes.standing(operator, partner=PARTNER) == Rest(
        NOON + 30 * SECOND, "429: come again", BY_PARTNER, NOON
    )
    assert lanes.standing(operator, partner="another house") is None


@pytest.mark.parametrize("seconds", [29, 30])
def test_a_rest_that_is_no_longer_writes_nothing(poster, versions, seconds):
    # given
    prolong(poster, 30)
    before = versions()

    # when, then
    assert not prolong(poster, seconds)
    assert versions() == before


def test_an_operators_pause_lasts_until_it_is_ended_whatever_the_partner_asks(poster, operator):
    # given
    decide(operator, UNTIL_RESUMED, why="their certificate ends tonight")

    # when
    assert not prolong(poster, 3_600)

    # then
    assert lanes.standing(poster, partner=PARTNER) == Rest(
        UNTIL_RESUMED, "their certificate ends tonight", "anna", NOON
    )
    decide(operator, NOON + SECOND, by="ben", why="renewed", now=NOON + SECOND)
    assert lanes.standing(poster, partner=PARTNER) == Rest(
        NOON + SECOND, "renewed", "ben", NOON + SECOND
    )


def test_what_operators_said_is_kept_with_their_names_the_latest_first(poster, operator):
    # given, when
    decide(operator, UNTIL_RESUMED)
    prolong(poster, 30)
    decide(operator, NOON, by="ben", why="it was nothing")

    # then
    told = lanes.history(operator, partner=PARTNER)
    assert [(one.by, one.until) for one in told] == [("ben", NOON), ("anna", UNTIL_RESUMED)]
    assert lanes.history(operator, partner=PARTNER, limit=1) == told[:1]


@pytest.mark.parametrize(
    "said", [{"by": " "}, {"why": ""}, {"by": BY_PARTNER}], ids=["no name", "no reason", "a mask"]
)
def test_a_decision_has_a_name_and_a_reason(operator, said):
    with pytest.raises(ValueError, match="expected who decides"):
        decide(operator, NOON, **said)
    assert lanes.standing(operator, partner=PARTNER) is None


def test_a_poster_cannot_speak_for_an_operator(poster):
    with pytest.raises(InsufficientPrivilege):
        decide(poster, NOON)


def test_a_rest_written_by_a_clock_that_ran_ahead_is_ended_but_no_pause(poster, operator):
    # given
    prolong(poster, 24 * 3_600)

    # when
    assert lanes.pull_in(poster, partner=PARTNER, now=NOON)

    # then
    standing = lanes.standing(poster, partner=PARTNER)
    assert standing is not None
    assert standing.until == NOON
    decide(operator, UNTIL_RESUMED)
    assert not lanes.pull_in(poster, partner=PARTNER, now=NOON)
