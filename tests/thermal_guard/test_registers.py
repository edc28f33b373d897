"""Limits written into the registers of a PLC, over real Modbus TCP, and read back."""

import json
import threading
from typing import Any

import pytest

from embedded.processes import wait_until
from ingest_daemon.modbus.configuration import LimitRegister, parse
from simulators.plc.faults import Fault, Kind, Script
from simulators.plc.memory import Memory
from simulators.plc.server import Plc, Write
from tests.evse_agent.harness import EVSE_ID
from tests.thermal_guard.harness import World, guarding, until
from thermal_guard.registers import Register, Registers, registers_of

ADDRESS, UNLIMITED = 41_000, 11_000


@pytest.fixture
def plc():
    with Plc(Memory(writable={ADDRESS: 5, ADDRESS + 1: 6})) as running:
        yield running


def fleet(plc: Plc, **limit: object):
    stated = {"address": ADDRESS, "type": "uint16", "unlimited": UNLIMITED} | limit
    device = {
        "name": "plc-1",
        "host": plc.host,
        "port": plc.port,
        "evse_id": EVSE_ID,
        "deadline_s": 1,
        "registers": [{"sensor": "t1", "address": 10, "type": "int16"}],
        "limit": stated,
    }
    return parse(json.dumps({"devices": [device]}).encode(), where="a test")


class Written:
    """Registers whose answers can be waited for."""

    def __init__(self, plc: Plc, **limit: object) -> None:
        self.wake = threading.Event()
        self.registers = Registers(registers_of(fleet(plc, **limit)), wake=self.wake.set)

    def answer(self) -> tuple[str, str]:
        assert self.wake.wait(20)
        self.wake.clear()
        [found] = self.registers.known()
        return found.state, found.detail

    def write(self, limit_w: int | None) -> tuple[str, str]:
        self.registers.write("plc-1", "id", limit_w)
        return self.answer()

    def verify(self, limit_w: int | None) -> tuple[str, str]:
        self.registers.verify("plc-1", "id", limit_w)
        return self.answer()


@pytest.mark.parametrize(
    ("stated", "limit_w", "expected"),
    [
        ({"type": "uint16", "unlimited": 11_000}, 0, (0,)),
        ({"type": "uint16", "unlimited": 11_000}, None, (11_000,)),
        ({"type": "int16", "unlimited": -1}, None, (0xFFFF,)),
        ({"type": "uint32", "unlimited": 70_000}, None, (1, 4464)),
        ({"type": "uint32", "unlimited": 70_000, "words": "little"}, None, (4464, 1)),
        ({"type": "int32", "unlimited": -2}, None, (0xFFFF, 0xFFFE)),
        ({"type": "uint16", "unlimited": 9, "scale_w": 100}, 7_250, (72,)),
    ],
)
def test_a_limit_is_written_as_the_device_takes_it(plc, stated, limit_w, expected):
    [device] = fleet(plc).devices
    limit = LimitRegister.model_validate({"address": ADDRESS} | stated)
    assert Register(device, limit).values(limit_w) == expected


def test_what_is_read_back_is_the_acknowledgement(plc):
    written = Written(plc)
    assert written.write(0) == ("obeyed", f"register {ADDRESS} says [0]")
    assert written.write(None)[0] == "obeyed"
    assert plc.writes == [Write(1, ADDRESS, (0,)), Write(1, ADDRESS, (UNLIMITED,))]
    assert plc.memory.writable[ADDRESS] == UNLIMITED


def test_two_registers_are_written_together(plc):
    written = Written(plc, type="uint32", unlimited=70_000)
    assert written.write(None)[0] == "obeyed"
    assert (plc.memory.writable[ADDRESS], plc.memory.writable[ADDRESS + 1]) == (1, 4464)


@pytest.mark.parametrize(
    ("fault", "state", "words"),
    [
        (Fault(Kind.EXCEPTION, 4), "refused", "exception 4"),
        (Fault(Kind.SHORT_FRAME), "failed", ""),
        (Fault(Kind.NOISE), "failed", ""),
    ],
)
def test_a_plc_that_does_not_do_it_is_said_so(plc, fault, state, words):
    plc.script = Script([fault])
    found, detail = Written(plc).write(0)
    assert found == state
    assert words in detail


def test_a_plc_that_is_away_fails(plc):
    stated = fleet(plc).devices[0].model_copy(update={"port": 1})
    registers = Registers([Register(stated, stated.limit)], wake=lambda: None)
    registers.write("plc-1", "id", 0)
    assert not registers.free("plc-1")
    found: list[Any] = []

    def answered() -> bool:
        found.extend(registers.known())
        return bool(found)

    wait_until(answered, deadline_s=20, what="an answer")
    assert found[0].state == "failed"
    assert "no connection" in found[0].detail
    assert registers.free("plc-1")


def test_a_register_that_changed_is_noticed(plc):
    written = Written(plc)
    written.write(0)
    assert written.verify(0)[0] == "looked"
    plc.memory.writable[ADDRESS] = 9
    assert written.verify(0) == ("drifted", "found [9]")


def test_a_plc_is_limited_again_after_it_forgot(plc, plain_database, tmp_path, monkeypatch):
    # given an EVSE without an agent, whose PLC takes limits
    file = tmp_path / "modbus.json"
    file.write_text(fleet(plc).model_dump_json())
    world = World(plain_database)
    with guarding(world, None, monkeypatch, modbus_file=file, verify_every_s=0.05) as guard:
        world.measure(56)
        until(guard, world.obeyed, "the limit")
        assert plc.memory.writable[ADDRESS] == 0
        # when it restarts without what was written
        plc.restart(Memory(writable={ADDRESS: UNLIMITED}))
        # then it is written again
        until(guard, lambda: plc.memory.writable[ADDRESS] == 0, "the limit to be back")
        world.measure(44)
        until(guard, lambda: plc.memory.writable[ADDRESS] == UNLIMITED, "the release")
        until(guard, world.obeyed, "its record")
    assert world.said() == [(0, "THERMAL_LIMIT_REACHED"), (None, "THERMAL_RELEASED")]
    [first, _] = world.commands()
    assert world.outcomes(first)[:4] == ["sent", "obeyed", "sent", "obeyed"]
    ways = world.rows("select distinct way from throttle_outcome where way <> ''")
    assert [one["way"] for one in ways] == ["modbus:plc-1"]
