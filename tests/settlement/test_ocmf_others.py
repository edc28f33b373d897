"""What others make stands here, and what is made here stands with others: two libraries agree."""

from collections.abc import Iterator
from typing import Any

import pytest
from pyocmf import OCMF

from settlement import packets
from settlement.packets import MeterRecord
from settlement.signatures import CURVES, stands
from tests.ocmf import (
    TRANSACTION_EXPORT,
    default_points,
    make_meter,
    make_record,
    payload_of,
)
from tests.ocmf_js import NotHadError, OtherHand, other_hand
from tests.settlement.recorded import key_of, read


def method_of(curve: str) -> str:
    """The algorithm in the specification's own spelling, which has no P in brainpool."""
    return f"ECDSA-{curve.replace('brainpoolP', 'brainpool')}-SHA256"


@pytest.fixture(scope="module")
def other() -> Iterator[OtherHand]:
    try:
        with other_hand() as hand:
            yield hand
    except NotHadError as error:
        pytest.skip(f"@road-labs/ocmf cannot be had here: {error}")


def tampered(record: bytes) -> bytes:
    """The same record with one digit of its energy raised."""
    return record.replace(b"1000.030", b"1000.930")


def verified_by_pyocmf(record: bytes, public_key: bytes) -> bool:
    return bool(OCMF.from_string(record.decode()).verify_signature(public_key.hex()))


PYTHON_CURVES = [curve for curve in CURVES if curve != "brainpoolP384r1"]
"""pyocmf 0.6 reads no brainpoolP384r1 key."""


@pytest.mark.parametrize("curve", PYTHON_CURVES)
def test_a_record_of_ours_stands_with_a_python_library(curve: str) -> None:
    meter = make_meter(curve)
    record = make_record(meter)
    assert verified_by_pyocmf(record, meter.public_key)
    assert not verified_by_pyocmf(tampered(record), meter.public_key)


@pytest.mark.parametrize("curve", CURVES)
def test_a_record_of_ours_stands_with_a_javascript_library(other: OtherHand, curve: str) -> None:
    meter = make_meter(curve)
    record = make_record(meter, algorithm=method_of(curve))
    assert other.verify(record, meter.public_key)
    assert not other.verify(tampered(record), meter.public_key)


def shown(kwh: float, kind: str) -> dict[str, Any]:
    """A reading whose register is a JSON number, as that library types it."""
    reading = default_points(first=kind)[0][0]
    return reading | {"RV": kwh, "RI": TRANSACTION_EXPORT}


@pytest.mark.parametrize("curve", CURVES)
def test_a_record_of_a_javascript_library_stands_here(other: OtherHand, curve: str) -> None:
    # given a record with the transaction's export register, made and signed by the other
    meter = make_meter(curve)
    end = default_points()[1][0]["TM"]
    entries = [shown(0, "B"), shown(0.03, "E") | {"TM": end}]
    payload = payload_of([entries], meter_id=meter.meter_id, number=9)
    record = other.sign(meter.private, method_of(curve), payload)
    # when it is read and verified here
    envelope, said = packets.split(record), read(record)
    # then it stands, under this key alone, and says what was written
    assert stands(key_of(meter), envelope)
    assert not stands(key_of(make_meter(curve)), envelope)
    assert (said.meter_id, said.number) == (meter.meter_id, 9)
    assert [(p.export_register, p.export_milliwh) for p in said.points] == [
        ("C2", 0),
        ("C2", 30_000),
    ]
    # and so it does with the third, which has one spelling of one brainpool curve
    if "brainpool" not in curve:
        assert verified_by_pyocmf(record, meter.public_key)


def test_a_python_library_reads_the_same_registers() -> None:
    # given
    record = make_record(make_meter())
    # when
    theirs = OCMF.from_string(record.decode()).payload
    said = packets.read(packets.split(record))
    # then
    assert isinstance(said, MeterRecord)
    ours = [
        value for point in said.points for value in (point.export_milliwh, point.import_milliwh)
    ]
    assert [int((reading.RV or 0) * 1_000_000) for reading in theirs.RD] == ours
