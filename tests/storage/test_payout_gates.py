"""What is held, or waits for a person, is not sent: whatever a poster or a file is doing meanwhile."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from settlement.limits import DEFAULTS
from settlement.posting import Outcome, State
from storage import approvals, holds, outbox, payout_files
from storage.approvals import PayoutRefusedError, Refusal
from storage.claims import Claimed, Result
from storage.engine import Role, connect
from tasks.screening import screen
from tests.postings import NOON, outbox_database, posting

LATER = NOON + timedelta(hours=1)
MUCH_LATER = NOON + timedelta(hours=2)
PARTNER = "clearinghouse"
LARGE = DEFAULTS.currencies["USD"].approval_above_minor + 1
TOO_LARGE = DEFAULTS.currencies["USD"].posting_minor + 1


@pytest.fixture(scope="module")
def migrated(plain_postgres):
    with outbox_database(plain_postgres) as dsn:
        yield dsn


@pytest.fixture
def database(migrated):
    with psycopg.connect(migrated, user="v2g") as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(
            "truncate posting, posting_state, receipt, screening, account_hold, held_posting,"
            " payout_decision, payout_total, payout_recount, limit_version, payout_file_line"
        )
    return migrated


@pytest.fixture
def ask(database):
    with psycopg.connect(database, user="v2g", autocommit=True) as conn:
        yield lambda query, *values: conn.execute(query, values).fetchall()


@pytest.fixture
def operator(database):
    with connect(database, Role.OPERATOR) as conn:
        yield conn


@pytest.fixture
def poster(database):
    with connect(database, Role.POSTER) as conn:
        yield conn


def screened(database: str, *given: Any) -> str:
    """These postings, booked and screened; the first one's id."""
    with connect(database, Role.SETTLE) as conn:
        outbox.enqueue(conn, given, NOON)
    screen(database, clock=lambda: LATER)
    return str(given[0].posting_id)


def claimed(poster) -> list[Claimed]:
    lease = timedelta(seconds=30)
    return outbox.claim(poster, partner=PARTNER, now=MUCH_LATER, limit=10, lease=lease)


def payable(poster) -> list[payout_files.Payable]:
    wanted = {"accounts": ["alice"], "currencies": ["USD"]}
    with poster.transaction():
        return payout_files.payable(poster, partner=PARTNER, most=10, **wanted)


def hold(operator, *, now=MUCH_LATER) -> int:
    return holds.hold(operator, "alice", by="bob", why="disputed", now=now)


def test_what_a_poster_was_looking_at_when_its_account_was_held_is_not_sent_afterwards(
    database, operator, poster
):
    # given a posting that a poster has locked, though it took another one
    screened(database, posting(1, account="alice"))
    with poster.transaction():
        poster.execute("select from posting_state for update")

        # when somebody holds the account at that moment
        assert hold(operator) == 0

    # then neither the poster nor a file for a bank takes it afterwards
    assert claimed(poster) == []
    assert payable(poster) == []

    # and it is sent once the account is released
    holds.unhold(operator, "alice", by="bob", why="settled", now=MUCH_LATER)
    assert len(claimed(poster)) == 1


def test_what_turns_out_to_be_without_effect_after_its_account_was_held_is_not_sent_again(
    database, ask, operator, poster
):
    # given a posting that is out when its account is held
    screened(database, posting(1, account="alice"))
    (one,) = claimed(poster)
    hold(operator)

    # when the partner turns it away
    turned_away = Result(
        posting_id=one.posting.posting_id, attempt=1, answered_at=LATER, state=State.QUEUED,
        outcome=Outcome.REFUSED_TEMPORARILY, http_status=503, detail="busy", next_attempt_at=LATER,
    )  # fmt: skip
    outbox.record(poster, [turned_away], now=LATER)

    # then the same poster does not send it again, and the next screening parks it
    assert claimed(poster) == []
    screen(database, clock=lambda: MUCH_LATER)
    assert ask("select state from posting_state") == [("parked",)]


@pytest.mark.parametrize("state", ["unknown", "disputed", "sent"])
def test_what_may_have_been_paid_goes_on_though_its_account_is_held(
    database, ask, operator, poster, state
):
    screened(database, posting(1, account="alice"))
    ask("update posting_state set state = %s, attempts = 1 returning 1", state)

    hold(operator)

    assert len(claimed(poster)) == 1


@pytest.mark.parametrize(
    ("amount", "decide"), [(LARGE, approvals.approve), (TOO_LARGE, approvals.release)]
)
def test_a_hold_stops_also_what_was_let_go_before_it(
    database, ask, operator, poster, amount, decide
):
    # given a payout that somebody has let go, and that is not sent yet
    one = screened(database, posting(1, account="alice", amount_minor=amount))
    if decide is approvals.release:
        holds.unhold(operator, "alice", by="bob", why="looked", now=LATER)
    decide(operator, one, by="bob", why="right", now=LATER)

    # when its account is held afterwards
    assert hold(operator) == 1

    # then it waits with its account, and goes on with it, without being asked about again
    assert claimed(poster) == []
    holds.unhold(operator, "alice", by="bob", why="settled", now=MUCH_LATER)
    assert len(claimed(poster)) == 1


def test_what_is_released_though_its_account_is_held_is_sent(database, operator, poster):
    one = screened(database, posting(1, account="alice", amount_minor=TOO_LARGE))

    approvals.release(operator, one, by="bob", why="a depot", now=MUCH_LATER)
    screen(database, clock=lambda: MUCH_LATER)

    assert [claim.posting.posting_id for claim in claimed(poster)] == [one]


def test_nothing_is_approved_while_its_account_is_held(database, ask, operator, poster):
    one = screened(database, posting(1, account="alice", amount_minor=LARGE))
    hold(operator)

    with pytest.raises(PayoutRefusedError, match="its account alice is held") as caught:
        approvals.approve(operator, one, by="carol", why="right", now=MUCH_LATER)

    assert caught.value.why is Refusal.STATE
    assert ask("select count(*) from payout_decision") == [(0,)]


@pytest.mark.parametrize("amount", [LARGE, TOO_LARGE])
def test_the_database_lets_nothing_go_without_a_decision(database, operator, amount):
    one = screened(database, posting(1, account="alice", amount_minor=amount))

    with pytest.raises(InsufficientPrivilege, match="nobody has decided"):
        operator.execute("update posting_state set state = 'pending' where posting_id = %s", [one])


def test_the_database_lets_nothing_go_that_was_not_screened(database, operator):
    # given a posting that was parked with its account before it was screened
    hold(operator, now=NOON)
    one = screened(database, posting(1, account="alice"))

    # when it is let go as it stands, or another one is called screened
    with pytest.raises(InsufficientPrivilege, match="nobody has decided"):
        operator.execute("update posting_state set state = 'pending' where posting_id = %s", [one])
    operator.rollback()
    with connect(database, Role.SETTLE) as conn:
        outbox.enqueue(conn, [posting(2)], NOON)
    with pytest.raises(InsufficientPrivilege, match="was not screened"):
        operator.execute("update posting_state set screened_at = now() where state = 'pending'")


@pytest.mark.parametrize(
    "by", ["anna  berg", "Anna\u034f Berg", "anna.berg", "AnnaBerg", "anna\ufe0f berg", "ANNA BERG"]
)
def test_blanks_and_signs_that_nobody_sees_make_no_other_person(database, operator, by):
    from storage import limits

    limits.put(operator, DEFAULTS, by="Anna Berg", why="test", now=NOON)
    operator.commit()
    one = screened(database, posting(1, account="alice", amount_minor=LARGE))

    with pytest.raises(PayoutRefusedError) as caught:
        approvals.approve(operator, one, by=by, why="right", now=LATER)

    assert caught.value.why is Refusal.TWO_PEOPLE
