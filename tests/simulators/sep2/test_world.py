"""A world in time: what it says follows from its clock; edits, cancellations, evenings, scripts."""

import re
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators import grid
from simulators.sep2 import Edition, FaultKind, Flow, Manner, ServerClock
from simulators.sep2.app import document
from simulators.sep2.desk import Desk, Window
from simulators.sep2.evening import Evening, lively
from simulators.sep2.modes import INT16_MAX, UnusableModeError, active_power
from simulators.sep2.script import UnusableScriptError, read_script
from tests.simulators.sep2.site import NOON, Clock, parsed, texts, world

LFDI = "AB" * 20
TARGET = {"opModTargetW": 7_000}


def at(minutes: float):
    return NOON + timedelta(minutes=minutes)


def read(one, path: str, *, limit: int = 99) -> bytes:
    desk = Desk(one, LFDI, one.clock.now(), Window(limit=limit))
    found = document(desk, path.strip("/").split("/"))
    assert found is not None, path
    return found


class Scene:
    def __init__(self, **options) -> None:
        self.clock = Clock()
        self.world = world(self.clock, **options)
        self.world.add_device(LFDI)
        self.program = self.world.add_program("stress")

    def add(self, start: float = 10, **options):
        options = {"duration_s": 600, "modes": TARGET, **options}
        return self.world.add_control(self.program, start=at(start), **options)

    def says(self, name: str) -> list[str]:
        return texts(read(self.world, "/derp/1/derc"), f"s:DERControl/{name}")


def test_a_control_is_served_from_its_creation_on() -> None:
    scene = Scene()
    scene.add(created_at=at(1))
    assert scene.says("s:mRID") == []
    scene.clock.forward(minutes=1)
    assert len(scene.says("s:mRID")) == 1


def test_late_notice_and_a_back_dated_creation() -> None:
    scene = Scene()
    scene.add(created_at=at(-60), announced_at=at(12))
    scene.clock.forward(minutes=11)
    assert scene.says("s:mRID") == []
    scene.clock.forward(minutes=1)
    assert scene.says("s:creationTime") == [str(int(at(-60).timestamp()))]


def test_an_edit_after_the_end_is_served_under_the_same_mrid_with_the_next_version() -> None:
    scene = Scene()
    control = scene.add()
    scene.clock.forward(minutes=30)
    before = scene.says("s:interval/s:duration"), scene.says("s:version")
    scene.world.edit(control, duration_s=1_800)
    assert before == (["600"], ["0"])
    assert (scene.says("s:interval/s:duration"), scene.says("s:version")) == (["1800"], ["1"])
    assert scene.says("s:mRID") == [control.mrid]


def test_an_edit_may_be_planned_and_may_hide_that_it_is_one() -> None:
    scene = Scene()
    control = scene.add()
    scene.world.edit(control, at=at(5), start=at(20), version=0)
    assert scene.says("s:interval/s:start") == [str(int(at(10).timestamp()))]
    scene.clock.forward(minutes=5)
    assert scene.says("s:interval/s:start") == [str(int(at(20).timestamp()))]
    assert scene.says("s:version") == ["0"]


def test_the_same_mrid_may_come_twice_with_other_content() -> None:
    scene = Scene()
    first = scene.add()
    second = scene.add(mrid=first.mrid, duration_s=60)
    assert first.mrid == second.mrid
    assert sorted(scene.says("s:interval/s:duration")) == ["60", "600"]


def test_a_withdrawn_control_is_gone_without_a_word() -> None:
    scene = Scene()
    control = scene.add()
    scene.world.withdraw(control, at=at(5))
    assert len(scene.says("s:mRID")) == 1
    scene.clock.forward(minutes=5)
    assert scene.says("s:mRID") == []


def test_worlds_do_not_share_mrids_unless_they_share_a_name() -> None:
    from simulators.sep2 import World

    def made(name: str) -> str:
        return World(name=name).add_program("one").mrid

    assert made("a") == made("a") != made("b")
    assert made("") != made("")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"start": 0.001}, "whole seconds"),
        ({"randomize_start_s": 3_601}, "-3600 to 3600"),
        ({"duration_s": -1}, "duration -1"),
        ({"modes": {"opModMagic": 1}}, "opModMagic"),
        ({"modes": {"opModTargetW": True}}, "whole number"),
        ({"modes": {"opModConnect": 1}}, "true or false"),
        ({"modes": {"opModTargetW": 40_001}}, "32767"),
        ({"description": "x" * 33}, "32 bytes"),
    ],
)
def test_what_the_standard_does_not_allow_is_refused_by_name(options, said) -> None:
    with pytest.raises(ValueError, match=said):
        Scene().add(**options)


@given(value=st.integers(-INT16_MAX, INT16_MAX), multiplier=st.integers(0, 4))
@settings(max_examples=100, deadline=None)
def test_watts_are_said_exactly(value: int, multiplier: int) -> None:
    watts = value * 10**multiplier
    root = parsed(active_power("w", watts).text.encode())
    assert int(root.findtext("value")) * 10 ** int(root.findtext("multiplier")) == watts


@given(count=st.integers(0, 12), limit=st.integers(1, 9), page_max=st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_pages_of_any_size_join_into_the_list_once_and_in_order(count, limit, page_max) -> None:
    scene = Scene(page_max=page_max)
    controls = [scene.add(start=number % 3) for number in range(count)]
    joined: list[str] = []
    while True:
        desk = Desk(scene.world, LFDI, NOON, Window(start=len(joined), limit=limit))
        body = document(desk, ["derp", "1", "derc"])
        assert body is not None
        root = parsed(body)
        page = texts(body, "s:DERControl/s:mRID")
        assert (int(root.get("all")), int(root.get("results"))) == (count, len(page))
        if not page:
            break
        joined += page
    assert sorted(joined) == sorted(control.mrid for control in controls)
    starts = {control.mrid: control.contents[0].start for control in controls}
    assert [starts[mrid] for mrid in joined] == sorted(starts.values())


def test_watts_that_cannot_be_said_are_refused() -> None:
    with pytest.raises(UnusableModeError, match="32768 W"):
        active_power("w", 32_768)


def test_a_clock_that_is_off_drifts_and_is_corrected() -> None:
    true = Clock()
    clock = ServerClock(true, offset_s=0.2, drift_ppm=100)
    assert clock.error_s == pytest.approx(0.2)
    true.forward(seconds=10_000)
    assert clock.error_s == pytest.approx(1.2)
    clock.jump(-5)
    assert (clock.now() - true()).total_seconds() == pytest.approx(-3.8)
    clock.correct()
    assert clock.now() == true()


def test_a_price_is_exact_or_refused_and_a_revision_is_the_next_version() -> None:
    scene = Scene()
    rate = scene.world.add_rate(scene.world.add_tariff("RTP", multiplier=-4))
    with pytest.raises(ValueError, match=r"0\.21455"):
        scene.world.add_price(rate, start=NOON, duration_s=300, price="0.21455")
    price = scene.world.add_price(rate, start=NOON, duration_s=300, price="0.2145")
    scene.world.revise_price(rate, price, Decimal("-0.01"), at=at(1))
    assert texts(read(scene.world, "/tp/1/rc/1/tti/1/cti/1"), "s:price") == ["2145"]
    scene.clock.forward(minutes=1)
    assert texts(read(scene.world, "/tp/1/rc/1/tti/1/cti/1"), "s:price") == ["-100"]
    assert texts(read(scene.world, "/tp/1/rc/1/tti/1"), "s:version") == ["1"]
    with pytest.raises(ValueError, match="XYZ"):
        scene.world.add_tariff("odd", currency="XYZ")
    assert (
        scene.world.add_rate(scene.world.tariffs[0], flow=Flow.IMPORT, unit="MWh").power_of_ten == 6
    )


def test_an_evening_says_its_events_and_prices() -> None:
    day = NOON.date()
    events, prices = grid.events(day), grid.prices(7, day)
    superseded, _ = grid.superseded(day)
    clock = Clock(NOON + timedelta(hours=12))
    evening = Evening(events, prices, clock=ServerClock(clock), withheld=[prices[0].started_at])
    evening.world.add_device(LFDI)
    listed = texts(read(evening.world, "/edev/1/fsa/1/derp"), "s:DERProgram/s:description")
    assert sorted(listed) == sorted({event.program for event in events})
    for event in events:
        control = evening.controls[event.event_id]
        body = read(evening.world, f"/derp/{control.program}/derc/{control.number}")
        [start], [duration] = (
            texts(body, "s:interval/s:start"),
            texts(body, "s:interval/s:duration"),
        )
        assert int(start) == event.started_at.timestamp()
        assert int(start) + int(duration) == event.ended_at.timestamp()
        assert texts(body, "s:EventStatus/s:currentStatus") == (
            ["2"] if event.cancelled_at else ["4"] if event == superseded else ["1"]
        )
        assert texts(body, "s:description") == [event.name]
        assert texts(body, "s:mRID") == [event.event_id]
    last = prices[-1]
    interval = evening.intervals[last.program, last.started_at]
    rate = evening.rates[last.program]
    path = f"/tp/{rate.tariff}/rc/1/tti/{interval.number}/cti/1"
    assert texts(read(evening.world, path), "s:price") == [str(last.price_micros_per_kwh)]
    evening.revise_price(last.program, last.started_at, "0.31")
    assert texts(read(evening.world, path), "s:price") == ["310000"]
    key = (prices[0].program, prices[0].started_at)
    assert key not in evening.intervals
    evening.release_prices()
    assert key in evening.intervals
    with pytest.raises(KeyError):
        evening.cancel("no such event")


def test_the_lively_evening_cancels_and_supersedes_within_minutes() -> None:
    clock = Clock()
    one = lively(7, ServerClock(clock))
    one.add_device(LFDI)

    def statuses() -> list[str]:
        body = read(one, "/derp/1/derc")
        return texts(body, "s:DERControl/s:EventStatus/s:currentStatus")

    assert statuses() == ["1", "0", "0"]
    clock.forward(minutes=3)
    assert statuses() == ["1", "2", "0", "0"]
    clock.forward(minutes=12)
    assert statuses() == ["1", "2", "4", "1"]
    assert len(texts(read(one, "/tp/1/rc/1/tti"), "s:TimeTariffInterval/s:mRID")) == 30


SCRIPT = f"""
edition: 2023
manner: early
page_max: 10
poll_rates_s: {{derp: 15}}
clock: {{offset_s: 3600}}
aggregators: [{LFDI}]
devices:
  - {{lfdi: {LFDI}, max_w: 11000}}
programs:
  - description: Grid stress V2G
    primacy: 0
    controls:
      - start: +2m
        duration_s: 300
        modes: {{opModTargetW: 7000}}
        randomize_start_s: 60
        cancel: {{at: +3m, randomized: true}}
        edits: [{{at: +1m, duration_s: 600, start: +90s}}]
      - {{start: "2026-07-01T17:00:00Z", duration_s: 60, modes: {{opModFixedW: 8000}}, withdraw_at: +0s}}
tariffs:
  - description: RTP
    multiplier: -5
    export: [{{start: +0m, duration_s: 300, price: "0.21455", revisions: [{{at: +1m, price: "0.1"}}]}}]
    import: [{{start: -1h, duration_s: 300, price: null}}]
faults: ["stall:/derp/1/derc:times=2"]
"""


def test_a_script_says_a_world_and_its_faults(tmp_path) -> None:
    path = tmp_path / "world.yaml"
    path.write_text(SCRIPT)
    one, faults = read_script(path)
    assert (one.edition, one.manner, one.page_max) == (Edition.E2023, Manner.EARLY, 10)
    assert one.poll_rates_s["derp"] == 15
    assert one.clock.error_s == pytest.approx(3_600)
    assert one.aggregators == {LFDI}
    control, gone = one.programs[0].controls
    first, second = control.contents
    assert second.start - first.start == timedelta(seconds=-30)
    assert (second.duration_s, second.since - first.since) == (600, timedelta(minutes=1))
    assert control.cancellation is not None
    assert control.cancellation.at - first.start == timedelta(minutes=1)
    assert control.cancellation.randomized
    assert gone.withdrawn_at is not None
    rates = one.tariffs[0].rates
    assert [rate.flow for rate in rates] == [Flow.EXPORT, Flow.IMPORT]
    assert [content.price for content in rates[0].intervals[0].contents] == [21_455, 10_000]
    assert [fault.path for fault in faults] == ["/derp/1/derc"]


def test_the_page_shows_a_script_that_can_be_followed_and_every_fault(tmp_path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "simulators.md").read_text()
    scripts = re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    [script] = [one for one in scripts if "edition:" in one]  # the others are other simulators'
    path = tmp_path / "world.yaml"
    path.write_text(script)
    one, faults = read_script(path)
    assert (len(one.programs[0].controls), len(faults)) == (2, 1)
    table = page.partition("| fault | what happens |")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `([\w-]+)` \|", table, re.MULTILINE) == [
        str(kind) for kind in FaultKind
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("editoin: 2018", "editoin"),
        ("edition: 2019", "edition"),
        (
            "programs: [{description: a, controls: [{start: soon, duration_s: 1, modes: {}}]}]",
            "'soon'",
        ),
        (
            "programs: [{description: a, controls: [{start: '2026-07-01T17:00', duration_s: 1, modes: {}}]}]",
            "zone",
        ),
        ("devices: [{lfdi: AB}]", "LFDI 'AB'"),
        ("faults: [melt]", "melt"),
        ("{", "world.yaml"),
    ],
)
def test_a_script_that_cannot_be_followed_says_where(tmp_path, text, said) -> None:
    path = tmp_path / "world.yaml"
    path.write_text(text)
    with pytest.raises(UnusableScriptError, match=said):
        read_script(path)
