"""The file of devices is checked whole, and says what is wrong where."""

from decimal import Decimal
from pathlib import Path

import pytest

from ingest_daemon.modbus.configuration import ConfigError, Fleet, load, parse

PLC = "name: plc-1, host: 192.0.2.1, evse_id: E1"
PACK = "{sensor: pack, address: 100, type: int16}"
EXAMPLE = Path(__file__).parents[3] / "infra/modbus.example.yaml"


def fleet(*devices: str, head: str = "") -> Fleet:
    lines = "\n".join(f"- {{{one}}}" for one in devices)
    return parse(f"{head}\ndevices:\n{lines}".encode(), where="modbus.yaml")


def test_the_shipped_example_is_right():
    found = load(EXAMPLE)
    assert [one.name for one in found.devices] == ["plc-1", "cabinet-2"]
    limit = found.devices[0].limit
    assert limit is not None
    assert limit.unlimited == 65535


def test_a_decimal_is_taken_as_it_is_written():
    found = fleet(f"{PLC}, registers: [{{sensor: pack, address: 0, type: int16, scale: 0.1}}]")
    assert found.devices[0].registers[0].scale == Decimal("0.1")


def test_defaults_stand_beneath_each_device_and_below_its_own_words():
    found = fleet(
        f"{PLC}, registers: [{PACK}], plausible: {{high_c: 80}}",
        f"name: b, host: h, evse_id: E2, every_s: 5, registers: [{PACK}]",
        head="defaults: {every_s: 30, plausible: {low_c: 5, high_c: 90}}",
    )
    one, other = found.devices
    assert (one.every_s, other.every_s) == (30, 5)
    assert (one.plausible.limits().low, one.plausible.limits().high) == (5_000, 80_000)
    assert other.plausible.limits().high == 90_000


@pytest.mark.parametrize(
    ("devices", "said"),
    [
        ([f"{PLC}, sunspec: {{}}, evse: E"], "device plc-1: evse: unknown key"),
        (["name: plc-1, host: h, sunspec: {}"], "device plc-1: evse_id: missing"),
        (["host: h, evse_id: E, sunspec: {}"], "device number 1: name: missing"),
        ([PLC], "device plc-1: neither sunspec nor registers"),
        (
            [f"{PLC}, registers: [{{sensor: pack, address: 1, type: int8}}]"],
            "device plc-1: registers[0].type: found 'int8'; input should be 'int16'",
        ),
        (
            [f"{PLC}, registers: [{{sensor: pack, address: 70000, type: int16}}]"],
            "device plc-1: registers[0].address: found '70000'; input should be less than or equal to 65535",
        ),
        (
            [f"{PLC}, registers: [{{sensor: pack, address: 65535, type: int32}}]"],
            "device plc-1: pack: address 65535; expected room for int32",
        ),
        (
            [f"{PLC}, registers: [{{sensor: pack, address: 1, type: int16, function: 6}}]"],
            "device plc-1: registers[0].function: found '6'",
        ),
        ([f"{PLC}, registers: [{PACK}, {PACK}]"], "device plc-1: sensor pack twice"),
        (
            [f"{PLC}, registers: [{PACK.replace('pack', '803.ModTmpMax')}]"],
            "device plc-1: sensor 803.ModTmpMax; expected a name that no SunSpec sensor has",
        ),
        ([f"{PLC}, sunspec: {{}}, device_id: 0"], "device plc-1: device_id: found '0'"),
        (
            [f"{PLC}, sunspec: {{}}, plausible: {{low_c: 50, high_c: 20}}"],
            "device plc-1: plausible: low_c 50 and high_c 20; expected low below high",
        ),
        ([f"{PLC}, sunspec: {{}}, plausible: {{high_c: 151}}"], "plausible.high_c: found '151'"),
        ([f"{PLC}, sunspec: {{}}, deadline_s: 20"], "deadline_s 20.0 beyond every_s 15"),
        ([f"{PLC}, sunspec: {{}}"] * 2, "two devices plc-1; expected each name once"),
        (
            [f"{PLC}, sunspec: {{}}", "name: b, host: 192.0.2.1, evse_id: E2, sunspec: {}"],
            "two devices at ('192.0.2.1', 502, 1)",
        ),
        (
            [f"{PLC}, sunspec: {{}}", f"name: b, host: h, evse_id: E1, registers: [{PACK}]"],
            "two devices would both say the battery's temperature at E1",
        ),
        (
            [f"{PLC}, sunspec: {{}}, limit: {{address: 1, type: uint16, unlimited: 70000}}"],
            "device plc-1: limit: unlimited 70000; expected 0 to 65535",
        ),
        (
            [f"{PLC}, sunspec: {{}}, limit: {{address: 1, type: int16, unlimited: 65535}}"],
            "device plc-1: limit: unlimited 65535; expected -32768 to 32767",
        ),
        (
            [f"{PLC}, sunspec: {{}}, limit: {{address: 1, type: uint16, unlimited: 0}}"],
            "device plc-1: limit: unlimited 0; expected another value",
        ),
        (
            [f"{PLC}, sunspec: {{}}, limit: {{address: 65535, type: uint32, unlimited: 1}}"],
            "device plc-1: limit: address 65535; expected room for uint32",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_device_and_its_key(devices, said):
    with pytest.raises(ConfigError) as refused:
        fleet(*devices)
    assert said in str(refused.value)
    assert str(refused.value).startswith("modbus.yaml: ")


def test_two_devices_of_one_evse_are_fine_where_one_says_nothing_of_the_battery():
    quiet = PACK.replace("}", ", battery: false}")
    fleet(f"{PLC}, sunspec: {{}}", f"name: b, host: h, evse_id: E1, registers: [{quiet}]")
    fleet(f"{PLC}, sunspec: {{battery: []}}", f"name: b, host: h, evse_id: E1, registers: [{PACK}]")


def test_everything_that_is_wrong_is_said_at_once():
    with pytest.raises(ConfigError) as refused:
        fleet(f"{PLC}, colour: red, sunspec: {{base: 1}}", "name: b")
    assert len(str(refused.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"devices: [", "no YAML"),
        (b"- 1", "found list; expected a mapping with devices"),
        (b"devices: []", "no devices; expected at least one"),
        (b"{}", "devices: missing"),
        (b"devices: []\ndevices: []", "the key devices stands twice"),
        (b"\xff\xfe\x00", "no YAML"),
        (b"a: !!python/object/apply:os.system [ls]", "no YAML"),
    ],
)
def test_what_is_no_list_of_devices_is_refused(text, said):
    with pytest.raises(ConfigError, match=said.replace("[", r"\[").replace("]", r"\]")):
        parse(text, where="modbus.yaml")


def test_a_file_that_is_absent_or_too_long_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "absent.yaml")
    monkeypatch.setattr("ingest_daemon.modbus.configuration.FILE_MAX_BYTES", 10)
    (tmp_path / "long.yaml").write_text("# " + "x" * 20)
    with pytest.raises(ConfigError, match="more than 10 bytes"):
        load(tmp_path / "long.yaml")
