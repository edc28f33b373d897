"""Versions of events, decisions and runs in any order: what is booked, and what a replay gives."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from settlement.periods import Period
from settlement.windows import Window
from statements.pack import Subject
from statements.packing import read, write
from statements.verify import verify
from storage.engine import Role, connect
from storage.event_decisions import DecidedError, Decision, DecisionError, decide
from tasks import digests
from tasks.statement import collect
from tasks.verify_run import verify_run
from tests.conftest import _fresh_database
from tests.packets import make_key
from tests.tasks.scene import HOUR, START, WHOLE, Scene, now, vehicle_of

ONE = "DE*V2G*E00001"
OWN = f"payable:owner:a-{vehicle_of(ONE)}"
MINUTE = timedelta(minutes=1)
EVENING = Period(WHOLE.started_at, START + 90 * MINUTE)
NIGHT = Period(EVENING.ended_at, START + 3 * HOUR)


@pytest.fixture
def scene(plain_database: str) -> Scene:
    """Half an hour at 7.2 kW in an event of an hour: 1.29."""
    made = Scene(plain_database)
    made.set_up(ONE)
    made.deliver(made.packet(ONE, n) for n in range(120))
    return made


@pytest.mark.parametrize("first", ["evening", "night"])
def test_an_event_that_is_moved_into_another_period_is_booked_there_and_once(
    scene: Scene, first: str
) -> None:
    # given an event that was booked in the evening, and is found to have ended at night, and begun later
    assert scene.settle(EVENING).booked_minor == 129
    scene.event(start=START + 10 * MINUTE, end=START + 2 * HOUR)
    scene.approve(2)
    # when both periods are settled again, in either order, and twice
    periods = [EVENING, NIGHT] if first == "evening" else [NIGHT, EVENING]
    booked = {id(one): scene.settle(one).booked_minor for one in [*periods, *periods][:2]}
    again = [scene.settle(one).booked_minor for one in periods]
    # then the night takes back what the first ten minutes were worth, and nobody else does anything
    assert booked == {id(EVENING): 0, id(NIGHT): 86 - 129}
    assert again == [0, 0]
    assert scene.owed() == {OWN: 86}
    # and moved back it is the evening's again
    scene.event(document="as it was")
    scene.approve(3)
    assert [scene.settle(one).booked_minor for one in (NIGHT, EVENING)] == [0, 129 - 86]
    assert scene.owed() == {OWN: 129}


def test_an_event_that_was_over_for_good_before_the_reach_of_a_run_stays_so(
    plain_database: str,
) -> None:
    # given a long event that was superseded for good the day before, and one in its time today
    scene = Scene(plain_database)
    scene.enrol(ONE)
    scene.price(START - 30 * HOUR, START + 12 * HOUR, 420_000)
    day = timedelta(days=1)
    told = START - 3 * day
    for name, start, end, created in (
        ("long", START - day, START + 12 * HOUR, told + 2 * HOUR),
        ("short", START - day + HOUR, START - day + 2 * HOUR, told + 3 * HOUR),
        ("peak", START, START + HOUR, told + HOUR),
    ):
        scene.event(name, start, end, created_at=created, resumes=False)
    scene.deliver(scene.packet(ONE, n) for n in range(120))
    # when, then
    summary = scene.settle(EVENING)
    assert summary.booked_minor == 129
    assert scene.rows("select distinct event_id from settlement") == [("peak",)]


def test_a_statement_stands_with_all_that_an_event_can_say_and_whatever_is_said_later(
    plain_database: str,
) -> None:
    # given an event of which all is said, that was noticed late, and a change that a person approved
    scene = Scene(plain_database)
    scene.enrol(ONE)
    scene.price(WHOLE.started_at, WHOLE.ended_at, 420_000)
    said: dict[str, Any] = {
        "created_at": START + 3 * MINUTE,
        "modes": ("csipaus:opModExpLimW", "opModFixedW"),
        "randomize_start_s": 300,
        "randomize_duration_s": -120,
        "resumes": False,
    }
    scene.event(**said)
    scene.deliver(scene.packet(ONE, n) for n in range(120))
    first = scene.settle()
    scene.event(**said, status="cancelled_with_randomization", cancelled_at=START + 20 * MINUTE)
    scene.approve(2)
    second = scene.settle()
    with ThreadPoolExecutor(2) as threads:
        before = read(write(collect(scene.dsn, Subject(event_id="peak"), now=now())))
        assert verify(before, threads).stands
        # when the utility says something else, that waits
        scene.event(**said, primacy=3)
        after = read(write(collect(scene.dsn, Subject(event_id="peak"), now=now())))
        # then the statement still says the same, and stands
        assert verify(after, threads).stands
    # and paid are 25 of 53 minutes at 3.4 kW on average, then 15 of 15 at 7.2, which is 1.15 times
    assert (first.booked_minor, second.booked_minor) == (107, 74 - 107)
    [event] = {one.window.event_id: one for one in after.events}.values()
    assert (event.version, event.window.noticed_at) == (2, START)
    assert event.window.cancelled_randomly
    assert after.events == before.events
    assert [one.settlement for one in after.bookings] == [one.settlement for one in before.bookings]


def test_of_two_who_decide_at_once_one_is_told_that_it_is_decided(scene: Scene) -> None:
    # given a change that waits, and two people
    scene.event(end=START + 2 * HOUR)
    both = Barrier(2)

    def say(decision: Decision) -> str:
        with connect(scene.dsn, Role.SETTLE) as conn:
            both.wait()
            try:
                decide(conn, "peak", 2, decision, by=decision.value, now=now())
            except DecidedError as error:
                return error.decided_by
        return ""

    # when
    with ThreadPoolExecutor(2) as threads:
        told = list(threads.map(say, Decision))
    # then
    [stands] = scene.rows("select decision, decided_by from event_decision")
    assert stands[0] == stands[1]
    assert sorted(told) == ["", stands[0]]


_KEY = make_key()
_ACTIONS = ("longer", "later", "called off", "another", "approve 2", "approve 3", "reject 3")


def _deciding(scene: Scene, version: int, decision: Decision) -> Callable[[], None]:
    def say() -> None:
        try:
            with connect(scene.dsn, Role.SETTLE) as conn:
                decide(conn, "peak", version, decision, by="Ada", now=now())
        except DecisionError:
            pass  # there is nothing to decide, on either side alike

    return say


def _does(scene: Scene) -> dict[str, Callable[[], object]]:
    return {
        "longer": lambda: scene.event(end=START + 2 * HOUR),
        "later": lambda: scene.event(start=START + 10 * MINUTE, randomize_start_s=300),
        "called off": lambda: scene.event(
            status="cancelled", cancelled_at=START + 20 * MINUTE, created_at=START - HOUR
        ),
        "another": lambda: scene.event(
            "other", START + 5 * MINUTE, START + 9 * MINUTE, created_at=START + 6 * MINUTE
        ),
        "approve 2": _deciding(scene, 2, Decision.APPROVED),
        "approve 3": _deciding(scene, 3, Decision.APPROVED),
        "reject 3": _deciding(scene, 3, Decision.REJECTED),
    }


def _after(dsn: str, order: list[str], runs: list[bool]) -> tuple[Any, list[str]]:
    """What the books say after these actions, with a run after some of them; and the runs."""
    scene = Scene(dsn, keys={ONE: _KEY})
    scene.set_up(ONE)
    scene.deliver(scene.packet(ONE, n) for n in range(120))
    ran = []
    for name, settled in zip(order, runs, strict=True):
        _does(scene)[name]()
        if settled:
            ran.append(scene.settle())
    ran.append(scene.settle())
    lines = scene.rows(
        """
        select event_id, started_at, ended_at, line.energy_milliwh, amount_micros
        from line join (select distinct on (event_id) * from settlement
                        order by event_id, revision desc) latest using (settlement_id)
        order by 1, 2
        """
    )
    return (scene.owed(), lines), [one.run_id for one in ran]


@settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    order=st.permutations(_ACTIONS),
    runs=st.lists(st.booleans(), min_size=len(_ACTIONS), max_size=len(_ACTIONS)),
)
def test_versions_decisions_and_runs_in_any_order_end_at_one_run_and_each_run_is_told_again(
    servers: Any, order: list[str], runs: list[bool]
) -> None:
    with _fresh_database(servers("plain")) as at_once, _fresh_database(servers("plain")) as dsn:
        expected, _ = _after(at_once, order, [False] * len(order))
        found, ran = _after(dsn, order, runs)
        replayed = [verify_run(dsn, one) for one in ran]
    assert found == expected
    assert all(one.stands and one.inputs_same for one in replayed)


def test_an_event_that_says_nothing_new_leaves_the_digest_of_older_runs_alone() -> None:
    # given an event as it could be said before there were modes, and one that says a mode
    old = Window("peak", "p", START, START + HOUR, START - HOUR)
    # when, then
    assert list(digests._plain(old)) == [
        "event_id", "program", "started_at", "ended_at", "created_at", "primacy", "group", "cancelled_at",
    ]  # fmt: skip
    assert digests._plain(replace(old, modes=("opModFixedW",)))["modes"] == ["opModFixedW"]
