"""No JSON value in the place of another does more to a decoder than be refused."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import pytest

from cli.packet_inspection import inspect
from settlement import packets
from settlement.packets import UnreadablePacketError
from tests.ocmf import as_ocpp16, as_signed_meter_value, default_points, make_meter, make_record
from tests.packets import default_fields, evening, make_key, make_packet_2, sign

ODD: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1.5, 10**30, "", " ", "x", "\ud800", "\0", [], [[]], [None], {}, {"a": []},
)  # fmt: skip
KEY: Final = make_key()
METER: Final = make_meter()
RECORD: Final = make_record(METER, CT="EVSEID", CI="E", IT="EMAID", ID="V")


def changed(fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The fields with each in turn replaced by each odd value."""
    for name in fields:
        for value in ODD:
            yield {**fields, name: value}


def payloads() -> Iterator[bytes]:
    whole = json.loads(RECORD.split(b"|")[1])
    for fields in changed(whole):
        yield json.dumps(fields).encode()
    first, *rest = whole["RD"]
    for reading in changed(first):
        yield json.dumps({**whole, "RD": [reading, *rest]}).encode()


def records() -> Iterator[bytes]:
    for payload in payloads():
        yield make_record(METER, payload=payload)
    header, payload, trailer = RECORD.split(b"|")
    for fields in changed({"SE": "hex", "SM": "x", **json.loads(trailer)}):
        yield b"|".join([header, payload, json.dumps(fields).encode()])


def own() -> Iterator[bytes]:
    carrying = {"version": 2, "records": [RECORD.decode()]}
    for fields in changed({**default_fields(), **carrying}):
        yield sign(KEY, fields)
    for fields in changed(default_fields()):
        yield sign(KEY, {**fields, "version": fields["version"] and 2})


def wrapped() -> Iterator[bytes]:
    for fields in (*changed(as_signed_meter_value(RECORD)), *changed(as_ocpp16(RECORD))):
        yield json.dumps(fields).encode()
    for inner in changed(as_signed_meter_value(RECORD)):
        yield json.dumps(as_ocpp16(RECORD, value=json.dumps(inner))).encode()


@pytest.mark.parametrize("made", [records, own, wrapped])
def test_no_value_in_the_place_of_another_breaks_a_decoder(made: Any) -> None:
    tried = 0
    for packet in made():
        tried += 1
        # Anything but this error fails the test.
        with suppress(UnreadablePacketError):
            envelope = packets.split(packet)
            with suppress(UnreadablePacketError):
                packets.identify(envelope)
            packets.read(envelope)
        assert inspect(packet, evening()).size == len(packet)
    assert tried > len(ODD)


def test_the_unchanged_ones_are_read() -> None:
    for packet in (RECORD, make_packet_2(KEY, [make_record(METER, default_points())])):
        assert inspect(packet, evening(0)).readable
