"""Whatever a device answers, late or spoilt or never: no false temperature, and no stuck poller."""

import random
import time
from functools import partial
from typing import Any

import pytest

from ingest_daemon.modbus.configuration import Device
from simulators.plc.faults import Fault, Kind
from simulators.plc.memory import Memory, Model, Register
from simulators.plc.server import Plc
from tests.ingest_daemon.modbus import polled
from tests.ingest_daemon.modbus.polled import (
    DEADLINE_S,
    bank,
    once,
    plain,
    poller,
    run,
    said,
)

PACK = {"sensor": "pack", "address": 100, "type": "int16", "scale": 0.1}
FLOAT = {"sensor": "pack", "address": 100, "type": "float32"}

WORD = {
    Kind.EXCEPTION: "refused",
    Kind.STALL: "no_answer",
    Kind.LATE: "no_answer",
    Kind.RESET: "no_answer",
    Kind.CLOSE: "no_answer",
    Kind.STALE_THEN_RIGHT: "good",
    Kind.MISSING: "no_answer",
    Kind.ZEROS: "jump",
}
"""What a poll makes of a fault of its one request; garbled where nothing stands here."""

AT_ONCE = {Kind.EXCEPTION, Kind.SHORT_DATA, Kind.FEWER, Kind.MORE, Kind.NO_TRANSACTION,
           Kind.WRONG_FUNCTION, Kind.RESET, Kind.CLOSE, Kind.ZEROS, Kind.MISSING,
           Kind.STALE_THEN_RIGHT}  # fmt: skip
"""Noticed without waiting for the deadline."""


def device(plc: Plc | int, **fields: Any) -> Device:
    """Asked with little patience."""
    return polled.device(plc, **({"deadline_s": DEADLINE_S} | fields))


@pytest.mark.parametrize("kind", [one for one in Kind if one not in {Kind.NONE, Kind.SWAPPED}])
def test_each_fault_has_its_word_and_the_next_poll_is_right(kind):
    fault = Fault.parse("drip:100" if kind is Kind.DRIP else kind.value)
    with Plc(plain(35.0)) as plc:
        asking = poller(device(plc, registers=[PACK]))

        async def work():
            await asking.poll()
            plc.measure({"pack": 36.5})
            plc.script.add(fault)
            began = time.monotonic()
            polls = [await asking.poll()]
            took = time.monotonic() - began
            polls += [await asking.poll(), await asking.poll()]
            asking.close()
            return polls, took

        (spoilt, *after), took = run(work)

    [(value, quality)] = said(spoilt).values()
    assert quality == WORD.get(kind, "garbled")
    assert value == (36_500 if quality == "good" else None)
    assert took < (DEADLINE_S if kind in AT_ONCE else 4 * DEADLINE_S)
    assert [said(one) for one in after] == [{"pack": (36_500, "good")}] * 2
    if quality != "good":
        assert spoilt.samples[0].detail


@pytest.mark.parametrize("kind", [Kind.STALL, Kind.LATE, Kind.DRIP, Kind.SHORT_FRAME])
def test_after_a_wait_in_vain_the_connection_is_given_up_with_all_that_may_still_come(kind):
    with Plc(plain(35.0)) as plc:
        asking = poller(device(plc, registers=[PACK]))

        async def work():
            await asking.poll()
            plc.script.add(Fault(kind, 100))
            await asking.poll()
            assert not asking.connected
            plc.measure({"pack": 36.0})
            found = await asking.poll()
            asking.close()
            return found

        assert said(run(work)) == {"pack": (36_000, "good")}


def test_a_sensor_that_gave_temperatures_and_says_it_is_not_there_has_broken():
    # given a hot bank, beside a port that is cool, and a second port that never was
    with Plc(bank(56.0)) as plc:
        asking = poller(device(plc))

        async def work():
            first = await asking.poll()
            plc.measure({"803.ModTmpMax": None})
            second = await asking.poll()
            asking.close()
            return first, second

        first, second = run(work)
    assert said(first)["803.ModTmpMax"] == (56_000, "good")
    # then what the port says does not stand for the battery
    assert said(second)["803.ModTmpMax"] == (None, "no_answer")
    [broken] = [one for one in second.samples if one.sensor == "803.ModTmpMax"]
    assert "0x8000" in broken.detail
    assert "714.Prt[1].Tmp" not in said(second)


def test_a_register_that_the_file_names_is_never_as_if_it_were_not_there():
    with Plc(plain(None)) as plc:
        asking = poller(device(plc, registers=[PACK]))

        async def work():
            found = await asking.poll()
            asking.close()
            return found

        assert said(run(work)) == {"pack": (None, "no_answer")}


def test_a_device_that_was_never_reached_may_be_a_batterys():
    unsaid: dict[str, Any] = {}
    for fields, battery in ((unsaid, True), ({"sunspec": {"battery": []}}, False)):
        [sample] = once(device(1, **fields)).samples
        assert (sample.sensor, sample.quality, sample.battery) == ("", "no_answer", battery)


def test_a_refusal_of_some_registers_leaves_the_others_and_the_connection():
    with Plc(bank()) as plc:
        asking = poller(device(plc))

        async def work():
            await asking.poll()
            plc.script.add(Fault(Kind.EXCEPTION, 4))
            found = await asking.poll()
            assert asking.connected
            asking.close()
            return found

        found = run(work)
    assert said(found)["701.TmpCab"] == (None, "refused")
    assert said(found)["803.ModTmpMax"] == (35_000, "good")
    assert {one.measured_at for one in found.samples} == {found.samples[0].measured_at}


def test_swapped_words_are_no_value_and_the_sensor_is_in_doubt_until_they_tell_again():
    # 0x42103C00 is 36.059 °C, and with its words the other way round 0.008 °C: both may be.
    either = 36.05859375
    with Plc(plain(36.6, kind="float32", scale=1.0)) as plc:
        asking = poller(device(plc, registers=[FLOAT]))

        async def work():
            polls = []
            for celsius, fault in (
                (either, Kind.NONE),
                (36.6, Kind.NONE),
                (either, Kind.NONE),
                (36.6, Kind.SWAPPED),
                (either, Kind.NONE),
                (36.6, Kind.NONE),
            ):
                plc.measure({"pack": celsius})
                plc.script.add(Fault(fault))
                polls.append(said(await asking.poll())["pack"])
            asking.close()
            return polls

        found = run(work)

    assert found == [
        (None, "garbled"),
        (36_600, "good"),
        (36_059, "good"),
        (None, "garbled"),
        (None, "garbled"),
        (36_600, "good"),
    ]


def test_a_plc_whose_words_are_always_the_other_way_round_never_gives_a_value():
    with Plc(plain(36.6, kind="float32", scale=1.0, little=True)) as plc:
        asking = poller(device(plc, registers=[FLOAT]))

        async def work():
            polls = []
            for celsius in (36.6, 36.05859375, 36.7, 25.0):
                plc.measure({"pack": celsius})
                polls.append(await asking.poll())
            asking.close()
            return polls

        polls = run(work)
    assert {said(one)["pack"] for one in polls} == {(None, "garbled")}
    assert "36.6 °C with its words the other way round" in polls[0].samples[0].detail


def test_a_device_that_is_not_there_is_no_answer_within_the_deadline():
    with Plc(plain()) as plc:
        port = plc.port
    asking = poller(device(port, registers=[PACK]))

    async def work():
        began = time.monotonic()
        found = await asking.poll()
        return found, time.monotonic() - began

    found, took = run(work)
    assert said(found) == {"pack": (None, "no_answer")}
    assert took < 2 * DEADLINE_S


def test_another_device_id_is_refused_by_the_gateway_and_is_no_temperature():
    with Plc(plain()) as plc:
        asking = poller(device(plc, registers=[PACK], device_id=9))

        async def work():
            found = await asking.poll()
            asking.close()
            return found

        found = run(work)
    assert said(found) == {"pack": (None, "refused")}
    assert "gateway no response" in found.samples[0].detail


KINDS = [one for one in Kind if one not in {Kind.NONE, Kind.DRIP}]
EVENTS = ["restarts", "restarts with others", "moves"]
SCRIPTS, POLLS = 24, 50

LONGEST_S = 2.0
"""Of a poll in the property: ten deadlines of 40 ms for a discovery, on a machine that is busy."""

APART = {"803.ModTmpMax": 0, "112.TmpCab": 3, "701.TmpCab": 6, "pack": 9, "int": 12}
"""What each sensor measures beyond the first, in tenths: near enough to be taken for another's."""

PLAIN = [
    Register("pack", 100, "float32", 0.0, 1.0),
    Register("int", 102, "int32", 0.0, 0.1),
]
BANK = Model(803, {"ModTmpMax": 0.0}, counts={"NStr": 1})
INVERTERS = [Model(112, {"TmpCab": 0.0}), Model(701, {"TmpCab": 0.0})]


def memory(number: int) -> Memory:
    """One of two that have the same sensors at other places."""
    return Memory([BANK, *INVERTERS] if number % 2 else [*INVERTERS, BANK], PLAIN)


def test_every_good_value_is_one_that_the_device_measured_during_the_poll():
    """Random scripts of faults, restarts, models that move with and without one; temperatures walk."""
    good = 0
    with Plc(memory(0)) as plc:
        for seed in range(SCRIPTS):
            good += run(partial(follow, plc, random.Random(seed), f"script {seed}"))
    # Of nothing the property would hold as well.
    assert good > SCRIPTS * POLLS


async def follow(plc: Plc, rng: random.Random, script: str) -> int:
    """One script; how many good values it gave."""
    plc.script.clear()
    registers = [FLOAT, {"sensor": "int", "address": 102, "type": "int32", "scale": 0.1}]
    sunspec = {"sunspec": {"registers_per_read": rng.choice([125, 60])}}
    options = rng.choice([{}, sunspec])
    asking = poller(device(plc, deadline_s=0.04, registers=registers, **options))
    tenths, good = rng.randint(100, 900), 0
    for number in range(POLLS):
        match rng.choice(EVENTS) if rng.random() < 0.1 else "":
            case "moves":
                plc.memory = memory(number)
            case "restarts with others":
                plc.restart(memory(number))
            case "restarts":
                plc.restart()
        tenths += rng.randint(-15, 15)
        held = {sensor: tenths + apart for sensor, apart in APART.items()}
        plc.measure({sensor: value / 10 for sensor, value in held.items()})
        while rng.random() < 0.2:
            kind = rng.choice(KINDS)
            plc.script.add(*[Fault()] * rng.randrange(4), Fault(kind, 4))
        began = time.monotonic()
        poll = await asking.poll()
        assert time.monotonic() - began < LONGEST_S, script
        for sample in poll.samples:
            if sample.value_millicelsius is not None:
                good += 1
                assert sample.value_millicelsius == 100 * held[sample.sensor], (script, sample)
    asking.close()
    return good
