"""A partner that is paid through, and the client that reaches it.

ValueError
└── InsecureAddressError    an address that would send token and money in the clear
"""

from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from pathlib import Path
from typing import Protocol

import httpx

from settlement.hosts import is_loopback
from settlement.posting import BACKOFF, Backoff
from tasks.posting.lines import Lines
from tasks.posting.tls import client_context


class InsecureAddressError(ValueError):
    """``url`` is neither https nor this machine."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"clearinghouse: {url}; expected https://…, or http://… on this machine: anything "
            "else would send the token in the clear"
        )
        self.url = url


class Signer(Protocol):
    """Signs our requests: ``tasks.posting.signing`` does, and whatever else fits."""

    def check(self) -> None:
        """Whether a signature made now would count; an error that says what to do where not."""

    def sign(self, request: httpx.Request) -> None:
        """Add what it signs with; may take as long as a token needs, and be called by any thread."""


class Verifier(Protocol):
    """Verifies a partner's answers."""

    def wrong(self, request: httpx.Request, response: httpx.Response, body: bytes) -> str:
        """What is wrong with an answer's signature; empty where nothing is."""


@dataclass(frozen=True, slots=True)
class Clearinghouse:
    """A partner that is paid through, and how it is called.

    Attributes:
        url: its root; https, or http on the loopback interface.
        token: bearer token (RFC 6750 §2.1), never shown; none is sent where it is empty.
        partner: its name in the outbox.
        deadline_s: for the whole call: signing, connecting, headers and body.
        body_max_bytes: an answer is read no further.
        backoff: how long to wait before a retry.
        ca_file: certificates to trust instead of the public ones; verifying cannot be switched off.
        signer: signs our requests; None where the partner wants no signatures.
        verifier: verifies its answers; None where it does not sign them.
        asks_status: it can be asked whether it holds a posting, which is done before what stands in
            doubt is sent again.
        retry_share_percent: of the calls that may be retries while first attempts wait.

    Raises:
        InsecureAddressError: an address that would send token and money in the clear.
    """

    url: str
    token: str = field(repr=False)
    partner: str = "clearinghouse"
    deadline_s: float = 2.0
    body_max_bytes: int = 64 * 1024
    backoff: Backoff = BACKOFF
    ca_file: Path | None = None
    signer: Signer | None = None
    verifier: Verifier | None = None
    asks_status: bool = True
    retry_share_percent: int = 20

    def __post_init__(self) -> None:
        url = httpx.URL(self.url)
        if not url.host or not (
            url.scheme == "https" or (url.scheme == "http" and is_loopback(url.host))
        ):
            raise InsecureAddressError(self.url)

    @property
    def attempt_s(self) -> float:
        """How long one attempt can take: the posting's call, and the question before it."""
        return self.deadline_s * (2 if self.asks_status else 1)


def open_client(clearinghouse: Clearinghouse, *, connections: int) -> httpx.AsyncClient:
    """A client for the clearinghouse with at most so many connections.

    The environment cannot send it through a proxy or give it other certificates or passwords, and a
    partner cannot leave cookies in it.
    """
    return httpx.AsyncClient(
        transport=Lines(connections, verify=client_context(clearinghouse.ca_file)),
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # noqa: S113 - httpx limits each wait, not the call; ``call.send`` limits the call
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
        headers={
            **({"authorization": f"Bearer {clearinghouse.token}"} if clearinghouse.token else {}),
            "accept": "application/json",
            "accept-encoding": "identity",  # so that a short answer cannot swell
            "user-agent": "v2g-settlement",
        },
    )
