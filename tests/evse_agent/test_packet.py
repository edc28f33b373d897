"""What is signed: read back by the reader that pays, and by a JOSE library."""

import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws as jose
from joserfc.jwk import ECKey

from evse_agent import key, packet
from evse_agent.intervals import Interval
from evse_agent.samples import RefusedError, Sample, parse
from settlement import packets
from settlement.packets import Content
from tests.evse_agent.harness import BEGINS, sample

METER = ec.generate_private_key(ec.SECP256R1())
FIELDS: dict[str, Any] = {"evse_id": "E1", "epoch": 4, "sequence": 9, "clock_offset_ms": "-0.250"}


@pytest.fixture(scope="module")
def signer(tmp_path_factory):
    return key.generate(tmp_path_factory.mktemp("key") / "k.pem")


def interval(**changes):
    start, end = (parse(json.dumps(sample(n, **changes)).encode()) for n in (0, 1))
    assert isinstance(start, Sample)
    assert isinstance(end, Sample)
    return Interval(start, end, start.at, end.at)


def made(signer, of, *, position=None):
    content = packet.fields(of, **FIELDS, position=position)
    signed = packet.sign(content, signer, key.thumbprint(signer.public))
    return signed, packets.read(packets.split(signed))


def test_everything_known_is_version_1_and_reads_back_exactly(signer):
    signed, read = made(signer, interval())

    assert json.loads(packets.split(signed).payload)["version"] == 1
    assert isinstance(read, Content)
    assert (read.evse_id, read.stream_epoch, read.sequence) == ("E1", 4, 9)
    assert (read.started_at, read.ended_at) == (BEGINS, BEGINS + timedelta(seconds=15))
    assert (read.export_start_milliwh, read.export_end_milliwh) == (1_000_000_000, 1_000_030_000)
    assert (read.power_start_w, read.soc_end_ppm, read.clock_offset_us) == (7200, 795_000, -250)


def test_a_jose_library_verifies_it_under_the_key_it_names(signer):
    signed, _ = made(signer, interval())
    public = ECKey.import_key({**key.jwk(signer.public)})

    read = jose.deserialize_compact(signed, public, algorithms=["ES256"])

    assert read.headers() == {"alg": "ES256", "kid": public.thumbprint()}


def test_without_state_of_charge_or_position_it_is_version_2_and_says_nothing_of_them(signer):
    signed, read = made(signer, interval(soc_pct=None, latitude_deg=None, longitude_deg=None))

    assert json.loads(packets.split(signed).payload)["version"] == 2
    assert (read.soc_start_ppm, read.soc_end_ppm) == (None, None)
    assert (read.latitude_microdeg, read.longitude_microdeg) == (None, None)
    assert read.power_end_w == 7200


def test_the_position_of_the_configuration_stands_in_for_the_controller(signer):
    _, read = made(
        signer, interval(latitude_deg=None, longitude_deg=None), position=("-1.5", "2.25")
    )

    assert (read.latitude_microdeg, read.longitude_microdeg) == (-1_500_000, 2_250_000)


def record(at, wh, *, serial="M1", pagination="T1"):
    payload = {
        "FV": "1.0", "GI": "test", "GS": serial, "GV": "1", "PG": pagination, "MV": "v", "MM": "m", "MS": serial,
        "IS": True, "IT": "NONE", "RD": [{
            "TM": at.strftime("%Y-%m-%dT%H:%M:%S,000+0000") + " S", "TX": "T",
            "RV": wh / 1000, "RI": "01-00:C2.08.00*FF", "RU": "kWh", "ST": "G"},
            {"RV": 0, "RI": "01-00:B2.08.00*FF"}],
    }  # fmt: skip
    text = json.dumps(payload)
    signature = METER.sign(text.encode(), ec.ECDSA(hashes.SHA256())).hex()
    return f'OCMF|{text}|{{"SA":"ECDSA-secp256r1-SHA256","SD":"{signature}"}}'


def test_the_meters_records_travel_verbatim_and_are_the_registers(signer):
    begin, end = (
        record(BEGINS, 1_000_000),
        record(BEGINS + timedelta(seconds=15), 1_000_030, pagination="T2"),
    )
    base = interval()
    of = Interval(base.start, base.end, base.started_at, base.ended_at, (begin, end))

    content = packet.fields(of, **FIELDS, position=None)

    assert (content["version"], content["records"]) == (2, [begin, end])
    assert not any(name.startswith(("export", "import")) for name in content)
    assert packet.record_times([end, begin]) == (BEGINS, BEGINS + timedelta(seconds=15))
    _, read = made(signer, of)
    assert (read.export_start_milliwh, read.export_end_milliwh) == (1_000_000_000, 1_000_030_000)
    assert (read.problem, read.power_end_w) == ("", 7200)


def test_records_of_two_meters_and_unreadable_ones_are_refused():
    with pytest.raises(RefusedError, match="meters M1, M2"):
        packet.record_times([record(BEGINS, 1), record(BEGINS, 1, serial="M2")])
    with pytest.raises(RefusedError, match="records"):
        packet.record_times(["OCMF|{}|{}"])


def test_a_packet_that_its_reader_refuses_is_never_signed_for_sending(signer):
    content = packet.fields(interval(), **FIELDS, position=None)

    with pytest.raises(RefusedError, match=r"payload\.clock_offset_ms"):
        packet.sign(content | {"clock_offset_ms": "soon"}, signer, "kid")
    with pytest.raises(RefusedError, match="bytes"):
        packet.sign(content | {"more": "x" * 9000}, signer, "kid")


def test_the_largest_records_that_are_accepted_fit_into_a_packet(signer):
    from evse_agent.intervals import RECORDS_MAX_BYTES
    from settlement.units import PACKET_MAX_BYTES

    base = interval(vehicle_id="V" * 64, session_id="S" * 64)
    records = tuple("OCMF|" + "x" * (RECORDS_MAX_BYTES // 4 - 7) for _ in range(4))
    of = Interval(base.start, base.end, base.started_at, base.ended_at, records)
    content = packet.fields(
        of, evse_id="E" * 64, epoch=2**53 - 1, sequence=2**53 - 1, clock_offset_ms="-86400000.000",
        position=("-90.000000", "-180.000000"),
    )  # fmt: skip

    with pytest.raises(RefusedError) as caught:
        packet.sign(content, signer, key.thumbprint(signer.public))

    # Refused for being no real records, but not for their size.
    assert str(PACKET_MAX_BYTES) not in str(caught.value)
