"""Signatures: enrolled keys, and many packets checked at once.

ECDSA with SHA-256 (FIPS 186-5), on secp256r1 unless a key's record says otherwise. The arithmetic
is ``cryptography``'s, which releases the interpreter lock while it runs, so threads use all cores.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from settlement.packets import Envelope, keys

ES256: Final = "ES256"
CHUNK: Final = 256
"""Signatures that one thread checks before it takes the next piece of work."""

SPARE_THREADS: Final = 1
"""Beyond one per core: while one thread waits for the interpreter, another keeps its core busy."""

_ECDSA_SHA256: Final = ECDSA(Prehashed(SHA256()))
"""Over a digest that is already made."""


CURVES: Final = keys.CURVES
"""Curves that a key may be allowed; secp256r1 needs no allowance."""


def algorithm_of(curve: str) -> str:
    """How a key's record names its algorithm.

    >>> algorithm_of("secp256r1"), algorithm_of("secp256k1")
    ('ES256', 'ECDSA-secp256k1-SHA256')
    """
    return ES256 if curve == "secp256r1" else f"ECDSA-{curve}-SHA256"


CURVE_OF: Final = {algorithm_of(name): name for name in CURVES}


class UnusableKeyError(ValueError):
    """A key that cannot be enrolled: not a public key, or not on the curve that its record allows."""


@dataclass(frozen=True)
class DeviceKey:
    """An enrolled key. The record, never a packet, fixes algorithm and curve.

    Attributes:
        key_id: the key's thumbprint (RFC 7638; of a curve without a JWK name: SHA-256 of the
            SubjectPublicKeyInfo, base64url).
        evse_id: the only EVSE whose packets it may sign.
        public_key: DER SubjectPublicKeyInfo (RFC 5280 §4.1).
        valid_from: packets signed before are not its own.
        valid_to: packets signed at or after this time are refused; None is open.
        revoked_at: packets received at or after this time are refused, whatever they claim.
        algorithm: ``algorithm_of`` its curve: an allowance of any curve but secp256r1.
        meter_id: serial number of the meter whose records it signs; empty: it signs packets.
        client_id: the MQTT client identity that may bring its packets; empty: the EVSE's id.
    """

    key_id: str
    evse_id: str
    public_key: bytes
    valid_from: datetime
    valid_to: datetime | None = None
    revoked_at: datetime | None = None
    algorithm: str = ES256
    meter_id: str = ""
    client_id: str = ""

    @property
    def brought_by(self) -> str:
        """The MQTT client identity, and so the topic, that may bring its packets."""
        return self.client_id or self.evse_id

    @cached_property
    def verifier(self) -> EllipticCurvePublicKey:
        """The public key, ready to verify. Raises UnusableKeyError unless it lies on its curve."""
        try:
            key = load_der_public_key(self.public_key)
        except (ValueError, UnsupportedAlgorithm) as error:
            raise UnusableKeyError(
                f"key {self.key_id}: not DER SubjectPublicKeyInfo ({error})"
            ) from error
        curve = CURVE_OF.get(self.algorithm)
        if curve is None:
            raise UnusableKeyError(
                f"key {self.key_id}: algorithm {self.algorithm}; expected one of {', '.join(CURVE_OF)}"
            )
        if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, CURVES[curve]):
            kind = key.curve.name if isinstance(key, EllipticCurvePublicKey) else type(key).__name__
            raise UnusableKeyError(f"key {self.key_id}: {kind}; expected an EC key on {curve}")
        return key

    def valid_for(self, signed_at: datetime, received_at: datetime) -> bool:
        """Whether the key stood for a packet signed and received at these times."""
        return (
            self.valid_from <= signed_at
            and (self.valid_to is None or signed_at < self.valid_to)
            and (self.revoked_at is None or received_at < self.revoked_at)
        )


class Keyring:
    """Enrolled keys, found by key id or by the meter that they belong to."""

    def __init__(self, keys: Iterable[DeviceKey]) -> None:
        self._by_id = {key.key_id: key for key in keys}
        self._by_meter: dict[str, list[DeviceKey]] = {}
        for _, key in sorted(self._by_id.items()):
            if key.meter_id:
                self._by_meter.setdefault(key.meter_id, []).append(key)

    def __len__(self) -> int:
        return len(self._by_id)

    def __getitem__(self, key_id: str) -> DeviceKey:
        return self._by_id[key_id]

    def get(self, key_id: str) -> DeviceKey | None:
        """The key of that id."""
        return self._by_id.get(key_id)

    def of_meter(self, meter_id: str) -> Sequence[DeviceKey]:
        """All keys that a meter has or had, by key id; while keys are rotated several are valid."""
        return self._by_meter.get(meter_id, ())


def stands(key: DeviceKey, envelope: Envelope) -> bool:
    """Whether the envelope's signature stands over its received bytes under this key."""
    return _stand([(key, envelope)])[0]


def stand(checks: Sequence[tuple[DeviceKey, Envelope]], executor: Executor) -> list[bool]:
    """``stands`` for many, in order, spread over the executor's threads in pieces of ``CHUNK``."""
    # One key's checks follow each other, so that what the arithmetic needs of it is in the cache.
    keys_of = [id(key) for key, _ in checks]
    order = sorted(range(len(checks)), key=keys_of.__getitem__)
    pieces = ([checks[i] for i in order[n : n + CHUNK]] for n in range(0, len(order), CHUNK))
    standing = [False] * len(checks)
    places = iter(order)
    for piece in executor.map(_stand, pieces):
        for one in piece:
            standing[next(places)] = one
    return standing


def _stand(checks: Sequence[tuple[DeviceKey, Envelope]]) -> list[bool]:
    # Everything but the arithmetic is done first: the less a thread does between two checks, the
    # less the others wait for its hold on the interpreter. The hash is the interpreter's: through
    # the signature's library each hash has to look for its algorithm first, in what threads share.
    work = [
        (
            key.verifier.verify,
            envelope.signature if envelope.der else _der(envelope.signature),
            envelope.digest,
        )
        for key, envelope in checks
    ]
    standing = []
    for verify, signature, digest in work:
        try:
            verify(signature, digest, _ECDSA_SHA256)
        except InvalidSignature:
            standing.append(False)
        else:
            standing.append(True)
    return standing


def _der(signature: bytes) -> bytes:
    """r‖s (RFC 7518 §3.4) as the DER that the library takes (RFC 3279 §2.2.3)."""
    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))
