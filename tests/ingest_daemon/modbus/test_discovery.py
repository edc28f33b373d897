"""What a device has is found out from the device, and believed only as far as it agrees with itself."""

import pytest

from simulators.plc.faults import Fault, Kind
from simulators.plc.memory import Memory, Model, Register
from simulators.plc.server import Plc
from tests.ingest_daemon.modbus.polled import bank, device, once, poller, run, said


def names(poll) -> list[str]:
    return [one.sensor for one in poll.samples]


def test_every_temperature_is_read_with_its_scale_and_its_kind():
    with Plc(bank()) as plc:
        poll = once(device(plc))

    assert said(poll) == {
        "701.TmpCab": (30_000, "good"),
        "701.TmpSw": (40_000, "good"),
        "714.Prt[0].Tmp": (33_000, "good"),
        "803.ModTmpMax": (35_000, "good"),
        "803.ModTmpMin": (25_000, "good"),
        "113.TmpCab": (31_250, "good"),
    }
    assert [one.sensor for one in poll.samples if one.battery] == [
        "714.Prt[0].Tmp",
        "714.Prt[1].Tmp",
        "803.ModTmpMax",
    ]
    missing = next(one for one in poll.samples if one.sensor == "714.Prt[1].Tmp")
    assert (missing.quality, missing.registers) == ("not_implemented", b"\x80\0\xff\xff")


@pytest.mark.parametrize("base", [0, 40_000, 50_000])
def test_the_chain_is_found_at_each_place_where_it_may_begin(base):
    with Plc(Memory([Model(803, {"ModTmpMax": 35.0}, counts={"NStr": 1})], base=base)) as plc:
        assert said(once(device(plc)))["803.ModTmpMax"] == (35_000, "good")


@pytest.mark.parametrize("model_id", [101, 102, 103, 111, 112, 113])
def test_inverters_of_both_kinds_are_read(model_id):
    with Plc(Memory([Model(model_id, {"TmpCab": 41.5, "TmpOt": 20.25})])) as plc:
        found = said(once(device(plc)))
    other = 20_200 if model_id < 110 else 20_250
    assert found == {
        f"{model_id}.TmpCab": (41_500, "good"),
        f"{model_id}.TmpOt": (other, "good"),
    }


def test_strings_and_modules_and_cells_are_read_where_they_are_asked_for():
    models = [
        Model(803, {"ModTmpMax": 35.0, "string[1].StrModTmpMax": 34.5}, counts={"NStr": 2}),
        Model(804, {"lithium_ion_string_module[9].ModCellTmpMax": 33.5}, counts={"NMod": 10}),
    ]
    with Plc(Memory(models)) as plc:
        by_itself = once(device(plc))
        asked = once(device(plc, sunspec={"sensors": ["803.*", "804.lithium*CellTmpMax"]}))

    assert [one for one in names(by_itself) if "[" in one] == []
    assert said(asked)["803.string[1].StrModTmpMax"] == (34_500, "good")
    assert said(asked)["804.lithium_ion_string_module[9].ModCellTmpMax"] == (33_500, "good")
    assert len([one for one in names(asked) if one.startswith("804.")]) == 10


def test_two_models_of_one_number_have_two_names():
    models = [Model(804, {"ModTmpMax": 30.0}, counts={"NMod": 0}), Model(804, {"ModTmpMax": 31.0}, counts={"NMod": 1})]  # fmt: skip
    with Plc(Memory(models)) as plc:
        found = said(once(device(plc)))
    assert found == {"804.ModTmpMax": (30_000, "good"), "804#2.ModTmpMax": (31_000, "good")}


def test_the_file_says_which_count_as_the_batterys():
    with Plc(bank()) as plc:
        poll = once(device(plc, sunspec={"battery": ["701.TmpSw", "714.Prt[1].*"]}))
    assert [one.sensor for one in poll.samples if one.battery] == ["701.TmpSw", "714.Prt[1].Tmp"]


def test_a_device_that_gives_few_registers_at_once_is_read_in_more_requests():
    with Plc(bank()) as plc:
        poll = once(device(plc, sunspec={"registers_per_read": 64}))
        whole = once(device(plc))
    assert said(poll) == said(whole)
    assert poll.discovered is not None
    assert whole.discovered is not None
    assert max(one.count for one in poll.discovered.blocks) <= 64
    assert len(poll.discovered.blocks) > len(whole.discovered.blocks) == 4


def test_a_scale_factor_that_changes_between_two_requests_makes_no_temperature():
    def memory(factor: int) -> Memory:
        return Memory([Model(701, {"TmpCab": 30.0}, scale_factors={"Tmp_SF": factor})])

    with Plc(memory(-1)) as plc:
        asking = poller(device(plc, sunspec={"registers_per_read": 64}))

        async def work():
            polls = [await asking.poll()]
            plc.memory = memory(-2)
            polls += [await asking.poll(), await asking.poll()]
            asking.close()
            return polls

        before, between, after = run(work)

    assert said(before)["701.TmpCab"] == (30_000, "good")
    assert said(between)["701.TmpCab"] == (None, "garbled")
    assert said(after)["701.TmpCab"] == (30_000, "good")


def test_after_a_restart_with_other_models_the_new_ones_are_read():
    with Plc(bank()) as plc:
        asking = poller(device(plc))

        async def work():
            first = await asking.poll()
            plc.restart(Memory([Model(803, {"ModTmpMax": 36.0}, counts={"NStr": 3})]))
            polls = [first, await asking.poll(), await asking.poll()]
            asking.close()
            return polls

        _, lost, found = run(work)

    assert {one.quality for one in lost.samples} == {"no_answer"}
    assert len(lost.samples) == 16 - 1
    assert said(found) == {"803.ModTmpMax": (36_000, "good")}
    assert [model for model, _ in found.discovered.chain] == [1, 803]


@pytest.mark.parametrize(
    ("models", "quality", "detail"),
    [
        (5, "garbled", "expected 701, as when the device was discovered"),
        (0, "refused", "illegal address"),
    ],
)
def test_models_that_move_without_a_restart_are_noticed_before_anything_is_believed(
    models, quality, detail
):
    with Plc(bank()) as plc:
        asking = poller(device(plc))

        async def work():
            await asking.poll()
            battery = Model(803, {"ModTmpMax": 36.0}, counts={"NStr": 1})
            plc.memory = Memory([battery, *[Model(103, {"TmpCab": 60.0})] * models])
            polls = [await asking.poll(), await asking.poll()]
            asking.close()
            return polls

        noticed, found = run(work)

    assert {one.quality for one in noticed.samples} == {quality}
    assert detail in noticed.samples[0].detail
    assert said(found)["803.ModTmpMax"] == (36_000, "good")


@pytest.mark.parametrize(
    ("memory", "quality", "detail"),
    [
        (Memory(registers=[Register("a", 5)]), "garbled", "expected SunS"),
        (Memory([Model(124)]), "not_implemented", "models 1, 124; expected one with temperatures"),
    ],
)
def test_a_device_without_anything_to_read_says_so(memory, quality, detail):
    with Plc(memory) as plc:
        poll = once(device(plc))
    [only] = poll.samples
    assert (only.sensor, only.quality, only.value_millicelsius) == ("", quality, None)
    assert detail in only.detail


def chain(*words: int) -> Memory:
    """A chain of raw words behind the marker."""
    memory = Memory()
    memory._words = dict(enumerate([0x5375, 0x6E53, *words], start=40_000))
    return memory


def endless() -> Memory:
    return chain(*([64_001, 2, 0, 0] * 500))


@pytest.mark.parametrize(
    ("memory", "detail"),
    [
        (endless(), "no end of the models within 128"),
        (chain(64_001, 60_000), "no end of the models within 1"),
        (chain(714, 68, 0, 0, 60_000, *[0] * 65, 0xFFFF, 0), "counts 60000 Prt; expected at most 2"),
        (chain(805, 43, *[0] * 43, 0xFFFF, 0), "not_implemented"),
    ],
)  # fmt: skip
def test_what_a_device_says_about_its_size_is_bounded(memory, detail):
    with Plc(memory) as plc:
        poll = once(device(plc))
        assert plc.requests < 140
    if detail == "not_implemented":
        assert {one.quality for one in poll.samples} <= {"not_implemented", "jump"}
    else:
        assert detail in poll.samples[0].detail
    assert all(one.value_millicelsius is None for one in poll.samples)


def test_a_discovery_that_is_refused_half_way_is_done_again():
    with Plc(bank()) as plc:
        plc.script.add(Fault(), Fault(), Fault(Kind.EXCEPTION, 6))
        asking = poller(device(plc))

        async def work():
            polls = [await asking.poll(), await asking.poll()]
            asking.close()
            return polls

        refused, found = run(work)

    assert [(one.sensor, one.quality) for one in refused.samples] == [("", "refused")]
    assert (
        "Modbus exception 6 (device busy) for registers 40070 to 40071" in refused.samples[0].detail
    )
    assert said(found)["803.ModTmpMax"] == (35_000, "good")
