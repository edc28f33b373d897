"""Device keys of a simulated fleet: P-256, derived from the seed.

A fleet in another process, or tomorrow, is thus the same fleet. Whoever knows the seed can sign for
it: these keys are for simulations and never leave them.
"""

from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc.jwk import ECKey

P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order n of secp256r1 (SEC 2 §2.4.2)."""


def derive_key(seed: int, name: str) -> EllipticCurvePrivateKey:
    """The P-256 key that this seed gives to this name."""
    secret = int.from_bytes(sha256(f"v2g simulation key, seed {seed}, {name}".encode()).digest())
    return derive_private_key(secret % (P256_ORDER - 1) + 1, SECP256R1())


def thumbprint(key: EllipticCurvePrivateKey) -> str:
    """The public key's thumbprint, base64url of SHA-256 (RFC 7638 §3)."""
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return str(ECKey.import_key(pem).thumbprint())


def public_der(key: EllipticCurvePrivateKey) -> bytes:
    """DER SubjectPublicKeyInfo (RFC 5280 §4.1)."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
