"""Doubting a period: what is kept of it, and what is told."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from expectations.readings import SUITE, SUITE_VERSION
from settlement.periods import Period
from storage.errors import DatabaseUnavailableError
from tasks.quality import check_quality
from tests.expectations.stored import PERIOD, plausible, store

NOW = PERIOD.ended_at + timedelta(hours=1)


def stored(dsn: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, user="v2g") as conn:
        return conn.execute(
            "select quality_id, suite, suite_version, period_started_at, period_ended_at, checked_at, worst, checks"
            " from quality_result"
        ).fetchall()


def test_what_was_found_is_kept_with_the_version_that_found_it(database):
    # given a period in which one meter in five disagrees with itself, and one more
    rows = plausible()
    store(database, [*(row | {"power_end_w": 0} for row in rows[:21]), *rows[21:]])

    # when it is doubted
    summary = check_quality(database, PERIOD, now=NOW)

    # then the row says by which suite, when, about what, and what was found by every check
    ((*facts, checks),) = stored(database)
    assert facts == [
        summary.quality_id,
        SUITE,
        SUITE_VERSION,
        PERIOD.started_at,
        PERIOD.ended_at,
        NOW,
        "critical",
    ]
    assert checks == summary.checks
    assert summary.hold == (
        "registers agree with powers: 21 of 100 rows,"
        " expected at least 0 × 1e-6, at most 50000 × 1e-6, in at least 80% of the rows"
    )


def test_a_warning_holds_nothing(plain_database):
    summary = check_quality(plain_database, PERIOD, now=NOW)

    assert (summary.worst, summary.hold) == ("warning", "")


def test_the_same_check_told_twice_is_one_row(plain_database):
    first, second = (check_quality(plain_database, PERIOD, now=NOW) for _ in range(2))

    assert first == second
    assert len(stored(plain_database)) == 1


def test_a_database_that_is_not_there_may_be_tried_again(tmp_path):
    with pytest.raises(DatabaseUnavailableError):
        check_quality(
            f"host={tmp_path} dbname=v2g", Period(PERIOD.started_at, PERIOD.ended_at), now=NOW
        )
