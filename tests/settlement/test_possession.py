"""A proof of possession stands only for whoever holds the private key."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from settlement import packets
from settlement.packets.keys import key_id_of
from settlement.possession import PROOF_MAX_BYTES, PossessionError, verify
from settlement.signatures import DeviceKey, stands
from settlement.units import EARLIEST
from tests.packets import make_key, make_packet
from tests.proofs import jwk_of, make_proof
from tests.settlement.substitution import second_key

FACTS = {"nonce": "n" * 43, "evse_id": "DE*V2G*E1", "invitation": "i" * 43}
KEY = make_key()


def proof(key=KEY, **changes) -> bytes:
    return make_proof(key, **(FACTS | changes))


def refused(sent: bytes) -> PossessionError:
    with pytest.raises(PossessionError) as error:
        verify(sent)
    assert error.value.found
    assert error.value.expected
    return error.value


def encoded(value: object) -> bytes:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


@pytest.mark.parametrize(
    ("curve", "name"), [("P-256", "secp256r1"), ("secp256k1", "secp256k1"), ("P-384", "secp384r1")]
)
def test_what_the_key_has_signed_is_read_and_the_key_is_named_by_its_thumbprint(curve, name):
    key = ECKey.generate_key(curve, private=True)

    shown = verify(proof(key))

    assert (shown.nonce, shown.evse_id, shown.invitation) == tuple(
        FACTS[n] for n in ("nonce", "evse_id", "invitation")
    )
    assert shown.curve == name
    assert shown.key_id == key.thumbprint() == key_id_of(shown.key)


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        pytest.param(b"hello", "proof", id="no JWS"),
        pytest.param(b"eyJ" + b"x" * PROOF_MAX_BYTES, "proof", id="too long"),
        pytest.param(proof(thumbprint=make_key().key_id), "payload.thumbprint", id="another thumbprint"),
        pytest.param(proof(nonce=None), "payload.nonce", id="no nonce"),
        pytest.param(proof(more=1), "payload", id="a further name"),
        pytest.param(proof(header={"typ": "JWT"}), "header.typ", id="another type"),
        pytest.param(proof(header={"kid": "k"}), "header", id="a further header"),
        pytest.param(
            proof(header={"jwk": make_key().private.as_dict(private=False) | {"d": "AAAA"}}),
            "header.jwk", id="a private key",
        ),
        pytest.param(
            proof(header={"jwk": {n: v for n, v in make_key().private.as_dict(private=False).items() if n in {"kty", "crv", "x", "y"}}}),
            "signature", id="the key of another",
        ),
        pytest.param(
            proof(header={"jwk": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43}}),
            "header.jwk", id="no point on the curve",
        ),
        pytest.param(
            proof(header={"jwk": {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "A" * 43}}),
            "header.jwk.x", id="a short coordinate",
        ),
        pytest.param(
            proof(header={"jwk": {"kty": "EC", "crv": "P-384", "x": "A" * 64, "y": "A" * 64}}),
            "header.jwk.crv", id="a curve that is not the algorithm's",
        ),
        pytest.param(
            proof(header={"jwk": {"kty": "oct", "k": "AAAA"}}), "header.jwk.kty", id="a shared secret"
        ),
    ],
)  # fmt: skip
def test_what_proves_nothing_is_refused_with_its_place(sent, where):
    assert refused(sent).where == where


@pytest.mark.parametrize("algorithm", ["none", "HS256", "RS256", "ES512", "", None, 1, ["ES256"]])
def test_no_other_algorithm_is_ever_taken(algorithm):
    _, payload, signature = proof().split(b".")
    header = json.loads(urlsafe_b64decode(proof().split(b".")[0] + b"=="))

    sent = b".".join([encoded(header | {"alg": algorithm}), payload, signature])

    assert refused(sent).where == "header.alg"


@pytest.mark.parametrize("signature", [b"", b"\0" * 64, b"\0" * 63, b"\xff" * 64])
def test_a_signature_of_nothing_is_refused(signature):
    header, payload, _ = proof().split(b".")

    sent = b".".join([header, payload, urlsafe_b64encode(signature).rstrip(b"=")])

    assert refused(sent).where == "signature"


def test_no_part_can_be_changed_after_it_was_signed():
    header, _, signature = proof().split(b".")
    other = proof(evse_id="DE*V2G*E2").split(b".")

    assert refused(b".".join([header, other[1], signature])).where == "signature"


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_refused_in_words(sent):
    refused(sent)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_proof_with_one_byte_changed_never_proves_another_key(data):
    good = bytearray(proof())
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] ^= data.draw(st.integers(1, 255))

    try:
        shown = verify(bytes(good))
    except PossessionError:
        return
    assert shown.key_id == KEY.key_id  # spare bits of base64url: the same bytes


def test_a_second_key_that_verifies_a_packet_of_another_proves_nothing():
    # given a victim's packet, and a key made for its signature: nobody holds its private part
    packet = packets.split(make_packet(KEY))
    victims = DeviceKey(KEY.key_id, "E", KEY.public_key, EARLIEST)
    made = second_key(packet, victims)
    # then the packet does verify under it: the attack is real
    assert stands(made, packet)
    assert made.key_id != KEY.key_id
    # when the attacker takes the one signature that he has, or makes one with a key of his own
    header = {"alg": "ES256", "typ": "v2g-enrolment+jwt", "jwk": jwk_of(made.public_key)}
    payload = FACTS | {"thumbprint": made.key_id}
    message = encoded(header) + b"." + encoded(payload)
    replayed = message + b"." + urlsafe_b64encode(packet.signature).rstrip(b"=")
    own = proof(make_key(), header={"jwk": jwk_of(made.public_key)}, thumbprint=made.key_id)
    # then neither is a proof
    assert refused(replayed).where == refused(own).where == "signature"
    assert sha256(message).digest() != packet.digest
