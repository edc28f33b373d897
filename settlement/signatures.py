"""Signatures: an enrolled key, and many packets checked at once.

ECDSA on secp256r1 with SHA-256 (FIPS 186-5; ES256 in RFC 7518 §3.4). The arithmetic is
``cryptography``'s, which releases the interpreter lock while it runs, so threads use all cores.
"""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from settlement.packets import Envelope

ES256: Final = "ES256"
CHUNK: Final = 256
"""Signatures that one thread checks before it takes the next piece of work."""

SPARE_THREADS: Final = 1
"""Beyond one per core: while one thread waits for the interpreter, another keeps its core busy."""

_ECDSA_SHA256: Final = ECDSA(SHA256())


class UnusableKeyError(ValueError):
    """A key that cannot be enrolled: not a public key, or not on the curve that the policy allows."""


@dataclass(frozen=True)
class DeviceKey:
    """An enrolled key. The record, never a packet, fixes algorithm and curve.

    Attributes:
        key_id: the key's thumbprint (RFC 7638).
        evse_id: the only EVSE whose packets it may sign.
        public_key: DER SubjectPublicKeyInfo (RFC 5280 §4.1).
        valid_from: packets signed before are not its own.
        valid_to: packets signed at or after this time are refused; None is open.
        revoked_at: packets received at or after this time are refused, whatever they claim.
    """

    key_id: str
    evse_id: str
    public_key: bytes
    valid_from: datetime
    valid_to: datetime | None = None
    revoked_at: datetime | None = None
    algorithm: str = ES256

    @cached_property
    def verifier(self) -> EllipticCurvePublicKey:
        """The public key, ready to verify. Raises UnusableKeyError unless it lies on secp256r1."""
        try:
            key = load_der_public_key(self.public_key)
        except ValueError as error:
            raise UnusableKeyError(
                f"key {self.key_id}: not DER SubjectPublicKeyInfo ({error})"
            ) from error
        if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
            kind = key.curve.name if isinstance(key, EllipticCurvePublicKey) else type(key).__name__
            raise UnusableKeyError(f"key {self.key_id}: {kind}; expected an EC key on secp256r1")
        return key

    def valid_for(self, signed_at: datetime, received_at: datetime) -> bool:
        """Whether the key stood for a packet signed and received at these times."""
        return (
            self.valid_from <= signed_at
            and (self.valid_to is None or signed_at < self.valid_to)
            and (self.revoked_at is None or received_at < self.revoked_at)
        )


def stands(key: DeviceKey, envelope: Envelope) -> bool:
    """Whether the envelope's signature stands over its received bytes under this key."""
    return _stand([(key, envelope)])[0]


def stand(checks: Sequence[tuple[DeviceKey, Envelope]], executor: Executor) -> list[bool]:
    """``stands`` for many, in order, spread over the executor's threads in pieces of ``CHUNK``."""
    pieces = (checks[start : start + CHUNK] for start in range(0, len(checks), CHUNK))
    return [one for piece in executor.map(_stand, pieces) for one in piece]


def _stand(checks: Sequence[tuple[DeviceKey, Envelope]]) -> list[bool]:
    # Everything but the arithmetic is done first: the less a thread does between two checks, the
    # less the others wait for its hold on the interpreter.
    work = [
        (key.verifier.verify, _der(envelope.signature), envelope.signing_input)
        for key, envelope in checks
    ]
    standing = []
    for verify, signature, message in work:
        try:
            verify(signature, message, _ECDSA_SHA256)
        except InvalidSignature:
            standing.append(False)
        else:
            standing.append(True)
    return standing


def _der(signature: bytes) -> bytes:
    """r‖s (RFC 7518 §3.4) as the DER that the library takes (RFC 3279 §2.2.3)."""
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
