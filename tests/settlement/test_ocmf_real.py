"""Records of real meters, from the resources of the official verifier, with the keys beside them.

They lie beside the repository, are read in place, and are no part of it.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest

from settlement import packets
from settlement.packets import MeterRecord
from settlement.packets.keys import (
    UnreadableKeyError,
    curve_of,
    der_of,
    key_id_of,
    load_public_key,
)
from settlement.packets.pagination import pagination
from settlement.reasons import SIGNED, PacketReason
from settlement.signatures import DeviceKey, Keyring, algorithm_of, stands
from settlement.verdicts import LandedPacket, Policy, Verdict, judge

FOLDER: Final = Path(__file__).parents[2] / ".." / "shared" / "data" / "ocmf"
NOW: Final = datetime(2026, 7, 1, tzinfo=UTC)

pytestmark = pytest.mark.skipif(
    not FOLDER.is_dir(), reason="the records of real meters are not beside this repository"
)


def kept(name: str) -> list[dict[str, Any]]:
    file = FOLDER / name
    return json.loads(file.read_text("utf-8")) if file.is_file() else []


RECORDS = kept("records.json")
STREAM = kept("keba_stream.json")

JUDGED: Final[dict[str, PacketReason | None]] = {
    "VW_OCMF_load": None,
    "20211007-device-with-evt-ocmf-sss-ses": PacketReason.NOT_BILLABLE,
    "chargepoint_3": None,
    "OCMF-receipt-with_publickey_and_data": PacketReason.NOT_BILLABLE,
    "OCMF-receipt-with_import_and_export": PacketReason.BAD_SIGNATURE,
    "ocmf_tariff_1": PacketReason.NOT_BILLABLE,
    "test_ocmf_keba_kcp30_fail": PacketReason.BAD_SIGNATURE,
    "test_ocmf_ebee_01": None,
    "test_ocmf_ebee_02": PacketReason.BAD_SIGNATURE,
    "OCMF_Test_Data_00": None,
    "Ocmf_Example_OBIS_98.8.0_2.8.0": None,
    "brainpoolP256r1": PacketReason.NOT_BILLABLE,
}
"""What the judge says of each file; of the two others the tests below."""

OWN_TESTS = ("second_key_fail_ocmf", "test_ocmf_transaction_two_values")


def name_of(kept_record: dict[str, Any]) -> str:
    file, _, place = str(kept_record["origin"]).rpartition("/")[2].partition("#")
    return f"{file.removesuffix('.xml')}{place.removeprefix('value')}"


def judged(kept_record: dict[str, Any]) -> Verdict:
    """The verdict where the key beside the record is enrolled, on whatever curve it is."""
    packet = kept_record["record"].encode()
    envelope = packets.split(packet)
    public = load_public_key(kept_record["public_key"].encode())
    key = DeviceKey(
        key_id=key_id_of(public),
        evse_id=packets.identify(envelope).evse_id or "DE*V2G*E00001",
        public_key=der_of(public),
        valid_from=datetime(1970, 1, 1, tzinfo=UTC),
        algorithm=algorithm_of(curve_of(public)),
        meter_id=envelope.meter_id,
    )
    with ThreadPoolExecutor(1) as threads:
        (verdict,) = judge([LandedPacket(packet, NOW, 1)], Keyring([key]), Policy(), threads)
    return verdict


BY_NAME = {name_of(one): one for one in RECORDS}
USUAL = {n: one for n, one in BY_NAME.items() if not n.startswith(OWN_TESTS)}


@pytest.mark.parametrize("one", USUAL.values(), ids=USUAL)
def test_each_record_is_judged_for_what_it_is(one: dict[str, Any]) -> None:
    # given a record and the key that came with it
    verdict = judged(one)
    # then it is judged as expected
    expected = JUDGED[name_of(one).partition("[")[0]]
    assert verdict.reason is expected, verdict.detail
    # and its signature stands exactly where the collection says that it does
    assert (expected is None or expected in SIGNED) == (one["expected"] == "valid")


def test_the_collection_has_every_record_that_is_judged_here() -> None:
    names = {name.partition("[")[0] for name in BY_NAME}
    assert names == {*JUDGED, *OWN_TESTS}


def test_a_key_on_another_curve_than_the_record_says_is_refused_before_any_arithmetic() -> None:
    first, second = (judged(BY_NAME[f"second_key_fail_ocmf[{n}]"]) for n in (0, 1))
    assert first.reason is None
    assert second.reason is PacketReason.WRONG_ALGORITHM
    assert "secp256k1" in second.detail


def test_a_record_on_secp192k1_is_read_and_its_key_refused_with_the_reason() -> None:
    one = BY_NAME["test_ocmf_transaction_two_values[0]"]
    envelope = packets.split(one["record"].encode())
    assert envelope.algorithm == "ECDSA-secp192k1-SHA256"
    with pytest.raises(UnreadableKeyError, match="no library at hand computes"):
        load_public_key(one["public_key"].encode())


def points_of(name: str) -> list[tuple[int | None, int | None]]:
    said = packets.read(packets.split(BY_NAME[f"{name}[0]"]["record"].encode()))
    assert isinstance(said, MeterRecord)
    return [(point.export_milliwh, point.import_milliwh) for point in said.points]


def test_registers_of_real_meters_are_read_to_the_milliwatt_hour() -> None:
    assert points_of("VW_OCMF_load") == [(4_405_000, 57_584_000), (4_405_000, 58_685_000)]
    assert points_of("Ocmf_Example_OBIS_98.8.0_2.8.0") == [(1_000_000, 0), (2_000_000, 1_000_000)]
    assert points_of("OCMF_Test_Data_00") == [(None, 9_038_000)]
    assert points_of("test_ocmf_ebee_01") == [(None, 7_753_000)]
    assert points_of("ocmf_tariff_1") == [(None, 62_500_203_100)]


def stream() -> list[MeterRecord]:
    said = [packets.read(packets.split(one["record"].encode())) for one in STREAM]
    return [one for one in said if isinstance(one, MeterRecord)]


def test_a_stream_of_one_meter_stands_and_is_whole() -> None:
    # given 30 records of which nothing differs but the number
    envelopes = [packets.split(one["record"].encode()) for one in STREAM]
    public = load_public_key(STREAM[0]["public_key"].encode())
    key = DeviceKey("k", "e", der_of(public), NOW)
    # then each stands, each is a content of its own, and none is missing
    assert all(stands(key, envelope) for envelope in envelopes)
    assert len({envelope.digest for envelope in envelopes}) == len(STREAM) == 30
    (page,) = pagination((one.context, one.number) for one in stream())
    assert page.whole
    assert (page.first, page.last) == (46669, 46698)


def test_a_stream_with_losses_repeats_and_reordering_says_so() -> None:
    # given the stream without three records, with one twice, and two exchanged
    records = stream()
    disturbed = [*records[:5], *records[7:10], records[11], records[8], records[13], records[12], *records[14:]]  # fmt: skip
    # when
    (page,) = pagination((one.context, one.number) for one in disturbed)
    # then
    assert page.gaps == ((46674, 46675), (46679, 46679))
    assert page.repeats == (46677,)
    assert page.late == (46681,)
