"""Whole seconds, and still known to milliseconds."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.errors import ClockOffError
from grid.sep2.clock import ASKED_MAX, WIDTH_US, Bound, ClockSetError, Tick, measure

TOLERANCE_US = 50_000
SECOND_US = 1_000_000


@dataclass
class Away:
    """A server that is ahead by so much, and a way there and back of so long each; time stands still."""

    ahead_us: int
    there_us: int = 1_000
    back_us: int = 1_000
    ours_us: int = 1_795_400_000_123_456
    asked: int = 0
    waited_us: int = 0
    jumps_us: int = 0
    after: int = 10**9

    def ask(self) -> Tick:
        self.asked += 1
        if self.asked > self.after:
            self.ahead_us, self.jumps_us = self.ahead_us + self.jumps_us, 0
        sent = self.ours_us
        self.ours_us += self.there_us
        said = (self.ours_us + self.ahead_us) // SECOND_US
        self.ours_us += self.back_us
        return Tick(said, sent, self.ours_us)

    def sleep(self, seconds: float) -> None:
        assert 0 <= seconds <= 1
        self.waited_us += round(seconds * SECOND_US)
        self.ours_us += round(seconds * SECOND_US)

    def measure(self, tolerance_us: int = TOLERANCE_US) -> Bound:
        return measure(
            self.ask,
            tolerance_us=tolerance_us,
            our_us=lambda: self.ours_us,
            sleep=self.sleep,
            where="/tm",
        )


@given(
    ahead=st.integers(-40_000, 40_000),
    there=st.integers(0, 5_000),
    back=st.integers(0, 5_000),
    phase=st.integers(0, SECOND_US),
)
@settings(max_examples=150)
def test_the_true_offset_lies_within_what_is_proven_and_that_is_narrow(ahead, there, back, phase):
    server = Away(ahead, there, back, ours_us=1_795_400_000_000_000 + phase)

    bound = server.measure()

    assert bound.low_us <= ahead < bound.high_us
    assert bound.width_us <= WIDTH_US
    assert server.asked <= ASKED_MAX


@given(
    ahead=st.integers(60_000, 5 * SECOND_US),
    sign=st.sampled_from([1, -1]),
    phase=st.integers(0, SECOND_US),
)
@settings(max_examples=150)
def test_a_clock_that_is_off_by_sixty_milliseconds_or_more_is_found_out(ahead, sign, phase):
    server = Away(sign * ahead, ours_us=1_795_400_000_000_000 + phase)

    with pytest.raises(ClockOffError) as caught:
        server.measure()

    found = caught.value.clock
    assert abs(found.offset_us - sign * ahead) <= found.uncertainty_us
    assert server.asked <= ASKED_MAX


def test_the_message_says_how_far_off_it_is_and_what_to_do():
    with pytest.raises(
        ClockOffError, match=r"/tm: its clock is 10\d{3}\.\d ms .* ahead of ours"
    ) as caught:
        Away(10 * SECOND_US).measure()
    assert "chronyc tracking" in str(caught.value)


def test_a_clock_that_cannot_be_told_from_a_good_one_is_taken_for_one():
    # A way of a quarter of a second proves no more than about that.
    server = Away(60_000, there_us=125_000, back_us=125_000)

    bound = server.measure()

    assert bound.low_us <= 60_000 < bound.high_us
    assert bound.reading.uncertainty_us > TOLERANCE_US
    assert server.asked == ASKED_MAX


def test_an_asymmetric_way_widens_what_is_proven_but_never_moves_it_off_the_truth():
    server = Away(0, there_us=40_000, back_us=2_000)

    bound = server.measure()

    assert bound.low_us <= 0 < bound.high_us


def test_a_clock_that_is_set_while_it_is_measured_is_found_out():
    server = Away(0, jumps_us=3 * SECOND_US, after=2)

    with pytest.raises(ClockSetError, match="its clock was set during the reading"):
        server.measure()


def test_measuring_takes_few_seconds():
    waits = [Away(0, ours_us=1_795_400_000_000_000 + 37_003 * n) for n in range(27)]
    for server in waits:
        server.measure()
    assert sum(server.waited_us for server in waits) / len(waits) < 3 * SECOND_US
    assert max(server.waited_us for server in waits) < 6 * SECOND_US
