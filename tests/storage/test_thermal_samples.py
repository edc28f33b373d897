"""Samples are landed once, and become temperatures of the vehicle that was there."""

from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest

from settlement.periods import Period
from settlement.sensors import Quality
from storage import attaching, thermal_samples
from storage.engine import Role, connect
from storage.registry import Contract, put_contracts
from storage.temperatures import load_temperatures
from storage.thermal_samples import (
    Sample,
    battery_temperatures,
    latest_by_evse,
    put_samples,
    samples_since,
)
from tests.storage.made import NOON, STEP

LATER = NOON + timedelta(days=2)
FOREVER = Period(NOON - timedelta(days=60), NOON + timedelta(days=60))


def sample(step: int = 0, celsius: float | None = 35.0, **fields) -> Sample:
    made = Sample(
        device_id="plc",
        sensor="803.ModTmpMax",
        evse_id="EVSE-1",
        vehicle_id="",
        measured_at=NOON + step * STEP,
        registers=b"\x01\x5e\xff\xff",
        value_millicelsius=None if celsius is None else round(celsius * 1000),
        quality="good",
    )
    return replace(made, **fields)


def bad(step: int = 0, quality: str = "garbled", **fields) -> Sample:
    return sample(step, None, quality=quality, detail="found; expected", **fields)


def contract(vehicle: str = "car", evse: str = "EVSE-1", name: str = "c", **fields) -> Contract:
    fields.setdefault("valid_from", NOON - timedelta(days=1))
    return Contract(name, vehicle, "program", 1_000_000, "account", evse_id=evse, **fields)


def land(dsn: str, *samples: Sample) -> int:
    with connect(dsn, Role.INGEST) as conn:
        landed = put_samples(conn, samples, now=LATER)
        conn.commit()
    return landed


def enrol(dsn: str, *contracts: Contract) -> None:
    with connect(dsn, Role.SETTLE) as conn:
        put_contracts(conn, contracts, now=LATER)


def attach_all(dsn: str) -> int:
    with connect(dsn, Role.SETTLE) as conn:
        new = 0
        for _ in range(100):
            step = attaching.attach(conn, now=LATER)
            new += step.temperatures
            if not step.more:
                return new
    raise AssertionError("attaching has no end")


def temperatures(dsn: str) -> list[tuple[str, str, int, int]]:
    """(evse, vehicle, steps after noon, milli-°C)."""
    with connect(dsn, Role.READ) as conn:
        frame = load_temperatures(conn, FOREVER, known_at=LATER + timedelta(days=9))
    return [
        (evse, vehicle, (at - NOON) // STEP, celsius)
        for evse, vehicle, at, celsius in frame.select(
            "evse_id", "vehicle_id", "measured_at", "battery_millicelsius"
        ).iter_rows()
    ]


def queues(dsn: str) -> tuple[int, int]:
    with connect(dsn, Role.READ) as conn:
        row = conn.execute(
            "select (select count(*) from thermal_pending), (select count(*) from thermal_waiting)"
        ).fetchone()
    assert row is not None
    return row


def test_a_sample_is_landed_once_and_read_as_it_was(database):
    samples = [sample(), bad(1), sample(0, sensor="701.TmpCab", battery=False, vehicle_id="car")]

    assert land(database, *samples) == 3
    assert land(database, *samples, sample(0, 90.0)) == 0

    with connect(database, Role.READ) as conn:
        assert samples_since(conn, "EVSE-1", NOON) == [samples[2], samples[0], samples[1]]
        assert samples_since(conn, "EVSE-1", NOON + STEP) == [samples[1]]
        assert latest_by_evse(conn, since=NOON) == [samples[2], samples[1]]
        assert latest_by_evse(conn, since=NOON, evses=["EVSE-2"]) == []


def test_a_value_that_is_not_good_and_a_good_one_without_value_are_refused(database):
    for wrong in (sample(celsius=None), sample(quality="stuck"), sample(celsius=151.0)):
        with pytest.raises(psycopg.errors.CheckViolation):
            land(database, wrong)
    with connect(database, Role.READ) as conn:
        assert samples_since(conn, "EVSE-1", NOON) == []


def test_samples_of_many_weeks_are_landed_in_one_transaction(database):
    assert land(database, *(sample(week * 7 * 5760) for week in range(-6, 6))) == 12


def test_good_battery_samples_become_temperatures_of_the_vehicle_under_contract(database):
    enrol(database, contract())
    land(
        database,
        sample(0, 35.0),
        sample(0, 36.5, sensor="714.Prt[0].Tmp"),
        sample(0, 80.0, sensor="701.TmpSw", battery=False),
        sample(0, None, sensor="714.Prt[1].Tmp", quality="not_implemented"),
        sample(1, 35.2),
    )

    assert attach_all(database) == 2
    assert temperatures(database) == [("EVSE-1", "car", 0, 36_500), ("EVSE-1", "car", 1, 35_200)]
    assert attach_all(database) == 0
    assert queues(database) == (0, 0)


def test_a_moment_at_which_a_battery_sensor_failed_says_nothing(database):
    enrol(database, contract())
    for step, quality in enumerate(set(Quality) - {Quality.GOOD, Quality.NOT_IMPLEMENTED}):
        land(database, sample(step, 35.0), bad(step, quality.value, sensor="714.Prt[0].Tmp"))
    land(database, sample(9, 36.0))

    attach_all(database)

    assert temperatures(database) == [("EVSE-1", "car", 9, 36_000)]
    with connect(database, Role.READ) as conn:
        seen = battery_temperatures(conn, ["EVSE-1"], since=NOON, until=LATER)
    assert seen["battery_millicelsius"].to_list() == [36_000]


def test_the_devices_own_word_on_the_vehicle_comes_before_the_contract(database):
    enrol(database, contract("other"))
    land(database, sample(0, vehicle_id="own"))

    attach_all(database)

    assert temperatures(database) == [("EVSE-1", "own", 0, 35_000)]


def test_what_has_no_vehicle_waits_and_is_attached_when_a_contract_comes(database):
    land(database, sample(0), sample(1), sample(2, evse_id="EVSE-2", device_id="other"))
    assert attach_all(database) == 0
    assert queues(database) == (0, 2)

    enrol(database, contract(valid_from=NOON + STEP))
    assert attach_all(database) == 1
    assert temperatures(database) == [("EVSE-1", "car", 1, 35_000)]

    enrol(database, contract(), contract("van", "EVSE-2", "d"))
    assert attach_all(database) == 2
    assert [row[1] for row in temperatures(database)] == ["car", "car", "van"]
    assert queues(database) == (0, 0)


def test_days_that_wait_are_looked_at_again_only_for_a_new_contract(database, monkeypatch):
    enrol(database, contract(valid_from=NOON + timedelta(days=1)))
    land(database, sample(0))
    attach_all(database)
    asked = []
    monkeypatch.setattr(attaching, "battery_moments", lambda *given: asked.append(given))

    assert attach_all(database) == 0

    assert asked == []
    assert queues(database) == (0, 1)


def test_a_contract_counts_from_its_start_to_before_its_end(database):
    enrol(
        database,
        contract("first", name="a", valid_from=NOON, valid_to=NOON + STEP),
        contract("second", name="b", valid_from=NOON + STEP, valid_to=NOON + 2 * STEP),
    )
    land(database, *(sample(step) for step in (-1, 0, 1, 2)))

    attach_all(database)

    assert [row[1:3] for row in temperatures(database)] == [("first", 0), ("second", 1)]


def test_between_two_vehicles_none_is_chosen_but_two_contracts_of_one_are_no_doubt(database):
    enrol(database, contract("car", name="a"), contract("car", name="b"))
    land(database, sample(0))
    attach_all(database)
    enrol(database, contract("van", name="c"))
    land(database, sample(1))
    attach_all(database)
    assert [row[1:3] for row in temperatures(database)] == [("car", 0)]

    enrol(database, contract("van", name="c", valid_to=NOON))
    attach_all(database)

    assert [row[1:3] for row in temperatures(database)] == [("car", 0), ("car", 1)]


def test_what_lands_late_is_attached_all_the_same(database):
    enrol(database, contract())
    land(database, sample(10))
    attach_all(database)
    land(database, sample(3))

    assert attach_all(database) == 1


def test_one_step_is_bounded_and_the_next_goes_on(database, monkeypatch):
    monkeypatch.setattr(attaching, "SAMPLES_PER_STEP", 3)
    enrol(database, contract())
    for step in range(0, 8, 2):
        land(database, sample(step), sample(step + 1))

    with connect(database, Role.SETTLE) as conn:
        first = attaching.attach(conn, now=LATER)

    assert (first.temperatures, first.more) == (2, True)
    assert attach_all(database) == 6


def test_a_transaction_that_does_not_end_leaves_everything_to_be_done_again(database, monkeypatch):
    enrol(database, contract())
    land(database, sample(0))

    def lost(*_, **__):
        raise psycopg.OperationalError("the connection is gone")

    with monkeypatch.context() as patch, connect(database, Role.SETTLE) as conn:
        patch.setattr(attaching, "put_temperatures", lost)
        with pytest.raises(psycopg.OperationalError):
            attaching.attach(conn, now=LATER)

    assert attach_all(database) == 1


def test_two_at_once_attach_each_temperature_once(database):
    enrol(database, contract())
    land(database, *(sample(step) for step in range(50)))

    with connect(database, Role.SETTLE) as one, connect(database, Role.SETTLE) as other:
        marks = one.execute(attaching._MARKS, [10, 10]).fetchall()
        assert len(marks) == 1
        assert attaching.attach(other, now=LATER).temperatures == 50
        assert attaching.attach(one, now=LATER).temperatures == 0

    assert len(temperatures(database)) == 50


def test_reading_is_bounded(database, monkeypatch):
    monkeypatch.setattr(thermal_samples, "SAMPLES_MAX", 2)
    land(database, *(sample(0, sensor=f"s{number}") for number in range(4)))
    with connect(database, Role.READ) as conn:
        assert len(latest_by_evse(conn, since=NOON)) == 2
        assert len(samples_since(conn, "EVSE-1", NOON, most=3)) == 3


def test_moments_are_found_by_their_index_however_many_samples_there_are(
    plain_database,
):
    # given hours of many chargers, in a week of which there are no statistics yet
    land(plain_database, sample())
    with psycopg.connect(plain_database, user="v2g", autocommit=True) as conn:
        conn.execute(
            """
            insert into thermal_sample
            select 'd' || e, 's', 'E' || e, '', %s::timestamptz + n * interval '15 s', '', 30000, 'good',
                   true, '', now()
            from generate_series(1, 100) e, generate_series(1, 2000) n
            """,
            [NOON],
        )
        # when one minute of each is asked for, as a guard does each second
        start = NOON + timedelta(hours=5)
        spans = [(f"E{number}", start, start + timedelta(minutes=1)) for number in range(1, 101)]
        evses, firsts, lasts = (list(column) for column in zip(*spans, strict=True))
        [(plan,)] = conn.execute(
            "explain (analyze, format json)" + thermal_samples._MOMENTS,
            {"evses": evses, "firsts": firsts, "lasts": lasts},
        ).fetchall()
        # then little of the table is read
        [(pages,)] = conn.execute(
            "select sum(pg_relation_size(relid) / 8192) from pg_partition_tree('thermal_sample')"
        ).fetchall()
    read = plan[0]["Plan"]["Shared Hit Blocks"] + plan[0]["Plan"]["Shared Read Blocks"]
    assert read < pages / 2
    with connect(plain_database, Role.READ) as conn:
        assert len(thermal_samples.battery_moments(conn, spans)) == 100 * 5


def test_a_moment_in_several_spans_is_one_moment(database):
    land(database, *(sample(step) for step in range(6)))
    second = timedelta(seconds=1)
    spans = [
        ("EVSE-1", NOON, NOON + 2 * STEP),
        ("EVSE-1", NOON + STEP, NOON + 3 * STEP),
        ("EVSE-1", NOON + STEP, NOON + STEP + second),
        ("EVSE-1", NOON + 5 * STEP, NOON + 5 * STEP),
        ("EVSE-2", NOON, NOON + 9 * STEP),
    ]
    assert thermal_samples._apart(spans[::-1]) == [
        ("EVSE-1", NOON, NOON + 3 * STEP),
        spans[3],
        spans[4],
    ]
    with connect(database, Role.READ) as conn:
        found = thermal_samples.battery_moments(conn, spans)["measured_at"].sort().to_list()
    assert found == [NOON + step * STEP for step in (0, 1, 2, 3, 5)]
