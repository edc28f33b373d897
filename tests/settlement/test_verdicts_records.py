"""Verdicts on meters' own records: the key's record decides, and the meter's flags."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from settlement import packets
from settlement.reasons import PacketReason
from settlement.signatures import DeviceKey, Keyring
from settlement.verdicts import (
    LandedPacket,
    Policy,
    judge,
    quarantine_row,
    reading_rows,
    standing_record,
)
from tests.ocmf import (
    Meter,
    as_ocpp16,
    as_signed_meter_value,
    default_points,
    make_meter,
    make_record,
    point,
)
from tests.packets import EVSE_ID, evening
from tests.settlement.metered import KEBA, METER, OTHER, POINTS, RECEIVED, key, tampered, verdict

ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize("meter", [METER, KEBA], ids=["secp256r1", "secp256k1, allowed"])
def test_a_record_that_stands_under_its_meters_key_is_read(meter: Meter) -> None:
    # when
    found = verdict(make_record(meter, number=7), key(meter))
    # then
    assert (found.reason, found.detail) == (None, "")
    (row,) = reading_rows(found)
    assert row["evse_id"] == EVSE_ID
    assert row["export_end_milliwh"] == 1_000_030_000
    assert row["key_id"] == f"key of {meter.meter_id}"
    record = standing_record(found)
    assert record is not None
    assert (record.number, record.digest) == (7, row["digest"])


def test_one_record_is_the_same_in_every_wrapping() -> None:
    # given a record as it is, and in the objects of OCPP
    record = make_record(METER)
    wrapped = [as_signed_meter_value(record), as_ocpp16(record)]
    # when
    found = [
        verdict(one, key(METER)) for one in (record, *(json.dumps(w).encode() for w in wrapped))
    ]
    # then
    assert [one.reason for one in found] == [None] * 3
    assert len({one.envelope.digest for one in found if one.envelope}) == 1


def test_any_key_of_the_meter_that_is_valid_then_will_do() -> None:
    # given a meter whose key is being changed
    old, new = make_meter(), make_meter()
    keys = [key(old, "b-old"), key(new, "a-new")]
    # then each of the two may have signed
    assert verdict(make_record(old), *keys).key == keys[0]
    assert verdict(make_record(new), *keys).key == keys[1]


def malleated(record: bytes) -> bytes:
    """The same record under (r, n - s), which stands as well."""
    envelope = packets.split(record)
    r, s = decode_dss_signature(envelope.signature)
    other = encode_dss_signature(r, ORDER_OF_P256 - s).hex()
    return b"OCMF|" + envelope.payload + b'|{"SD":"' + other.encode() + b'"}'


HOURS = [
    point(0, import_kwh="5.000", kind="B"),
    point(7200, export_kwh="1001.000", import_kwh="5.000", kind="E"),
]
TOMORROW = ((86_400, "B"), (86_415, "E"))
BACKWARDS = default_points("1000.030", "1000.000")
ONE_SIDED = [point(0, kind="B", import_kwh="5.000"), point(15, export_kwh="1000.030", kind="E")]

CASES: dict[str, tuple[bytes, list[DeviceKey], str | None, PacketReason | None]] = {
    "the twin of its signature": (malleated(make_record(METER)), [key(METER)], None, None),
    "a meter nobody enrolled": (
        make_record(METER),
        [key(OTHER)],
        None,
        PacketReason.UNKNOWN_KEY,
    ),
    "a key that has expired": (
        make_record(METER),
        [key(METER, valid_to=evening())],
        None,
        PacketReason.KEY_NOT_VALID,
    ),
    "received after the key was revoked": (
        make_record(METER),
        [key(METER, revoked_at=RECEIVED)],
        None,
        PacketReason.KEY_NOT_VALID,
    ),
    "another curve than was allowed": (
        make_record(KEBA),
        [replace(key(METER), meter_id=KEBA.meter_id)],
        None,
        PacketReason.WRONG_ALGORITHM,
    ),
    "a record that does not name its curve": (
        make_record(KEBA, algorithm=""),
        [key(KEBA)],
        None,
        PacketReason.WRONG_ALGORITHM,
    ),
    "tampered": (tampered(make_record(METER)), [key(METER)], None, PacketReason.BAD_SIGNATURE),
    "signed by another meter under this serial number": (
        make_record(OTHER, meter_id=METER.meter_id),
        [key(METER), key(OTHER)],
        None,
        PacketReason.BAD_SIGNATURE,
    ),
    "another EVSE's name": (
        make_record(METER, CT="EVSEID", CI="DE*V2G*E00666"),
        [key(METER)],
        None,
        PacketReason.WRONG_DEVICE,
    ),
    "another's topic": (
        make_record(METER),
        [key(METER)],
        "DE*V2G*E00666",
        PacketReason.WRONG_TOPIC,
    ),
    "the topic of whoever may bring it": (
        make_record(METER),
        [key(METER, client_id="gateway-1")],
        "gateway-1",
        None,
    ),
    "an error flag": (
        make_record(METER, [POINTS[0], point(15, export_kwh="1000.030", EF="E")]),
        [key(METER)],
        None,
        PacketReason.NOT_BILLABLE,
    ),
    "a clock of unknown state": (
        make_record(METER, [point(0, clock="U"), POINTS[1]]),
        [key(METER)],
        None,
        PacketReason.NOT_BILLABLE,
    ),
    "a direction at one end only": (
        make_record(METER, ONE_SIDED),
        [key(METER)],
        None,
        PacketReason.NOT_BILLABLE,
    ),
    "a register that runs backwards": (
        make_record(METER, BACKWARDS),
        [key(METER)],
        None,
        PacketReason.VALUE_OUT_OF_RANGE,
    ),
    "two hours": (make_record(METER, HOURS), [key(METER)], None, PacketReason.VALUE_OUT_OF_RANGE),
    "one point in another century": (
        make_record(METER, [point(at=evening().replace(year=1999))]),
        [key(METER, valid_from=evening().replace(year=1990))],
        None,
        PacketReason.VALUE_OUT_OF_RANGE,
    ),
    "signed tomorrow": (
        make_record(
            METER,
            [point(after, import_kwh="5.000", kind=kind) for after, kind in TOMORROW],
        ),
        [key(METER)],
        None,
        PacketReason.FUTURE_TIME,
    ),
    "one point, and nothing to say yet": (make_record(METER, [point(0)]), [key(METER)], None, None),
}


@pytest.mark.parametrize(("packet", "keys", "topic", "reason"), CASES.values(), ids=CASES)
def test_a_record_has_one_verdict_with_its_reason(
    packet: bytes, keys: list[DeviceKey], topic: str | None, reason: PacketReason | None
) -> None:
    # when it is judged twice
    first, again = (verdict(packet, *keys, topic=topic) for _ in range(2))
    # then
    assert (first.reason, first == again) == (reason, True), first.detail
    # and a refusal says what was wrong, and what is claimed
    if reason is not None:
        row = quarantine_row(first)
        assert row["reason"] == reason.value
        assert first.detail
        assert row["ended_at"] is not None


def test_what_a_refused_record_claims_is_told() -> None:
    row = quarantine_row(verdict(make_record(METER)))
    assert (row["claimed_export_milliwh"], row["started_at"]) == (30_000, evening())
    assert (row["evse_id"], row["vehicle_id"], row["key_id"]) == (None, None, None)


@pytest.mark.parametrize(("ahead_s", "reason"), [(1, None), (6, PacketReason.FUTURE_TIME)])
def test_a_meters_clock_may_be_some_seconds_ahead(
    ahead_s: int, reason: PacketReason | None
) -> None:
    # given a record that came before it was signed, as the meter's clock has it
    signed_at = evening() + timedelta(seconds=15)
    landed = LandedPacket(make_record(METER), signed_at - timedelta(seconds=ahead_s), 1)
    # when
    with ThreadPoolExecutor(1) as threads:
        (verdict,) = judge([landed], Keyring([key(METER)]), Policy(), threads)
    # then
    assert verdict.reason == reason
