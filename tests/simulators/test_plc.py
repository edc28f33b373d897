"""The simulated PLC is honest: an independent client reads what it was told to measure."""

import socket
import struct
import subprocess
import sys
import time

import pytest
from sunspec2.modbus import client as sunspec  # type: ignore[import-untyped] # no types

from simulators.plc.__main__ import LIMIT_REGISTER, main, scenario
from simulators.plc.faults import Fault, Kind, Script
from simulators.plc.memory import Memory, Model, Register
from simulators.plc.server import Plc, Write

HEAT = {"TmpAmb": 21.5, "TmpCab": None, "TmpSnk": 43.1}


def ask(plc: Plc, *requests: bytes, unit: int = 1) -> list[bytes]:
    """Function and data of the answer to each request, over one connection, by hand."""
    answers = []
    with socket.create_connection((plc.host, plc.port), timeout=5) as line:
        for number, request in enumerate(requests, start=1):
            line.sendall(struct.pack(">HHHB", number, 0, len(request) + 1, unit) + request)
            header = line.recv(7, socket.MSG_WAITALL)
            transaction, protocol, length, answered = struct.unpack(">HHHB", header)
            assert (transaction, protocol, answered) == (number, 0, unit)
            answers.append(line.recv(length - 1, socket.MSG_WAITALL))
    return answers


def read(address: int, count: int, function: int = 3) -> bytes:
    return struct.pack(">BHH", function, address, count)


def test_the_librarys_own_client_finds_the_models_and_the_temperatures():
    models = [
        Model(701, HEAT),
        Model(714, {"Prt[0].Tmp": 38.5, "Prt[1].Tmp": 20.0}, counts={"NPrt": 2}),
        Model(803, {"ModTmpMax": 38.5, "string[1].StrModTmpMax": 38.4}, counts={"NStr": 2}),
        Model(113, {"TmpCab": 36.5}),
    ]
    with Plc(Memory(models)) as plc:
        found = sunspec.SunSpecModbusClientDeviceTCP(ipaddr=plc.host, ipport=plc.port)
        found.scan()
        try:
            seen = [one for one in found.models if isinstance(one, int)]
            inverter, port = found.models[701][0], found.models[714][0].groups["Prt"][1]
            bank, floats = found.models[803][0], found.models[113][0]
            assert seen == [1, 701, 714, 803, 113]
            assert [inverter.points[name].cvalue for name in HEAT] == list(HEAT.values())
            assert port.points["Tmp"].cvalue == 20.0
            assert bank.points["ModTmpMax"].cvalue == 38.5
            assert bank.groups["string"][1].points["StrModTmpMax"].cvalue == 38.4
            assert floats.points["TmpCab"].cvalue == 36.5
            assert floats.points["TmpSnk"].cvalue is None
        finally:
            found.close()


@pytest.mark.parametrize("function", [3, 4])
def test_plain_registers_hold_every_type_in_both_orders(function):
    registers = [
        Register("a", 0, "int16", -5.5),
        Register("b", 1, "uint16", 35.0),
        Register("c", 2, "int32", 35.0, 0.01),
        Register("d", 4, "uint32", 35.0, 0.01, little=True),
        Register("e", 6, "float32", 35.5, 1.0),
        Register("f", 8, "float32", None, 1.0),
    ]
    with Plc(Memory(registers=registers)) as plc:
        [answer] = ask(plc, read(0, 10, function))
    words = struct.unpack(">10H", answer[2:])
    assert words == (0xFFC9, 350, 0, 3500, 3500, 0, 0x420E, 0, 0x7FC0, 0)


def test_what_cannot_be_answered_is_an_exception():
    with Plc(Memory(registers=[Register("a", 0)])) as plc:
        assert ask(plc, read(0, 2), read(0, 0), read(0, 126), b"\x2b\x0e\x01\x00") == [
            b"\x83\x02",
            b"\x83\x03",
            b"\x83\x03",
            b"\xab\x01",
        ]
        assert ask(plc, read(0, 1), unit=7) == [b"\x83\x0b"]


def test_what_is_written_is_kept_and_other_registers_cannot_be_written():
    one, two = struct.pack(">BHH", 6, 200, 0), struct.pack(">BHHB2H", 16, 200, 2, 4, 7, 8)
    with Plc(Memory(registers=[Register("a", 0)], writable={200: 9, 201: 9})) as plc:
        assert ask(plc, one, two, struct.pack(">BHH", 6, 0, 1), read(200, 2)) == [
            one,
            two[:5],
            b"\x86\x02",
            struct.pack(">BBHH", 3, 4, 7, 8),
        ]
        assert plc.writes == [Write(1, 200, (0,)), Write(1, 200, (7, 8))]


def test_faults_come_in_the_order_of_the_script_and_then_answers_are_right():
    script = Script([Fault(Kind.EXCEPTION, 6), Fault(Kind.FEWER)])
    with Plc(Memory(registers=[Register("a", 0, temperature=20.0)]), script=script) as plc:
        assert ask(plc, read(0, 1), read(0, 1), read(0, 1)) == [
            b"\x83\x06",
            b"\x03\x00",
            b"\x03\x02\x00\xc8",
        ]
    assert [one.kind for one in script.done] == [Kind.EXCEPTION, Kind.FEWER]


def test_random_faults_are_the_same_for_the_same_seed():
    def taken(seed: int) -> list[Fault]:
        script = Script(rate=0.5, seed=seed)
        return [script.take() for _ in range(50)]

    assert taken(1) == taken(1) != taken(2)
    assert Fault() in taken(1)


def test_a_restart_resets_every_connection_and_may_change_the_registers():
    with Plc(Memory(registers=[Register("a", 0, temperature=20.0)])) as plc:
        with socket.create_connection((plc.host, plc.port), timeout=5) as line:
            line.sendall(struct.pack(">HHHB", 1, 0, 6, 1) + read(0, 1))
            assert line.recv(11, socket.MSG_WAITALL)[-2:] == b"\x00\xc8"
            plc.restart(Memory(registers=[Register("b", 5, temperature=21.0)]))
            with pytest.raises(ConnectionResetError):
                line.recv(1)
        assert ask(plc, read(5, 1), read(0, 1)) == [b"\x03\x02\x00\xd2", b"\x83\x02"]


def test_it_knows_what_it_has_measured():
    with Plc(Memory(registers=[Register("a", 0, temperature=20.0)])) as plc:
        plc.measure({"a": 21.0})
        since = time.monotonic()
        plc.measure({"a": 22.0})
        assert plc.held_since(since) == {"a": {21.0, 22.0}}
        with pytest.raises(KeyError, match="expected some of"):
            plc.measure({"b": 1.0})


def test_the_scenario_heats_up_and_cools_while_it_is_held_at_nothing():
    memory = scenario(minutes=1, seed=1)
    hot = [memory.celsius(at)["pack"] or 0.0 for at in range(0, 61, 5)]
    assert hot[0] < 30
    assert 50 < max(hot) < 65
    memory.writable[LIMIT_REGISTER] = 0
    cooled = [memory.celsius(at)["pack"] or 99.0 for at in range(65, 120, 5)]
    assert cooled[-1] < 30


def test_the_command_serves_until_it_is_told_to_end():
    command = [sys.executable, "-m", "simulators.plc", "--port", "0", "--fault", "exception:2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().partition("127.0.0.1:")[2].partition(",")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as line:
            for _ in range(2):
                line.sendall(struct.pack(">HHHB", 1, 0, 6, 1) + read(40_000, 2))
                length = struct.unpack(">4xH", line.recv(6, socket.MSG_WAITALL))[0]
                answer = line.recv(length, socket.MSG_WAITALL)[1:]
        process.terminate()
        assert process.wait(10) == 0
    assert answer == b"\x03\x04SunS"


def test_help_names_every_fault(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(kind.value in shown for kind in Kind if kind is not Kind.NONE)
    with pytest.raises(SystemExit):
        main(["--fault", "flood"])
    assert "expected one of" in capsys.readouterr().err
