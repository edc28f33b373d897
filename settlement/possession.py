"""Proof of possession: a device shows that it holds the private key that it wants enrolled.

A compact JWS (RFC 7515), signed by that very key:

    header    alg   ES256; ES256K or ES384 where the invitation allows that curve (RFC 7518, RFC 8812)
              jwk   the public key (RFC 7517): kty, crv, x, y, and no private part
              typ   v2g-enrolment+jwt
    payload   nonce, invitation, evse_id, thumbprint (RFC 7638, of the jwk)

For any ECDSA signature one can compute further public keys under which it verifies (duplicate-signature
key selection). Nobody knows their private keys, so none of them can sign a nonce that is new: that is
what this proof is for, and why thumbprint and EVSE stand inside the signed bytes.
"""

from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, HashAlgorithm

from settlement.packets.content import UnreadablePacketError
from settlement.packets.fields import Fields, base64url, json_object, text, wrong
from settlement.packets.keys import CURVES, key_id_of

TYPE: Final = "v2g-enrolment+jwt"
PROOF_MAX_BYTES: Final = 4096


@dataclass(frozen=True, slots=True)
class _Algorithm:
    curve: str
    jwk_curve: str
    hash: HashAlgorithm
    size: int
    """Of a coordinate, and of each half of a signature, in bytes."""


ALGORITHMS: Final = {
    "ES256": _Algorithm("secp256r1", "P-256", SHA256(), 32),
    "ES256K": _Algorithm("secp256k1", "secp256k1", SHA256(), 32),
    "ES384": _Algorithm("secp384r1", "P-384", SHA384(), 48),
}
PROVABLE_CURVES: Final = tuple(one.curve for one in ALGORITHMS.values())
"""Curves on which JOSE can sign; keys on others are imported."""


class PossessionError(ValueError):
    """This proves nothing: ``where`` it went wrong, what was ``found``, what was ``expected``."""

    def __init__(self, where: str, found: str, expected: str) -> None:
        super().__init__(f"{where}: {found}; expected {expected}")
        self.where = where
        self.found = found
        self.expected = expected


@dataclass(frozen=True, slots=True)
class Proof:
    """What a device has signed with a key that it therefore holds.

    Attributes:
        key: the public key.
        key_id: its thumbprint (RFC 7638).
        curve: its curve, by the names of ``settlement.packets.keys.CURVES``.
        nonce: the challenge that it answers.
        invitation: the one-time token that it was given.
        evse_id: the EVSE that it says it is.
    """

    key: EllipticCurvePublicKey
    key_id: str
    curve: str
    nonce: str
    invitation: str
    evse_id: str


def verify(proof: bytes) -> Proof:
    """The proof, if its signature stands under the key that it carries.

    Whether nonce and invitation are ours, new and in time is for ``storage.enrolments``.

    Raises:
        PossessionError: no such JWS, another algorithm, no point on its curve, a thumbprint of
            another key, or a signature that the key did not make.
    """
    try:
        return _verify(proof)
    except UnreadablePacketError as error:
        raise PossessionError(error.where, error.found, error.expected) from error


def _verify(proof: bytes) -> Proof:
    if len(proof) > PROOF_MAX_BYTES:
        raise PossessionError("proof", f"{len(proof)} bytes", f"at most {PROOF_MAX_BYTES}")
    parts = proof.split(b".")
    if len(parts) != 3:  # noqa: PLR2004 - a compact JWS has three parts
        raise PossessionError("proof", f"{len(parts)} parts", "header.payload.signature")
    header = json_object("header", base64url("header", parts[0]))
    payload = json_object("payload", base64url("payload", parts[1]))
    signature = base64url("signature", parts[2])
    _require_names("header", header, "alg", "jwk", "typ")
    _require_names("payload", payload, "nonce", "thumbprint", "evse_id", "invitation")
    if header["typ"] != TYPE:
        raise wrong("header", header, "typ", TYPE)
    name = header["alg"]
    algorithm = ALGORITHMS.get(name) if isinstance(name, str) else None
    if algorithm is None:
        raise wrong("header", header, "alg", "one of " + ", ".join(ALGORITHMS))
    key = _key(header["jwk"], algorithm)
    _require_signature(key, algorithm, signature, parts[0] + b"." + parts[1])
    thumbprint = key_id_of(key)
    if text(payload, "thumbprint") != thumbprint:
        raise wrong("payload", payload, "thumbprint", f"that of the jwk, {thumbprint} (RFC 7638)")
    return Proof(
        key,
        thumbprint,
        algorithm.curve,
        nonce=text(payload, "nonce"),
        invitation=text(payload, "invitation"),
        evse_id=text(payload, "evse_id"),
    )


def _require_names(where: str, fields: Fields, *names: str) -> None:
    """Exactly these: what nobody here understands is refused, not ignored (such as crit)."""
    if sorted(fields) != sorted(names):
        found = ", ".join(sorted(fields))[:200] or "nothing"
        raise PossessionError(where, found, "exactly " + ", ".join(names))


def _key(jwk: object, algorithm: _Algorithm) -> EllipticCurvePublicKey:
    if not isinstance(jwk, dict) or "d" in jwk:
        found = "a private key: it is no secret any more" if isinstance(jwk, dict) else "no object"
        raise PossessionError("header.jwk", found, "a public JWK with kty, crv, x and y")
    for name, expected in (("kty", "EC"), ("crv", algorithm.jwk_curve)):
        if jwk.get(name) != expected:
            raise wrong("header.jwk", jwk, name, expected)
    x, y = (_coordinate(jwk, name, algorithm.size) for name in ("x", "y"))
    try:
        return EllipticCurvePublicNumbers(x, y, CURVES[algorithm.curve]()).public_key()
    except ValueError as error:
        raise PossessionError(
            "header.jwk", "no point on its curve", f"a public key on {algorithm.jwk_curve}"
        ) from error


def _coordinate(jwk: Fields, name: str, size: int) -> int:
    value = jwk.get(name)
    expected = f"base64url of {size} bytes (RFC 7518 §6.2.1)"
    if not isinstance(value, str) or not value.isascii():
        raise wrong("header.jwk", jwk, name, expected)
    coordinate = base64url(f"header.jwk.{name}", value.encode("ascii"))
    if len(coordinate) != size:
        raise PossessionError(f"header.jwk.{name}", f"{len(coordinate)} bytes", expected)
    return int.from_bytes(coordinate)


def _require_signature(
    key: EllipticCurvePublicKey, algorithm: _Algorithm, signature: bytes, message: bytes
) -> None:
    if len(signature) != 2 * algorithm.size:
        expected = f"r‖s of {2 * algorithm.size} bytes (RFC 7518 §3.4)"
        raise PossessionError("signature", f"{len(signature)} bytes", expected)
    r, s = (
        int.from_bytes(half) for half in (signature[: algorithm.size], signature[algorithm.size :])
    )
    try:
        key.verify(encode_dss_signature(r, s), message, ECDSA(algorithm.hash))
    except InvalidSignature as error:
        raise PossessionError(
            "signature", "not made by the key of the jwk", "a signature by the very key to enrol"
        ) from error
