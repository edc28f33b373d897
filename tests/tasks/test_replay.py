"""Every past run can be told again, bit for bit, whatever has become known since."""

from datetime import datetime, timedelta

import pytest

from storage.runs import UnknownRunError
from tasks.settle import PeriodNotOverError, replay_period
from tasks.verify_run import UndigestedRunError, verify_run
from tests.tasks.scene import HOUR, START, WHOLE, Scene, administrator

ONE, TWO = "DE*V2G*E00001", "DE*V2G*E00002"


@pytest.fixture
def scene(plain_database: str) -> Scene:
    made = Scene(plain_database)
    made.set_up(ONE, TWO)
    made.deliver(made.packet(ONE, n) for n in range(120))
    return made


def test_every_past_run_comes_to_the_same_after_many_changes(scene: Scene) -> None:
    # given runs between late packets, a conflict, a revised price, other terms, and a moved event
    changes = [
        lambda: None,
        lambda: scene.deliver(scene.packet(TWO, n) for n in range(60)),
        lambda: scene.deliver([scene.packet(ONE, 5, power_end_w="7201")]),
        lambda: scene.price(START, START + HOUR, 210_000),
        lambda: scene.contract(ONE, incentive_rate_ppm=1_000_000, account="heir"),
        lambda: scene.program(version=2, valid_from=START - timedelta(days=2), tiers={}),
        lambda: scene.event(end=START + HOUR / 4),
        lambda: scene.approve(2),
        lambda: scene.event(status="cancelled"),
        lambda: scene.approve(3),
    ]
    summaries = []
    for change in changes:
        change()
        summaries.append(scene.settle())
    # when each is replayed
    replayed = [verify_run(scene.dsn, one.run_id) for one in summaries]
    # then
    assert [one.stands and one.inputs_same for one in replayed] == [True] * len(changes)
    assert [one.replayed for one in replayed] == [one.outputs_digest for one in summaries]
    # and what waits for a word changes nothing
    assert len({one.outputs_digest for one in summaries}) == len(changes) - 2


def test_what_is_known_later_does_not_count_for_an_earlier_time(scene: Scene) -> None:
    # given a price that is revised after a run
    settled = scene.settle()
    known_at: datetime = scene.one("select known_at from settlement_run")
    scene.price(WHOLE.started_at, WHOLE.ended_at, 210_000)
    # when the period is replayed as of the run's time
    replayed = replay_period(scene.dsn, WHOLE, as_of=known_at)
    # then it comes to the same, and nothing is booked or recorded
    assert (replayed.state, replayed.amount_minor) == ("replayed", 129)
    assert replayed.outputs_digest == settled.outputs_digest
    assert scene.one("select count(*) from settlement_run") == 1


def test_a_run_of_one_program_is_replayed_as_one(scene: Scene) -> None:
    # given two programs, and a run of the one that has nothing to pay
    scene.program(program="another", valid_from=START - timedelta(days=30))
    one = scene.settle(programs=frozenset({"another"}))
    assert one.amount_minor == 0
    # when, then
    assert verify_run(scene.dsn, one.run_id).stands


def test_an_input_that_was_changed_behind_its_back_is_found(scene: Scene) -> None:
    # given a run, and a superuser who changes a price that it rested on
    run = scene.settle()
    with administrator(scene.dsn) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update price_version set price_micros_per_kwh = 430000")
    # when
    found = verify_run(scene.dsn, run.run_id)
    # then
    assert (found.stands, found.inputs_same) == (False, False)


def test_what_cannot_be_replayed_says_why(scene: Scene) -> None:
    # given a run of before there were digests
    run = scene.settle()
    with administrator(scene.dsn) as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update settlement_run set outputs_digest = null")
    # when, then
    with pytest.raises(UndigestedRunError, match=run.run_id):
        verify_run(scene.dsn, run.run_id)
    with pytest.raises(UnknownRunError, match="not in this database"):
        verify_run(scene.dsn, "nothing")
    with pytest.raises(PeriodNotOverError, match="not over"):
        replay_period(scene.dsn, WHOLE, as_of=START)
