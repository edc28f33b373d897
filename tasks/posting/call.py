"""One attempt at a posting: one deadline for each call, a bounded body, nothing followed.

What stands in doubt is asked for first, where the partner can be asked: an answer that shows our echo
ends the doubt without sending anything. Every other answer says nothing, and the same id is sent again.
"""

import asyncio
import logging
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import httpx

from settlement.posting import Outcome, Posting, excerpt, judge_answer, judge_unsigned
from tasks.posting.clearinghouse import Clearinghouse

PATH: Final = "/v1/postings"
STATUSES: Final = range(100, 600)
"""What a receipt can hold (RFC 9110 §15); other three digits are answers without a status."""
ASKING_US_TO_WAIT: Final = frozenset({429, 503})
ASKED_MAX_CHARS: Final = 100
"""Of a receipt's detail that the question before the sending may take."""
STRAY: Final = "an answer that was there before the request: it is not to this one"
"""A partner that answers twice on one connection would have the second taken for the next posting's."""
WITHHELD: Final = "[our token]"
"""Stands in a receipt where an answer repeats our token: some gateways show what they were sent."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """What one attempt came to: the outcome, and what a receipt says of it.

    Attributes:
        http_status: None where no whole answer came.
        retry_after: the field of that name, as it came.
        proven: False where the partner signs and this answer is not signed: it may be a gateway's,
            and does not show that nothing has happened.
        cause: why we could not sign, where we could not.
    """

    outcome: Outcome
    detail: str
    http_status: int | None = None
    retry_after: str | None = None
    proven: bool = True
    cause: Exception | None = field(default=None, compare=False)


async def send(
    client: httpx.AsyncClient,
    clearinghouse: Clearinghouse,
    posting: Posting,
    *,
    doubtful: bool = False,
) -> Call:
    """Make one attempt. Whatever happens is an outcome; nothing is raised but cancellation.

    Args:
        client: of ``open_client``.
        clearinghouse: where to.
        posting: what is sent.
        doubtful: an earlier attempt may have taken effect: ask first, where that can be asked.
    """
    url = clearinghouse.url.rstrip("/") + PATH
    sending = client.build_request("POST", url, content=posting.body, headers=headers_of(posting))
    if not (doubtful and clearinghouse.asks_status):
        return await _call(client, clearinghouse, posting, sending)
    asking = client.build_request("GET", f"{url}/{posting.posting_id}")
    asked = await _call(client, clearinghouse, posting, asking)
    if asked.outcome is Outcome.ACKNOWLEDGED or not _may_send_after(asked):
        return replace(asked, detail=excerpt(f"status query: {asked.detail}"))
    sent = await _call(client, clearinghouse, posting, sending)
    told = f"status query: {asked.detail[:ASKED_MAX_CHARS]}; sent again: {sent.detail}"
    return replace(sent, detail=excerpt(told))


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


def _may_send_after(asked: Call) -> bool:
    """Not where nobody was reached, or where we are asked to wait: it would hear us twice as often."""
    if asked.outcome in {Outcome.CONNECTION_FAILED, Outcome.NOT_SENT}:
        return False
    return asked.http_status not in ASKING_US_TO_WAIT


async def _call(
    client: httpx.AsyncClient,
    clearinghouse: Clearinghouse,
    posting: Posting,
    request: httpx.Request,
) -> Call:
    signed = clearinghouse.signer is None
    began_to_send = False
    waited = asyncio.Event()

    async def watch(event: str, _: Mapping[str, object]) -> None:
        nonlocal began_to_send
        began_to_send = began_to_send or event.endswith(".send_request_headers.started")
        if event.endswith(".receive_response_headers.started"):
            asyncio.get_running_loop().call_soon(waited.set)  # once anything has to be waited for

    request.extensions["trace"] = watch
    try:
        async with asyncio.timeout(clearinghouse.deadline_s):
            if clearinghouse.signer is not None:
                # In a thread: a token takes its time, and other calls have their deadlines.
                await asyncio.to_thread(clearinghouse.signer.sign, request)
                signed = True
            response = await client.send(request, stream=True)
            try:
                if not waited.is_set():
                    raise httpx.RemoteProtocolError(STRAY)
                body = await _read(response, clearinghouse.body_max_bytes)
            finally:
                await response.aclose()
        return _judged(clearinghouse, posting, request, response, body)
    except Exception as error:  # noqa: BLE001 - one posting's surprise must not stop the others
        return _failed(clearinghouse, posting, error, signed=signed, began=began_to_send)


def _failed(
    clearinghouse: Clearinghouse, posting: Posting, error: Exception, *, signed: bool, began: bool
) -> Call:
    if not signed:
        if isinstance(error, TimeoutError):  # a busy machine or a slow token: the key is well
            return Call(Outcome.NOT_SENT, "not signed: no signature in time")
        return Call(Outcome.NOT_SENT, excerpt(f"not signed: {error}"), cause=error)
    if isinstance(error, TimeoutError):
        if began:
            return Call(Outcome.NO_ANSWER, f"no whole answer within {clearinghouse.deadline_s} s")
        return Call(Outcome.CONNECTION_FAILED, f"no connection within {clearinghouse.deadline_s} s")
    if not isinstance(error, httpx.TransportError):
        _log.error("posting %s: unforeseen failure", posting.posting_id, exc_info=error)
    outcome = Outcome.LOST if began else Outcome.CONNECTION_FAILED
    # What is no HTTP is quoted in the error's words, and may repeat what was sent.
    told = _without(clearinghouse.token, f"{type(error).__name__}: {error}")
    return Call(outcome, excerpt(told))


def _judged(
    clearinghouse: Clearinghouse,
    posting: Posting,
    request: httpx.Request,
    response: httpx.Response,
    body: bytes | None,
) -> Call:
    status = response.status_code
    judged = judge_answer(posting, status, response.headers, body)
    if judged.outcome is not Outcome.ACKNOWLEDGED:
        judged = judged._replace(detail=_told(clearinghouse, posting, response, body))
    wrong = ""
    if clearinghouse.verifier is not None:
        wrong = (
            clearinghouse.verifier.wrong(request, response, body)
            if body is not None
            else "of more than we read"
        )
        wrong = _without(clearinghouse.token, wrong)
        judged = judge_unsigned(judged, wrong) if wrong else judged
    return Call(
        judged.outcome,
        judged.detail,
        http_status=status if status in STATUSES else None,
        retry_after=response.headers.get("retry-after"),
        proven=not wrong,
    )


def _told(
    clearinghouse: Clearinghouse, posting: Posting, response: httpx.Response, body: bytes | None
) -> str:
    """What a receipt says of an answer: its own words, without the token where it repeats that."""
    token = clearinghouse.token
    fields = {name: _without(token, value) for name, value in response.headers.items()}
    seen = None if body is None else _without(token, body.decode("latin-1")).encode("latin-1")
    return judge_answer(posting, response.status_code, fields, seen).detail


def _without(token: str, text: str) -> str:
    """Before any excerpt is made, which could end within the token."""
    return text.replace(token, WITHHELD) if token else text


async def _read(response: httpx.Response, most: int) -> bytes | None:
    """The body as it came, or None where it is longer than ``most`` bytes."""
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > most:
            return None
    return bytes(body)
