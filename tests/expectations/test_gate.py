"""The gate on real periods, in a real database: what raises which doubt."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from expectations import gate, readings
from expectations.gate import GateBrokenError, Severity
from settlement.periods import Period
from settlement.reasons import PacketReason
from storage import quality
from storage.engine import Role, connect
from tests.expectations.stored import (
    PERIOD,
    STEP,
    STEP_MILLIWH,
    Row,
    not_stated,
    plausible,
    quarantined,
    reading,
    store,
)


def doubt(dsn: str, **instead: Any) -> gate.Verdict:
    with connect(dsn, Role.READ) as conn:
        url = quality.same_database(conn)
    ours: dict[str, Any] = {
        "readings_query": quality.readings_query(
            PERIOD, smallest_base_milliwh=readings.SMALLEST_BASE_MILLIWH
        ),
        "packets_query": quality.packets_query(PERIOD),
        "period_ended_at": PERIOD.ended_at,
    }
    return gate.doubt(url, **(ours | instead))


def worst(verdict: gate.Verdict) -> list[tuple[str, Severity]]:
    return [
        (check.check, check.severity) for check in verdict.failed if check.severity is verdict.worst
    ]


def changed(rows: list[Row], count: int, **by: Any) -> list[Row]:
    """The first rows with columns moved by so much."""
    return [
        row | {k: row[k] + by[k] for k in by} if n < count else row for n, row in enumerate(rows)
    ]


def doubled(count: int) -> list[Row]:
    """As many readings again of the same EVSE and time, under another epoch."""
    return [row | {"stream_epoch": 2} for row in plausible()[:count]]


AGREE = "registers agree with powers"
OVERLAP = "readings of one EVSE do not overlap"
BECOME = "packets become readings"


def test_a_plausible_period_raises_no_doubt_on_any_engine(database):
    store(database, plausible())

    verdict = doubt(database)

    assert verdict.worst is Severity.NONE, verdict.failed
    assert {check.rows for check in verdict.checks} == {0, 100}


@pytest.mark.parametrize(
    ("rows", "refused", "expected"),
    [
        pytest.param(
            changed(plausible(), 1, power_end_w=1_000),
            [],
            None,
            id="one disagreeing meter in a hundred",
        ),
        pytest.param(
            not_stated(plausible()),
            [],
            None,
            id="a meter's records, which state no powers",
        ),
        pytest.param(
            not_stated(plausible(), 98) + changed(plausible()[98:], 1, power_end_w=1_000),
            [],
            (AGREE, Severity.CRITICAL),
            id="one disagreeing meter of two that state powers",
        ),
        pytest.param(
            changed(plausible(), 2, power_end_w=1_000),
            [],
            (AGREE, Severity.WARNING),
            id="two in a hundred",
        ),
        pytest.param(
            changed(plausible(), 20, power_end_w=1_000),
            [],
            (AGREE, Severity.WARNING),
            id="twenty in a hundred",
        ),
        pytest.param(
            changed(plausible(), 21, power_end_w=1_000),
            [],
            (AGREE, Severity.CRITICAL),
            id="twenty-one in a hundred",
        ),
        pytest.param(
            changed(plausible(), 100, export_end_milliwh=1_000),
            [],
            None,
            id="all off by the resolution of a meter",
        ),
        pytest.param(
            changed(plausible(), 100, import_end_milliwh=STEP_MILLIWH),
            [],
            (AGREE, Severity.CRITICAL),
            id="all charging what they discharge",
        ),
        pytest.param(
            plausible() + doubled(1),
            [],
            (OVERLAP, Severity.WARNING),
            id="one overlap in a hundred and one",
        ),
        pytest.param(
            plausible() + doubled(10),
            [],
            (OVERLAP, Severity.CRITICAL),
            id="ten overlaps in a hundred and ten",
        ),
        pytest.param(
            changed(plausible(), 1, export_end_milliwh=-2 * STEP_MILLIWH),
            [],
            ("the export register never runs backwards or jumps", Severity.CRITICAL),
            id="a register runs backwards",
        ),
        pytest.param(
            changed(plausible(), 1, import_end_milliwh=10**9 + 1),
            [],
            ("the import register never runs backwards or jumps", Severity.CRITICAL),
            id="a register jumps",
        ),
        pytest.param(
            changed(plausible(), 1, ended_at=-STEP),
            [],
            ("each reading ends after it starts, within an hour", Severity.CRITICAL),
            id="an empty interval",
        ),
        pytest.param(
            plausible(8),
            [quarantined(n, reason=PacketReason.CLOCK_OFFSET) for n in range(8)],
            (BECOME, Severity.WARNING),
            id="half of the signed packets quarantined",
        ),
        pytest.param(
            plausible(8),
            [quarantined(n, reason=PacketReason.CLOCK_OFFSET) for n in range(9)],
            ("signed packets become readings", Severity.CRITICAL),
            id="more than half of the signed packets quarantined",
        ),
        pytest.param(
            plausible(8),
            [quarantined(n) for n in range(90)],
            (BECOME, Severity.WARNING),
            id="a flood that nobody signed",
        ),
        pytest.param(
            plausible(8),
            [quarantined(n, reason=PacketReason.DUPLICATE_CONTENT) for n in range(9)],
            None,
            id="the same packets again",
        ),
        pytest.param(
            plausible(8),
            [quarantined(n, started_at=PERIOD.ended_at) for n in range(9)],
            None,
            id="packets of the next period quarantined",
        ),
        pytest.param(
            plausible(8),
            [quarantined(n, started_at=None, received_at=PERIOD.started_at) for n in range(9)],
            (BECOME, Severity.WARNING),
            id="unreadable packets that came in the period",
        ),
    ],
)
def test_a_doubtful_period_is_named_with_its_severity(plain_database, rows, refused, expected):
    store(plain_database, rows, refused)

    verdict = doubt(plain_database)

    assert worst(verdict) == ([expected] if expected else []), verdict.failed


def test_a_period_without_readings_is_a_warning_and_not_held(plain_database):
    verdict = doubt(plain_database)

    assert verdict.worst is Severity.WARNING
    assert {check.check for check in verdict.failed} == {
        "the period has readings",
        "the newest reading reaches the end of the period",
    }


def test_readings_belong_to_the_period_in_which_they_start(plain_database):
    # given readings on both edges of the half-open period, those outside of it implausible
    before = reading(
        0,
        sequence=901,
        started_at=PERIOD.started_at - STEP,
        ended_at=PERIOD.started_at,
        power_start_w=0,
    )
    after = reading(
        0,
        sequence=902,
        started_at=PERIOD.ended_at,
        ended_at=PERIOD.ended_at + STEP,
        power_start_w=0,
    )
    store(plain_database, [*plausible(10), reading(0, evse_id="EVSE-2"), before, after])

    # when the period is doubted
    verdict = doubt(plain_database)

    # then only those that start in it count
    assert verdict.worst is Severity.NONE, verdict.failed
    assert max(check.rows for check in verdict.checks) == 11


def test_a_reading_from_before_the_period_that_reaches_into_it_is_an_overlap(plain_database):
    early = reading(
        0,
        sequence=900,
        started_at=PERIOD.started_at - STEP,
        ended_at=PERIOD.started_at + timedelta(microseconds=1),
    )
    store(plain_database, [early, reading(0)])

    verdict = doubt(plain_database)

    assert (OVERLAP, Severity.CRITICAL) in worst(verdict)


def test_a_query_that_fails_is_a_broken_gate_and_not_a_doubt(plain_database):
    with pytest.raises(GateBrokenError) as caught:
        doubt(plain_database, readings_query="select * from reading where no_such_column = 1")

    assert "no_such_column" in caught.value.cause


def test_a_database_that_cannot_be_reached_is_a_broken_gate(tmp_path):
    with pytest.raises(GateBrokenError) as caught:
        gate.doubt(
            f"postgresql+psycopg://v2g_read@localhost/v2g?host={tmp_path}&connect_timeout=2",
            readings_query="select 1",
            packets_query="select 1",
            period_ended_at=PERIOD.ended_at,
        )

    assert caught.value.check == "connection"


def test_the_gate_leaves_no_connection_behind(plain_database):
    doubt(plain_database)

    with psycopg.connect(plain_database, user="v2g") as conn:
        others = conn.execute(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        ).fetchone()
    assert others == (0,)


def test_the_gate_cannot_write_whoever_connects(plain_database):
    with psycopg.connect(plain_database, user="v2g") as conn:
        conn.execute("create sequence counter")
        conn.commit()
        url = quality.same_database(conn)

    with pytest.raises(GateBrokenError) as caught:
        gate.doubt(
            url,
            readings_query="select nextval('counter') as evse_id",
            packets_query="select 1",
            period_ended_at=PERIOD.ended_at,
        )

    assert "read-only transaction" in caught.value.cause


@pytest.mark.parametrize(
    ("age", "expected"),
    [(timedelta(hours=1), Severity.NONE), (timedelta(hours=1, microseconds=1), Severity.WARNING)],
    ids=["as old as permitted", "older"],
)
def test_the_newest_reading_may_be_an_hour_older_than_the_period(plain_database, age, expected):
    store(plain_database, plausible(3))

    verdict = doubt(plain_database, period_ended_at=PERIOD.ended_at + age)

    assert verdict.worst is expected


def test_limits_and_findings_are_told_in_words(plain_database):
    store(plain_database, changed(plausible(), 21, power_end_w=1_000))

    (found,) = (
        check for check in doubt(plain_database).failed if check.severity is Severity.CRITICAL
    )

    assert found.observed == "21 of 100 rows"
    assert found.limit == "at least 0 × 1e-6, at most 50000 × 1e-6, in at least 80% of the rows"
    assert (found.unexpected, found.rows, found.column) == (21, 100, "disagreement_ppm")


def test_the_period_of_the_suite_is_rendered_to_the_microsecond():
    moment = PERIOD.started_at + timedelta(microseconds=1)

    query = quality.packets_query(Period(moment, PERIOD.ended_at))

    assert "17:00:00.123458+00:00'::timestamptz" in query
    assert "%" not in query
