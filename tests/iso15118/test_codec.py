"""The wrapper around the codec: names put right both ways, and nothing believed unseen."""

import json

import pytest

from iso15118_bridge.codec import DC, RegisterLostError, WatchedCodec
from tests.iso15118.sessions import loop

LIBRARY_NAME = "BPTDischargedEnergyReadingWh"
SCHEMA_NAME = "BPT_DischargedEnergyReadingWh"
SCHEMA = {"MeterID", "ChargedEnergyReadingWh", SCHEMA_NAME}


class Dropping:
    """Does what the real one does to MeterInfo: drops what the schema does not know, silently."""

    def __init__(self, known=frozenset(SCHEMA)):
        self.known = known

    def encode(self, message, namespace):
        content = json.loads(message)
        for body in content.values():
            if "MeterInfo" in body:
                body["MeterInfo"] = {k: v for k, v in body["MeterInfo"].items() if k in self.known}
        return bytearray(json.dumps(content).encode())

    def decode(self, stream, namespace):
        return bytes(stream).decode()

    def get_version(self):
        return "1"


def answer(name=LIBRARY_NAME, value=3468):
    _, said = loop(None)
    said["DC_ChargeLoopRes"]["MeterInfo"][name] = value
    return json.dumps(said)


def test_the_fault_is_real_without_the_wrapper():
    bare = Dropping()
    assert "3468" not in bare.decode(bare.encode(answer(), DC), DC)


def test_the_discharged_register_travels_under_the_schema_s_name():
    seen = []
    codec = WatchedCodec(Dropping(), seen=lambda *told: seen.append(told))
    stream = codec.encode(answer(), DC)
    assert isinstance(stream, bytes)
    assert json.loads(stream)["DC_ChargeLoopRes"]["MeterInfo"][SCHEMA_NAME] == 3468
    ((direction, message, at, namespace),) = seen
    assert (direction, namespace, at.utcoffset().seconds) == ("tx", DC, 0)
    assert message["DC_ChargeLoopRes"]["MeterInfo"][SCHEMA_NAME] == 3468


def test_on_the_way_in_the_library_finds_its_own_name_and_the_watcher_the_schema_s():
    seen = []
    codec = WatchedCodec(Dropping(), seen=lambda *told: seen.append(told))
    decoded = json.loads(codec.decode(answer(SCHEMA_NAME).encode(), DC))
    assert decoded["DC_ChargeLoopRes"]["MeterInfo"][LIBRARY_NAME] == 3468
    assert seen[0][1]["DC_ChargeLoopRes"]["MeterInfo"][SCHEMA_NAME] == 3468


def test_a_codec_that_drops_the_register_after_all_is_caught_before_anything_travels():
    # given a codec that knows the register by no name
    lost, seen = list[str](), list[object]()
    codec = WatchedCodec(
        Dropping(frozenset({"MeterID"})), lost=lost.append, seen=lambda *told: seen.append(told)
    )

    # when a register is to be sent
    with pytest.raises(RegisterLostError, match="found nothing in the encoded message"):
        codec.encode(answer(), DC)

    # then it is told, and nobody takes the message for sent
    assert len(lost) == 1
    assert seen == []


def test_a_codec_that_changes_the_register_is_caught():
    class Rounding(Dropping):
        def decode(self, stream, namespace):
            return super().decode(stream, namespace).replace("3468", "3400")

    with pytest.raises(RegisterLostError, match="found 3400"):
        WatchedCodec(Rounding()).encode(answer(), DC)


def test_a_car_that_wants_the_meter_asks_for_it():
    asked, _ = loop(1)
    asked["DC_ChargeLoopReq"]["MeterInfoRequested"] = False
    told = json.dumps(asked)
    for wants in (False, True):
        stream = WatchedCodec(Dropping(), wants_meter=wants).encode(told, DC)
        assert json.loads(stream)["DC_ChargeLoopReq"]["MeterInfoRequested"] is wants
