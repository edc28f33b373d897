"""What the server says of events: the standard's text of both editions, and the early server's habit."""

from datetime import timedelta

import pytest

from simulators.sep2.records import Edition, Manner
from simulators.sep2.status import status
from tests.simulators.sep2.site import NOON, Clock, world

Rows = dict[str, tuple[int, int, dict[str, int], int, dict[str, int]]]

TARGET = {"opModTargetW": 7_000}
PERCENT = {"opModFixedW": 5_000}
BOTH = {"opModFixedW": 5_000, "csipaus:opModExpLimW": 5_000}


def at(minutes: float):
    return NOON + timedelta(minutes=minutes)


class Table:
    """Controls by name: start and length in minutes, modes, minute of creation."""

    def __init__(self, **rows) -> None:
        self.world = world(Clock())
        self.program = self.world.add_program("stress")
        self.controls = {
            name: self.world.add_control(
                self.program,
                start=at(start),
                duration_s=length * 60,
                modes=modes,
                created_at=at(created),
                **more,
            )
            for name, (start, length, modes, created, more) in rows.items()
        }

    def says(self, name: str, minute: float, *, edition=Edition.E2018, manner=Manner.STANDARD):
        said = status(
            self.controls[name], self.program.controls, at(minute), edition=edition, manner=manner
        )
        return said.number, (said.since - NOON).total_seconds() / 60, said.potentially


PLAIN: Rows = {"one": (10, 10, TARGET, 0, {})}
RANDOM: Rows = {"one": (10, 10, TARGET, 0, {"randomize_start_s": -120, "randomize_duration_s": 60})}
SAME: Rows = {"one": (10, 20, TARGET, 0, {}), "two": (15, 5, TARGET, 1, {})}
EARLIER: Rows = {"one": (10, 20, TARGET, 0, {}), "two": (5, 10, TARGET, 1, {})}
PARTLY: Rows = {"one": (10, 20, BOTH, 0, {}), "two": (15, 5, PERCENT, 1, {})}
APART: Rows = {"one": (10, 20, TARGET, 0, {}), "two": (30, 5, TARGET, 1, {})}
OTHER: Rows = {"one": (10, 20, TARGET, 0, {}), "two": (15, 5, PERCENT, 1, {})}


@pytest.mark.parametrize(
    ("rows", "name", "minute", "expected"),
    [
        pytest.param(PLAIN, "one", 0, (0, 0, False), id="scheduled since its creation"),
        pytest.param(PLAIN, "one", 10, (1, 10, False), id="active from its very start"),
        pytest.param(
            RANDOM, "one", 8, (1, 8, False), id="active from the earliest effective start"
        ),
        pytest.param(PLAIN, "one", 25, (1, 10, False), id="2018 has no word for completed"),
        pytest.param(
            SAME, "one", 14, (1, 10, False), id="not superseded before the newer one starts"
        ),
        pytest.param(SAME, "one", 15, (4, 15, False), id="superseded at the newer one's start"),
        pytest.param(SAME, "two", 15, (1, 15, False), id="the newer one is not"),
        pytest.param(EARLIER, "one", 6, (4, 5, False), id="superseded before it ever started"),
        pytest.param(PARTLY, "one", 16, (1, 10, True), id="another control set: potentially only"),
        pytest.param(APART, "one", 31, (1, 10, False), id="touching is not overlapping"),
        pytest.param(OTHER, "one", 16, (1, 10, False), id="nothing in common: nothing said"),
    ],
)
def test_the_edition_of_2018(rows, name, minute, expected) -> None:
    assert Table(**rows).says(name, minute) == expected


@pytest.mark.parametrize(
    ("rows", "name", "minute", "expected"),
    [
        pytest.param(SAME, "one", 16, (1, 10, True), id="never superseded"),
        pytest.param(PLAIN, "one", 20, (5, 20, True), id="completed at its end"),
        pytest.param(RANDOM, "one", 20.5, (1, 8, True), id="not before the longest randomization"),
        pytest.param(RANDOM, "one", 21, (5, 21, True), id="but then"),
    ],
)
def test_the_edition_of_2023(rows, name, minute, expected) -> None:
    assert Table(**rows).says(name, minute, edition=Edition.E2023) == expected


def test_the_early_server_marks_at_once_and_across_control_sets() -> None:
    table = Table(**PARTLY)
    assert table.says("one", 0.5, manner=Manner.EARLY) == (0, 0, False)
    assert table.says("one", 1, manner=Manner.EARLY)[:2] == (4, 1)


@pytest.mark.parametrize(("randomized", "number"), [(False, 2), (True, 3)])
@pytest.mark.parametrize("edition", list(Edition))
def test_a_cancellation_stands_from_its_time_on(randomized, number, edition) -> None:
    table = Table(**PLAIN)
    table.world.cancel(table.controls["one"], at=at(12), randomized=randomized)
    assert table.says("one", 11.9, edition=edition)[0] == 1
    assert table.says("one", 12, edition=edition)[:2] == (number, 12)
    assert table.says("one", 30, edition=edition)[:2] == (number, 12)


def test_an_event_that_is_called_off_in_time_supersedes_nothing() -> None:
    table = Table(**SAME)
    table.world.cancel(table.controls["two"], at=at(14))
    assert table.says("one", 16)[:2] == (1, 10)


def test_one_that_is_called_off_too_late_has_superseded() -> None:
    table = Table(**SAME)
    table.world.cancel(table.controls["two"], at=at(16))
    assert table.says("one", 17)[:2] == (4, 15)


def test_a_server_may_claim_anything() -> None:
    table = Table(**PLAIN)
    table.world.claim(table.controls["one"], 4, at=at(3))
    assert table.says("one", 1)[:2] == (4, 3)
