"""The power of a fleet, held against the readings themselves, counted by hand."""

from datetime import timedelta
from fractions import Fraction

import psycopg
import pytest

from settlement.periods import Period
from storage.engine import Role, connect
from storage.power_curves import BUCKETS_MAX, Bucket, TooManyBucketsError, power_curve
from tests.expectations.stored import PERIOD, POWER_W, STEP, Row, reading, store

PROGRAM = "example-energy"
START = PERIOD.started_at
MINUTE = timedelta(minutes=1)
KNOWN = PERIOD.ended_at + timedelta(days=1)


@pytest.fixture
def fleet(plain_database: str) -> str:
    """A database with two cars under contract, and one under another program's."""
    with psycopg.connect(plain_database, user="v2g") as conn:
        for car, program in (("car", PROGRAM), ("van", PROGRAM), ("bus", "another")):
            conn.execute(
                """
                insert into contract_version
                    (contract_id, version, vehicle_id, evse_id, site_id, program, incentive_rate_ppm,
                     valid_from, shares, recorded_at)
                values (%s, 1, %s, '', '', %s, 1000000, '2026-01-01Z',
                        '[{"role": "owner", "account": "a", "share_ppm": 1000000}]', '2026-01-01Z')
                """,
                [f"contract-{car}", car, program],
            )
    return plain_database


def curve(
    dsn: str, period: Period = PERIOD, step: timedelta = MINUTE, known_at=KNOWN
) -> list[Bucket]:
    with connect(dsn, Role.READ) as conn:
        return power_curve(conn, PROGRAM, period, step, known_at=known_at)


def by_hand(rows, period: Period, step: timedelta) -> dict[int, int]:
    """Bucket → watts, summed reading by reading in exact fractions."""
    energy: dict[int, Fraction] = {}
    for row in rows:
        net = (
            row["export_end_milliwh"]
            - row["export_start_milliwh"]
            - row["import_end_milliwh"]
            + row["import_start_milliwh"]
        )
        for number in range((period.ended_at - period.started_at) // step):
            start = period.started_at + number * step
            overlap = min(row["ended_at"], start + step) - max(row["started_at"], start)
            if overlap > timedelta(0):
                part = Fraction(overlap // timedelta(microseconds=1), row_us(row))
                energy[number] = energy.get(number, Fraction(0)) + net * part
    return {n: round(milliwh * 3600 / 1000 / step.seconds) for n, milliwh in energy.items()}


def row_us(row: Row) -> int:
    return int((row["ended_at"] - row["started_at"]) // timedelta(microseconds=1))


def test_readings_across_the_edges_of_buckets_are_divided_by_time(fleet):
    # given two cars whose intervals fit neither the buckets nor each other, one of them charging
    odd = timedelta(seconds=47)
    cars = [reading(n) for n in range(20)]
    vans = [
        reading(
            n,
            evse_id="EVSE-2",
            vehicle_id="van",
            started_at=START + 3 * MINUTE + n * odd,
            ended_at=START + 3 * MINUTE + (n + 1) * odd,
            import_start_milliwh=10,
            import_end_milliwh=10 + 123_457,
        )
        for n in range(10)
    ]
    buses = [reading(n, evse_id="EVSE-3", vehicle_id="bus") for n in range(20)]
    store(fleet, cars + vans + buses)

    # when the curve of their program is asked for
    found = curve(fleet)

    # then it is theirs alone, to the watt
    told = {(one.started_at - START) // MINUTE: one.power_w for one in found}
    assert told == by_hand(cars + vans, PERIOD, MINUTE)
    assert told[0] == POWER_W
    assert min(told.values()) < 0


def test_a_time_without_readings_is_left_out_and_long_readings_reach_in(fleet):
    # given an hour's reading that began half an hour before the period
    half = timedelta(minutes=30)
    store(fleet, [reading(started_at=START - half, ended_at=START + half)])

    found = curve(fleet, step=timedelta(minutes=15))

    assert [one.started_at - START for one in found] == [timedelta(0), timedelta(minutes=15)]
    assert {one.power_w for one in found} == {POWER_W * 30 // 3600}


def test_what_was_not_known_by_then_is_not_shown(fleet):
    store(fleet, [reading(received_at=KNOWN + MINUTE)])

    assert curve(fleet) == []
    assert curve(fleet, known_at=KNOWN + MINUTE) == [Bucket(START, round(POWER_W * STEP / MINUTE))]


def test_a_curve_finer_than_a_picture_is_refused(fleet):
    fine = (PERIOD.ended_at - PERIOD.started_at) / (BUCKETS_MAX + 1)

    with pytest.raises(TooManyBucketsError, match=f"at most {BUCKETS_MAX} steps"):
        curve(fleet, step=fine)
