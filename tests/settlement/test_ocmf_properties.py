"""What holds of every record: it is read as written, and no changed byte goes unnoticed."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from settlement import packets
from settlement.packets import MeterRecord, UnreadablePacketError
from settlement.signatures import stands
from tests.ocmf import (
    make_meter,
    make_record,
    point,
)
from tests.settlement.recorded import key_of, read

METER = make_meter()


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_changed_byte_of_a_payload_goes_unnoticed(data: st.DataObject) -> None:
    # given a record, and the same with one byte of its payload changed
    record = make_record(METER)
    begin, end = len(b"OCMF|"), record.rindex(b"|")
    place = data.draw(st.integers(begin, end - 1))
    changed = bytearray(record)
    changed[place] = data.draw(st.integers(0, 255).filter(lambda b: b != record[place]))
    # then it is no record any more, or it does not stand
    try:
        envelope = packets.split(bytes(changed))
    except UnreadablePacketError:
        return
    assert not stands(key_of(METER), envelope)


REGISTER = st.decimals(0, 10**8, places=6).map(str)


@settings(max_examples=150, deadline=None)
@given(
    shown=st.lists(st.tuples(REGISTER, REGISTER), min_size=1, max_size=12),
    number=st.integers(0, 2**46),
    context=st.sampled_from("TF"),
)
def test_what_is_written_is_what_is_read(
    shown: list[tuple[str, str]], number: int, context: str
) -> None:
    points = [point(15 * n, export_kwh=out, import_kwh=into) for n, (out, into) in enumerate(shown)]
    said = read(make_record(METER, points, number=number, context=context))
    assert (said.number, said.context) == (number, context)
    assert [(p.export_milliwh, p.import_milliwh) for p in said.points] == [
        tuple(int(one.replace(".", "")) for one in pair) for pair in shown
    ]


FIELD_NAMES = (
    st.sampled_from(["FV", "PG", "MS", "GS", "RD", "TM", "TX", "RV", "RI", "RU", "EF", "ST", "CT", "CI", "IT", "ID", "SA", "SE", "SD"])
    | st.text(max_size=3)
)  # fmt: skip
JSON_TEXT = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELD_NAMES, inner, max_size=5),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200).map(lambda b: b"OCMF|" + b)
    | st.tuples(JSON_TEXT, JSON_TEXT).map(
        lambda two: b"|".join([b"OCMF", *(json.dumps(one).encode() for one in two)])
    )
    | st.dictionaries(FIELD_NAMES, JSON_TEXT).map(
        lambda fields: make_record(
            METER, payload=json.dumps({"MS": "1", "PG": "T1"} | fields).encode()
        )
    )
)
def test_no_bytes_do_anything_but_be_read_or_be_refused(packet: bytes) -> None:
    try:
        envelope = packets.split(packet)
        said: object = packets.read(envelope)
    except UnreadablePacketError as refused:
        # Anything but this error fails the test.
        said = refused
    if isinstance(said, UnreadablePacketError):
        assert said.where
        assert said.expected
    else:
        assert isinstance(said, MeterRecord)
        assert packets.identify(envelope).signed_at >= said.points[-1].at
