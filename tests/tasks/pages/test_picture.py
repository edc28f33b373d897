"""What is drawn can be read off the drawing again."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement.periods import Period
from tasks.pages.curves import Step
from tasks.pages.picture import STEPS_MAX, Scene, draw, told
from tests.tasks.pages.pictured import read

START = datetime(2026, 7, 1, 16, 45, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SHOWN = Period(START, START + 90 * MINUTE)
EVENT = Period(START + 15 * MINUTE, START + 75 * MINUTE)
SCENE = Scene(
    title="example-energy: event event-1",
    zone=ZoneInfo("America/Los_Angeles"),
    shown=SHOWN,
    power=[
        Step(START, None),
        Step(START + 15 * MINUTE, 7_200),
        Step(START + 30 * MINUTE, None),
        Step(START + 45 * MINUTE, -1_500),
    ],
    price=[Step(START, 420_000), Step(START + 45 * MINUTE, 610_500)],
    currency="USD",
    event=EVENT,
    effective=[Period(START + 20 * MINUTE, START + 75 * MINUTE)],
)


def test_the_curves_stand_where_their_axes_say():
    seen = read(draw(SCENE))

    assert [(level.start, level.end) for level in seen.power] == [
        pytest.approx((15 / 90, 30 / 90), abs=1e-4),
        pytest.approx((45 / 90, 1), abs=1e-4),
    ]
    assert [level.value for level in seen.power] == pytest.approx([7.2, -1.5], abs=0.01)
    assert [level.value for level in seen.price] == pytest.approx([0.42, 0.6105], abs=0.001)
    assert seen.effective == [pytest.approx((20 / 90, 75 / 90), abs=1e-4)]


def test_it_says_what_it_shows_in_its_own_time_zone():
    seen = read(draw(SCENE))

    assert seen.title == "example-energy: event event-1"
    assert (
        seen.desc
        == told(SCENE)
        == (
            "2026-07-01 09:45 to 2026-07-01 11:15; highest power 7.2 kW at 2026-07-01 10:00;"
            " price 0.42 to 0.6105 USD per kWh; counts from 2026-07-01 10:05 to 2026-07-01 11:00"
            " (America/Los_Angeles (UTC-07:00))"
        )
    )
    for label in ("power, kW", "price, USD/kWh", "09:45", "11:15", "8", "0.2"):
        assert label in seen.texts
    assert "2026-07-01, time in America/Los_Angeles (UTC-07:00)" in seen.texts


def test_an_event_without_readings_or_price_that_never_counted_is_drawn_all_the_same():
    empty = replace(SCENE, power=[Step(START, None)], price=[Step(START, None)], effective=[])

    seen = read(draw(empty))

    assert (seen.power, seen.price, seen.effective) == ([], [], [])
    assert "no readings of its fleet; no price is known; counts at no time" in seen.desc


def test_names_from_outside_stay_text():
    hostile = replace(SCENE, title="<script>\x01&]]>" + "x" * 500, currency='U"S<D')

    written = draw(hostile)

    assert "<script" not in written
    assert read(written).title.startswith("<script>?&]]>xxx")
    assert len(read(written).title) == 100


def test_it_is_small_however_much_there_is_to_show():
    many = [Step(START + n * timedelta(seconds=1), n * 7919 % 90_001) for n in range(5_400)]
    peak = max(many, key=lambda one: one.value or 0)

    written = draw(replace(SCENE, power=many, price=many))

    seen = read(written)
    assert len(seen.power) <= STEPS_MAX
    assert max(level.value for level in seen.power) == pytest.approx(
        (peak.value or 0) / 1_000, rel=0.01
    )
    assert len(written) < 40_000


@settings(max_examples=50)
@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=20),
    st.integers(1, 60 * 24 * 400),
)
def test_any_power_over_any_time_can_be_read_off(powers, minutes):
    shown = Period(START, START + minutes * MINUTE)
    power = [Step(START + n * minutes * MINUTE / len(powers), one) for n, one in enumerate(powers)]

    seen = read(draw(replace(SCENE, shown=shown, power=power)))

    span = max(*powers, 0) - min(*powers, 0)
    assert [level.value for level in seen.power] == pytest.approx(
        [one / 1_000 for one in powers], abs=max(span, 1_000) / 1_000 / 100
    )
