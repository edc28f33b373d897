"""Many devices at once: none holds another up, each comes back by itself."""

import asyncio
import random
import time

from ingest_daemon.modbus.configuration import Fleet
from ingest_daemon.modbus.metrics import Metrics
from ingest_daemon.modbus.outbox import Outbox
from ingest_daemon.modbus.rounds import Rounds
from simulators.plc.faults import Fault, Kind, Script
from simulators.plc.server import Plc
from tests.ingest_daemon.modbus.polled import device, now, plain, run

PACK = {"sensor": "pack", "address": 100, "type": "int16", "scale": 0.1}
WITHIN_S = 20.0


def fleet(*devices, concurrency=64) -> Fleet:
    return Fleet(concurrency=concurrency, devices=devices)


def named(plc: Plc, number: int, **fields):
    name = f"plc-{number}"
    own = {"name": name, "evse_id": name, "registers": [PACK], "every_s": 0.2, "deadline_s": 0.2}
    return device(plc, **(own | fields))


async def until(condition, rounds: Rounds, what: str) -> None:
    """Poll until something holds, then stop."""
    polling = asyncio.create_task(rounds.run())
    ends = time.monotonic() + WITHIN_S
    while not condition():
        assert not polling.done(), polling.exception()
        assert time.monotonic() < ends, what
        await asyncio.sleep(0.01)
    polling.cancel()
    await asyncio.wait({polling})


def rounds_of(devices: Fleet, box: Outbox) -> tuple[Rounds, Metrics]:
    metrics = Metrics(box, now=now)
    made = Rounds(devices, box, metrics=metrics, now=now, rng=random.Random(3), retry_first_s=0.05)
    return made, metrics


def good(box: Outbox) -> dict[str, int]:
    found: dict[str, int] = {}
    for poll in box._polls:
        for one in poll:
            if one.quality == "good":
                found[one.device_id] = found.get(one.device_id, 0) + 1
    return found


def test_devices_that_hang_do_not_hold_up_the_others():
    stalls = Script([Fault(Kind.STALL)] * 10_000)
    with Plc(plain(), script=stalls) as hanging, Plc(plain()) as well:
        # Two device ids of one PLC are two devices; of the ids that it does not have it says so.
        hung = [named(hanging, number, device_id=number) for number in range(1, 7)]
        box = Outbox(samples_max=100_000)

        async def work():
            rounds, metrics = rounds_of(fleet(*hung, named(well, 7), concurrency=2), box)
            await until(lambda: good(box).get("plc-7", 0) >= 5, rounds, "five good polls")
            return metrics.text().decode()

        figures = run(work)

    assert set(good(box)) == {"plc-7"}
    assert 'v2g_modbus_device_up{device="plc-7"} 1.0' in figures
    assert hanging.connections == well.connections == 0


def test_a_device_comes_back_after_its_plc_restarts():
    box = Outbox(samples_max=100_000)
    with Plc(plain(35.0)) as plc:

        async def work():
            rounds, _ = rounds_of(fleet(named(plc, 1)), box)
            restarted = False

            def back() -> bool:
                nonlocal restarted
                words = [one.quality for poll in box._polls for one in poll]
                if words and not restarted:
                    plc.restart()
                    restarted = True
                return "no_answer" in words and words[-2:] == ["good", "good"]

            await until(back, rounds, "good polls after the restart")

        run(work)


def test_polls_whose_time_has_passed_are_left_out_and_counted():
    box = Outbox(samples_max=100)
    with Plc(plain()) as plc:

        async def work():
            rounds, metrics = rounds_of(fleet(named(plc, 1, every_s=0.2)), box)
            slept = False

            def slow() -> bool:
                nonlocal slept
                if good(box) and not slept:
                    slept = True
                    time.sleep(1.0)  # the loop stands still
                return slept and good(box)["plc-1"] >= 3

            await until(slow, rounds, "three polls")
            return metrics

        metrics = run(work)
    left_out = metrics.late._value.get()
    assert 3 <= left_out <= 8
