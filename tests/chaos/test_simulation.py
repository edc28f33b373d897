"""Hours of bad answers and crashes in seconds: right code loses nothing, and each known bug is found."""

import pytest

from tests.chaos import sabotages
from tests.chaos.simulation import QUIET, simulate
from tests.postings import empty, outbox_database

POSTINGS = 40
SEEDS = 3
"""Within so many each bug must be found."""


@pytest.fixture(scope="module")
def migrated(plain_postgres):
    with outbox_database(plain_postgres) as dsn:
        yield dsn


@pytest.fixture
def database(migrated):
    empty(migrated)
    return migrated


@pytest.mark.parametrize("seed", [1, 2])
def test_crashes_and_bad_answers_lose_nothing_and_double_nothing(database, seed):
    judgement = simulate(database, seed, postings=POSTINGS)
    assert (str(judgement), judgement.wrong) == (
        f"posted {POSTINGS + QUIET}, double 0, missing 0, open 0",
        (),
    )


@pytest.mark.parametrize("sabotage", sabotages.ALL, ids=lambda one: one.__name__)
def test_a_deliberate_bug_is_found_within_a_few_seeds(database, sabotage):
    for seed in range(1, SEEDS + 1):
        empty(database)
        if not simulate(database, seed, postings=POSTINGS, sabotage=sabotage).good:
            return
    pytest.fail(f"{sabotage.__name__} was not found: {sabotage.__doc__}")
