"""Several things at once, each under its deadline."""

import threading
import time

from tasks.deadlines import Job, Late, at_once


def test_each_result_comes_as_soon_as_it_is_there_and_a_late_one_as_late():
    # given one that answers at once, one that fails, and one that never ends
    never = threading.Event()

    def fail() -> int:
        raise ValueError("no")

    jobs = {
        "stuck": Job(lambda: int(never.wait()), 0.2),
        "good": Job(lambda: 5, 10.0),
        "bad": Job(fail, 10.0),
    }

    # when they are done at once
    started = time.monotonic()
    done = list(at_once(jobs))
    took = time.monotonic() - started
    never.set()

    # then the stuck one costs its own deadline and nobody else anything
    assert {name for name, _ in done[:2]} == {"good", "bad"}
    results = dict(done)
    assert results["good"] == 5
    assert isinstance(results["bad"], ValueError)
    assert isinstance(results["stuck"], Late)
    assert str(results["stuck"]) == "no end within 0.2 s"
    assert took < 5


def test_what_came_while_the_caller_was_busy_past_its_deadline_counts():
    ended = threading.Event()

    def two() -> int:
        ended.set()
        return 2

    jobs = {"one": Job(lambda: 1, 5.0), "two": Job(two, 0.05)}
    found = {}

    for name, result in at_once(jobs):
        found[name] = result
        assert ended.wait(5)

    assert found == {"one": 1, "two": 2}


def test_nothing_to_do_ends_at_once():
    assert list(at_once({})) == []
