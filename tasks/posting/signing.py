"""HTTP Message Signatures (RFC 9421): our requests are signed, and a partner's answers verified.

What is covered, under which label and with which parameters is docs/signatures.md. An answer covers
the idempotency key of the request that it answers, or its address: an answer to one posting cannot
be passed off as the answer to another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from secrets import token_urlsafe
from typing import Any, Final

import httpx
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageSigner,
    HTTPMessageVerifier,
    InvalidSignature,
    MappingKeyResolver,
)

from settlement.posting import excerpt
from tasks.posting.algorithms import RSA_USUAL, PublicKey, algorithm_of, thumbprint
from tasks.posting.settlement_key import SettlementKey

LABEL: Final = "sig"
REQUEST_TAG: Final = "v2g-posting"
ANSWER_TAG: Final = "v2g-answer"
"""Signed with the rest, so that what the same key signs for another purpose is no answer."""
REQUEST_COVERS: Final[Mapping[str, tuple[str, ...]]] = {
    "GET": ("@method", "@target-uri", "date"),
    "POST": (
        "@method",
        "@target-uri",
        "content-type",
        "content-digest",
        "idempotency-key",
        "date",
    ),
}
ANSWER_COVERS: Final[Mapping[str, tuple[str, ...]]] = {
    "GET": ("@status", "content-type", "content-digest", '"@target-uri";req'),
    "POST": ("@status", "content-type", "content-digest", '"idempotency-key";req'),
}
"""By the method of the request; an answer may cover more."""
LIFETIME: Final = timedelta(seconds=300)
"""A signature is of no use to whoever copies it later than this."""
AHEAD_MAX: Final = timedelta(seconds=30)
"""How far a partner's clock may be ahead of ours."""
NONCE_BYTES: Final = 16


def new_nonce() -> str:
    """22 characters that nobody can guess: two signatures within one second differ."""
    return token_urlsafe(NONCE_BYTES)


class Signer:
    """Signs requests with the settlement key. Threads may share it.

    Args:
        key: the settlement key with its certificate.
        clock: gives now, with its zone; stands in ``Date`` and in ``created``.
        nonce: gives another one each time.
    """

    def __init__(
        self,
        key: SettlementKey,
        *,
        clock: Callable[[], datetime],
        nonce: Callable[[], str] = new_nonce,
    ) -> None:
        self._key = key
        self._clock = clock
        self._nonce = nonce
        self._signs = HTTPMessageSigner(
            signature_algorithm=key.algorithm,
            key_resolver=MappingKeyResolver(
                public_keys={}, private_keys={key.thumbprint: key.private}
            ),
        )

    def __repr__(self) -> str:
        return f"Signer({self._key.thumbprint}, {self._key.algorithm.algorithm_id})"

    def check(self) -> None:
        """Whether a signature made now would count.

        Raises:
            SettlementKeyError: the certificate is over, or does not count yet.
        """
        self._key.check(self._clock())

    def sign(self, request: httpx.Request) -> None:
        """Add ``Date``, ``Signature-Input`` and ``Signature``; a body's digest must be there already.

        Raises:
            SettlementKeyError: the certificate is over, or the token does not sign.
            ValueError: a request of a method, or without a field, that is to be covered.
        """
        now = self._clock()
        self._key.check(now)
        if request.method not in REQUEST_COVERS:
            raise ValueError(
                f"method {request.method}; expected one of {', '.join(REQUEST_COVERS)}"
            )
        request.headers["date"] = format_datetime(now.astimezone(UTC), usegmt=True)
        try:
            self._signs.sign(
                request,
                key_id=self._key.thumbprint,
                created=now,
                expires=now + LIFETIME,
                nonce=self._nonce(),
                label=LABEL,
                tag=REQUEST_TAG,
                include_alg=False,
                covered_component_ids=REQUEST_COVERS[request.method],
                use_existing_digest="content-digest" in REQUEST_COVERS[request.method],
            )
        except HTTPMessageSignaturesException as error:
            raise ValueError(f"a request that cannot be signed: {error}") from error


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer as the library reads one, whoever received it."""

    status_code: int
    headers: httpx.Headers
    request: httpx.Request


class Verifier:
    """Verifies the answers of one partner, by the one key that it has given us.

    Args:
        public: the partner's key.
        clock: gives now, with its zone.
        rsa_algorithm: by what an RSA key signs.

    Raises:
        UnusableKeyError: a key of another kind.
    """

    def __init__(
        self,
        public: PublicKey,
        *,
        clock: Callable[[], datetime],
        rsa_algorithm: str = RSA_USUAL,
    ) -> None:
        algorithm = algorithm_of(public, rsa_algorithm=rsa_algorithm)
        self.key_id = thumbprint(public)
        self._verifies = _OnOurClock(
            clock,
            signature_algorithm=algorithm,
            key_resolver=MappingKeyResolver(public_keys={self.key_id: public}, private_keys={}),
        )

    def __repr__(self) -> str:
        return f"Verifier({self.key_id})"

    def wrong(self, request: httpx.Request, response: httpx.Response, body: bytes) -> str:
        """Why an answer does not count as the partner's to this request; empty when it does.

        Args:
            request: as it was sent.
            response: its status and fields.
            body: the bytes as they came.
        """
        if request.method not in ANSWER_COVERS:
            return f"an answer to {request.method} has no signature that we know"
        answer = _Answer(response.status_code, response.headers, request)
        try:
            self._verifies.verify(
                answer,
                expect_label=LABEL,
                expect_tag=ANSWER_TAG,
                require_components=ANSWER_COVERS[request.method],
                body=body,
            )
        except HTTPMessageSignaturesException as error:
            return excerpt(str(error) or f"it is not by the key {self.key_id}")
        except (ValueError, TypeError, LookupError) as error:
            # Fields that are none (RFC 9651), in a way that the library did not foresee.
            return excerpt(f"it cannot be read ({type(error).__name__})")
        return ""


class _OnOurClock(HTTPMessageVerifier):
    """The library's verifier with the clock as an argument."""

    def __init__(self, clock: Callable[[], datetime], **options: Any) -> None:
        super().__init__(**options)
        self._clock = clock

    def validate_created_and_expires(
        self,
        sig_input: Any,
        max_age: timedelta | None = None,  # noqa: ARG002 - LIFETIME is ours
    ) -> None:
        """Made within ``LIFETIME`` before now, or a little after; and not over where it says so.

        Raises:
            InvalidSignature: it is not so, or it does not say when it was made.
        """
        created = sig_input.params.get("created")
        expires = sig_input.params.get("expires")
        if created is None:
            raise InvalidSignature("it does not say when it was made (created)")
        age_s = self._clock().timestamp() - created
        if age_s > LIFETIME.total_seconds():
            raise InvalidSignature(f"made {age_s:.0f} s ago; expected at most {LIFETIME.seconds}")
        if -age_s > AHEAD_MAX.total_seconds():
            raise InvalidSignature(
                f"made {-age_s:.0f} s in the future; expected at most {AHEAD_MAX.seconds}: look at"
                " both clocks"
            )
        if expires is not None and self._clock().timestamp() > expires:
            raise InvalidSignature("it has expired, by its own word")
