"""One call to the clearinghouse: one deadline for all of it, a bounded body, nothing followed.

ValueError
└── InsecureAddressError    an address that would send token and money in the clear
"""

import asyncio
import logging
import ssl
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import httpx

from settlement.posting import BACKOFF, Backoff, Outcome, Posting, excerpt, judge_answer

PATH: Final = "/v1/postings"
STATUSES: Final = range(100, 600)
"""What a receipt can hold (RFC 9110 §15); other three digits are answers without a status."""

_log: Final = logging.getLogger(__name__)


class InsecureAddressError(ValueError):
    """``url`` is neither https nor this machine."""

    def __init__(self, url: str) -> None:
        super().__init__(
            f"clearinghouse: {url}; expected https://…, or http://… on this machine: anything "
            "else would send the token in the clear"
        )
        self.url = url


@dataclass(frozen=True, slots=True)
class Clearinghouse:
    """A partner that is paid through, and how it is called.

    Attributes:
        url: its root; https, or http on the loopback interface.
        token: bearer token (RFC 6750 §2.1), never shown; none is sent where it is empty.
        partner: its name in the outbox.
        deadline_s: for the whole call: connecting, headers and body.
        body_max_bytes: an answer is read no further.
        backoff: how long to wait before a retry.
        ca_file: certificates to trust instead of the public ones; verifying cannot be switched off.

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

    def __post_init__(self) -> None:
        url = httpx.URL(self.url)
        if not url.host or not (url.scheme == "https" or (url.scheme == "http" and _is_here(url))):
            raise InsecureAddressError(self.url)


def _is_here(url: httpx.URL) -> bool:
    try:
        return ip_address(url.host).is_loopback
    except ValueError:
        return url.host == "localhost"


@dataclass(frozen=True, slots=True)
class Call:
    """What one call came to: the outcome, and what a receipt says of it.

    Attributes:
        http_status: None where no whole answer came.
        retry_after: the field of that name, as it came.
    """

    outcome: Outcome
    detail: str
    http_status: int | None = None
    retry_after: str | None = None


def open_client(clearinghouse: Clearinghouse, *, connections: int) -> httpx.AsyncClient:
    """A client for the clearinghouse with at most so many connections.

    The environment cannot send it through a proxy or give it other certificates or passwords.
    """
    return httpx.AsyncClient(
        verify=ssl.create_default_context(cafile=clearinghouse.ca_file)
        if clearinghouse.ca_file
        else True,
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # noqa: S113 - httpx limits each wait, not the call; ``send`` limits the call
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        headers={
            **({"authorization": f"Bearer {clearinghouse.token}"} if clearinghouse.token else {}),
            "accept": "application/json",
            "accept-encoding": "identity",  # so that a short answer cannot swell
            "user-agent": "v2g-settlement",
        },
    )


def headers_of(posting: Posting) -> Mapping[str, str]:
    """What goes with a posting's body.

    The key is a structured-field string (draft-ietf-httpapi-idempotency-key-header-07 §2.1, RFC
    9651 §3.3.3), the digest that of the content (RFC 9530 §2).
    """
    return {
        "content-type": "application/json",
        "idempotency-key": f'"{posting.posting_id}"',
        "content-digest": f"sha-256=:{b64encode(posting.body_digest).decode()}:",
    }


async def send(client: httpx.AsyncClient, clearinghouse: Clearinghouse, posting: Posting) -> Call:
    """Send a posting once. Whatever happens is an outcome; nothing is raised but cancellation."""
    began_to_send = False

    async def watch(event: str, _: Mapping[str, object]) -> None:
        nonlocal began_to_send
        began_to_send = began_to_send or event.endswith(".send_request_headers.started")

    try:
        async with (
            asyncio.timeout(clearinghouse.deadline_s),
            client.stream(
                "POST",
                clearinghouse.url.rstrip("/") + PATH,
                content=posting.body,
                headers=headers_of(posting),
                extensions={"trace": watch},
            ) as response,
        ):
            body = await _read(response, clearinghouse.body_max_bytes)
    except TimeoutError:
        if began_to_send:
            return Call(Outcome.NO_ANSWER, f"no whole answer within {clearinghouse.deadline_s} s")
        return Call(Outcome.CONNECTION_FAILED, f"no connection within {clearinghouse.deadline_s} s")
    except Exception as error:  # noqa: BLE001 - one posting's surprise must not stop the others
        if not isinstance(error, httpx.TransportError):
            _log.exception("posting %s: unforeseen failure", posting.posting_id)
        outcome = Outcome.LOST if began_to_send else Outcome.CONNECTION_FAILED
        return Call(outcome, excerpt(f"{type(error).__name__}: {error}"))
    status = response.status_code
    outcome, detail = judge_answer(posting, status, response.headers, body)
    return Call(
        outcome,
        detail,
        http_status=status if status in STATUSES else None,
        retry_after=response.headers.get("retry-after"),
    )


async def _read(response: httpx.Response, most: int) -> bytes | None:
    """The body as it came, or None where it is longer than ``most`` bytes."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)
