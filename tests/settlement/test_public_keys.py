"""Public keys as people, meters and OCPP write them."""

from base64 import b64encode
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP224R1,
    SECP521R1,
    EllipticCurvePublicKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey

from settlement.packets.keys import (
    CURVES,
    KEY_MAX_BYTES,
    UnreadableKeyError,
    curve_of,
    der_of,
    key_id_of,
    load_public_key,
)

SECP192K1 = (
    "30 46 30 10 06 07 2A 86 48 CE 3D 02 01 06 05 2B 81 04 00 1F 03 32 00 04 C2 00 65 42 21 8B B2 7F"
    " 5E 0B 94 5C 5F 9D 15 88 67 B6 66 B3 BB 44 14 AB C6 56 94 89 A8 F7 98 50 20 C7 7F 0F 32 A4 B4 E1"
    " 83 A3 05 61 27 C3 48 69"
)


def pem(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def uncompressed(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def compressed(key: EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def grouped(data: bytes) -> bytes:
    """Hex in groups of four, as on a meter's label."""
    text = data.hex().upper()
    return " ".join(text[n : n + 4] for n in range(0, len(text), 4)).encode()


WAYS: dict[str, Callable[[EllipticCurvePublicKey], bytes]] = {
    "PEM": pem,
    "PEM with text around it": lambda k: b"# my meter\n" + pem(k) + b"\n",
    "DER": der_of,
    "hex": lambda k: der_of(k).hex().encode(),
    "hex with blanks": lambda k: grouped(der_of(k)),
    "hex in lines": lambda k: der_of(k).hex("\n", 16).encode() + b"\n",
    "hex with colons": lambda k: der_of(k).hex(":").encode(),
    "base64": lambda k: b64encode(der_of(k)),
    "base64 in lines": lambda k: b"\r\n".join(pem(k).splitlines()[1:-1]),
    "OCPP": lambda k: b"oca:base16:asn1:" + der_of(k).hex().encode(),
    "base64 of OCPP": lambda k: b64encode(b"oca:base16:asn1:" + der_of(k).hex().encode()),
    "base64 of hex": lambda k: b64encode(der_of(k).hex().encode()),
    "x and y": lambda k: uncompressed(k)[1:],
    "x and y as hex": lambda k: uncompressed(k)[1:].hex().encode(),
    "x and y as base64": lambda k: b64encode(uncompressed(k)[1:]),
    "a point": uncompressed,
    "a point as hex": lambda k: grouped(uncompressed(k)),
}


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_key_is_the_same_key_however_it_is_written(
    way: Callable[[EllipticCurvePublicKey], bytes], curve: str
) -> None:
    # given
    key = generate_private_key(CURVES[curve]()).public_key()
    # when
    loaded = load_public_key(way(key))
    # then
    assert der_of(loaded) == der_of(key)
    assert curve_of(loaded) == curve
    assert key_id_of(loaded) == key_id_of(key)


@pytest.mark.parametrize("curve", CURVES)
def test_a_bare_point_is_on_the_curve_that_is_named(curve: str) -> None:
    # given a point, also a compressed one, whose x alone may lie on several curves
    key = generate_private_key(CURVES[curve]()).public_key()
    for written in (uncompressed(key)[1:], compressed(key), compressed(key).hex().encode()):
        assert der_of(load_public_key(written, curve)) == der_of(key)
    # then on another curve it is none
    other = next(name for name in CURVES if name != curve)
    with pytest.raises(UnreadableKeyError):
        load_public_key(uncompressed(key), other)


def test_an_unknown_curve_is_refused_by_its_name() -> None:
    with pytest.raises(UnreadableKeyError, match="secp521r1"):
        load_public_key(bytes(64), "secp521r1")


@pytest.mark.parametrize("curve", ["secp256r1", "secp384r1", "secp256k1"])
def test_a_key_id_is_the_thumbprint_that_a_jose_library_gives(curve: str) -> None:
    key = generate_private_key(CURVES[curve]()).public_key()
    assert key_id_of(key) == ECKey.import_key(pem(key)).thumbprint()


def test_keys_that_no_jwk_can_carry_have_ids_of_the_same_shape() -> None:
    keys = [generate_private_key(CURVES[curve]()).public_key() for curve in CURVES]
    assert len({key_id_of(key) for key in keys}) == len(CURVES)
    assert {len(key_id_of(key)) for key in keys} == {43}


@pytest.mark.parametrize("written", [SECP192K1, SECP192K1.replace(" ", ""), b64encode(bytes.fromhex(SECP192K1)).decode()])  # fmt: skip
def test_secp192k1_is_refused_with_the_reason(written: str) -> None:
    with pytest.raises(UnreadableKeyError, match="secp192k1, a curve that no library at hand"):
        load_public_key(written.encode())


P256 = generate_private_key(CURVES["secp256r1"]())
OTHERS = {
    "nothing": (b"", "nothing"),
    "text": (b"no key", "no key"),
    "an RSA key": (
        rsa.generate_private_key(65537, 2048)
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "another kind (RSAPublicKey)",
    ),
    "an Ed25519 key": (
        Ed25519PrivateKey.generate()
        .public_key()
        .public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "another kind (Ed25519PublicKey)",
    ),
    "P-521": (der_of(generate_private_key(SECP521R1()).public_key()), "on secp521r1"),
    "P-224": (pem(generate_private_key(SECP224R1()).public_key()), "on secp224r1"),
    "a private key": (
        P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        "a private key",
    ),
    "a certificate": (
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "a certificate",
    ),
    "half a PEM": (pem(P256.public_key())[:60], "cannot be read"),
    "half a DER": (der_of(P256.public_key())[:-1], "cannot be read"),
    "a DER and a byte": (der_of(P256.public_key()) + b"\0", "cannot be read"),
    "a point on no curve": (bytes(63) + b"\1", "64 bytes that are no key"),
    "infinity": (b"\0", "1 bytes that are no key"),
    "too much": (b"0" * (KEY_MAX_BYTES + 1), f"{KEY_MAX_BYTES + 1} bytes"),
}


@pytest.mark.parametrize(("data", "said"), OTHERS.values(), ids=OTHERS)
def test_what_is_no_key_says_what_it_is(data: bytes, said: str) -> None:
    with pytest.raises(UnreadableKeyError) as caught:
        load_public_key(data)
    assert said in caught.value.found
    assert b"PRIVATE" not in str(caught.value).encode()


@settings(max_examples=300)
@given(
    st.binary(max_size=120)
    | st.text("0123456789abcdefABCDEF ", max_size=150).map(str.encode)
    | st.binary(max_size=100).map(b64encode)
    | st.binary(max_size=60).map(lambda b: b"-----BEGIN PUBLIC KEY-----\n" + b)
    | st.tuples(st.integers(0, 90), st.binary(min_size=1, max_size=3)).map(
        lambda change: (
            der_of(P256.public_key())[: change[0]]
            + change[1]
            + der_of(P256.public_key())[change[0] + len(change[1]) :]
        )
    )
)
def test_no_bytes_do_anything_but_be_a_key_or_be_refused(data: bytes) -> None:
    try:
        key = load_public_key(data)
    except UnreadableKeyError:
        return
    assert curve_of(key) in CURVES
