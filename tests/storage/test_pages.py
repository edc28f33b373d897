"""What a page shows of a run, from what is stored."""

from datetime import timedelta
from typing import Any

import psycopg
import pytest

from settlement.periods import Period
from storage import pages
from storage.engine import Role, connect
from storage.landing import Lander
from storage.pages import CameIn, PageTooSlowError, Refused
from tests.expectations.stored import PERIOD, STEP_MILLIWH, reading, store
from tests.storage.booked import NOON, book
from tests.storage.made import arrivals

RUN = "run-(1, 3, 2)-2026-07-01 14:00:00+00:00"


@pytest.fixture
def booked(plain_database: str) -> str:
    book(plain_database, 1, 3, 2)
    return plain_database


def read(dsn: str, query: Any, *arguments: Any, **bounds: Any) -> Any:
    with connect(dsn, Role.READ) as conn:
        return query(conn, *arguments, **bounds)


def test_readings_of_the_period_are_counted_with_what_their_registers_went_by(plain_database):
    late = {"started_at": PERIOD.ended_at, "ended_at": PERIOD.ended_at + timedelta(seconds=1)}
    store(
        plain_database,
        [reading(0), reading(1, import_end_milliwh=12), reading(2, **late)],
    )

    assert read(plain_database, pages.came_in, PERIOD) == CameIn(0, 0, 2, 2 * STEP_MILLIWH, 7)


def test_packets_are_counted_and_those_that_nobody_has_judged(plain_database):
    lander = Lander(plain_database)
    lander.land(arrivals(2, each=3))
    lander.close()

    came = read(plain_database, pages.came_in, Period(NOON, NOON + timedelta(hours=1)))
    assert (came.packets, came.unjudged) == (6, 6)


def test_what_a_run_booked_is_summed_by_program(booked):
    (one,) = read(booked, pages.paid_by_program, RUN, most=10)

    assert (one.program, one.currency, one.settlements, one.held) == ("tariff", "USD", 3, 0)
    assert (one.vehicles, one.energy_milliwh, one.amount_minor, one.booked_minor) == (
        3,
        6_000,
        6,
        6,
    )
    assert read(booked, pages.paid_by_program, "another run", most=10) == []


def test_the_largest_settlements_come_first_and_no_more_than_asked(booked):
    found = read(booked, pages.largest_settlements, RUN, most=2)

    assert [(one.settlement_id, one.booked_minor) for one in found] == [
        ("settlement-3", 3),
        ("settlement-2", 2),
    ]


def test_refused_energy_is_summed_by_reason_the_most_money_first(booked):
    # given a later run that found the same unpaid rows as the one before
    with psycopg.connect(booked, user="v2g") as conn:
        for number, (reason, worth) in enumerate(
            [("OUTSIDE_WINDOW", 10), ("OVER_CAP", 500), ("OUTSIDE_WINDOW", None)]
        ):
            conn.execute(
                """
                insert into unpaid (run_id, program, event_id, vehicle_id, evse_id, started_at,
                                    ended_at, energy_milliwh, reason, would_have_been_micros)
                values (%s, 'tariff', 'peak', 'car', 'EVSE-1', %s, %s, 7, %s, %s)
                """,
                [RUN, NOON, NOON + timedelta(minutes=number + 1), reason, worth],
            )
        conn.execute(
            """
            insert into settlement_run (run_id, period_started_at, period_ended_at, known_at, state,
                                        reason, code_version, totals, kind, unpaid_of)
            select 'later', period_started_at, period_ended_at, known_at, state, reason, code_version,
                   totals, kind, run_id from settlement_run where run_id = %s
            """,
            [RUN],
        )

    assert read(booked, pages.refused, "later", most=10) == [
        Refused("OVER_CAP", 1, 1, 7, 500, 0),
        Refused("OUTSIDE_WINDOW", 2, 1, 14, 10, 1),
    ]
    assert len(read(booked, pages.refused, "later", most=1)) == 1


def test_a_query_that_takes_too_long_is_given_up(plain_database, monkeypatch):
    monkeypatch.setattr(pages, "QUERY_S", 0.05)

    with pytest.raises(PageTooSlowError), pages.reading(plain_database) as conn:
        conn.execute("select pg_sleep(30)")


def test_a_page_can_write_nothing(plain_database):
    with (
        pages.reading(plain_database) as conn,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        conn.execute("delete from posting_state")
