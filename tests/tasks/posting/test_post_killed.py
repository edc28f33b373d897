"""Two posters that are killed, again and again, against a clearinghouse most of whose answers are bad.

The short form of `make chaos`: the same trial, over TLS and with signatures on both sides.
"""

import pytest

from tests.chaos.posters import forkserver
from tests.chaos.trial import QUIET, Trial
from tests.postings import empty, outbox_database

POSTINGS = 150
KILLS = 14


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
    return forkserver()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [20260701])
def test_two_posters_killed_at_any_moment_neither_pay_twice_nor_forget(
    database, processes, seed, tmp_path
):
    # given what is booked, and a clearinghouse that answers badly more often than not
    trial = Trial(database, tmp_path, seed=seed, postings=POSTINGS, kills=KILLS)

    # when posters are killed in the middle of their work, many times, and then left alone
    judgement = trial.run(processes, deadline_s=60)

    # then what is booked is paid, each posting once, and the outbox knows it
    assert (str(judgement), judgement.wrong) == (
        f"posted {POSTINGS + QUIET}, double 0, missing 0, open 0",
        (),
    )
    # and the trial was one: kills cut attempts off, at exact points too, and many answers were bad
    assert trial.cut_off > 0
    assert len(trial.deaths) > 2
    assert trial.calls > 1.3 * POSTINGS
