"""One notice, sent once: signed, to an address that was pinned before, under one deadline.

The message follows Standard Webhooks: headers webhook-id, webhook-timestamp and webhook-signature
(HMAC-SHA256 under the destination's secret) over a body of ``type``, ``timestamp`` and ``data``. The
destination's bearer token goes along, as requirement 14 has it.
"""

import asyncio
import json
import logging
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import httpx
from standardwebhooks.webhooks import Webhook

from settlement.posting import excerpt
from tasks.notices.urls import Url
from tasks.posting.tls import client_context

DEADLINE_S: Final = 2.0
"""For the whole call: connecting, headers and body."""
BODY_MAX_BYTES: Final = 64 * 1024
TEST: Final = "webhook.test"
"""The event type of the call that a new destination must answer."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to, and with what.

    Attributes:
        addresses: of its host, pinned; tried in order until one accepts a connection.
        token: bearer token (RFC 6750 §2.1), never shown.
        secret: ``whsec_…``, never shown.
    """

    url: Url
    addresses: tuple[str, ...]
    token: str = field(repr=False)
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """What is told: the same id and body for every attempt."""

    message_id: str
    kind: str
    occurred_at: datetime
    data: Mapping[str, Any]

    @property
    def body(self) -> bytes:
        """The content: sorted names, times as RFC 3339."""
        at = self.occurred_at.astimezone(UTC).isoformat().replace("+00:00", "Z")
        content = {"type": self.kind, "timestamp": at, "data": dict(self.data)}
        return json.dumps(
            content, sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()


@dataclass(frozen=True, slots=True)
class Told:
    """What one call came to.

    Attributes:
        delivered: a whole answer of 2xx within the deadline.
        detail: the same in words; nothing of the answer's body, which may repeat what was sent.
        http_status: None where no answer came.
        retry_after: the field of that name, as it came.
    """

    delivered: bool
    detail: str
    http_status: int | None = None
    retry_after: str | None = None


def open_client(ca_file: Path | None, *, connections: int) -> httpx.AsyncClient:
    """A client that follows nothing, and takes nothing from the environment.

    Its libraries log what a server answers, which may repeat a token: in this process they warn at most.

    Args:
        ca_file: certificates to trust instead of the public ones; checking cannot be switched off.
        connections: at most so many.
    """
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx.AsyncClient(
        verify=client_context(ca_file),
        trust_env=False,
        follow_redirects=False,
        timeout=None,  # noqa: S113 - httpx limits each wait, not the call; ``tell`` limits the call
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
    )


async def tell(
    client: httpx.AsyncClient,
    target: Target,
    message: Message,
    *,
    now: datetime,
    deadline_s: float = DEADLINE_S,
) -> Told:
    """Send a message once. Whatever happens is told of; nothing is raised but cancellation."""
    body = message.body
    headers = _headers(target, message, body, now)
    try:
        async with asyncio.timeout(deadline_s):
            return await _first_that_connects(client, target, headers, body)
    except TimeoutError:
        return Told(delivered=False, detail=f"no whole answer within {deadline_s:g} s")
    except httpx.ProtocolError as error:
        # Its words quote the answer.
        return Told(delivered=False, detail=f"{type(error).__name__}: no HTTP that can be read")
    except (httpx.HTTPError, httpx.StreamError, ssl.SSLError, OSError) as error:
        return Told(delivered=False, detail=excerpt(f"{type(error).__name__}: {error}"))


async def _first_that_connects(
    client: httpx.AsyncClient, target: Target, headers: Mapping[str, str], body: bytes
) -> Told:
    *others, last = target.addresses
    for address in others:
        try:
            return await _call(client, target, address, headers, body)
        except httpx.ConnectError:
            continue
    return await _call(client, target, last, headers, body)


async def _call(
    client: httpx.AsyncClient,
    target: Target,
    address: str,
    headers: Mapping[str, str],
    body: bytes,
) -> Told:
    # The address is called; the name is what the certificate must have and what the server is asked for.
    place = f"[{address}]" if ":" in address else address
    async with client.stream(
        "POST",
        f"https://{place}:{target.url.port}{target.url.path}",
        content=body,
        headers=headers,
        extensions={"sni_hostname": target.url.host},
    ) as response:
        received = 0
        async for chunk in response.aiter_raw():
            received += len(chunk)
            if received > BODY_MAX_BYTES:
                break
    status = response.status_code
    whole = received <= BODY_MAX_BYTES
    said = f"{status} {_phrase(status)}".strip()
    return Told(
        delivered=whole and HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES,
        detail=said if whole else f"{said}, and more than {BODY_MAX_BYTES} bytes",
        http_status=status,
        retry_after=response.headers.get("retry-after"),
    )


def _headers(target: Target, message: Message, body: bytes, now: datetime) -> dict[str, str]:
    at = now.astimezone(UTC).replace(microsecond=0)
    return {
        "host": target.url.authority,
        "authorization": f"Bearer {target.token}",
        "content-type": "application/json",
        "accept-encoding": "identity",  # so that a short answer cannot swell
        "user-agent": "v2g-settlement",
        "webhook-id": message.message_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Webhook(target.secret).sign(message.message_id, at, body.decode()),
    }


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""
