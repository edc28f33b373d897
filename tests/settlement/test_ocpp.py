"""A meter's record as OCPP wraps it: unwrapped, it is the record."""

import json
from base64 import b64encode
from typing import Any

import pytest

from settlement import packets
from settlement.packets import UnreadablePacketError
from tests.ocmf import as_ocpp16, as_signed_meter_value, make_meter, make_record

METER = make_meter()
RECORD = make_record(METER, TT="0,42 €/kWh")


def wrapped(value: object) -> bytes:
    return json.dumps(value).encode()


FORMS = {
    "2.0.1 and 2.1": as_signed_meter_value(RECORD, public_key=METER.public_key),
    "2.1 without what it need not have": {
        "signedMeterData": b64encode(RECORD).decode(),
        "encodingMethod": "OCMF",
    },
    "2.x with the record itself": as_signed_meter_value(RECORD, signedMeterData=RECORD.decode()),
    "2.x with a method": as_signed_meter_value(RECORD, signing_method="ECDSA-secp256r1-SHA256"),
    "2.x with a vendor's field": as_signed_meter_value(RECORD, customData={"vendorId": "x", "n": 1.5}),
    "1.6": as_ocpp16(RECORD),
    "1.6 with the record itself": as_ocpp16(RECORD, value=RECORD.decode()),
    "the object inside 1.6": json.loads(as_ocpp16(RECORD)["value"]),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_wrapping_of_a_record_is_that_record(form: object) -> None:
    # given
    bare = packets.split(RECORD)
    # when
    envelope = packets.split(b" \n" + wrapped(form))
    # then it is the same content, found under the same meter
    assert envelope == bare
    assert envelope.digest == bare.digest
    assert packets.identify(envelope) == packets.identify(bare)
    assert packets.read(envelope) == packets.read(bare)


def test_the_key_that_came_along_changes_nothing() -> None:
    other = as_signed_meter_value(RECORD, public_key=make_meter().public_key)
    assert packets.split(wrapped(other)) == packets.split(RECORD)


VALUE = as_signed_meter_value(RECORD)
WRONG: dict[str, tuple[Any, str, str]] = {
    "an object of something else": ({"a": 1}, "packet", "'a'"),
    "an empty object": ({}, "packet", "no fields"),
    "a measured value": ({"value": "12", "format": "Raw"}, "packet", "'value'"),
    "a value that is no JSON": ({"value": "12a", "format": "SignedData"}, "packet.value", "not JSON"),
    "a value that is a number": ({"value": 12, "format": "SignedData"}, "packet", "'value'"),
    "a value without a record": ({"value": "{}"}, "packet.value.signedMeterData", "missing"),
    "a value in a value": (as_ocpp16(RECORD, value=json.dumps(as_ocpp16(RECORD))), "packet.value.signedMeterData", "missing"),
    "data that is a list": (VALUE | {"signedMeterData": [1]}, "packet.signedMeterData", "1"),
    "data that is empty": (VALUE | {"signedMeterData": ""}, "packet.signedMeterData", "''"),
    "data that is no base64": (VALUE | {"signedMeterData": "?"}, "packet.signedMeterData", "?"),
    "another format": (VALUE | {"signedMeterData": b64encode(b"EDL").decode(), "encodingMethod": "EDL"}, "packet.signedMeterData", "EDL"),
    "a lone surrogate": (VALUE | {"signedMeterData": "\ud800"}, "packet.signedMeterData", "no text"),
    "half a record": (VALUE | {"signedMeterData": b64encode(RECORD[:50]).decode()}, "packet", "2 sections"),
}  # fmt: skip


@pytest.mark.parametrize(("value", "where", "found"), WRONG.values(), ids=WRONG)
def test_what_wraps_no_record_says_where_it_fails(value: Any, where: str, found: str) -> None:
    with pytest.raises(UnreadablePacketError) as caught:
        packets.split(wrapped(value))
    assert caught.value.where == where
    assert found in caught.value.found


def test_a_name_twice_in_the_wrapping_is_refused() -> None:
    twice = wrapped(VALUE).replace(b'{"signed', b'{"signedMeterData":"x","signed', 1)
    with pytest.raises(UnreadablePacketError, match="twice"):
        packets.split(twice)
