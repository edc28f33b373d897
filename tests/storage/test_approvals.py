"""What people decide about parked postings, and that the database itself keeps two of them apart."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.errors import CheckViolation, InsufficientPrivilege, UniqueViolation

from settlement.limits import DEFAULTS
from settlement.posting import Outcome, State
from storage import approvals, holds, limits, outbox, payouts
from storage.approvals import PayoutRefusedError, Refusal
from storage.engine import Role, connect
from tasks.screening import screen
from tests.postings import NOON, outbox_database, posting

LATER = NOON + timedelta(hours=1)
USD = DEFAULTS.currencies["USD"]
LARGE = USD.approval_above_minor + 1
TOO_LARGE = USD.posting_minor + 1


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


def parked(database: str, amount: int, *, number: int = 1, author: str = "anna") -> str:
    """A posting of this amount, screened under limits of the author's; its id."""
    with connect(database, Role.OPERATOR) as conn:
        changed = replace(DEFAULTS, account_day_postings=5_000)
        limits.put(conn, changed, by=author, why="test", now=NOON)
    return screened(database, posting(number, account="alice", amount_minor=amount))


def screened(database: str, *given: Any) -> str:
    with connect(database, Role.SETTLE) as conn:
        outbox.enqueue(conn, given, NOON)
    screen(database, clock=lambda: LATER)
    return str(given[0].posting_id)


def tried(ask, posting_id: str, *outcomes: Outcome) -> None:
    """Attempts with these outcomes, after which the posting was parked; None left no receipt."""
    for attempt, outcome in enumerate(outcomes, start=1):
        ask(
            "insert into receipt values (%s, %s, now(), %s, null, '') returning 1",
            posting_id, attempt, outcome.value,
        )  # fmt: skip
    ask(
        "update posting_state set state = 'parked', attempts = %s where posting_id = %s returning 1",
        len(outcomes), posting_id,
    )  # fmt: skip


def test_a_large_payout_is_approved_by_somebody_else_and_due_at_once(database, ask, operator):
    # given a payout that waits under anna's limits
    one = parked(database, LARGE)

    # when bob approves it
    state = approvals.approve(operator, one, by="bob", why="seen the meter", now=LATER)

    # then it may be sent, and the decision has its author
    assert state is State.PENDING
    assert ask(
        "select state, next_attempt_at, screened_at is not null, detail from posting_state"
    ) == [("pending", LATER, True, "approved by bob: seen the meter")]
    (decided,) = payouts.decisions(operator, one)
    assert (decided.decision, decided.by, decided.limits_version) == ("approved", "bob", 1)


@pytest.mark.parametrize("by", ["anna", "ANNA", " Anna ", "ａｎｎａ"])
@pytest.mark.parametrize(
    ("amount", "decide"), [(LARGE, approvals.approve), (TOO_LARGE, approvals.release)]
)
def test_who_set_the_limits_lets_nothing_go_under_any_spelling(database, ask, operator, amount, decide, by):  # fmt: skip
    one = parked(database, amount)

    with pytest.raises(PayoutRefusedError, match="set the limits under which it waits") as caught:
        decide(operator, one, by=by, why="because", now=LATER)

    assert caught.value.why is Refusal.TWO_PEOPLE
    assert ask("select state from posting_state") == [("parked",)]
    assert payouts.decisions(operator, one) == []


def test_the_database_itself_refuses_it_whatever_the_program_does(database, operator):
    one = parked(database, LARGE)
    write = "insert into payout_decision values (%s, %s, %s, %s, 'why', now(), %s)"

    with pytest.raises(CheckViolation) as caught, operator.transaction():
        operator.execute(write, (one, 1, "approved", "ANNA", 1))
    assert caught.value.diag.constraint_name == "payout_decision_two_people_check"

    # naming another version does not help, nor does the machine's name, nor approving twice
    with (
        pytest.raises(CheckViolation, match="was screened under version 1"),
        operator.transaction(),
    ):
        operator.execute(write, (one, 1, "approved", "anna", 0))
    with pytest.raises(CheckViolation), operator.transaction():
        operator.execute(write, (one, 1, "approved", " Screening", 1))
    operator.execute(write, (one, 1, "approved", "bob", 1))
    with pytest.raises(UniqueViolation), operator.transaction():
        operator.execute(write, (one, 2, "approved", "carol", 1))


def test_only_people_release_an_account(database, operator):
    parked(database, TOO_LARGE)

    with pytest.raises(CheckViolation, match="account_hold_person_check"):
        operator.execute(
            "insert into account_hold values ('alice', 2, 'released', 'SCREENING ', 'why', null, now())"
        )


def test_a_later_version_of_the_limits_frees_nobody(database, operator):
    # given a payout that waits under anna's limits, and limits of bob's since
    one = parked(database, LARGE)
    limits.put(operator, DEFAULTS, by="bob", why="wider", now=LATER)
    operator.commit()

    # then anna still may not, and bob may
    with pytest.raises(PayoutRefusedError):
        approvals.approve(operator, one, by="anna", why="mine", now=LATER)
    assert approvals.approve(operator, one, by="bob", why="fine", now=LATER) is State.PENDING


def test_under_the_defaults_which_nobody_set_anybody_may_decide(database, operator):
    one = screened(database, posting(1, amount_minor=LARGE))

    assert approvals.approve(operator, one, by="anna", why="fine", now=LATER) is State.PENDING


def test_what_broke_a_limit_is_released_alone_and_counts_from_then_on(database, ask, operator):
    # given a payout that broke a limit, and one that is parked with its account
    one = parked(database, TOO_LARGE)
    other = screened(database, posting(2, account="alice"))

    # when the first is released
    assert approvals.release(operator, one, by="bob", why="a bus depot", now=LATER) is State.PENDING

    # then the other waits for the account, and says so
    with pytest.raises(PayoutRefusedError, match="only its account alice is held"):
        approvals.release(operator, other, by="bob", why="too", now=LATER)

    # and the next screening counts the first, and parks it not again
    screen(database, clock=lambda: LATER)
    assert ask("select amount_minor from payout_total where scope = 'account_day'") == [(TOO_LARGE,)]  # fmt: skip
    assert dict(ask("select posting_id, state from posting_state")) == {one: "pending", other: "parked"}  # fmt: skip
    screen(database, clock=lambda: LATER)
    assert ask("select amount_minor from payout_total where scope = 'account_day'") == [(TOO_LARGE,)]  # fmt: skip


def test_what_was_sent_before_goes_on_as_unknown(database, ask, operator):
    # given a cleared posting that the clearinghouse contradicted
    one = screened(database, posting(1))
    tried(ask, one, Outcome.CONFLICT)

    assert approvals.release(operator, one, by="bob", why="they say try again", now=LATER) is State.UNKNOWN  # fmt: skip

    # and it may be contradicted, and released, again
    tried(ask, one)
    ask("update posting_state set attempts = 2 returning 1")
    assert approvals.release(operator, one, by="bob", why="again", now=LATER) is State.UNKNOWN


@pytest.mark.parametrize(
    ("outcomes", "may"),
    [
        ([], True),
        ([Outcome.REFUSED_TEMPORARILY, Outcome.CONNECTION_FAILED, Outcome.NOT_SERVED], True),
        ([Outcome.NO_ANSWER, Outcome.REJECTED], False),
        ([Outcome.LOST], False),
        ([Outcome.SERVER_FAILED], False),
        ([Outcome.CONFLICT], False),
        ([Outcome.ECHO_DIFFERS], False),
    ],
)
def test_only_what_cannot_have_taken_effect_is_given_up(database, ask, operator, outcomes, may):
    one = parked(database, TOO_LARGE)
    tried(ask, one, *outcomes)

    if may:
        # also by who set the limits: nothing is let go
        assert approvals.refuse(operator, one, by="anna", why="wrong", now=LATER) is State.REJECTED
        assert ask("select state from posting_state") == [("rejected",)]
    else:
        with pytest.raises(PayoutRefusedError, match="may have taken effect") as caught:
            approvals.refuse(operator, one, by="bob", why="wrong", now=LATER)
        assert caught.value.why is Refusal.DOUBT
        assert ask("select state from posting_state") == [("parked",)]


def test_an_attempt_without_a_receipt_may_have_taken_effect(database, ask, operator):
    one = parked(database, TOO_LARGE)
    ask("update posting_state set attempts = 1 returning 1")

    with pytest.raises(PayoutRefusedError, match="1 of 1 attempts may have taken effect"):
        approvals.refuse(operator, one, by="bob", why="wrong", now=LATER)


def test_what_stands_in_a_file_for_the_bank_is_not_given_up(database, operator):
    one = parked(database, TOO_LARGE)
    with psycopg.connect(database, user="v2g") as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute(
            "insert into payout_file_line (posting_id, file_id) values (%s, 'file')", [one]
        )

    with pytest.raises(PayoutRefusedError, match="it stands in a payout file"):
        approvals.refuse(operator, one, by="bob", why="wrong", now=LATER)


@pytest.mark.parametrize(
    ("decide", "amount", "found"),
    [
        (approvals.approve, TOO_LARGE, "it waits for no approval"),
        (approvals.release, LARGE, "it waits for approval"),
    ],
)
def test_each_decision_is_for_what_waits_for_it(database, operator, decide, amount, found):
    one = parked(database, amount)

    with pytest.raises(PayoutRefusedError, match=found) as caught:
        decide(operator, one, by="bob", why="fine", now=LATER)
    assert caught.value.why is Refusal.STATE


@pytest.mark.parametrize("decide", [approvals.approve, approvals.release, approvals.refuse])
def test_what_is_not_parked_or_not_there_is_not_decided(database, operator, decide):
    one = screened(database, posting(1))

    with pytest.raises(PayoutRefusedError, match="it is pending; expected one that is parked"):
        decide(operator, one, by="bob", why="fine", now=LATER)
    with pytest.raises(PayoutRefusedError, match="posting none: no such posting"):
        decide(operator, "none", by="bob", why="fine", now=LATER)


@pytest.mark.parametrize(
    ("by", "why", "where"),
    [("", "x", "--by"), ("a\nb", "x", "--by"), ("b" * 65, "x", "--by"), ("Screening", "x", "--by"),
     ("bob", " ", "--why")],
)  # fmt: skip
def test_who_and_why_are_said(database, operator, by, why, where):
    with pytest.raises(PayoutRefusedError, match=where) as caught:
        approvals.refuse(operator, "any", by=by, why=why, now=LATER)
    assert caught.value.why is Refusal.INVALID
    for work in (holds.hold, holds.unhold):
        with pytest.raises(PayoutRefusedError, match=where):
            work(operator, "alice", by=by, why=why, now=LATER)


def test_of_two_who_decide_at_once_one_is_told_that_it_is_decided(database, ask):
    one = parked(database, LARGE)
    outcomes: list[str] = []

    def decide(by: str) -> None:
        with connect(database, Role.OPERATOR) as conn:
            try:
                outcomes.append(approvals.approve(conn, one, by=by, why="fine", now=LATER))
            except PayoutRefusedError as error:
                outcomes.append(error.found)

    both = [threading.Thread(target=decide, args=(by,)) for by in ("bob", "carol")]
    for each in both:
        each.start()
    for each in both:
        each.join()

    assert sorted(outcomes) == ["it is pending", "pending"]
    assert ask("select count(*) from payout_decision") == [(1,)]


def test_an_account_is_held_once_and_released_once(database, operator):
    holds.hold(operator, "alice", by="bob", why="asks", now=LATER)
    with pytest.raises(PayoutRefusedError, match="account alice: held already"):
        holds.hold(operator, "alice", by="bob", why="asks", now=LATER)

    holds.unhold(operator, "alice", by="bob", why="told", now=LATER)
    with pytest.raises(PayoutRefusedError, match="account alice: not held"):
        holds.unhold(operator, "alice", by="bob", why="told", now=LATER)
    with pytest.raises(PayoutRefusedError, match="the account: empty"):
        holds.hold(operator, " ", by="bob", why="asks", now=LATER)


def test_what_waits_is_listed_by_how_long_and_by_what_for(database, operator):
    large, broken = parked(database, LARGE), parked(database, TOO_LARGE, number=2)
    screened(database, posting(3), posting(4, account="alice"))

    def shown(**asked: Any) -> list[str]:
        return [one.posting_id for one in payouts.listed(operator, **asked)]

    assert len(shown()) == 3
    assert shown(awaiting=True) == [large]
    assert shown(account="alice", limit=1) == [large]
    assert shown(states=[State.PENDING]) != []
    assert payouts.find(operator, "none") is None
    found = payouts.find(operator, broken)
    assert found is not None
    assert (found.account_held, found.with_account, found.verdict) == (True, False, "breach")


@pytest.mark.parametrize("role", [Role.SETTLE, Role.POSTER, Role.READ])
def test_nobody_but_an_operator_decides(database, role):
    one = parked(database, LARGE)

    with connect(database, role) as conn, pytest.raises(InsufficientPrivilege):
        approvals.approve(conn, one, by="bob", why="fine", now=LATER)
