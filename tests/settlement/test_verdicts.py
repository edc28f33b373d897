"""Each landed packet gets exactly one verdict, and the same one whenever it is judged."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from settlement import packets
from settlement.reasons import PacketReason
from settlement.signatures import DeviceKey, Keyring, UnusableKeyError
from settlement.verdicts import LandedPacket, Policy, Verdict, judge, quarantine_row, reading_rows
from tests.settlement.signed import RECEIVED, Device, b64, landed

ORDER_OF_P256 = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def verdicts(*packets_: LandedPacket, keys: list[DeviceKey]) -> list[Verdict]:
    with ThreadPoolExecutor(2) as threads:
        return judge(packets_, Keyring(keys), Policy(), threads)


def reason_for(packet: LandedPacket, *keys: DeviceKey) -> PacketReason | None:
    return verdicts(packet, keys=list(keys))[0].reason


def test_a_packet_signed_by_its_enrolled_key_is_a_reading() -> None:
    # given
    device = Device()
    # when
    (verdict,) = verdicts(landed(device.sign(), topic=device.evse_id), keys=[device.record()])
    # then
    assert verdict.reason is None
    (row,) = reading_rows(verdict)
    assert row["export_end_milliwh"] == 130_125
    assert row["key_id"] == device.key_id


def tampered(packet: bytes) -> bytes:
    """The same packet with one digit of its energy raised."""
    header, _, signature = packet.split(b".")
    other = Device().sign(export_end_wh="930.125").split(b".")[1]
    return b".".join([header, other, signature])


def malleated(packet: bytes) -> bytes:
    """The same content under (r, n - s), which stands as well (SEC 1 §4.1.4)."""
    envelope = packets.split(packet)
    r, s = envelope.signature[:32], int.from_bytes(envelope.signature[32:])
    return envelope.signing_input + b"." + b64(r + (ORDER_OF_P256 - s).to_bytes(32))


DEVICE = Device()
OTHER = Device("US*V2G*E0002")
JULY = datetime(2026, 7, 1, tzinfo=UTC)

CASES = {
    "garbage": (landed(b"garbage"), [DEVICE.record()], PacketReason.UNREADABLE),
    "a field unreadable": (
        landed(DEVICE.sign(power_end_w="x")),
        [DEVICE.record()],
        PacketReason.UNREADABLE,
    ),
    "a key nobody enrolled": (landed(DEVICE.sign()), [OTHER.record()], PacketReason.UNKNOWN_KEY),
    "a key not yet valid": (
        landed(DEVICE.sign()),
        [DEVICE.record(valid_from=JULY + timedelta(days=1))],
        PacketReason.KEY_NOT_VALID,
    ),
    "a key that has expired": (
        landed(DEVICE.sign()),
        [DEVICE.record(valid_to=JULY)],
        PacketReason.KEY_NOT_VALID,
    ),
    "received after the key was revoked": (
        landed(DEVICE.sign()),
        [DEVICE.record(revoked_at=RECEIVED)],
        PacketReason.KEY_NOT_VALID,
    ),
    "received before the key was revoked": (
        landed(DEVICE.sign()),
        [DEVICE.record(revoked_at=RECEIVED + timedelta(seconds=1))],
        None,
    ),
    "another algorithm in the header": (
        landed(DEVICE.sign()),
        [DEVICE.record(algorithm="ES384")],
        PacketReason.WRONG_ALGORITHM,
    ),
    "tampered": (landed(tampered(DEVICE.sign())), [DEVICE.record()], PacketReason.BAD_SIGNATURE),
    "signed by another key under this key's name": (
        landed(OTHER.sign(header={"kid": DEVICE.key_id})),
        [DEVICE.record()],
        PacketReason.BAD_SIGNATURE,
    ),
    "the twin of its signature": (landed(malleated(DEVICE.sign())), [DEVICE.record()], None),
    "another EVSE's name under this key": (
        landed(DEVICE.sign(evse_id="US*V2G*E0002")),
        [DEVICE.record()],
        PacketReason.WRONG_DEVICE,
    ),
    "another EVSE's topic": (
        landed(DEVICE.sign(), topic="US*V2G*E0002"),
        [DEVICE.record()],
        PacketReason.WRONG_TOPIC,
    ),
    "a register that runs backwards": (
        landed(DEVICE.sign(export_end_wh="99")),
        [DEVICE.record()],
        PacketReason.VALUE_OUT_OF_RANGE,
    ),
    "a megawatt-hour and more": (
        landed(DEVICE.sign(export_end_wh="1000100.126")),
        [DEVICE.record()],
        PacketReason.VALUE_OUT_OF_RANGE,
    ),
    "an empty interval": (
        landed(DEVICE.sign(started_at="2026-07-01T17:00:15Z")),
        [DEVICE.record()],
        PacketReason.VALUE_OUT_OF_RANGE,
    ),
    "an interval of more than an hour": (
        landed(DEVICE.sign(started_at="2026-07-01T16:00:14Z")),
        [DEVICE.record()],
        PacketReason.VALUE_OUT_OF_RANGE,
    ),
    "a place that is not on earth": (
        landed(DEVICE.sign(latitude_deg="90.000001")),
        [DEVICE.record()],
        PacketReason.VALUE_OUT_OF_RANGE,
    ),
    "a battery fuller than full": (
        landed(DEVICE.sign(soc_end_pct="100.0001")),
        [DEVICE.record()],
        PacketReason.VALUE_OUT_OF_RANGE,
    ),
    "a clock 50 ms off": (landed(DEVICE.sign(clock_offset_ms="50")), [DEVICE.record()], None),
    "a clock 50.001 ms slow": (
        landed(DEVICE.sign(clock_offset_ms="-50.001")),
        [DEVICE.record()],
        PacketReason.CLOCK_OFFSET,
    ),
    "a minute in the future": (
        landed(DEVICE.sign(), received_at=RECEIVED - timedelta(minutes=2)),
        [DEVICE.record()],
        PacketReason.FUTURE_TIME,
    ),
    "a year late": (
        landed(DEVICE.sign(), received_at=RECEIVED + timedelta(days=365)),
        [DEVICE.record()],
        None,
    ),
}


@pytest.mark.parametrize(("packet", "keys", "reason"), CASES.values(), ids=CASES)
def test_a_packet_has_one_verdict_with_its_reason(
    packet: LandedPacket, keys: list[DeviceKey], reason: PacketReason | None
) -> None:
    # when it is judged twice
    first, again = (verdicts(packet, keys=keys)[0] for _ in range(2))
    # then
    assert first.reason == reason
    assert first == again
    # and a refusal says what was wrong
    if reason is not None:
        assert quarantine_row(first)["reason"] == reason.value
        assert first.detail


def test_the_first_reason_in_the_list_is_given_when_several_hold() -> None:
    # given a packet of a stranger, on a wrong topic, with a bad clock
    packet = landed(Device("stranger").sign(clock_offset_ms="900"), topic="elsewhere")
    # then
    assert reason_for(packet, DEVICE.record()) is PacketReason.UNKNOWN_KEY


def test_bad_packets_do_not_move_the_verdicts_of_good_ones() -> None:
    # given good packets among bad ones
    good = [landed(DEVICE.sign(sequence=n)) for n in range(20)]
    bad = [landed(b"x" * n) for n in range(20)]
    mixed = [one for pair in zip(good, bad, strict=True) for one in pair]
    # when
    judged = verdicts(*mixed, keys=[DEVICE.record()])
    # then
    assert [v.reason for v in judged] == [None, PacketReason.UNREADABLE] * 20
    assert [v.landed for v in judged] == mixed


def test_a_key_on_another_curve_is_not_usable() -> None:
    # given
    public = generate_private_key(SECP256K1()).public_key()
    key = DeviceKey(
        "k", "e", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), JULY
    )
    # then
    with pytest.raises(UnusableKeyError, match="secp256k1"):
        key.verifier  # noqa: B018 - the access raises
