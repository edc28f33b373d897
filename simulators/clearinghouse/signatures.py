"""HTTP Message Signatures (RFC 9421) on the clearinghouse's side: requests verified, answers signed.

Written for itself and not shared with the poster, so that one mistake cannot hide on both sides.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import (
    ECDSA_P256_SHA256,
    RSA_PSS_SHA512,
    RSA_V1_5_SHA256,
    HTTPSignatureAlgorithm,
)
from http_message_signatures.digests import ContentDigest
from joserfc.jwk import ECKey, RSAKey
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response

from simulators.clearinghouse.faults import FaultKind

LABEL: Final = "sig"
REQUEST_TAG: Final = "v2g-posting"
ANSWER_TAG: Final = "v2g-answer"
COVERED_POST: Final = (
    "@method", "@target-uri", "content-type", "content-digest", "idempotency-key", "date",
)  # fmt: skip
COVERED_GET: Final = ("@method", "@target-uri", "date")
AGE_MAX: Final = timedelta(seconds=300)
SKEW: Final = timedelta(seconds=30)
NONCES_MAX: Final = 100_000
EXPIRED_SINCE: Final = timedelta(hours=1)

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request's signature does not do: a word, and a sentence."""

    reason: str
    detail: str


@dataclass
class _Message:
    """A request as the library wants it."""

    method: str
    url: str
    headers: Any


@dataclass
class _Answer:
    """An answer as the library wants it."""

    status_code: int
    headers: MutableHeaders
    request: _Message


class _Verifier(HTTPMessageVerifier):
    max_clock_skew = SKEW


class RequestGate:
    """Lets a request through only with a signature by one key, fresh, over all that matters.

    Args:
        path: PEM, the public key or a certificate of it.
        now: for the certificate's end and for nonces, UTC; a signature's age is judged by the
            machine's clock.

    Raises:
        ValueError: the file holds no P-256 or RSA key.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self._key, self._ends = _public_key(path)
        self._key_id = thumbprint(self._key)
        algorithms: tuple[type[HTTPSignatureAlgorithm], ...] = (
            (ECDSA_P256_SHA256,)
            if isinstance(self._key, ec.EllipticCurvePublicKey)
            else (RSA_V1_5_SHA256, RSA_PSS_SHA512)
        )
        resolver = MappingKeyResolver(public_keys={self._key_id: self._key}, private_keys={})
        self._verifiers = [
            _Verifier(signature_algorithm=one, key_resolver=resolver) for one in algorithms
        ]
        self._nonces: OrderedDict[str, datetime] = OrderedDict()
        self._lock = threading.Lock()

    def wrong(self, request: Request, body: bytes) -> Refusal | None:
        """What is wrong with a request's signature, or None. A nonce that is right is used up."""
        if self._ends is not None and self._now() >= self._ends:
            return Refusal("key_expired", f"the certificate of {self._key_id} ended {self._ends}")
        if "signature" not in request.headers or "signature-input" not in request.headers:
            return Refusal("signature_missing", "expected Signature-Input and Signature (RFC 9421)")
        message = _Message(request.method, str(request.url), request.headers)
        said = ""
        for verifier in self._verifiers:
            try:
                found = verifier.verify(
                    message,
                    max_age=AGE_MAX - SKEW,  # the library adds the skew on this side too
                    expect_tag=REQUEST_TAG,
                    expect_label=LABEL,
                    require_components=COVERED_POST if request.method == "POST" else COVERED_GET,
                    body=body if request.method == "POST" else None,
                )
            except InvalidSignature as error:
                said = said or str(error) or repr(error.__cause__) or "InvalidSignature"
                continue
            return self._used(found[0].parameters)
        return Refusal(_reason(said), said)

    def _used(self, parameters: dict[str, int | str]) -> Refusal | None:
        if "expires" not in parameters:
            return Refusal("signature_wrong", "expected the parameter expires")
        nonce = parameters.get("nonce")
        if nonce is None:
            return None
        now = self._now()
        with self._lock:
            while self._nonces and (
                len(self._nonces) >= NONCES_MAX
                or next(iter(self._nonces.values())) < now - AGE_MAX - SKEW
            ):
                self._nonces.popitem(last=False)
            if nonce in self._nonces:
                return Refusal("nonce_repeated", f"nonce {nonce}: expected a new one")
            self._nonces[str(nonce)] = now
        return None


class AnswerSigner:
    """Signs the clearinghouse's own answers, rightly or as a fault wants it.

    Args:
        key: P-256.
        now: the time of a signature, UTC.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey, *, now: Callable[[], datetime]) -> None:
        self._now = now
        self.key_id = thumbprint(key.public_key())
        self._right = self._signer(key)
        self._other = self._signer(ec.generate_private_key(ec.SECP256R1()))

    def _signer(self, key: ec.EllipticCurvePrivateKey) -> HTTPMessageSigner:
        return HTTPMessageSigner(
            signature_algorithm=ECDSA_P256_SHA256,
            key_resolver=MappingKeyResolver(public_keys={}, private_keys={self.key_id: key}),
        )

    def sign(
        self, request: Request, response: Response, *, fault: FaultKind | None = None
    ) -> Response:
        """The response with Content-Digest and signature, made wrongly where the fault says so."""
        response.headers["content-digest"] = ContentDigest.create(bytes(response.body))
        if fault is FaultKind.UNSIGNED:
            return response
        now = self._now()
        created, expires = now, now + AGE_MAX
        if fault is FaultKind.EXPIRED_SIGNATURE:
            created, expires = now - 2 * EXPIRED_SINCE, now - EXPIRED_SINCE
        bound = "idempotency-key" if "idempotency-key" in request.headers else "@target-uri"
        if request.method != "POST":
            bound = "@target-uri"
        answer = _Answer(
            response.status_code,
            response.headers,
            _Message(request.method, str(request.url), request.headers),
        )
        (self._other if fault is FaultKind.OTHER_KEY else self._right).sign(
            answer,
            key_id=self.key_id,
            include_alg=False,
            label=LABEL,
            tag=ANSWER_TAG,
            created=created,
            expires=expires,
            covered_component_ids=("@status", "content-type", "content-digest", f'"{bound}";req'),
            use_existing_digest=True,
        )
        if fault is FaultKind.WRONG_SIGNATURE:
            response.headers["signature"] = _spoilt(response.headers["signature"])
        return response


def thumbprint(key: PublicKey) -> str:
    """The key's thumbprint, base64url of SHA-256 (RFC 7638 §3)."""
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    kind = ECKey if isinstance(key, ec.EllipticCurvePublicKey) else RSAKey
    return str(kind.import_key(pem).thumbprint())


def _spoilt(signature: str) -> str:
    """A signature with its first character changed: as long as it was, and wrong."""
    head, _, rest = signature.partition(":")
    return f"{head}:{'B' if rest[0] == 'A' else 'A'}{rest[1:]}"


def _reason(said: str) -> str:
    if "past" in said or "age exceeds" in said:
        return "signature_expired"
    if "Content-Digest" in said:
        return "digest_wrong"
    return "key_unknown" if "resolve verification key" in said else "signature_wrong"


def _public_key(path: Path) -> tuple[PublicKey, datetime | None]:
    """The key in a file, and when its certificate ends, where it is one."""
    text = path.read_bytes()
    try:
        if b"CERTIFICATE" in text:
            certificate = x509.load_pem_x509_certificate(text)
            key: object = certificate.public_key()
            ends = certificate.not_valid_after_utc.astimezone(UTC)
        else:
            key, ends = load_pem_public_key(text), None
    except ValueError as error:
        raise ValueError(f"{path}: {error}; expected a PEM public key or certificate") from error
    if isinstance(key, rsa.RSAPublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return key, ends
    raise ValueError(f"{path}: expected a P-256 or an RSA public key")
