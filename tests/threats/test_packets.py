"""S1 to S4: what somebody can do who has packets, but no key of ours."""

import hashlib
import hmac
import json
import random
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta

from settlement.packets.keys import key_id_of
from settlement.signatures import DeviceKey
from simulators.signing import twin
from storage.engine import Role, connect
from storage.keys import enrol_keys
from storage.landing import Arrival, Lander
from tests.ocmf import make_meter, make_record
from tests.packets import default_fields, make_key, sign
from tests.tasks.scene import START, Scene, now
from tests.threats.conftest import EVSE, System

OTHER = "DE*V2G*E00002"
N = 240
"""Packets of an hour."""


def b64(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


def parts(packet: bytes) -> tuple[bytes, bytes, bytes]:
    """Header, payload and signature, decoded."""
    header, payload, signature = (urlsafe_b64decode(part + b"==") for part in packet.split(b"."))
    return header, payload, signature


def with_header(packet: bytes, **fields: object) -> bytes:
    """The packet with another header and its old signature; None leaves a field out."""
    header, payload, signature = packet.split(b".")
    said = json.loads(urlsafe_b64decode(header + b"==")) | fields
    said = {name: value for name, value in said.items() if value is not None}
    return b".".join([b64(json.dumps(said).encode()), payload, signature])


# --- S1 replay ---------------------------------------------------------------------------------


def test_s1_replaying_everything_shuffled_on_other_topics_and_a_year_later_changes_no_cent(
    system: System,
) -> None:
    # given an hour that was delivered and settled
    scene = system.scene
    scene.enrol(OTHER)
    packets = [scene.packet(EVSE, n) for n in range(N)]
    answers = system.daemon.post_batch(packets)
    assert answers.status_code in (200, 207)
    owed = system.judge_and_settle()
    before = scene.settle(dry_run=True)
    assert owed
    # when all of it comes again: shuffled, in another's name, and a year later
    random.Random(7).shuffle(packets)
    assert set(system.send(packets[:20])) == {208}
    lander = Lander(scene.dsn)
    try:
        lander.land([Arrival(one, now(), "mqtt", OTHER) for one in packets])
        later = now() + timedelta(days=365)
        lander.land([Arrival(one, later, "http", None) for one in packets])
    finally:
        lander.close()
    # then not a cent more is owed, nothing is revised, and every packet stands once
    assert system.judge_and_settle() == owed
    after = scene.settle(dry_run=True)
    assert (after.outputs_digest, after.revisions) == (before.outputs_digest, 0)
    assert scene.one("select count(*) from raw_packet") == N
    assert scene.one("select count(*) from reading") == N
    assert set(system.reasons()) <= {"WRONG_TOPIC"}


def test_s1_a_packet_of_a_stream_before_a_restart_is_still_known_after_it(system: System) -> None:
    # given a charger that restarted: its sequence begins anew under a new epoch
    scene = system.scene
    system.send([scene.packet(EVSE, n) for n in range(8)])
    again = [
        scene.packet(EVSE, n, stream_epoch=2, started_at=_at(n + 8), ended_at=_at(n + 9))
        for n in range(8)
    ]
    system.send(again)
    system.judge_and_settle()
    # when packets of either stream are replayed
    assert system.send([scene.packet(EVSE, 3), again[3]]) == [208, 208]
    system.judge_and_settle()
    # then each stands once
    assert scene.one("select count(*) from reading") == 16


def _at(step: int) -> str:
    return (START + step * timedelta(seconds=15)).isoformat().replace("+00:00", "Z")


# --- S2 malleability ---------------------------------------------------------------------------


def test_s2_the_other_valid_signature_of_a_packet_makes_no_second_row_and_no_payout(
    system: System,
) -> None:
    # given an hour, each packet also under its malleated signature (r, n − s)
    scene = system.scene
    packets = [scene.packet(EVSE, n) for n in range(N)]
    system.daemon.post_batch(packets)
    owed = system.judge_and_settle()
    # when the twins come
    system.daemon.post_batch([twin(one) for one in packets])
    # then
    assert system.judge_and_settle() == owed
    assert scene.one("select count(*) from reading") == N
    assert system.reasons() == {"DUPLICATE_CONTENT": N}


def test_s2_the_twin_that_comes_first_is_paid_once_and_the_packet_itself_is_the_duplicate(
    system: System,
) -> None:
    scene = system.scene
    packet = scene.packet(EVSE, 1)
    system.send([twin(packet), packet])
    system.judge_and_settle()
    assert scene.one("select count(*) from reading") == 1
    assert system.reasons() == {"DUPLICATE_CONTENT": 1}


def der_spellings(signature: bytes) -> dict[str, bytes]:
    """One DER signature, spelt as DER forbids (X.690 §8.1.3, §8.3.2, §10.1)."""
    assert signature[0] == 0x30
    body = signature[2:]
    r_size = body[1]
    r, s = body[2 : 2 + r_size], body[4 + r_size :]

    def integer(value: bytes) -> bytes:
        return bytes([2, len(value)]) + value

    def sequence(content: bytes) -> bytes:
        return bytes([0x30, len(content)]) + content

    return {
        "a zero before r": sequence(integer(b"\0" + r) + integer(s)),
        "a zero before s": sequence(integer(r) + integer(b"\0" + s)),
        "a byte after the sequence": signature + b"\0",
        "a byte within the sequence": sequence(body + b"\0"),
        "the length in the long form": b"\x30\x81" + signature[1:],
        "an indefinite length": b"\x30\x80" + body + b"\0\0",
        "s left out": sequence(integer(r)),
    }


def test_s2_der_with_extras_is_refused_however_it_is_spelt(system: System) -> None:
    # given an enrolled meter, and its record with the signature spelt in ways that DER forbids
    scene = system.scene
    meter = make_meter()
    key = DeviceKey(
        key_id_of(meter.private.public_key()),
        EVSE,
        meter.public_key,
        START - timedelta(days=30),
        meter_id=meter.meter_id,
    )
    with connect(scene.dsn, Role.REGISTRY) as conn:
        enrol_keys(conn, [key], now=now())
    record = make_record(meter)
    mark, payload, signed = record.split(b"|")
    fields = json.loads(signed)
    spellings = der_spellings(bytes.fromhex(fields["SD"]))
    for spelt in spellings.values():
        bad = json.dumps(fields | {"SD": spelt.hex()}).encode()
        system.daemon.post(b"|".join([mark, payload, bad]), media="application/ocmf")
    # when
    scene.judge()
    # then none is a reading, and each is kept with its reason
    assert scene.one("select count(*) from reading") == 0
    refused = system.reasons()
    assert sum(refused.values()) == len(spellings)
    assert set(refused) <= {"BAD_SIGNATURE", "UNREADABLE"}
    # and the record as it was signed is one
    system.daemon.post(record, media="application/ocmf")
    scene.judge()
    assert scene.one("select count(*) from reading") == 1


def test_s2_a_signature_of_another_length_than_r_and_s_is_refused(system: System) -> None:
    scene = system.scene
    packet = scene.packet(EVSE, 1)
    signed, _, _ = packet.rpartition(b".")
    *_, raw = parts(packet)
    for bad in (
        b"",
        raw[:-1],
        raw + b"\0",
        b"\0" + raw,
        raw[:32] + b"\0" + raw[32:],
        raw + raw,
    ):
        system.send([signed + b"." + b64(bad)])
    scene.judge()
    assert scene.one("select count(*) from reading") == 0
    assert set(system.reasons()) <= {"UNREADABLE", "BAD_SIGNATURE"}


# --- S3 algorithm confusion --------------------------------------------------------------------


def test_s3_no_header_can_choose_another_algorithm_than_the_keys_record(system: System) -> None:
    # given a true packet, and what an attacker makes of it without the private key
    scene = system.scene
    packet = scene.packet(EVSE, 1)
    public = scene.keys[EVSE].private.as_pem(private=False)
    forged = {}
    for algorithm in ("HS256", "HS384"):  # the public key as the secret (CVE-2022-29217)
        unsigned = with_header(packet, alg=algorithm).rpartition(b".")[0]
        digest = hmac.new(public, unsigned, hashlib.sha256).digest()
        forged[algorithm] = unsigned + b"." + b64(digest)
        forged[f"{algorithm} of 64 bytes"] = unsigned + b"." + b64(digest + digest)
    for algorithm in ("none", "None", "nOnE", ""):
        unsigned = with_header(packet, alg=algorithm).rpartition(b".")[0]
        forged[f"{algorithm!r}, no signature"] = unsigned + b"."
    others: list[object] = ["ES384", "ES256K", "RS256", "EdDSA", "es256", None, 256, ["ES256"]]
    for other in others:
        forged[f"{other!r}, old signature"] = with_header(packet, alg=other)
    # when all of them come
    system.send(forged.values())
    scene.judge()
    # then none is a reading, and each has a reason
    assert scene.one("select count(*) from reading") == 0
    refused = system.reasons()
    assert sum(refused.values()) == len(forged)
    assert set(refused) <= {"WRONG_ALGORITHM", "UNREADABLE", "BAD_SIGNATURE"}


def test_s3_a_key_that_the_packet_brings_along_is_not_believed(system: System) -> None:
    # given an attacker who signs with a key of their own, and puts it, or where it is, in the header
    scene = system.scene
    victim, own = scene.keys[EVSE], make_key()
    jwk = own.private.as_dict(private=False)
    fields = default_fields(EVSE, 1)
    for header in (
        {"kid": victim.key_id, "jwk": jwk},
        {"kid": victim.key_id, "jku": "https://attacker.example/keys"},
        {"kid": victim.key_id, "x5u": "https://attacker.example/certificate"},
        {"kid": own.key_id, "jwk": jwk},
    ):
        system.send([_signed_anyhow(own, fields, header)])
    # when
    scene.judge()
    # then
    assert scene.one("select count(*) from reading") == 0
    assert set(system.reasons()) <= {"BAD_SIGNATURE", "UNKNOWN_KEY", "UNREADABLE"}


def _signed_anyhow(key, fields, header) -> bytes:
    """Signed over any header, also one that a library refuses to write."""
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
    from cryptography.hazmat.primitives.hashes import SHA256

    protected = json.dumps({"alg": "ES256"} | header).encode()
    signed = b64(protected) + b"." + b64(json.dumps(fields).encode())
    private = key.private.private_key
    r, s = decode_dss_signature(private.sign(signed, ECDSA(SHA256())))
    return signed + b"." + b64(r.to_bytes(32) + s.to_bytes(32))


def test_s3_the_signature_of_zeros_that_stands_over_everything_stands_over_nothing(
    system: System,
) -> None:
    # CVE-2022-21449
    packet = system.scene.packet(EVSE, 1)
    signed, _, _ = packet.rpartition(b".")
    zeros = [r.to_bytes(32) + s.to_bytes(32) for r, s in ((0, 0), (0, 1), (1, 0))]
    system.send([signed + b"." + b64(raw) for raw in zeros])
    system.scene.judge()
    assert system.scene.one("select count(*) from reading") == 0
    assert set(system.reasons()) <= {"BAD_SIGNATURE", "UNREADABLE"}


# --- S4 canonicalisation -----------------------------------------------------------------------


def test_s4_the_same_fields_written_differently_do_not_stand_under_the_old_signature(
    system: System,
) -> None:
    # given a true packet, and its payload written in other ways that read the same
    scene = system.scene
    packet = scene.packet(EVSE, 1)
    header, payload, signature = packet.split(b".")
    fields = json.loads(urlsafe_b64decode(payload + b"=="))
    for text in (
        json.dumps(fields),
        json.dumps(dict(reversed(fields.items())), separators=(",", ":")),
        json.dumps(fields, separators=(",", ":")).replace("V", "\\u0056"),
        json.dumps(fields, separators=(",", ":")) + " ",
    ):
        system.send([b".".join([header, b64(text.encode()), signature])])
    # when
    scene.judge()
    # then
    assert scene.one("select count(*) from reading") == 0
    assert system.reasons() == {"BAD_SIGNATURE": 4}


AMBIGUOUS = [
    ('"export_end_wh":"', '"export_end_wh":"9999999.000","export_end_wh":"'),
    ('"sequence":1', '"sequence":9,"sequence":1'),
    ('"sequence":1', '"\\u0073equence":9,"sequence":1'),
    ('"sequence":1', '"sequence":1.0'),
    ('"sequence":1', '"sequence":1e0'),
    ('"sequence":1', '"sequence":NaN'),
    ('"sequence":1', '"sequence":Infinity'),
    ('"sequence":1', '"sequence":1e400'),
    ('"sequence":1', '"sequence":9007199254740993'),
    ('"sequence":1', '"sequence":true'),
    ('"clock_offset_ms":"1.250"', '"clock_offset_ms":NaN'),
    ('"power_start_w":"7200"', '"power_start_w":"7_200"'),
    ('"power_start_w":"7200"', '"power_start_w":"٧٢٠٠"'),
    ('"power_start_w":"7200"', '"power_start_w":"1e9"'),
]


def test_s4_what_two_readers_could_read_differently_is_refused_though_its_charger_signed_it(
    system: System,
) -> None:
    # given a charger whose own signature stands over such bytes
    scene = system.scene
    text = json.dumps(default_fields(EVSE, 1), separators=(",", ":"))
    assert all(old in text for old, _ in AMBIGUOUS)
    key = scene.keys[EVSE]
    system.send([sign(key, text.replace(old, new, 1).encode()) for old, new in AMBIGUOUS])
    # when
    scene.judge()
    # then nothing is read into any of them
    assert scene.one("select count(*) from reading") == 0
    assert system.reasons() == {"UNREADABLE": len(AMBIGUOUS)}


def test_s4_what_is_verified_is_what_is_kept_byte_for_byte(system: System) -> None:
    # given a charger that writes its fields with blanks, in its own order
    scene: Scene = system.scene
    fields = dict(reversed(default_fields(EVSE, 1).items()))
    packet = sign(scene.keys[EVSE], json.dumps(fields, indent=3).encode())
    # when
    system.send([packet])
    scene.judge()
    # then the very bytes are kept, and they are what the reading's digest is of
    assert bytes(scene.one("select packet from raw_packet")) == packet
    signed, _, _ = packet.rpartition(b".")
    assert bytes(scene.one("select digest from reading")) == hashlib.sha256(signed).digest()
