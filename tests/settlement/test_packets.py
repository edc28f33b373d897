"""The project's own packet format: what is read, and what is refused and why."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settlement import packets, units
from settlement.packets import Content, UnreadablePacketError
from tests.settlement.signed import FIELDS, Device, b64


def read(packet: bytes) -> Content:
    said = packets.read(packets.split(packet))
    assert isinstance(said, Content)
    return said


def refusal(packet: bytes) -> UnreadablePacketError:
    with pytest.raises(UnreadablePacketError) as caught:
        packets.read(packets.split(packet))
    return caught.value


def test_a_packet_made_by_a_jose_library_is_read_exactly() -> None:
    # given a packet
    packet = Device().sign()
    # when it is taken apart
    content = read(packet)
    # then every digit is there, in the project's units
    assert content.export_end_milliwh - content.export_start_milliwh == 30_000
    assert content.soc_end_ppm == 804_500
    assert (content.latitude_microdeg, content.longitude_microdeg) == (37_774_929, -122_419_418)
    assert content.clock_offset_us == 3_250
    assert (content.ended_at - content.started_at).total_seconds() == 15


def test_identity_is_read_without_reading_the_rest() -> None:
    # given a packet with a field that cannot be read
    packet = Device().sign(power_start_w="much")
    # when
    identity = packets.identify(packets.split(packet))
    # then
    assert (identity.evse_id, identity.stream_epoch, identity.sequence) == ("US*V2G*E0001", 1, 7)


@pytest.mark.parametrize("depth", [900, 1_000, 1_010, 1_020, 3_000])
@pytest.mark.parametrize("field", ["evse_id", "version", "ended_at"])
def test_no_depth_of_nesting_does_more_than_be_refused(field: str, depth: int) -> None:
    fields = json.dumps(FIELDS | {field: 0})
    nested = fields.replace(f'"{field}": 0', f'"{field}": ' + "[" * depth + "]" * depth)
    packet = Device().sign(payload=nested.encode())
    for read in (packets.identify, packets.read):
        with pytest.raises(UnreadablePacketError):
            read(packets.split(packet))


def test_the_digest_covers_the_signed_bytes_and_not_the_signature() -> None:
    # given one payload signed twice: ECDSA signatures differ each time
    device = Device()
    first, second = device.sign(), device.sign()
    # when / then
    assert first != second
    assert packets.split(first).digest == packets.split(second).digest


PAYLOADS = {
    "a JSON name twice": (b'{"version":1,"sequence":1,"sequence":2}', "sequence' twice"),
    "NaN": (b'{"version":1,"x":NaN}', "NaN"),
    "Infinity": (b'{"version":1,"x":-Infinity}', "-Infinity"),
    "a float": (b'{"version":1,"x":1.5}', "1.5"),
    "an exponent": (b'{"version":1,"x":1e400}', "1e400"),
    "a number of a thousand digits": (b'{"version":1,"x":' + b"9" * 1000 + b"}", "1000 digits"),
    "an array": (b"[1]", "JSON list"),
    "not JSON": (b"{", "not JSON"),
    "not UTF-8": (b'{"version":"\xff"}', "not JSON"),
    "deep nesting": (b"[" * 3000 + b"]" * 3000, "not JSON"),
    "another version": (b'{"version":3}', "version"),
    "a version that is no integer": (b'{"version":true}', "version"),
    "a missing version": (b"{}", "version: missing"),
}


@pytest.mark.parametrize(("payload", "message"), PAYLOADS.values(), ids=PAYLOADS)
def test_a_payload_that_can_be_read_two_ways_or_none_is_refused_by_name(
    payload: bytes, message: str
) -> None:
    assert message in str(refusal(Device().sign(payload=payload)))


FIELD_CHANGES = {
    "text where a number is due": ("sequence", "7"),
    "a bool where a number is due": ("sequence", True),
    "a negative sequence": ("sequence", -1),
    "a sequence beyond 2^53": ("sequence", 2**53),
    "a number where decimal text is due": ("export_end_wh", 130),
    "more places than are exact": ("export_end_wh", "130.1251"),
    "a comma": ("export_end_wh", "130,125"),
    "an exponent": ("export_end_wh", "1e3"),
    "a plus sign": ("export_end_wh", "+1"),
    "blanks": ("export_end_wh", " 1"),
    "digits of another script": ("export_end_wh", "١٢"),
    "nothing after the point": ("export_end_wh", "1."),
    "nothing before the point": ("export_end_wh", ".1"),
    "a time without its zone": ("ended_at", "2026-07-01T17:00:15"),
    "a leap second": ("ended_at", "2026-06-30T23:59:60Z"),
    "a time before year 1 in UTC": ("ended_at", "0001-01-01T00:00:00+23:00"),
    "an empty id": ("vehicle_id", ""),
    "an id of a thousand characters": ("vehicle_id", "v" * 1000),
    "a NUL in an id": ("vehicle_id", "v\0"),
    "a lone surrogate": ("vehicle_id", "\ud800"),
    "an id that is a list": ("vehicle_id", ["v"]),
}


@pytest.mark.parametrize(("name", "value"), FIELD_CHANGES.values(), ids=FIELD_CHANGES)
def test_a_field_of_the_wrong_type_is_refused_with_its_name(name: str, value: Any) -> None:
    assert refusal(Device().sign(**{name: value})).where == f"payload.{name}"


@pytest.mark.parametrize("name", sorted(FIELDS))
def test_no_field_may_be_missing(name: str) -> None:
    payload = json.dumps({k: v for k, v in FIELDS.items() if k != name}).encode()
    assert refusal(Device().sign(payload=payload)).where == f"payload.{name}"


def test_half_a_character_is_refused_in_a_field_that_nobody_reads_too() -> None:
    # Landing could not tell whose it is, and a statement would not find it.
    payload = json.dumps(FIELDS | {"vendor": "\ud800"}).encode()
    assert "payload: not JSON" in str(refusal(Device().sign(payload=payload)))
    assert read(Device().sign(payload=payload.replace(b"ud800", b"u00e9"))).sequence == 7


def test_further_fields_are_kept_in_the_bytes_and_ignored() -> None:
    assert read(Device().sign(vendor={"cells": [1, 2]})).sequence == 7


ENVELOPES = {
    "nothing": b"",
    "text": b"hello",
    "two parts": b"eyJ.eyJ",
    "four parts": b"eyJ.a.b.c",
    "a header that is no JSON": b"eyJ.e30." + b64(bytes(64)),
    "padding": b64(b'{"alg":"ES256","kid":"k"}') + b"." + b64(b"{}") + b"." + b64(bytes(64)) + b"=",
    "the standard alphabet": b64(b'{"alg":"ES256","kid":"k"}')
    + b"."
    + b64(b"{}")
    + b"."
    + b"+" * 86,
    "a short signature": b64(b'{"alg":"ES256","kid":"k"}')
    + b"."
    + b64(b"{}")
    + b"."
    + b64(bytes(63)),
    "no kid": b64(b'{"alg":"ES256"}') + b"." + b64(b"{}") + b"." + b64(bytes(64)),
    "no alg": b64(b'{"kid":"k"}') + b"." + b64(b"{}") + b"." + b64(bytes(64)),
    "a critical extension": b64(b'{"alg":"ES256","kid":"k","crit":["exp"]}')
    + b"."
    + b64(b"{}")
    + b"."
    + b64(bytes(64)),
    "an unencoded payload": b64(b'{"alg":"ES256","kid":"k","b64":false}')
    + b".{}."
    + b64(bytes(64)),
    "8 KiB and a byte": b"eyJ" + b"a" * (units.PACKET_MAX_BYTES - 2),
}


@pytest.mark.parametrize("packet", ENVELOPES.values(), ids=ENVELOPES)
def test_what_is_no_packet_says_where_it_fails(packet: bytes) -> None:
    error = refusal(packet)
    assert error.where in {"packet", "header", "header.kid", "header.alg", "payload", "signature"}
    assert error.expected


@settings(max_examples=500)
@given(
    st.binary(max_size=300)
    | st.binary(max_size=200).map(lambda b: b"eyJ" + b)
    | st.tuples(st.binary(max_size=80), st.binary(max_size=200), st.binary(max_size=64)).map(
        lambda p: b".".join(map(b64, p))
    )
)
def test_no_bytes_do_anything_but_be_read_or_be_refused(packet: bytes) -> None:
    # Anything but a content or this error fails the test.
    with suppress(UnreadablePacketError):
        packets.read(packets.split(packet))


def test_a_bit_that_stands_for_nothing_is_no_way_to_write_a_packet_otherwise():
    # given a packet, and the same with one of the bits set that its last letter has beyond the last byte
    signed = Device().sign()
    letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = signed[:-1] + letters[letters.index(signed[-1:]) ^ 1 :][:1]
    # then the first is read and the second is not
    assert packets.split(signed).key_id
    with pytest.raises(UnreadablePacketError, match="beyond the last byte"):
        packets.split(other)
