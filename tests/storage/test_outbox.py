"""The outbox: stored before it is sent, claimed by one, recorded once."""

import threading
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from embedded.processes import wait_until
from settlement.posting import DOUBTFUL, OPEN, IllegalMoveError, Outcome, State
from storage import lanes, outbox, outbox_figures
from storage.engine import Role, connect
from storage.errors import DatabaseUnavailableError
from storage.outbox import Claimed, OpenTransactionError, PostingRefusedError, Recorded, Result
from tests.postings import NOON, clear, empty, outbox_database, posting, postings

PARTNER = "clearinghouse"
LEASE = timedelta(seconds=30)
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
def books(database):
    """Whoever books."""
    with connect(database, Role.SETTLE) as conn:
        yield conn


@pytest.fixture
def poster(database):
    with connect(database, Role.POSTER) as conn:
        yield conn


@pytest.fixture
def other_poster(database):
    with connect(database, Role.POSTER) as conn:
        yield conn


@pytest.fixture
def ask(database):
    with psycopg.connect(database, user="v2g", autocommit=True) as conn:
        yield lambda query, *values: conn.execute(query, values).fetchall()


def book(conn, *given, at=NOON) -> int:
    new = outbox.enqueue(conn, given, at)
    conn.commit()
    clear(dsn_of(conn))
    return new


def dsn_of(conn) -> str:
    return f"host={conn.info.host} port={conn.info.port} dbname={conn.info.dbname}"


def claim(conn, *, now=NOON, limit=10, lease=LEASE, partner=PARTNER, **options) -> list[Claimed]:
    return outbox.claim(conn, partner=partner, now=now, limit=limit, lease=lease, **options)


def result(claimed: Claimed, outcome: Outcome, state: State, *, at=NOON, next_at=None) -> Result:
    return Result(
        posting_id=claimed.posting.posting_id,
        attempt=claimed.attempt,
        answered_at=at,
        outcome=outcome,
        http_status=200 if outcome is Outcome.ACKNOWLEDGED else None,
        detail=f"{outcome} by test",
        state=state,
        next_attempt_at=next_at,
    )


def acknowledged(claimed) -> Result:
    return result(claimed, Outcome.ACKNOWLEDGED, State.ACKNOWLEDGED)


def lost(claimed, *, next_at=NOON) -> Result:
    return result(claimed, Outcome.LOST, State.UNKNOWN, next_at=next_at)


# --- enqueue -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2_345])
def test_what_is_booked_is_stored_byte_for_byte_and_due_at_once(books, poster, ask, count):
    # given
    booked = postings(count)

    # when
    new = book(books, *booked)

    # then
    assert new == count
    stored = ask(
        "select posting_id, settlement_id, partner, currency, amount_minor, body, body_digest, created_at from posting"
    )
    assert set(stored) == {
        (p.posting_id, p.settlement_id, p.partner, p.currency, p.amount_minor, p.body, p.body_digest, NOON)
        for p in booked
    }  # fmt: skip
    states = ask(
        "select state, attempts, next_attempt_at, leased_until, detail, changed_at, count(*) from posting_state group by 1, 2, 3, 4, 5, 6"
    )
    assert states == ([("pending", 0, NOON, None, "", NOON, count)] if count else [])
    assert outbox_figures.pending_count(poster) == count


def test_nothing_is_stored_when_the_booking_is_rolled_back(books, ask):
    # given
    outbox.enqueue(books, [posting()], NOON)

    # when
    books.rollback()

    # then
    assert ask("select 1 from posting union all select 1 from posting_state") == []


def test_booking_again_stores_nothing_and_moves_nothing(books, poster, ask):
    # given a posting that has gone out
    book(books, posting(1))
    [claimed] = claim(poster)
    outbox.record(poster, [acknowledged(claimed)], now=NOON)

    # when it is booked again, beside a new one
    new = book(books, posting(1), posting(2), posting(2), at=NOON + SECOND)

    # then only the new one is new
    assert new == 1
    assert ask("select state, attempts from posting_state order by 1") == [
        ("acknowledged", 1),
        ("pending", 0),
    ]


def test_another_body_under_the_same_id_is_refused(books, ask):
    # given
    book(books, posting(1))

    # when
    with pytest.raises(PostingRefusedError) as refused:
        outbox.enqueue(books, [posting(2), posting(1, amount_minor=999)], NOON)
    books.rollback()

    # then
    assert refused.value.posting_id == posting(1).posting_id
    assert ask("select amount_minor from posting") == [(101,)]


def test_another_posting_for_the_same_settlement_is_refused(books):
    # given
    book(books, posting(1))

    # when, then
    with pytest.raises(PostingRefusedError, match="settlement-1"):
        outbox.enqueue(books, [posting(1, partner="another house")], NOON)


def test_two_bookings_of_the_same_at_once_store_it_once(books, database, ask):
    # given a booking that has not committed yet, and a second one that waits for it
    outbox.enqueue(books, postings(50), NOON)
    counts = []

    def second():
        with connect(database, Role.SETTLE) as conn:
            counts.append(outbox.enqueue(conn, postings(60), NOON))

    thread = threading.Thread(target=second)
    thread.start()
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    wait_until(lambda: ask(waiting) == [(1,)], deadline_s=10, what="the second booking to wait")

    # when the first commits
    books.commit()
    thread.join(10)

    # then the second adds what is new and no more
    assert counts == [10]
    assert ask("select count(*) from posting_state") == [(60,)]


def test_a_state_is_not_the_business_of_whoever_books_and_books_not_of_the_poster(books, poster):
    # given
    book(books, posting())

    # when, then
    with pytest.raises(InsufficientPrivilege):
        books.execute("update posting_state set state = 'acknowledged'")
    books.rollback()
    for forbidden in (
        "insert into posting select * from posting",
        "delete from posting_state",
        "update posting_state set posting_id = 'x'",
        "update receipt set detail = ''",
    ):
        with pytest.raises(InsufficientPrivilege):
            poster.execute(forbidden)
        poster.rollback()


# --- claim ---------------------------------------------------------------------------------------


def test_a_claim_is_on_disk_before_anything_is_sent(books, poster, ask):
    # given
    book(books, posting())

    # when
    [claimed] = claim(poster)

    # then another connection sees it
    assert claimed == Claimed(
        posting(), attempt=1, doubtful=False, disputes=0, leased_until=NOON + LEASE
    )
    assert ask("select state, attempts, leased_until, next_attempt_at from posting_state") == [
        ("sent", 1, NOON + LEASE, NOON + LEASE)
    ]


def test_a_claim_takes_the_longest_due_first_and_no_more_than_asked(books, poster):
    # given
    for n, at in enumerate([3, 1, 2, 60], start=1):
        book(books, posting(n), at=NOON + at * SECOND)

    # when
    claimed = claim(poster, now=NOON + 10 * SECOND, limit=2)

    # then
    assert {c.posting.settlement_id for c in claimed} == {"settlement-2", "settlement-3"}
    assert [c.posting.settlement_id for c in claim(poster, now=NOON + 10 * SECOND)] == [
        "settlement-1"
    ]
    assert claim(poster, now=NOON + 10 * SECOND) == []


def test_a_claim_takes_the_longest_due_first_whatever_their_states(books, poster):
    # given one that was never sent, and one that was and is due since longer
    book(books, posting(1))
    [first] = claim(poster)
    outbox.record(poster, [lost(first, next_at=NOON + SECOND)], now=NOON)
    book(books, posting(2), at=NOON + 2 * SECOND)

    # when
    claimed = claim(poster, now=NOON + 5 * SECOND, limit=1)

    # then
    assert [c.posting.settlement_id for c in claimed] == ["settlement-1"]


def test_what_is_not_screened_yet_is_not_claimed(books, poster, database):
    # given a posting that nobody has held against the limits
    outbox.enqueue(books, [posting()], NOON)
    books.commit()
    assert claim(poster) == []
    assert outbox_figures.next_due_at(poster) is None

    # when it is screened
    clear(database)

    # then
    assert [c.posting for c in claim(poster)] == [posting()]


def test_what_stands_in_a_file_for_the_bank_is_not_claimed(books, poster):
    # given
    book(books, posting(1), posting(2))
    poster.execute(
        "insert into payout_file_line (posting_id, file_id) values (%s, 'file-1')",
        [posting(1).posting_id],
    )
    poster.commit()

    # when, then
    assert [c.posting for c in claim(poster)] == [posting(2)]
    poster.execute("delete from payout_file_line")
    poster.commit()
    assert [c.posting for c in claim(poster)] == [posting(1)]


def test_nothing_is_claimed_while_the_lane_rests(books, poster):
    # given a partner that has asked another poster to wait
    book(books, posting(1), posting(2, partner="another house"))
    lanes.prolong(poster, partner=PARTNER, until=NOON + SECOND, why="429", now=NOON)

    # when, then
    assert claim(poster) == []
    assert len(claim(poster, partner="another house")) == 1
    assert len(claim(poster, now=NOON + SECOND)) == 1


def failed_before(books, poster, *numbers: int) -> None:
    """Postings that were sent, to no effect that is known, and are due again since noon."""
    book(books, *map(posting, numbers))
    for claimed in claim(poster, limit=len(numbers)):
        outbox.record(poster, [lost(claimed, next_at=NOON)], now=NOON)


def shares(claimed: list[Claimed]) -> tuple[int, int]:
    """First attempts, and retries."""
    retries = sum(one.attempt > 1 for one in claimed)
    return len(claimed) - retries, retries


def test_retries_do_not_keep_first_attempts_waiting_nor_first_attempts_them(books, poster):
    # given ten retries, all due longer than the ten that were booked after them
    failed_before(books, poster, *range(1, 11))
    book(books, *map(posting, range(11, 21)), at=NOON + SECOND)
    later = NOON + 5 * SECOND

    # when, then some of each go out, as the budget says, and what room is left goes to whoever waits
    assert shares(claim(poster, now=later, limit=5, retries_max=1)) == (4, 1)
    assert shares(claim(poster, now=later, limit=5, retries_max=0)) == (5, 0)
    assert shares(claim(poster, now=later, limit=5, retries_max=1)) == (1, 4)
    assert shares(claim(poster, now=later, limit=9, retries_max=0)) == (0, 5)


def test_an_account_does_not_wait_for_what_others_book_later(books, poster):
    # given one posting of one account, and then a hundred of another
    book(books, posting(1))
    book(books, *map(posting, range(2, 102)), at=NOON + SECOND)

    # when, then
    assert claim(poster, now=NOON + 9 * SECOND, limit=1)[0].posting == posting(1)


def test_a_claim_looks_at_a_few_rows_however_long_the_queue(books, poster, database, ask):
    # given
    book(books, *postings(5_000))
    with psycopg.connect(database, user="v2g", autocommit=True) as conn:
        conn.execute("vacuum analyze posting, posting_state")
    looked_at = "select idx_tup_fetch + seq_tup_read from pg_stat_user_tables where relname = 'posting_state'"
    [(before,)] = ask(looked_at)

    # when
    for _ in range(20):
        claim(poster, limit=5)
    poster.execute("select pg_stat_force_next_flush()")
    poster.commit()
    poster.execute("select 1")
    poster.commit()

    # then it is the index that is walked
    [(after,)] = ask(looked_at)
    assert 0 < after - before < 20 * 5 * 20


# --- giving back -----------------------------------------------------------------------------------


def test_what_was_claimed_and_not_sent_is_given_back_as_if_nothing_had_been(books, poster, ask):
    # given one that was never sent, and one that stands in doubt
    failed_before(books, poster, 1)
    book(books, posting(2))
    claimed = claim(poster)

    # when
    given = outbox.give_back(poster, claimed, now=NOON + SECOND)

    # then both are due at once, their attempts were none, and the doubt stands
    assert given == 2
    assert ask(
        "select state, attempts, next_attempt_at, leased_until from posting_state order by 1"
    ) == [("queued", 0, NOON + SECOND, None), ("unknown", 1, NOON + SECOND, None)]
    assert ask("select count(*) from receipt") == [(1,)]
    assert {one.attempt for one in claim(poster, now=NOON + SECOND)} == {1, 2}


def test_what_another_has_claimed_since_cannot_be_given_back(books, poster, other_poster, ask):
    # given a claim whose lease ran out, and a newer one
    book(books, posting())
    old = claim(poster)
    claim(other_poster, now=NOON + LEASE)

    # when, then
    assert outbox.give_back(poster, old, now=NOON + LEASE) == 0
    assert ask("select state, attempts from posting_state") == [("sent", 2)]
    assert outbox.give_back(poster, [], now=NOON) == 0


def test_a_claim_does_not_wait_for_another_poster_to_commit(books, poster, other_poster):
    # given a poster that is just claiming
    book(books, posting(1), posting(2))
    other_poster.execute(
        "select 1 from posting_state where posting_id = %s for update", [posting(1).posting_id]
    )
    poster.execute("set lock_timeout = '100ms'")
    poster.commit()

    # when
    claimed = claim(poster)

    # then
    assert [c.posting.settlement_id for c in claimed] == ["settlement-2"]


def test_a_partner_gets_only_its_own_postings(books, poster):
    # given
    book(books, posting(1), posting(2, partner="another house"))

    # when
    claimed = claim(poster, partner="another house")

    # then
    assert [c.posting.settlement_id for c in claimed] == ["settlement-2"]
    assert outbox_figures.next_due_at(poster, partner=PARTNER) == NOON
    assert [t.postings for t in outbox_figures.totals(poster, partner=PARTNER)] == [1]
    assert outbox_figures.pending_count(poster) == 2


def test_two_posters_never_hold_the_same_posting(books, database):
    # given
    book(books, *postings(200))
    taken: list[str] = []
    start = threading.Barrier(4)

    def take():
        with connect(database, Role.POSTER) as conn:
            start.wait(10)
            while claimed := claim(conn, limit=7):
                taken.extend(c.posting.posting_id for c in claimed)

    # when four claim at once
    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    # then
    assert sorted(taken) == sorted(p.posting_id for p in postings(200))


def test_a_posting_of_a_killed_poster_is_claimed_again_in_doubt_once_its_lease_is_over(
    books, poster, other_poster, ask
):
    # given a poster that claimed and was never heard of again
    book(books, posting())
    claim(poster)

    # when another looks, just before and just as the lease ends
    before = claim(other_poster, now=NOON + LEASE - SECOND / 1000)
    [again] = claim(other_poster, now=NOON + LEASE)

    # then
    assert before == []
    assert (again.attempt, again.doubtful) == (2, True)
    assert ask("select detail from posting_state") == [("attempt 1 left no receipt",)]


@pytest.mark.parametrize("state", sorted(OPEN - {State.PENDING, State.SENT}))
def test_a_claim_knows_whether_an_earlier_attempt_may_have_taken_effect(books, poster, state):
    # given
    book(books, posting())
    [claimed] = claim(poster)
    outbox.record(poster, [result(claimed, Outcome.LOST, state, next_at=NOON)], now=NOON)

    # when
    [again] = claim(poster)

    # then
    assert again.doubtful is (state in DOUBTFUL)


@pytest.mark.parametrize("state", sorted(set(State) - OPEN))
def test_what_is_final_or_parked_is_never_claimed(books, poster, state):
    # given
    book(books, posting())
    [claimed] = claim(poster)
    outbox.record(poster, [result(claimed, Outcome.CONFLICT, state)], now=NOON)

    # when, then
    assert claim(poster, now=NOON + timedelta(days=365)) == []
    assert outbox_figures.next_due_at(poster) is None


def test_a_claim_counts_the_disputes_so_far(books, poster):
    # given
    book(books, posting())
    for outcome, state in [
        (Outcome.ECHO_DIFFERS, State.DISPUTED),
        (Outcome.LOST, State.UNKNOWN),
        (Outcome.SIGNATURE_WRONG, State.DISPUTED),
    ]:
        [claimed] = claim(poster)
        outbox.record(poster, [result(claimed, outcome, state, next_at=NOON)], now=NOON)

    # when
    [claimed] = claim(poster)

    # then
    assert (claimed.attempt, claimed.disputes) == (4, 2)


def test_a_clock_that_is_set_back_stops_nothing(books, poster):
    # given postings that wait by a clock which ran a day ahead
    book(books, posting(1), posting(2), at=NOON + timedelta(days=1))
    claim(poster, now=NOON + timedelta(days=1), limit=1)
    assert claim(poster) == []

    # when the clock is right again
    pulled = outbox.pull_in(poster, partner=PARTNER, now=NOON)

    # then they are due, and an ordinary wait is left alone
    assert pulled == 2
    [*_, claimed] = claim(poster)
    outbox.record(poster, [lost(claimed, next_at=NOON + timedelta(hours=1))], now=NOON)
    assert outbox.pull_in(poster, partner=PARTNER, now=NOON) == 0


# --- record --------------------------------------------------------------------------------------


def test_receipt_and_state_are_stored_together(books, poster, ask):
    # given
    book(books, posting())
    [claimed] = claim(poster)

    # when
    recorded = outbox.record(poster, [acknowledged(claimed)], now=NOON + SECOND)

    # then
    assert recorded == [Recorded.RECORDED]
    assert ask("table receipt") == [
        (posting().posting_id, 1, NOON, "acknowledged", 200, "acknowledged by test")
    ]
    assert ask("select state, leased_until, detail, changed_at from posting_state") == [
        ("acknowledged", None, "acknowledged by test", NOON + SECOND)
    ]


def test_a_second_record_of_an_attempt_changes_nothing(books, poster, ask):
    # given
    book(books, posting())
    [claimed] = claim(poster)
    outbox.record(poster, [lost(claimed)], now=NOON)

    # when the same attempt is recorded again, even with another outcome
    again = outbox.record(poster, [lost(claimed)], now=NOON)
    otherwise = outbox.record(poster, [acknowledged(claimed)], now=NOON)

    # then the first stands
    assert again == otherwise == [Recorded.ALREADY]
    assert ask("select outcome from receipt") == [("lost",)]
    assert ask("select state from posting_state") == [("unknown",)]


@pytest.mark.parametrize("newer", [None, "acknowledged"], ids=["still out", "acknowledged"])
def test_a_late_record_of_an_old_lease_is_kept_as_evidence_and_moves_nothing(
    books, poster, other_poster, ask, newer
):
    # given an attempt whose lease ran out, and a newer one
    book(books, posting())
    [old] = claim(poster)
    [new] = claim(other_poster, now=NOON + LEASE)
    if newer:
        outbox.record(other_poster, [acknowledged(new)], now=NOON + LEASE)

    # when the old one reports after all
    recorded = outbox.record(poster, [lost(old)], now=NOON + LEASE)

    # then
    assert recorded == [Recorded.LATE]
    assert ask("select state, attempts from posting_state") == [(newer or "sent", 2)]
    assert ask("select attempt, outcome from receipt where attempt = 1") == [(1, "lost")]


def test_results_are_recorded_all_or_none_and_answered_in_order(books, poster, ask):
    # given
    book(books, *postings(3))
    claimed = claim(poster)
    outbox.record(poster, [lost(claimed[1])], now=NOON)
    unfit = replace(acknowledged(claimed[2]), detail="nul\0")

    # when one of a group cannot be stored
    with pytest.raises(psycopg.DataError):
        outbox.record(poster, [acknowledged(claimed[0]), unfit], now=NOON)

    # then none of the group is; and the whole group can be recorded again
    assert ask("select count(*) from receipt") == [(1,)]
    assert outbox.record(poster, [acknowledged(c) for c in claimed], now=NOON) == [
        Recorded.RECORDED, Recorded.ALREADY, Recorded.RECORDED,
    ]  # fmt: skip


def test_a_result_that_leads_nowhere_is_refused_before_anything_is_stored(books, poster, ask):
    # given
    book(books, posting())
    [claimed] = claim(poster)

    # when
    with pytest.raises(IllegalMoveError):
        outbox.record(poster, [result(claimed, Outcome.LOST, State.PENDING)], now=NOON)

    # then
    assert ask("table receipt") == []


def test_claims_and_records_refuse_to_hide_in_an_open_transaction(books, poster):
    # given a connection in the middle of something
    book(books, posting())
    [claimed] = claim(poster)
    poster.execute("select 1")

    # when, then
    with pytest.raises(OpenTransactionError, match="INTRANS"):
        claim(poster)
    with pytest.raises(OpenTransactionError):
        outbox.record(poster, [acknowledged(claimed)], now=NOON)


def test_a_lost_connection_is_told_as_such(poster, ask):
    # given a connection that the database has ended
    ask("select pg_terminate_backend(%s, 5000)", poster.info.backend_pid)

    # when, then
    with pytest.raises(DatabaseUnavailableError, match="try again"):
        claim(poster)


# --- figures -------------------------------------------------------------------


def test_totals_add_up_money_exactly_by_state_and_currency(books, poster):
    # given sums beyond 64 bits
    much = 10**15
    book(
        books,
        *[posting(n, amount_minor=much) for n in range(1, 4)],
        posting(4, amount_minor=-7, currency="EUR"),
    )
    [claimed] = claim(poster, limit=1)
    outbox.record(poster, [acknowledged(claimed)], now=NOON)

    # when
    totals = outbox_figures.totals(poster)

    # then
    assert sum(t.amount_minor for t in totals if t.currency == "USD") == 3 * much
    assert sum(t.postings for t in totals) == 4
    assert {t.state for t in totals} == {State.ACKNOWLEDGED, State.PENDING}
    assert [t.state for t in outbox_figures.totals(poster, states={State.ACKNOWLEDGED})] == [
        State.ACKNOWLEDGED
    ]


def test_the_next_due_time_is_that_of_the_first_open_posting(books, poster):
    # given
    assert outbox_figures.next_due_at(poster) is None
    book(books, posting(1), at=NOON + 5 * SECOND)
    book(books, posting(2), at=NOON + 9 * SECOND)

    # when, then
    assert outbox_figures.next_due_at(poster) == NOON + 5 * SECOND
    claim(poster, now=NOON + 5 * SECOND)
    assert outbox_figures.next_due_at(poster) == NOON + 9 * SECOND
