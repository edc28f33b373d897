"""A poster that is killed, again and again, against a clearinghouse most of whose answers are bad."""

import multiprocessing
import time
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from random import Random

import psycopg
import pytest

from embedded.processes import wait_until
from settlement.posting import Backoff
from simulators.clearinghouse import ClearingHouse, Misbehaviour
from storage import outbox
from storage.engine import Role, connect
from tasks.post import Clearinghouse, post_pending
from tests.postings import NOON, empty, outbox_database, postings

POSTINGS = 300
KILLS = 14
BACKOFF = Backoff(first=timedelta(milliseconds=50), cap=timedelta(milliseconds=500))
CALL_S, LEASE_S = 0.5, 1.5
FAULTY = Misbehaviour(
    slow=0.045, error=0.14, lost_ack=0.14, too_many=0.002, wrong_echo=0.08, html=0.043,
    truncated=0.08, drip=0.01, huge=0.01,
)  # fmt: skip


def drain(dsn: str, url: str, random: Random) -> None:
    post_pending(
        dsn,
        Clearinghouse(url, "secret", deadline_s=CALL_S, backoff=BACKOFF),
        clock=lambda: datetime.now(UTC),
        random=random,
        lease_s=LEASE_S,
        until_empty=True,
        deadline_s=90,
    )


@pytest.fixture(scope="module")
def migrated(plain_postgres):
    with outbox_database(plain_postgres) as dsn:
        yield dsn


@pytest.fixture
def database(migrated):
    empty(migrated)
    return migrated


@pytest.fixture(scope="module")
def processes():
    """Processes of their own that need not import everything anew, each time they start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    return context


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20260701])
def test_a_poster_killed_at_any_moment_neither_pays_twice_nor_forgets(database, processes, seed):
    # given what is booked, and a clearinghouse that answers badly more often than not
    random = Random(seed)
    booked = postings(POSTINGS)
    with connect(database, Role.SETTLE) as conn:
        outbox.enqueue(conn, booked, NOON)
    with ClearingHouse(token="secret", seed=seed, misbehaviour=FAULTY) as house:

        def calls() -> int:
            return sum(house.truth().attempts.values())

        def kill_one(poster: BaseProcess) -> None:
            before = calls()
            poster.start()
            wait_until(
                lambda: calls() > before or not poster.is_alive(), deadline_s=30, what="a call"
            )
            time.sleep(random.random() * 0.2)  # the moment at which it is killed
            assert poster.is_alive(), "all was sent before it was killed"
            poster.kill()
            poster.join(10)

        # when the poster is killed in the middle of its work, many times
        for kill in range(KILLS):
            kill_one(processes.Process(target=drain, args=(database, house.url, Random(kill))))
        with psycopg.connect(database, user="v2g") as conn:
            [(cut_off,)] = conn.execute(
                "select count(*) from posting_state s where attempts > (select count(*) from receipt r where r.posting_id = s.posting_id)"
            ).fetchall()

        # and then left alone
        drain(database, house.url, random)
        truth = house.truth()

    # then what is booked is paid, each posting once
    assert truth.effects == {p.posting_id: 1 for p in booked}
    assert {i: p.body for i, p in truth.postings.items()} == {p.posting_id: p.body for p in booked}
    assert truth.totals_minor == {"USD": sum(p.amount_minor for p in booked)}
    assert truth.settlements_paid_twice == []
    # and the outbox knows it
    with psycopg.connect(database, user="v2g") as conn:
        states = conn.execute("select state, count(*) from posting_state group by 1").fetchall()
        receipts = conn.execute(
            "select count(*), count(distinct posting_id) from receipt where outcome = 'acknowledged'"
        ).fetchall()
    assert states == [("acknowledged", POSTINGS)]
    assert receipts == [(POSTINGS, POSTINGS)]
    # and the trial was one: kills cut attempts off, and most first answers were bad
    assert cut_off > 0
    assert sum(truth.attempts.values()) > 1.5 * POSTINGS
