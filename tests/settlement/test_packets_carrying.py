"""The project's packet, version 2: what it may leave out, and the meter's records that it may carry."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from settlement import packets
from settlement.packets import Content, UnreadablePacketError
from settlement.packets.fields import base64url, json_object
from tests.ocmf import (
    TRANSACTION_EXPORT,
    default_points,
    make_meter,
    make_record,
    point,
)
from tests.packets import (
    OPTIONAL_IN_2,
    REGISTERS,
    evening,
    make_key,
    make_packet,
    make_packet_2,
    rfc3339,
    sign,
)

KEY = make_key()
METER = make_meter("secp256k1")
OPTIONAL_FIELDS = (
    "power_start_w",
    "power_end_w",
    "soc_start_ppm",
    "soc_end_ppm",
    "latitude_microdeg",
    "longitude_microdeg",
)


def read(packet: bytes) -> Content:
    said = packets.read(packets.split(packet))
    assert isinstance(said, Content)
    return said


def refusal(packet: bytes) -> UnreadablePacketError:
    with pytest.raises(UnreadablePacketError) as caught:
        read(packet)
    return caught.value


def carrying(*records: bytes, **fields: Any) -> bytes:
    return make_packet_2(KEY, records, **fields)


def test_version_2_says_what_version_1_says() -> None:
    assert read(make_packet_2(KEY)) == read(make_packet(KEY))


def test_version_2_may_leave_out_what_a_charger_does_not_know() -> None:
    # given
    content = read(make_packet_2(KEY, bare=True))
    # then what is left out is not stated, and the rest is
    assert [getattr(content, name) for name in OPTIONAL_FIELDS] == [None] * 6
    assert content.export_end_milliwh - content.export_start_milliwh == 30_000
    assert content.clock_offset_us == 1_250


@pytest.mark.parametrize("name", OPTIONAL_IN_2)
def test_of_a_pair_both_are_left_out_or_neither(name: str) -> None:
    without: dict[str, Any] = {name: None}
    error = refusal(make_packet_2(KEY, **without))
    assert error.where == f"payload.{name}"
    assert "or neither" in error.expected


@pytest.mark.parametrize("name", OPTIONAL_IN_2)
def test_null_is_not_how_a_field_is_left_out(name: str) -> None:
    payload = make_packet_2(KEY).split(b".")[1]
    text = base64url("payload", payload)
    fields = json_object("payload", text)
    error = refusal(sign(KEY, fields | {name: None}))
    assert (error.where, error.found) == (f"payload.{name}", "None")


@pytest.mark.parametrize("name", OPTIONAL_IN_2)
def test_version_1_leaves_nothing_out(name: str) -> None:
    assert refusal(make_packet(KEY, **{name: None})).where == f"payload.{name}"


@pytest.mark.parametrize("name", REGISTERS)
def test_a_packet_without_records_states_every_register(name: str) -> None:
    without: dict[str, Any] = {name: None}
    assert refusal(make_packet_2(KEY, **without)).where == f"payload.{name}"


def test_a_carried_records_registers_are_the_packets() -> None:
    # given a packet that carries a meter's record
    record = make_record(METER)
    envelope = packets.split(carrying(record, bare=True))
    # when
    content = packets.read(envelope)
    # then its registers are the record's, its context the packet's
    assert isinstance(content, Content)
    assert (content.export_start_milliwh, content.export_end_milliwh) == (
        1_000_000_000,
        1_000_030_000,
    )
    assert (content.import_start_milliwh, content.import_end_milliwh) == (250_000_000, 250_000_000)
    assert (content.problem, content.session_id) == ("", "SESSION-1")
    # and the record's envelope is there to be verified by itself
    assert envelope.inner == (packets.split(record),)
    assert (envelope.key_id, envelope.meter_id) == (KEY.key_id, "")


def one_way(way: str, start_kwh: str, end_kwh: str, number: int = 1) -> bytes:
    """A record of one direction only, as official verifiers want them."""
    names: dict[str, Any] = {"export_kwh": None, "import_kwh": None}
    return make_record(
        METER,
        [
            point(0, kind="B", **(names | {f"{way}_kwh": start_kwh})),
            point(15, kind="E", **(names | {f"{way}_kwh": end_kwh})),
        ],
        number=number,
    )


def test_records_of_both_directions_are_one_interval() -> None:
    content = read(carrying(one_way("export", "1", "1.03"), one_way("import", "9", "9.001", 2)))
    assert (content.export_start_milliwh, content.export_end_milliwh) == (1_000_000, 1_030_000)
    assert (content.import_start_milliwh, content.import_end_milliwh) == (9_000_000, 9_001_000)
    assert content.problem == ""


def test_an_export_that_no_record_states_did_not_move() -> None:
    content = read(carrying(one_way("import", "1", "1.03")))
    assert (content.export_start_milliwh, content.export_end_milliwh) == (0, 0)
    assert content.problem == ""


def test_an_import_that_is_left_out_does_not_raise_the_net() -> None:
    content = read(carrying(one_way("export", "1", "1.03")))
    assert "import register: stated nowhere" in content.problem


def test_two_records_of_one_point_each_are_one_interval() -> None:
    begin, end = default_points()
    content = read(carrying(make_record(METER, [begin]), make_record(METER, [end], number=2)))
    assert content.export_end_milliwh - content.export_start_milliwh == 30_000


def half_stated() -> Sequence[bytes]:
    begin, end = point(0, import_kwh="9"), point(15)
    return [make_record(METER, [begin, end])]


def other_register() -> Sequence[bytes]:
    begin = make_record(METER, [[point(0)[0] | {"RI": TRANSACTION_EXPORT}]])
    return [begin, make_record(METER, [point(15)], number=2)]


def contradicting() -> Sequence[bytes]:
    return [one_way("export", "1", "1.03"), one_way("export", "1", "1.04", 2)]


def flagged() -> Sequence[bytes]:
    return [make_record(METER, [point(0), point(7, EF="E"), point(15)])]


PROBLEMS = {
    "a register stated at one end": (half_stated, "import register: no value at the end"),
    "two registers": (other_register, "export register: C2 at the start, 2.8.0 at the end"),
    "records that contradict": (contradicting, "export register: several values at the end"),
    "a flag between the ends": (flagged, "energy not usable"),
}


@pytest.mark.parametrize(("records", "said"), PROBLEMS.values(), ids=PROBLEMS)
def test_records_that_make_no_interval_are_read_and_the_problem_named(
    records: Any, said: str
) -> None:
    assert said in read(carrying(*records())).problem


def later(seconds: float) -> str:
    return rfc3339(evening() + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("name", "time"),
    [("started_at", later(-1)), ("started_at", later(0.001)), ("ended_at", later(14.999)), ("ended_at", later(16))],
)  # fmt: skip
def test_a_packet_begins_and_ends_with_its_records(name: str, time: str) -> None:
    error = refusal(carrying(make_record(METER), **{name: time}))
    assert error.where == f"payload.{name}"
    assert "as the meter's records say" in error.expected
    assert evening().date().isoformat() in error.found


def test_times_finer_than_a_meters_are_still_its_times() -> None:
    assert read(carrying(make_record(METER), ended_at=later(15.0009))).problem == ""


RECORD = make_record(METER).decode()
WRONG = {
    "none": ([], "payload.records"),
    "five": ([RECORD] * 5, "payload.records"),
    "one that is not in a list": (RECORD, "payload.records"),
    "null": (None, "payload.records"),
    "something else": (["OCMF"], "payload.records[0].packet"),
    "a number": ([RECORD, 7], "payload.records[1].packet"),
    "a packet of ours": ([make_packet(KEY).decode()], "payload.records[0].packet"),
    "half a record": ([RECORD[:200]], "payload.records[0].packet"),
    "a lone surrogate": (["OCMF|\ud800|{}"], "payload.records[0]"),
    "records of two meters": ([RECORD, make_record(make_meter(meter_id="2")).decode()], "payload.records"),
    "a record without readings": ([make_record(METER, []).decode()], "payload.records[0].payload.RD"),
}  # fmt: skip


@pytest.mark.parametrize(("records", "where"), WRONG.values(), ids=WRONG)
def test_records_that_are_none_are_refused_with_their_place(records: object, where: str) -> None:
    fields = json_object("payload", packets.split(carrying(make_record(METER))).payload)
    assert refusal(sign(KEY, fields | {"records": records})).where == where


def test_two_meters_are_both_named() -> None:
    error = refusal(carrying(make_record(METER), make_record(make_meter(meter_id="2"), number=2)))
    assert "2" in error.found
    assert METER.meter_id in error.found


@pytest.mark.parametrize("name", REGISTERS)
def test_registers_beside_records_are_refused(name: str) -> None:
    error = refusal(carrying(make_record(METER), **{name: "1.000"}))
    assert (error.where, error.expected) == (f"payload.{name}", "registers or records, not both")


def test_records_hide_behind_no_spelling() -> None:
    # given a packet whose records stand under a name with an escape
    payload = packets.split(carrying(make_record(METER))).payload
    hidden = sign(KEY, payload.replace(b'"records"', b'"record\\u0073"'))
    # then nobody reads it as one without records
    assert refusal(hidden).where == "payload.records"


def test_records_in_version_1_are_a_further_name_and_ignored() -> None:
    packet = make_packet(KEY, records=["anything"])
    assert packets.split(packet).inner == ()
    assert read(packet) == read(make_packet(KEY))
