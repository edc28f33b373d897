"""Public keys as meters, chargers and OCPP write them, made keys.

PEM, DER, hex (with or without blanks), base64, ``oca:base16:asn1:`` before hex, base64 of any of
these, and bare points: x‖y, 04‖x‖y, or a compressed one. What is accepted is a point on one of the
``CURVES``; whether a curve is permitted is for the key's record (``settlement.signatures``).
"""

import json
from base64 import urlsafe_b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP192R1,
    SECP256K1,
    SECP256R1,
    SECP384R1,
    BrainpoolP256R1,
    BrainpoolP384R1,
    EllipticCurve,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)

CURVES: Final[Mapping[str, type[EllipticCurve]]] = {
    "secp256r1": SECP256R1,
    "secp256k1": SECP256K1,
    "secp192r1": SECP192R1,
    "secp384r1": SECP384R1,
    "brainpoolP256r1": BrainpoolP256R1,
    "brainpoolP384r1": BrainpoolP384R1,
}
"""Curves that a key may be allowed, of those that OCMF 1.4 names; secp192k1, which it names too, no
library at hand computes. secp256r1 needs no allowance."""

KEY_MAX_BYTES: Final = 16 * 1024
OCA_PREFIX: Final = "oca:base16:asn1:"
"""Before the hex of a SubjectPublicKeyInfo, in OCPP's publicKey (Open Charge Alliance)."""

EXPECTED: Final = (
    "an EC public key: PEM, DER, hex, base64, or a bare point x‖y, on one of " + ", ".join(CURVES)
)

_SECP192K1: Final = bytes.fromhex("06052b8104001f")
"""Its object identifier, 1.3.132.0.31, in DER (SEC 2 §A.2)."""

_JWK_CURVES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp256k1": "secp256k1"}
"""Names in a JWK (RFC 7518 §6.2.1.1, RFC 8812 §3.1)."""

_SEQUENCE: Final = b"\x30"
_UNCOMPRESSED: Final = b"\x04"
_COMPRESSED: Final = (b"\x02", b"\x03")


class UnreadableKeyError(ValueError):
    """Bytes that are no public key on a curve of ``CURVES``: what was ``found``, what was expected."""

    def __init__(self, found: str, expected: str = EXPECTED) -> None:
        super().__init__(f"{found}; expected {expected}")
        self.found = found
        self.expected = expected


def load_public_key(data: bytes, curve: str = "") -> EllipticCurvePublicKey:
    """A public key, whichever way it is written.

    Args:
        data: a file's content, or what stands beside a record.
        curve: for a bare point, the curve that it is on; empty: the first of its size on which it
            lies. Any other form names its curve itself.

    Raises:
        UnreadableKeyError: no public key, a key of another kind, or on a curve that is not in
            ``CURVES``.

    >>> load_public_key(b"hello")
    Traceback (most recent call last):
    ...
    settlement.packets.keys.UnreadableKeyError: 5 bytes that are no key; expected an EC public key: \
PEM, DER, hex, base64, or a bare point x‖y, on one of secp256r1, secp256k1, secp192r1, secp384r1, \
brainpoolP256r1, brainpoolP384r1
    """
    if len(data) > KEY_MAX_BYTES:
        raise UnreadableKeyError(f"{len(data)} bytes")
    if b"-----BEGIN" in data:
        return _checked(data, pem=True)
    refused: UnreadableKeyError | None = None
    for binary in _binaries(data):
        if _SECP192K1 in binary:
            raise UnreadableKeyError(
                "a key on secp192k1, a curve that no library at hand computes", "a key on another"
            )
        if (point := _point(binary, curve)) is not None:
            return point
        if binary[:1] == _SEQUENCE:
            try:
                return _checked(binary, pem=False)
            except UnreadableKeyError as error:
                refused = error  # the hex of a point begins with the same byte
    raise refused or UnreadableKeyError(f"{len(data)} bytes that are no key" if data else "nothing")


def curve_of(key: EllipticCurvePublicKey) -> str:
    """The name of its curve, as in ``CURVES``; a curve's own name where it is none of them."""
    return next((n for n, kind in CURVES.items() if isinstance(key.curve, kind)), key.curve.name)


def der_of(key: EllipticCurvePublicKey) -> bytes:
    """DER SubjectPublicKeyInfo (RFC 5280 §4.1), the point uncompressed: one form for one key."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_id_of(key: EllipticCurvePublicKey) -> str:
    """What the key is, as its name: no two keys have one.

    Its thumbprint (RFC 7638); on a curve that no JWK names, SHA-256 of its DER. Both are base64url,
    43 characters.
    """
    name = _JWK_CURVES.get(curve_of(key))
    if name is None:
        return _base64url(sha256(der_of(key)).digest())
    numbers, size = key.public_numbers(), (key.curve.key_size + 7) // 8
    members = {
        "crv": name,
        "kty": "EC",
        "x": _base64url(numbers.x.to_bytes(size)),
        "y": _base64url(numbers.y.to_bytes(size)),
    }
    return _base64url(sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _binaries(data: bytes) -> Iterator[bytes]:
    """What the bytes may stand for, likeliest first: themselves, hex, base64, base64 of hex."""
    yield data
    yield from _from_hex(data)
    try:
        unwrapped = a2b_base64(b"".join(data.split()), strict_mode=True)
    except (Base64Error, ValueError):
        return
    yield from _from_hex(unwrapped)
    yield unwrapped


def _from_hex(data: bytes) -> Iterator[bytes]:
    try:
        text = data.decode("ascii").strip()
        if text[: len(OCA_PREFIX)].lower() == OCA_PREFIX:
            text = text[len(OCA_PREFIX) :]
        yield bytes.fromhex("".join(text.replace(":", "").split()))
    except ValueError:
        return


def _checked(data: bytes, *, pem: bool) -> EllipticCurvePublicKey:
    try:
        key = load_pem_public_key(data) if pem else load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        if b"CERTIFICATE-----" in data:
            raise UnreadableKeyError("a certificate", "its public key alone") from error
        if b"PRIVATE KEY-----" in data:
            raise UnreadableKeyError(
                "a private key, which belongs nowhere but in its device"
            ) from error
        raise UnreadableKeyError(f"a key that cannot be read ({error})") from error
    if not isinstance(key, EllipticCurvePublicKey):
        raise UnreadableKeyError(f"a key of another kind ({type(key).__name__.lstrip('_')})")
    if not isinstance(key.curve, tuple(CURVES.values())):
        raise UnreadableKeyError(f"a key on {key.curve.name}")
    return key


def _point(data: bytes, curve: str) -> EllipticCurvePublicKey | None:
    """The key of a bare point; None where the bytes are none of the curve's size and on it."""
    names = (curve,) if curve else tuple(CURVES)
    for name in names:
        kind = CURVES.get(name)
        if kind is None:
            raise UnreadableKeyError(f"the curve {name!r}", f"one of {', '.join(CURVES)}")
        size = (kind().key_size + 7) // 8
        if len(data) == 2 * size:
            encoded = _UNCOMPRESSED + data
        elif len(data) in (2 * size + 1, size + 1) and data[:1] in (_UNCOMPRESSED, *_COMPRESSED):
            encoded = data
        else:
            continue
        try:
            return EllipticCurvePublicKey.from_encoded_point(kind(), encoded)
        except ValueError:
            continue
    return None
