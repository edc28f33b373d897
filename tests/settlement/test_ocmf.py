"""A meter's own record: its frame, its signature, its identity, and what is refused."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from settlement import packets
from settlement.packets import UnreadablePacketError, ocmf
from settlement.signatures import CURVES, stands
from tests.ocmf import (
    make_meter,
    make_record,
    point,
)
from tests.packets import evening
from tests.settlement.recorded import key_of, read

METER = make_meter()


def test_a_record_is_read_as_points_in_time_with_exact_registers() -> None:
    # given a record of 15 seconds
    record = make_record(METER, number=4711, CT="EVSEID", CI="DE*V2G*E7", IT="EVCCID", ID="WMIV1")
    # when
    said = read(record)
    # then
    assert (said.meter_id, said.context, said.number) == (METER.meter_id, "T", 4711)
    assert (said.evse_id, said.vehicle_id) == ("DE*V2G*E7", "WMIV1")
    first, last = said.points
    assert last.at - first.at == timedelta(seconds=15)
    assert first.at == evening()
    assert (first.export_milliwh, last.export_milliwh) == (1_000_000_000, 1_000_030_000)
    assert (first.import_milliwh, last.import_milliwh) == (250_000_000, 250_000_000)
    assert (first.kind, last.kind, first.clock, first.problem) == ("B", "E", "S", "")


def test_its_identity_is_its_meters_counter_with_room_for_64_readings_each() -> None:
    # given two records of a meter, and one of its other counter
    one, two = (packets.split(make_record(METER, number=number)) for number in (7, 8))
    fiscal = packets.split(make_record(METER, number=7, context="F"))
    # when
    first, second, other = (packets.identify(envelope) for envelope in (one, two, fiscal))
    # then
    assert (first.sequence, second.sequence) == (7 * 64, 8 * 64)
    assert first.stream_epoch == second.stream_epoch != other.stream_epoch
    assert first.stream_epoch < 2**52
    assert first.meter_id == METER.meter_id
    assert first.signed_at == evening() + timedelta(seconds=15)
    assert first.evse_id == ""
    assert one.key_id == ""


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("raw", [False, True], ids=["DER", "two numbers"])
@pytest.mark.parametrize("encoding", ["hex", "base64"])
def test_a_signature_stands_on_every_curve_however_it_is_written(
    curve: str, raw: bool, encoding: str
) -> None:
    meter = make_meter(curve)
    envelope = packets.split(make_record(meter, raw=raw, encoding=encoding))
    assert envelope.der
    assert envelope.algorithm == f"ECDSA-{curve}-SHA256"
    assert stands(key_of(meter), envelope)
    assert not stands(key_of(make_meter(curve)), envelope)


def resigned(record: bytes, change: Callable[[dict[str, Any]], dict[str, Any]]) -> bytes:
    """The record with another signature section."""
    header, payload, trailer = record.split(b"|")
    return b"|".join([header, payload, json.dumps(change(json.loads(trailer))).encode()])


SPELLINGS = {
    "base64 that calls itself hex": lambda s: s | {"SE": "hex"},
    "base64 that does not say so": lambda s: {"SD": s["SD"]},
    "broken into lines": lambda s: s | {"SD": s["SD"][:40] + "\n" + s["SD"][40:]},
    "fields of the vendor's": lambda s: s | {"XX": [1, {"a": 2}], "SM": "application/x-der"},
}


@pytest.mark.parametrize("change", SPELLINGS.values(), ids=SPELLINGS)
def test_a_signature_is_recognised_by_its_bytes(change: Callable[..., dict[str, Any]]) -> None:
    record = make_record(METER, encoding="base64")
    assert stands(key_of(METER), packets.split(resigned(record, change)))


ALGORITHMS = {
    "": "ECDSA-secp256r1-SHA256",
    "ECDSA-brainpool256r1-SHA256": "ECDSA-brainpoolP256r1-SHA256",
    "ECDSA-brainpoolP384r1-SHA256": "ECDSA-brainpoolP384r1-SHA256",
    "ecdsa-SECP256K1-sha-256": "ECDSA-secp256k1-SHA256",
    "ECDSA-secp192k1-SHA256": "ECDSA-secp192k1-SHA256",
    "ECDSA-secp256r1-SHA512": "ECDSA-secp256r1-SHA512",
    "none": "none",
}


@pytest.mark.parametrize(("written", "meant"), ALGORITHMS.items())
def test_an_algorithm_has_one_spelling_however_it_is_written(written: str, meant: str) -> None:
    assert packets.split(make_record(METER, algorithm=written)).algorithm == meant


def test_the_digest_covers_the_payload_and_nothing_else() -> None:
    # given one payload, signed twice and written in two ways
    one = packets.split(make_record(METER))
    two = packets.split(make_record(METER, encoding="base64", raw=True))
    # then it is one content, and the number of the record is part of it
    assert one.digest == two.digest
    assert packets.split(make_record(METER, number=2)).digest != one.digest


@pytest.mark.parametrize(
    "version", ["0.1", "0.4", "1.0", "1.1", "1.2", "1.3", "1.4", "1.4.1", None]
)
def test_every_version_of_the_format_is_read(version: str | None) -> None:
    assert read(make_record(METER, FV=version)).number == 1


@pytest.mark.parametrize("serial", ["MS", "GS"])
def test_a_meter_is_known_by_its_serial_number_or_else_its_gateways(serial: str) -> None:
    names: dict[str, Any] = {"MS": None, "GS": ""} | {serial: " 000123 "}
    assert packets.split(make_record(METER, **names)).meter_id == "000123"


UNREADABLE = {
    "no meter": ({"MS": None, "GS": ""}, "payload.MS"),
    "a meter with a NUL": ({"MS": "a\0b"}, "payload.MS"),
    "a meter of a thousand letters": ({"MS": "m" * 1000}, "payload.MS"),
    "no pagination": ({"PG": None}, "payload.PG"),
    "a pagination without a number": ({"PG": "T"}, "payload.PG"),
    "a pagination of no context": ({"PG": "X1"}, "payload.PG"),
    "a pagination beyond 2^46": ({"PG": f"T{2**46 + 1}"}, "payload.PG"),
    "a pagination in other digits": ({"PG": "T١"}, "payload.PG"),
    "a version to come": ({"FV": "2.0"}, "payload.FV"),
    "no readings": ({"RD": []}, "payload.RD"),
    "readings that are none": ({"RD": {"TM": "x"}}, "payload.RD"),
    "a reading that is none": ({"RD": ["x"]}, "payload.RD[0]"),
    "no time": ({"RD": [{"RV": 1}]}, "payload.RD[0].TM"),
    "a time without its offset": ({"RD": [{"TM": "2026-07-01T17:00:00,000 S"}]}, "payload.RD[0].TM"),
    "a 25th hour": ({"RD": [{"TM": "2026-07-01T25:00:00,000+0000 S"}]}, "payload.RD[0].TM"),
    "an offset of days": ({"RD": [{"TM": "2026-07-01T17:00:00,000+9900 S"}]}, "payload.RD[0].TM"),
    "a time before year 1": ({"RD": [{"TM": "0001-01-01T00:00:00,000+0200 S"}]}, "payload.RD[0].TM"),
    "a flag that is a list": ({"RD": [point(0)[0] | {"EF": ["E"]}]}, "payload.RD[0].EF"),
    "an EVSE with a newline": ({"CT": "EVSEID", "CI": "a\nb"}, "payload.CI"),
}  # fmt: skip


@pytest.mark.parametrize(("fields", "where"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_refused_with_its_place(fields: dict[str, Any], where: str) -> None:
    with pytest.raises(UnreadablePacketError) as caught:
        read(make_record(METER, **fields))
    assert caught.value.where == where
    assert caught.value.expected


FRAMES = {
    "no signature": b"OCMF|{}",
    "a bar too many": b"OCMF|{}|{}|{}",
    "another header": b"OCMF2|{}|{}",
    "a payload that is none": b'OCMF|x|{"SD":"00"}',
    "a payload that is a list": b'OCMF|[]|{"SD":"00"}',
    "no SD": b'OCMF|{"MS":"1"}|{}',
    "an empty SD": b'OCMF|{"MS":"1"}|{"SD":""}',
    "an SD of letters": b'OCMF|{"MS":"1"}|{"SD":"zz"}',
    "an SD that is too short": b'OCMF|{"MS":"1"}|{"SD":"3006020101020101ff"}',
    "a name twice": b'OCMF|{"MS":"1","MS":"2"}|{"SD":"3006020101020101"}',
    "a name twice in a reading": b'OCMF|{"MS":"1","RD":[{"RV":1,"RV":2}]}|{"SD":"3006020101020101"}',
    "deep nesting": b"OCMF|" + b"[" * 3000 + b"|{}",
    "no UTF-8": b'OCMF|{"MS":"\xff"}|{}',
    "nothing": b"OCMF|",
    "8 KiB and a byte": b"OCMF|" + b" " * 8188,
}


@pytest.mark.parametrize("packet", FRAMES.values(), ids=FRAMES)
def test_what_is_no_record_says_where_it_fails(packet: bytes) -> None:
    with pytest.raises(UnreadablePacketError) as caught:
        read(packet)
    assert caught.value.expected


def test_a_twin_of_a_signature_stands_and_is_the_same_content() -> None:
    # given (r, n - s), which every verifier accepts (SEC 1 §4.1.4)
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    record = make_record(METER)
    r, s = decode_dss_signature(packets.split(record).signature)
    twin = resigned(record, lambda _: {"SD": encode_dss_signature(r, order - s).hex()})
    # then
    assert stands(key_of(METER), packets.split(twin))
    assert packets.split(twin).digest == packets.split(record).digest
    assert ocmf.looks_like(twin)
