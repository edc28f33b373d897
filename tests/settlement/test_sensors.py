"""When a temperature is believed."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from settlement.sensors import At, Judged, Limits, Past, Quality, judge

LIMITS = Limits(
    low=0,
    high=150_000,
    step=2_000,
    rate_per_s=500,
    confirm_polls=3,
    confirm_us=20_000_000,
    stuck_polls=4,
    stuck_us=0,
)
SECOND = 1_000_000
START = 1_782_907_200 * SECOND


@dataclass
class Sensor:
    """Says temperatures (°C) every ten seconds, with registers that follow them unless given."""

    limits: Limits = LIMITS
    past: Past = field(default_factory=Past)
    at_us: int = START

    def say(
        self, celsius: float, raw: bytes | None = None, *, others_moved: bool = False
    ) -> Judged:
        value = round(celsius * 1000)
        given_raw = raw if raw is not None else (value % 2**16).to_bytes(2, "big")
        judged = judge(
            value,
            given_raw,
            self.at_us,
            past=self.past,
            limits=self.limits,
            others_moved=others_moved,
        )
        self.past = judged.past
        self.at_us += 10 * SECOND
        return judged

    def words(self, *celsius: float) -> list[str]:
        return [self.say(one).quality.value for one in celsius]


def test_a_temperature_that_moves_slowly_is_good():
    assert set(Sensor().words(25.0, 25.5, 31.0, 28.0)) == {"good"}


def test_the_range_includes_its_ends():
    assert Sensor().words(150.0, 150.001) == ["good", "out_of_range"]
    assert Sensor().say(-0.001).quality is Quality.OUT_OF_RANGE
    assert "-0.001 °C; expected 0 °C to 150 °C" in Sensor().say(-0.001).detail
    assert Sensor().say(0.001).quality is Quality.GOOD


def test_what_is_out_of_range_is_nothing_to_come_from():
    sensor = Sensor()
    assert sensor.words(149.0, 160.0, 151.0) == ["good", "out_of_range", "out_of_range"]
    assert sensor.past.good == At(149_000, START)


def test_a_jump_is_not_believed_until_it_has_been_said_often_and_long_enough():
    assert Sensor().words(25.0, 60.0, 60.5, 61.0, 61.5) == ["good", "jump", "jump", "good", "good"]
    patient = Sensor(Limits(step=2_000, rate_per_s=500, confirm_polls=2, confirm_us=30 * SECOND))
    assert patient.words(25.0, 60.0, 60.5, 61.0, 61.5) == ["good", "jump", "jump", "jump", "good"]


def test_a_spike_changes_nothing():
    sensor = Sensor()
    assert sensor.words(25.0, 90.0, 25.1, 90.0, 25.2) == ["good", "jump", "good", "jump", "good"]


def test_jumps_that_do_not_agree_with_each_other_confirm_nothing():
    assert Sensor().words(25.0, 60.0, 90.0, 120.0, 60.0, 90.0)[1:] == ["jump"] * 5


def test_the_allowed_change_grows_with_time_and_a_clock_that_steps_back_allows_no_less():
    sensor = Sensor()
    assert sensor.say(25.0).quality is Quality.GOOD
    sensor.at_us += 3600 * SECOND
    assert sensor.say(90.0).quality is Quality.GOOD
    sensor.at_us -= 7200 * SECOND
    assert sensor.say(91.0).quality is Quality.GOOD
    sensor.at_us -= 7200 * SECOND
    assert sensor.say(99.0).quality is Quality.JUMP


def test_registers_that_are_all_zero_are_believed_only_where_the_battery_came_there_gradually():
    assert Sensor().words(0.0, 0.0, 0.0, 0.0) == ["jump"] * 4
    assert Sensor().words(25.0, 0.0, 0.0, 0.0, 0.0)[1:] == ["jump"] * 4
    assert Sensor().words(3.0, 1.5, 0.0, 0.0) == ["good"] * 4
    # 0 °C need not be zero registers (kelvin, or a scale with an offset).
    assert Sensor().say(0.0, b"\x6a\xb3").quality is Quality.GOOD


def test_a_value_that_stands_still_while_others_move_is_stuck_until_it_moves():
    sensor = Sensor()
    said = [sensor.say(25.0, others_moved=True).quality for _ in range(7)]
    assert said == [Quality.GOOD] * 4 + [Quality.STUCK] * 3
    assert sensor.say(25.1, others_moved=True).quality is Quality.GOOD


def test_a_device_at_rest_is_not_stuck():
    sensor = Sensor()
    assert {sensor.say(25.0).quality for _ in range(50)} == {Quality.GOOD}


def test_too_long_without_moving_is_stuck_whatever_the_others_do():
    sensor = Sensor(Limits(stuck_polls=0, stuck_us=30 * SECOND))
    said = [sensor.say(25.0, others_moved=True).quality for _ in range(5)]
    assert said == [Quality.GOOD] * 3 + [Quality.STUCK] * 2
    assert sensor.say(25.1).quality is Quality.GOOD


def test_stuck_and_out_of_range_interrupt_a_row_of_jumps():
    assert Sensor().words(25.0, 60.0, 60.1, 200.0, 60.2)[3:] == ["out_of_range", "jump"]


@given(st.lists(st.tuples(st.integers(-60_000, 160_000), st.integers(0, 600)), max_size=40))
def test_a_good_value_is_what_was_said_in_range_and_near_or_confirmed(readings):
    past, at_us = Past(), START
    for value, seconds in readings:
        at_us += seconds * SECOND
        before = past.good
        judged = judge(
            value, value.to_bytes(4, "big", signed=True), at_us,
            past=past, limits=LIMITS, others_moved=False,
        )  # fmt: skip
        past = judged.past
        assert (judged.value is not None) == (judged.quality is Quality.GOOD)
        assert bool(judged.detail) == (judged.quality is not Quality.GOOD)
        if judged.quality is Quality.GOOD:
            assert judged.value == value
            assert LIMITS.low <= value <= LIMITS.high
            assert past.good == At(value, at_us)
            near = before is None or LIMITS.near(value, at_us, before)
            assert near or at_us - START >= LIMITS.confirm_us
        else:
            assert past.good == before
