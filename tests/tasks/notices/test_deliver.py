"""Notices: derived from facts once, sent at least once under one id, given up in the end by name."""

import random
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from storage import notices, outbox
from storage.destinations import operating
from storage.engine import Role, connect
from storage.notices import Kind, State
from tasks.notices.allowed import Allowed
from tasks.notices.configure import configure
from tasks.notices.deliver import deliver
from tasks.notices.errors import DestinationRefusedError
from tests.postings import posting
from tests.tasks.notices.receiver import TOKEN, Receiver, status


@pytest.fixture
def receiver(tmp_path):
    with Receiver(tmp_path / "receiver") as running:
        yield running


class World:
    """A database, a receiver and a clock that the test moves."""

    def __init__(self, dsn, receiver):
        self.dsn, self.receiver, self.now = dsn, receiver, datetime.now(UTC)

    def means(self):
        return self.receiver.means(self.dsn, clock=lambda: self.now)

    def configured(self):
        made = configure(self.means(), self.receiver.url, TOKEN, by="anna")
        self.later()
        return made

    def later(self, **by):
        self.now += timedelta(**(by or {"seconds": 1}))

    def deliver(self, **changes):
        return deliver(self.means(), random=random.Random(7), **changes)

    def deliver_to(self, receiver):
        given = receiver.means(self.dsn, clock=lambda: self.now)
        return deliver(given, random=random.Random(7))

    def post(self, number, state="acknowledged"):
        """A posting that has come so far."""
        one = posting(number)
        with connect(self.dsn, Role.SETTLE) as conn:
            outbox.enqueue(conn, [one], self.now)
        self.move(one.posting_id, state)
        return one

    def move(self, posting_id, state):
        with psycopg.connect(self.dsn, user="v2g") as conn:
            conn.execute(
                "update posting_state set state = %s, changed_at = %s where posting_id = %s",
                [state, self.now, posting_id],
            )

    def listed(self):
        with operating(self.dsn) as conn:
            return notices.listed(conn)

    def told(self):
        """The notices that came, without tests of the destination."""
        return [one for one in self.receiver.seen if b"webhook.test" not in one.body]


@pytest.fixture
def world(plain_database, receiver):
    return World(plain_database, receiver)


def test_an_acknowledged_payout_is_told_of_with_all_that_finalises_it(world):
    # given a destination, and a payout that the clearinghouse holds
    made = world.configured()
    paid = world.post(1)

    # when notices are delivered, twice
    first, second = world.deliver(), world.deliver()

    # then it was told once, signed, and in words that a receiver can book by
    [call] = world.told()
    said = call.verified(made.secret)
    assert said["type"] == "posting.acknowledged"
    assert said["data"] == {
        "posting_id": paid.posting_id,
        "settlement_id": "settlement-1",
        "account": "account-1",
        "amount_minor": "101",
        "currency": "USD",
        "movement": "payout",
        "period_started_at": "2026-07-01T12:00:00Z",
        "period_ended_at": "2026-07-01T13:00:00Z",
    }
    assert (first.noted, first.delivered, first.pending) == (1, 1, 0)
    assert (second.noted, second.delivered) == (0, 0)


def test_what_happened_before_anybody_said_where_notices_go_is_not_told(world):
    world.post(1)
    before = world.deliver()
    world.later()
    world.configured()
    world.post(2, "rejected")
    world.post(3, "parked")
    world.post(4, "queued")

    world.deliver()

    assert (before.destination, before.noted) == ("", 0)
    assert sorted(one.kind for one in world.listed()) == ["posting.parked", "posting.rejected"]
    assert len(world.told()) == 2


def test_a_posting_that_is_parked_again_is_told_again(world):
    world.configured()
    one = world.post(1, "parked")
    world.deliver()
    world.later()
    world.move(one.posting_id, "unknown")
    world.deliver()
    world.later()
    world.move(one.posting_id, "parked")
    world.deliver()

    assert [one.kind for one in world.listed()] == ["posting.parked"] * 2


def test_a_held_account_and_an_expiring_certificate_are_told_once(world):
    # given an account that is held, and a certificate that ends
    world.configured()
    with psycopg.connect(world.dsn, user="v2g") as conn:
        conn.execute(
            "insert into account_hold (account, number, event, by, why, at)"
            " values ('account-1', 1, 'held', 'screening', 'daily limit', %s)",
            [world.now],
        )
    with operating(world.dsn) as conn:
        data = {"expires_at": "2027-01-01T00:00:00Z"}
        noted = [notices.note(conn, Kind.CERTIFICATE, "key 30", data, world.now) for _ in range(2)]

    # when it is delivered twice
    world.deliver()
    world.deliver()

    assert noted == [True, False]
    assert sorted((one.kind, one.subject) for one in world.listed()) == [
        ("account.held", "account-1 1"),
        ("certificate.expiring", "key 30"),
    ]
    assert len(world.told()) == 2


def test_nothing_is_noted_for_nobody(world):
    with operating(world.dsn) as conn:
        assert not notices.note(conn, Kind.CERTIFICATE, "key 30", {}, world.now)
    assert world.listed() == []


def test_what_is_not_taken_comes_again_under_the_same_id_and_body(world):
    # given a receiver that fails, then asks to wait, then takes it
    made = world.configured()
    world.post(1)
    world.receiver.answers(status(500))
    failed = world.deliver()
    at_once = world.deliver()
    world.later(minutes=2)
    world.receiver.answers(status(429, Retry_After="600"))
    world.deliver()
    world.later(minutes=9)
    too_soon = world.deliver()
    world.receiver.answers(status(204))
    world.later(minutes=2)
    done = world.deliver()

    # then each attempt had the same id and content, and its own time
    calls = world.told()
    assert [one.failed for one in (failed, at_once, too_soon)] == [1, 0, 0]
    assert (done.delivered, done.pending, len(calls)) == (1, 0, 3)
    assert len({one.headers["webhook-id"] for one in calls}) == 1
    assert len({one.body for one in calls}) == 1
    assert len({one.headers["webhook-timestamp"] for one in calls}) == 3
    assert calls[0].verified(made.secret)
    with psycopg.connect(world.dsn, user="v2g") as conn:
        kept = conn.execute(
            "select attempt, outcome, http_status from notice_attempt order by attempt"
        ).fetchall()
    assert kept == [(1, "failed", 500), (2, "failed", 429), (3, "delivered", 204)]


def test_a_notice_that_is_never_taken_is_dead_by_name_and_left_alone(world):
    world.configured()
    world.post(1)
    world.receiver.answers(status(503))
    world.deliver()
    world.later(days=8)

    given_up = world.deliver()
    world.later(days=1)
    after = world.deliver()

    assert (given_up.died, given_up.dead, given_up.pending) == (1, 1, 0)
    assert [(one.state, one.attempts) for one in world.listed()] == [(State.DEAD, 2)]
    assert after.failed == 0


def test_what_was_claimed_and_never_recorded_is_sent_again(world):
    # given a process that was killed between sending and recording
    world.configured()
    world.post(1)
    with operating(world.dsn) as conn:
        notices.derive(conn, world.now)
    with operating(world.dsn) as conn:
        [claimed] = notices.claim(conn, now=world.now, limit=9, lease=timedelta(minutes=2))

    # when others look at once, and when its lease is over
    meanwhile = world.deliver()
    world.later(minutes=3)
    done = world.deliver()

    assert (meanwhile.delivered, done.delivered) == (0, 1)
    assert world.told()[0].headers["webhook-id"] == str(claimed.notice_id)


def test_a_receiver_that_is_down_is_left_alone_and_everything_waits_on_disk(world):
    world.configured()
    for number in range(1, 31):
        world.post(number)
    world.receiver.answers(status(502))

    summary = world.deliver(concurrency=2)

    assert summary.rested
    assert summary.failed <= 20
    assert summary.pending == summary.noted == 30


def test_concurrency_and_number_are_bounded(world):
    world.configured()
    for number in range(1, 13):
        world.post(number)
    lock, out, most = threading.Lock(), 0, 0

    def slow(request):
        nonlocal out, most
        with lock:
            out += 1
            most = max(most, out)
        time.sleep(0.05)  # the receiver's slowness is what is tested
        with lock:
            out -= 1
        request.say(204)

    world.receiver.answers(slow)
    summary = world.deliver(concurrency=3, limit=9)

    assert (summary.delivered, summary.pending) == (9, 3)
    assert 1 < most <= 3
    for wrong in ({"limit": 0}, {"concurrency": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            world.deliver(**wrong)


def test_two_deliverers_send_each_notice_once(world):
    from concurrent.futures import ThreadPoolExecutor

    world.configured()
    for number in range(1, 41):
        world.post(number)

    with ThreadPoolExecutor(2) as pool:
        done = [pool.submit(world.deliver) for _ in range(2)]
        delivered = sum(one.result().delivered for one in done)

    ids = [one.headers["webhook-id"] for one in world.told()]
    assert delivered == len(ids) == len(set(ids)) == 40


def test_after_its_host_left_the_list_nothing_is_sent(world):
    world.configured()
    world.post(1)
    given = replace(world.means(), allowed=Allowed({}))

    with pytest.raises(DestinationRefusedError, match="not allowed"):
        deliver(given, random=random.Random(7))

    assert world.told() == []


def test_the_scheduled_step_takes_everything_from_the_environment(world, monkeypatch):
    from tasks import words
    from tasks.prefect_tasks import paying

    # given a worker where nothing is configured yet, and one where all is
    monkeypatch.setenv("V2G_DATABASE_URL", world.dsn)
    nowhere = paying.tell_partners.fn()
    world.configured()
    world.post(1)
    for name, value in world.receiver.files().items():
        monkeypatch.setenv(name, value)
    told = paying.tell_partners.fn()

    assert words.notices(nowhere) == "nobody has said where notices go; 0 wait"
    assert words.notices(told) == "1 noted, 1 delivered, 0 failed; 0 still pending"


def test_once_notices_go_elsewhere_no_more_are_claimed_for_the_place_before(world, tmp_path):
    # given a receiver at which, on the first notice, somebody configures another
    world.configured()
    for number in range(1, 16):
        world.post(number)
    with Receiver(tmp_path / "other") as other:

        def moves(request):
            world.receiver.answers(status(204))
            given = other.means(world.dsn, clock=lambda: world.now)
            configure(given, other.url, TOKEN, by="bert")
            request.say(204)

        # when
        world.receiver.answers(moves)
        first = world.deliver(concurrency=1)
        left = world.deliver_to(other)

    # then what was claimed already went there, and the rest to the new place
    assert (len(world.told()), first.delivered, left.delivered) == (10, 10, 5)


def test_what_was_parked_with_its_account_and_paid_all_the_same_is_told_of(world):
    world.configured()
    one = world.post(1, "parked")
    with psycopg.connect(world.dsn, user="v2g") as conn:
        conn.execute("insert into held_posting values (%s, 'A')", [one.posting_id])
    assert world.deliver().noted == 0

    # when the partner's statement shows that it was paid
    world.later()
    world.move(one.posting_id, "acknowledged")

    world.deliver()
    assert [notice.kind for notice in world.listed()] == [Kind.ACKNOWLEDGED]
