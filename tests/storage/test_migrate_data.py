"""What a database holds is carried along when it is brought up to date, and back again."""

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from settlement.periods import Period
from storage.engine import Role, connect
from storage.event_decisions import late_versions
from storage.migrate import downgrade, migrate
from storage.windows import load_windows
from tests.storage.made import NOON

WEEK = timedelta(weeks=1)
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
FAR_OFF = datetime(2090, 1, 1, tzinfo=UTC)
READING = """
    insert into reading values ('A', 'car', 'session', 1, %s, %s, %s, 7200, 7200, 0, 30000, 0, 0,
                                800000, 799000, 48137154, 11576124, 0, 'key', 'digest', %s)
"""


@pytest.fixture
def before(database):
    """A database of before the terms, with two contracts, a program, an event and readings."""
    downgrade(database, "0005")
    with connect(database, Role.SETTLE) as settle:
        settle.execute(
            "insert into contract values ('c', 'car', 'p', 850000, 'acc', %s, null),"
            " ('d', 'van', 'p', 900000, 'other', %s, %s)",
            [LONG_AGO, FAR_OFF, FAR_OFF + WEEK],
        )
        settle.execute("insert into program_version values ('p', 1, '{\"a\": 1}', %s)", [LONG_AGO])
        settle.execute(
            "insert into event_version values"
            " ('e', 1, 'digest', 'p', %s, %s, %s, 'scheduled', 'said', %s)",
            [NOON, NOON + WEEK, NOON, NOON],
        )
        # One week gets its partition; the others lie in the default one, or in chunks of their own.
        settle.execute("select public.ensure_partitions('reading', %s, %s)", [NOON, NOON])
        for number in range(3):
            start = NOON + number * WEEK
            settle.execute(
                READING,
                [number, start, start + timedelta(seconds=15), start + timedelta(hours=number)],
            )
    return database


def rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn, user="v2g") as conn:
        return conn.execute(query).fetchall()


def test_what_stood_before_is_version_one_and_known_from_when_it_counted(before):
    # given what stood before
    started = datetime.now(UTC)
    # when
    migrate(before)
    # then a contract has one owner, who gets everything
    whole = [{"role": "owner", "account": "acc", "share_ppm": 1_000_000}]
    assert rows(
        before,
        "select contract_id, version, vehicle_id, evse_id, site_id, program, incentive_rate_ppm,"
        " valid_from, valid_to, capacity_milliwh, rated_w, shares, recorded_at"
        " from contract_version where contract_id = 'c'",
    ) == [
        ("c", 1, "car", "", "", "p", 850_000, LONG_AGO, None, None, None, whole, LONG_AGO)
    ]  # fmt: skip
    # and what will only count later is known by now
    ((until, recorded),) = rows(
        before, "select valid_to, recorded_at from contract_version where contract_id = 'd'"
    )
    assert until == FAR_OFF + WEEK
    assert started <= recorded <= datetime.now(UTC)
    # and programs, events and readings say when they were known
    assert rows(before, "select version, body, valid_from, recorded_at from program_version") == [
        (1, {"a": 1}, LONG_AGO, LONG_AGO)
    ]
    assert rows(
        before, "select event_id, primacy, site_group, cancelled_at from event_version"
    ) == [("e", 0, "", None)]
    assert rows(before, "select judged_at, judged_at = received_at from reading order by 1") == [
        (NOON + number * (WEEK + timedelta(hours=1)), True) for number in range(3)
    ]


def test_versions_that_counted_before_late_ones_needed_a_word_count_still(plain_database):
    # given, from before, an event that was created as it ran, and one that was changed after its end
    downgrade(plain_database, "0011")
    with connect(plain_database, Role.SETTLE) as settle:
        for name, number, end, created, received in (
            ("late", 1, 60, 20, 20),
            ("changed", 1, 60, -60, -60),
            ("changed", 2, 90, -60, 300),
        ):
            settle.execute(
                "insert into event_version (event_id, version, digest, program, started_at, ended_at,"
                " created_at, status, document, received_at)"
                " values (%s, %s, 'digest', 'p', %s, %s, %s, 'completed', 'said', %s)",
                [
                    name,
                    number,
                    NOON,
                    *(NOON + timedelta(minutes=n) for n in (end, created, received)),
                ],
            )
    # when
    migrate(plain_database)
    # then they count as they did, as known then and now, and nothing waits for a word
    with connect(plain_database, Role.READ) as conn:
        for known_at, end in ((NOON + timedelta(minutes=299), 60), (NOON + WEEK / 7, 90)):
            found = {
                one.event_id: one.certain
                for one in load_windows(conn, Period(NOON, NOON + WEEK / 7), known_at=known_at)
            }
            assert found["late"] == Period(NOON, NOON + timedelta(minutes=60))
            assert found["changed"] == Period(NOON, NOON + timedelta(minutes=end))
        assert late_versions(conn) == []


def test_what_is_carried_over_stays_append_only_in_every_part(before):
    # given
    migrate(before)
    parts = [
        part for (part,) in rows(before, "select distinct tableoid::regclass::text from reading")
    ]
    assert len(parts) > 1
    # when its owner tries to change it
    for part in ["reading", "program_version", "event_version", *parts]:
        with psycopg.connect(before, user="v2g") as conn:
            conn.execute("set role v2g_owner")
            # then
            with pytest.raises(psycopg.errors.RestrictViolation):
                conn.execute(f"delete from {part}")


def test_there_and_back_again_changes_nothing_that_was_there(before):
    def content() -> dict[str, list[str]]:
        tables = ("contract", "program_version", "event_version", "reading")
        told = {table: rows(before, f"select * from {table}") for table in tables}
        told["function"] = rows(
            before, "select pg_get_functiondef('public.ensure_partitions'::regproc)"
        )
        return {name: sorted(map(repr, said)) for name, said in told.items()}

    # given
    there = content()
    # when
    migrate(before)
    downgrade(before, "0005")
    # then
    assert content() == there


def test_back_in_the_old_table_the_largest_share_of_the_latest_version_is_paid(before):
    # given a contract whose next version divides what it pays
    migrate(before)
    with connect(before, Role.SETTLE) as settle:
        settle.execute(
            """
            insert into contract_version
            select contract_id, vehicle_id, evse_id, site_id, program, 900000, valid_from, valid_to,
                   capacity_milliwh, rated_w, 2,
                   '[{"role": "aggregator", "account": "agg", "share_ppm": 300000},
                     {"role": "owner", "account": "mine", "share_ppm": 700000}]', now()
            from contract_version where contract_id = 'c'
            """
        )
    # when
    downgrade(before, "0005")
    # then
    assert rows(
        before, "select incentive_rate_ppm, account from contract where contract_id = 'c'"
    ) == [(900_000, "mine")]
