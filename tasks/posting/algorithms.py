"""Which keys may sign messages, by which algorithm, and under which name.

The algorithm follows from the key and a setting of ours, never from a message: whoever writes a
message could otherwise choose a weaker one.
"""

from hashlib import sha256
from json import dumps
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from http_message_signatures import HTTPSignatureAlgorithm, algorithms

from evse_agent.key import base64url
from evse_agent.key import jwk as ec_jwk

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
Algorithm = type[HTTPSignatureAlgorithm]

RSA_BITS_MIN: Final = 2048
RSA_BITS_MAX: Final = 8192
"""A longer one would make each posting a matter of a second."""
RSA: Final[dict[str, Algorithm]] = {
    "rsa-v1_5-sha256": algorithms.RSA_V1_5_SHA256,
    "rsa-pss-sha512": algorithms.RSA_PSS_SHA512,
}
"""What an RSA key may sign by (RFC 9421 §3.3.1, §3.3.2)."""
RSA_USUAL: Final = "rsa-v1_5-sha256"
JWS: Final = {
    "ecdsa-p256-sha256": "ES256",
    "rsa-v1_5-sha256": "RS256",
    "rsa-pss-sha512": "PS512",
}
"""The same algorithms under their names in RFC 7518 §3.1; the bytes of a signature are the same."""


class UnusableKeyError(ValueError):
    """A key of a kind that signs nothing here; the message names the kind, never the key."""


def algorithm_of(key: PrivateKey | PublicKey, *, rsa_algorithm: str = RSA_USUAL) -> Algorithm:
    """By what a key signs: ECDSA on P-256, or what ``rsa_algorithm`` says for an RSA key.

    Raises:
        UnusableKeyError: another curve, an RSA key of too few or too many bits, an unknown name.
    """
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        if key.curve.name == "secp256r1":
            return algorithms.ECDSA_P256_SHA256
        raise UnusableKeyError(f"an EC key on {key.curve.name}; expected P-256 (secp256r1)")
    if not RSA_BITS_MIN <= key.key_size <= RSA_BITS_MAX:
        raise UnusableKeyError(
            f"an RSA key of {key.key_size} bits; expected {RSA_BITS_MIN} to {RSA_BITS_MAX}"
        )
    if rsa_algorithm not in RSA:
        raise UnusableKeyError(f"algorithm {rsa_algorithm!r}; expected one of {', '.join(RSA)}")
    return RSA[rsa_algorithm]


def usable_public(key: object) -> PublicKey:
    """The key, if it is of a kind that can verify here. Raises UnusableKeyError."""
    if not isinstance(key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise UnusableKeyError(f"a key of kind {type(key).__name__}; expected P-256, or RSA")
    algorithm_of(key)
    return key


def jwk(public: PublicKey) -> dict[str, str]:
    """The key as RFC 7517 has it, with the members of RFC 7638 §3.2 alone."""
    if isinstance(public, ec.EllipticCurvePublicKey):
        return ec_jwk(public)
    numbers = public.public_numbers()
    return {"e": _unsigned(numbers.e), "kty": "RSA", "n": _unsigned(numbers.n)}


def thumbprint(public: PublicKey) -> str:
    """RFC 7638 with SHA-256: the ``keyid`` of a signature."""
    members = dumps(jwk(public), sort_keys=True, separators=(",", ":"))
    return base64url(sha256(members.encode()).digest())


def _unsigned(number: int) -> str:
    """RFC 7518 §2: big-endian, in as few octets as it needs."""
    return base64url(number.to_bytes((number.bit_length() + 7) // 8))
