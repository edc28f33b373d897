"""The simulated meter: what flowed, exactly, and never backwards."""

from hypothesis import given
from hypothesis import strategies as st

from iso15118_bridge.meter import SimulatedMeter
from tests.iso15118.sessions import START

HOUR_NS = 3_600_000_000_000


class Clock:
    def __init__(self):
        self.ns = 0

    def __call__(self):
        return self.ns


def meter(**registers):
    clock = Clock()
    return SimulatedMeter("M1", monotonic_ns=clock, now=lambda: START, **registers), clock


def test_an_hour_at_ten_kilowatts_is_ten_kilowatt_hours():
    counted, clock = meter(export_wh=5)
    counted.power(10_000)
    clock.ns += HOUR_NS
    assert counted.read().export_milliwh == 10_005_000


def test_what_is_charged_goes_to_the_other_register():
    counted, clock = meter(import_wh=5)
    counted.power(-1_000)
    clock.ns += HOUR_NS
    assert (counted.read().import_milliwh, counted.read().export_milliwh) == (1_005_000, 0)


def test_a_step_shows_the_registers_of_its_moment_with_the_power_until_then():
    counted, clock = meter()
    counted.power(3_600)
    clock.ns += 1_000_000_000
    shown = counted.power(0)
    clock.ns += HOUR_NS
    assert (shown.export_milliwh, shown.power_w) == (1_000, 3_600)
    assert (counted.read().export_milliwh, counted.read().power_w) == (1_000, 0)


@given(st.lists(st.tuples(st.integers(-50_000, 50_000), st.integers(0, HOUR_NS)), max_size=30))
def test_reading_often_loses_nothing_and_registers_never_fall(steps):
    # given one meter that is read at every step, and one that is read at the end
    often, clock = meter()
    once, other = meter()
    last = often.read()
    for watts, ns in steps:
        for one in (often, once):
            one.power(watts)
        clock.ns += ns
        other.ns += ns
        now = often.read()
        assert now.export_milliwh >= last.export_milliwh
        assert now.import_milliwh >= last.import_milliwh
        last = now

    # then both show the same, which is the sum of what flowed, rounded down once
    exported = sum(max(0, watts) * ns for watts, ns in steps) // 3_600_000_000
    assert last.export_milliwh == once.read().export_milliwh == exported
