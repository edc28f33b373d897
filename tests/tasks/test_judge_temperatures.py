"""Judging attaches what sensors said to the vehicles that were there."""

from storage.engine import Role, connect
from storage.temperatures import load_temperatures
from tasks.judge import judge_packets
from tests.storage.test_thermal_samples import (
    FOREVER,
    LATER,
    bad,
    contract,
    enrol,
    land,
    queues,
    sample,
)


def judge(dsn: str):
    return judge_packets(dsn, clock=lambda: LATER, threads=1)


def test_judging_attaches_samples_once_and_again_when_a_contract_comes(plain_database):
    # given samples at an EVSE without a contract, and one that is not good
    land(plain_database, sample(0, 35.0), sample(1, 36.0), bad(2))

    # when they are judged, before and after the contract is known
    first = judge(plain_database)
    enrol(plain_database, contract())
    second, third = judge(plain_database), judge(plain_database)

    # then what was said counts once, from when it was known
    assert [one.temperatures for one in (first, second, third)] == [0, 2, 0]
    assert queues(plain_database) == (0, 0)
    with connect(plain_database, Role.READ) as conn:
        known = load_temperatures(conn, FOREVER, known_at=LATER.replace(year=2027))
        before = load_temperatures(conn, FOREVER, known_at=FOREVER.started_at)
    assert known["battery_millicelsius"].to_list() == [35_000, 36_000]
    assert known["received_at"].to_list() == [LATER, LATER]
    assert before.is_empty()


def test_many_steps_of_one_judging_end(plain_database, monkeypatch):
    monkeypatch.setattr("storage.attaching.MARKS_PER_STEP", 1)
    enrol(plain_database, contract())
    for step in range(5):
        land(plain_database, sample(step))

    assert judge(plain_database).temperatures == 5
