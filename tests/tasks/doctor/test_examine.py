"""Checks side by side, and what happens to one that hangs or breaks."""

import threading
import time

from tasks.doctor.examine import examine
from tasks.doctor.finding import Finding, State, fit

GOOD = Finding("good", State.OK, "there", "there")


def test_a_check_that_hangs_or_breaks_hides_no_other():
    # given three checks, one of which never ends, and one that quotes a secret as it breaks
    never = threading.Event()

    def hangs() -> list[Finding]:
        never.wait()
        return []

    def breaks() -> list[Finding]:
        raise RuntimeError("password=hunter2")

    # when they are run
    began = time.monotonic()
    found = examine({"hangs": hangs, "good": lambda: [GOOD], "breaks": breaks}, deadline_s=0.5)
    took = time.monotonic() - began
    never.set()

    # then each is told in its place, soon, without the secret
    assert [(one.check, one.state) for one in found] == [
        ("hangs", State.UNKNOWN),
        ("good", State.OK),
        ("breaks", State.UNKNOWN),
    ]
    assert took < 30
    assert "hunter2" not in str(found)


def test_only_what_is_bad_makes_a_machine_unfit():
    assert fit([GOOD, Finding("x", State.UNKNOWN, "", ""), Finding("y", State.WARN, "", "")])
    assert not fit([GOOD, Finding("x", State.BAD, "", "")])
